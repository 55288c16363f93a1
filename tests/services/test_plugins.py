"""The user's modules: what is collected from them, and what is said when they cannot be imported."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from runtime.errors import Fault
from runtime.plugins import Registry, subscriber, task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _same_modules() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def load(folder: Path, text: str, name: str = "acme_tasks") -> Registry:
    (folder / f"{name}.py").write_text(text)
    return Registry.load([(name, folder)])


GOOD = """
from runtime import subscriber, task
class Odd:
    def __getattr__(self, name): raise RuntimeError(name)
odd = Odd()
@task("images.resize", process=True)
@task("images.shrink")
def resize(job, payload): ...
again = resize
@subscriber("images.resize")
async def told(event): ...
"""


def test_marks_are_collected_by_kind_and_name(tmp_path: Path) -> None:
    registry = load(tmp_path, GOOD)
    assert {(mark.kind, mark.name, mark.process) for mark in registry} == {
        ("task", "images.resize", True),
        ("task", "images.shrink", False),
        ("subscriber", "images.resize", False),
    }
    mark = registry.get("task", "images.resize")
    assert mark is not None
    assert mark.origin == "acme_tasks.py:6"
    assert registry.get("task", "images.enlarge") is None


def test_each_spec_gets_the_module_beside_it(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        text = f"from runtime import task\n@task('{name}')\ndef f(job, payload): ..."
        assert [mark.name for mark in load(tmp_path / name, text)] == [name]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nosuchpackage", 'imports "nosuchpackage", which is not installed'),
        ("\n1 / 0", r"failed to import \(acme_tasks.py:2\): ZeroDivisionError"),
        ("def f(:", "SyntaxError: invalid syntax"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("from runtime import task\n@task\ndef f(job, payload): ...", "@task needs a name"),
        (GOOD + '@task("images.shrink")\ndef other(job, payload): ...', 'two tasks are called "images.shrink"'),
    ],
)
def test_a_module_that_fails_is_explained(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Fault, match=said):
        load(tmp_path, text)


def test_a_missing_module_is_said(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="beside the spec") as missing:
        Registry.load([("acme.nothing", tmp_path)])
    assert missing.value.remedy.startswith("Create acme/nothing.py there")


def test_a_module_with_the_name_of_pythons_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="of Python itself"):
        load(tmp_path, GOOD, name="queue")


def test_a_mark_leaves_the_function_as_it_is() -> None:
    def add(job: object, payload: dict[str, int]) -> int:
        return payload["a"]

    assert subscriber("x")(task("y")(add)) is add
    assert add(None, {"a": 1}) == 1
