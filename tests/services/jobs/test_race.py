"""Jobs in two processes under cancels, resizes, pauses and ticks: none is lost, none runs twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from tests.services.jobs.race import race

if TYPE_CHECKING:
    from pathlib import Path


async def test_every_job_of_a_race_is_counted(shared_server: Any, client: Any, tmp_path: Path) -> None:
    await race(shared_server, tmp_path, 2_000, random.Random(4711))
