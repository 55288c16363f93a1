"""Preparing Pyodide: only the known archive is taken, and faults say what to do."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from runtime.errors import Fault
from runtime.services.sandbox.bundle import cache, fetch, prepare
from runtime.services.sandbox.worker.wasm import with_most_memory
from tests.services.sandbox.conftest import bundle

if TYPE_CHECKING:
    from pathlib import Path


def script(folder: Path, text: str) -> None:
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\n{text}\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo 'npm error code ENOTFOUND' >&2; exit 1", "npm ended with 1: npm error code ENOTFOUND"),
        ("exit 0", "npm ended with 0"),
        (
            'while [ "$1" != --pack-destination ]; do shift; done; echo forged > "$2/pyodide.tgz"',
            "not the one that is known",
        ),
    ],
)
def test_what_npm_does_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str) -> None:
    script(tmp_path, text)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with pytest.raises(Fault, match=said) as fault:
        fetch.pyodide()
    assert fault.value.remedy


def test_a_package_that_is_built_otherwise_is_refused() -> None:
    with pytest.raises(Fault, match="not built as the known one"):
        prepare.glue("export default _createPyodideModule;", "")


def test_a_bundle_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    known = cache.place(tmp_path)
    known.mkdir()
    (known / cache.MARK).write_text("{}")
    assert cache.found(tmp_path) == known

    known.chmod(0o777)
    assert cache.found(tmp_path) is None


def test_the_limit_of_memory_is_written_into_the_module() -> None:
    module = (bundle() / "python.wasm").read_bytes()

    limited = with_most_memory(module, 48_000_000)

    assert len(limited) == len(module)
    assert sum(one != other for one, other in zip(module, limited, strict=True)) <= 3
    for wrong in (b"\0asm\1\0\0\0", b"\0asm\1\0\0\0\5\3\1\0\1"):
        with pytest.raises(ValueError, match="memory"):
            with_most_memory(wrong, 1)
