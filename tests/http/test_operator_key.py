"""The operator's key and its file."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from runtime.errors import Fault
from runtime.http.operator_key import OperatorKey, new_key, well_formed

if TYPE_CHECKING:
    from pathlib import Path


async def test_it_is_made_once_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "operator.key"
    first = OperatorKey.open(path)
    key = path.read_text().strip()
    assert well_formed(key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = OperatorKey.open(path)
    for access in (first, again):
        caller = await access.caller(key, "127.0.0.1")
        assert caller is not None
        assert caller.id == "key:operator"
        assert caller.may("anything:at-all")
        assert await access.caller(key[:-1], "127.0.0.1") is None
        assert await access.caller("", "127.0.0.1") is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["operator.key"]


def test_two_at_once_make_one_key(tmp_path: Path) -> None:
    path = tmp_path / "operator.key"

    def opened(_: int) -> str:
        OperatorKey.open(path)
        return path.read_text()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(opened, range(32)))) == 1


def test_a_key_carries_a_checksum() -> None:
    keys = {new_key() for _ in range(50)}
    assert len(keys) == 50
    for key in keys:
        assert key.startswith("rt_")
        assert well_formed(key)
        swapped = key[:5] + ("A" if key[5] != "A" else "B") + key[6:]
        assert not well_formed(swapped)
    assert not well_formed("rt_")


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "operator.key"
    OperatorKey.open(path)
    path.chmod(0o644)
    with pytest.raises(Fault, match="0644") as refused:
        OperatorKey.open(path)
    assert "chmod 600" in refused.value.remedy


@pytest.mark.parametrize(
    "content", ["", "rt_short", "\x00\xff", new_key()[:-1] + "!"], ids=["empty", "short", "bytes", "sign"]
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "operator.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(Fault, match="damaged"):
        OperatorKey.open(path)


def test_a_folder_that_is_missing_is_explained(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="cannot be used"):
        OperatorKey.open(tmp_path / "missing" / "operator.key")
