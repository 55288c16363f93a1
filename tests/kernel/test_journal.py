from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from runtime.errors import Fault, NotFound
from runtime.kernel.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal"


@pytest.fixture
def journal(folder: Path) -> Journal:
    return Journal(folder, kept=3, clock=lambda: NOW)


def test_an_empty_journal(journal: Journal) -> None:
    assert list(journal.list()) == []
    assert journal.last() is None
    with pytest.raises(NotFound, match="no revision 1"):
        journal.read(1)


def test_a_revision_is_a_file_for_its_owner_alone(journal: Journal, folder: Path) -> None:
    revision = journal.append({"name": "ä"}, [{"action": "create"}], "applied")
    file = folder / "000001.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    data = json.loads(file.read_text())
    assert data["time"] == "2025-01-02T03:04:05+00:00"
    assert data["spec"] == {"name": "ä"}
    assert journal.read(1) == journal.last() == revision
    assert [entry.name for entry in folder.iterdir()] == ["000001.json"]


def test_the_same_again_is_no_new_revision(journal: Journal) -> None:
    first = journal.append({"a": 1}, [], "applied")
    assert journal.append({"a": 1}, [{"action": "create"}], "applied") == first
    assert journal.append({"a": 1}, [], "failed", "why").number == 2
    assert journal.append({"a": 1}, [], "failed", "why").number == 2
    assert journal.append({"a": 1}, [], "applied").number == 3
    assert journal.append({"a": 2}, [], "applied").number == 4


def test_the_spec_that_runs_again_is_no_new_revision(journal: Journal) -> None:
    runs = journal.append({"a": 1}, [], "applied")
    journal.append({"a": 2}, [], "failed", "why")
    assert journal.append({"a": 1}, [], "applied", runs=runs) == runs
    assert journal.append({"a": 1}, [], "applied").number == 3


def test_the_order_of_keys_makes_no_other_spec(journal: Journal) -> None:
    first = journal.append({"a": 1, "b": 2}, [], "applied")
    assert journal.append({"b": 2, "a": 1}, [], "applied") == first


def test_the_oldest_go(journal: Journal) -> None:
    for number in range(5):
        journal.append({"number": number}, [], "applied")
    assert [revision.number for revision in journal.list()] == [3, 4, 5]
    with pytest.raises(NotFound) as caught:
        journal.read(1)
    assert caught.value.remedy == "Kept: 3 to 5."


@pytest.mark.parametrize("text", ["", '{"number": 2, "ti', "[]", "null", '{"number": 2, "surprise": 1}', "[" * 100_000])
def test_a_damaged_file_is_noted_and_passed_over(journal: Journal, folder: Path, text: str) -> None:
    journal.append({"a": 1}, [], "applied")
    (folder / "000002.json").write_text(text)
    revisions = journal.list()
    assert [revision.number for revision in revisions] == [1, 2]
    assert revisions[1].note is not None
    assert revisions[1].note.startswith("000002.json is damaged")
    assert journal.append({"a": 1}, [], "applied").number == 3


def test_what_a_crash_left_half_written_is_swept(journal: Journal, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "000001.part").write_text('{"numb')
    (folder / "notes.txt").write_text("mine")
    assert journal.append({}, [], "applied").number == 1
    assert sorted(entry.name for entry in folder.iterdir()) == ["000001.json", "notes.txt"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("")
    with pytest.raises(Fault, match="cannot write the journal"):
        Journal(tmp_path / "journal").append({}, [], "applied")
