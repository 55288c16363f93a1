"""The flushing of the embedded server's files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runtime.storage.embedded import EmbeddedRedis
from runtime.storage.flush import Flusher

if TYPE_CHECKING:
    from pathlib import Path


def test_only_what_has_grown_is_flushed(tmp_path: Path) -> None:
    file = tmp_path / "appendonly.aof.1.incr.aof"
    file.write_bytes(b"a")
    flusher = Flusher(tmp_path)
    assert flusher.flush() == 1
    assert flusher.flush() == 0
    with file.open("ab") as log:
        log.write(b"b")
    assert flusher.flush() == 1


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert Flusher(tmp_path / "absent").flush() == 0


def test_a_stop_without_a_start_and_a_second_life(tmp_path: Path) -> None:
    flusher = Flusher(tmp_path, interval=0.01)
    flusher.stop()
    flusher.start()
    flusher.stop()
    (tmp_path / "appendonly.aof.1.incr.aof").write_bytes(b"a")
    flusher.start()
    deadline = time.monotonic() + 5
    while not flusher._flushed:
        assert time.monotonic() < deadline, "nothing was flushed in its second life"
        time.sleep(0.005)
    flusher.stop()


async def test_the_server_answers_only_what_stands_in_its_file(tmp_path: Path) -> None:
    """What a kill cannot undo: the write is in the file before the answer, whatever flushing goes on."""
    redis = EmbeddedRedis(tmp_path / "redis")
    await redis.start()
    try:
        assert (await redis.client.config_get("appendfsync"))["appendfsync"] == "no"
        await redis.client.set("acknowledged", "4711-and-nothing-else")
        files = (tmp_path / "redis" / "appendonlydir").glob("*.incr.aof")
        assert any(b"4711-and-nothing-else" in file.read_bytes() for file in files)
    finally:
        await redis.stop()
