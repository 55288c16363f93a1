"""Minutes of load in which the server and the whole process are killed again and again: every acknowledged job runs."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from runtime.testing import running
from tests.load import Load, await_counted, valkey_of, write_spec

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.soak

LIVES = 8
KILLS = 6


def test_nothing_acknowledged_is_lost_in_many_kills(tmp_path: Path) -> None:
    spec, counted, state = write_spec(tmp_path), tmp_path / "counted", tmp_path / "state"
    chance = random.Random(4711)
    acknowledged: list[int] = []
    for life in range(LIVES):
        with running(spec, environ={"COUNTED": str(counted)}, state=state) as environment:
            load = Load(environment, first=life * 10_000_000)
            with load.flowing():
                for _ in range(KILLS):
                    load.await_flow(chance.randrange(50, 400))
                    victim = valkey_of(environment)
                    victim.kill()
                    psutil.wait_procs([victim], timeout=5)
                load.await_flow(chance.randrange(50, 400))
                environment.process.send_signal(signal.SIGKILL)
                environment.process.wait(5)
            acknowledged += load.acknowledged
    with running(spec, environ={"COUNTED": str(counted)}, state=state):
        ran = await_counted(counted, acknowledged, timeout=300)
    twice = sum(times > 1 for times in ran.values())
    print(f"\n{len(acknowledged)} acknowledged, all run, {twice} of them more than once; {LIVES * (KILLS + 1)} kills")
