"""A merged spec that is written down as one file means the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runtime.errors import SpecFault
from runtime.spec.load import load

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.spec.load import Loaded


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root spec over one in another folder, with a secret in a file and a schema beside that."""
    base = tmp_path / "shared"
    base.mkdir()
    (base / "key").write_text("a-key-of-the-base")
    (base / "base.yaml").write_text("""
        version: 1
        ai: {providers: {main: {kind: openai, api_key: "${file:key}"}}}
        queues: {import: {payload: schemas/import.json}, export: {payload: "${SCHEMAS}/export.json"}}
    """)
    folder = tmp_path / "mine"
    for schema in ("shared/schemas/import.json", "mine/mine.json", "mine/yours.json", "elsewhere/export.json"):
        (tmp_path / schema).parent.mkdir(exist_ok=True)
        (tmp_path / schema).write_text("{}")
    (folder / "own").write_text("a-key-of-the-root")
    file = folder / "spec.yaml"
    file.write_text("""
        extends: ../shared/base.yaml
        name: portable
        ai: {providers: {other: {kind: openai, api_key: "${file:own} and ${file:./own}"}}}
        queues: {sandbox: {payload: mine.json}}
    """)
    return file


def loaded_of(root: Path) -> Loaded:
    return load(root, {"SCHEMAS": str(root.parents[1] / "elsewhere")})


def test_it_says_the_same_without_its_bases(root: Path) -> None:
    loaded = loaded_of(root)
    again = loaded.anew(json.dumps(loaded.declared))
    assert again.data == loaded.data
    assert again.declared == loaded.declared
    assert loaded.data["queues"]["import"]["payload"] == str(root.parents[1] / "shared/schemas/import.json")
    assert loaded.data["ai"]["providers"]["main"]["api_key"] == "a-key-of-the-base"
    assert again.read == {str(root)}
    assert loaded.read == {str(root), str(root.parents[1] / "shared/base.yaml").replace("/shared/", "/mine/../shared/")}


def test_secrets_stay_references(root: Path) -> None:
    assert "a-key-of" not in json.dumps(loaded_of(root).declared)


def test_what_the_file_says_now(root: Path) -> None:
    loaded = loaded_of(root)
    root.write_text(root.read_text().replace("mine.json", "yours.json"))
    assert loaded.anew().data["queues"]["sandbox"]["payload"] == str(root.parent / "yours.json")
    root.write_text("version: 1\nname: x\nqueus: {}\n")
    with pytest.raises(SpecFault):
        loaded.anew()


def test_where_a_value_stands(root: Path) -> None:
    loaded = loaded_of(root)
    assert loaded.place("name").endswith("spec.yaml:3:15")
    assert loaded.place("storage", "path") == ""
