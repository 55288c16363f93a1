"""Runs every probe of a language in a random order, a canary after each, and prints what came of it as JSON.

    python -m tests.services.sandbox.probes LANGUAGE SEED PART PARTS [CACHE]

They are cut into PARTS, of which PART is run.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.services.sandbox.service import SandboxService
from runtime.services.sandbox.spec import SandboxSpec
from tests.services.sandbox.probes import javascript, python

if TYPE_CHECKING:
    from runtime.services.sandbox.ports import Language

SETS = {"javascript": javascript, "python": python}


async def probe(language: Language, seed: int, part: slice, cache: Path | None) -> dict[str, Any]:
    """What came of each probe, and everything that must not have happened."""
    probes = list(SETS[language].PROBES.items())
    random.Random(seed).shuffle(probes)
    probes = probes[part]
    # Two seconds: a slow machine must not end a probe before it has done its worst.
    spec = SandboxSpec.model_validate(
        {"languages": [language], "workers": 1, "spares": 0, "recycle": 100_000, "timeout": "2s"}
    )
    sandbox = SandboxService(spec.model_copy(update={"cache": cache}))
    await sandbox.start()
    wrong: list[str] = []
    statuses: Counter[str] = Counter()
    seen: dict[str, str] = {}
    try:
        known = await sandbox.states(language)
        canary = (await sandbox.execute(language, SETS[language].CANARY)).output
        assert canary, "the canary does not sing"
        for name, code in probes:
            done = await sandbox.execute(language, code, {"given": 1}, timeout=0.25)
            statuses[done.status] += 1
            seen[name] = f"{done.status} {done.output if done.error is None else done.error}"[:200]
            told = json.dumps([done.output, [line.text for line in done.logs], done.error and done.error.message])
            if "ESCAPED" in told:
                wrong.append(f"{name} escaped: {told[:300]}")
            now = await sandbox.states(language)
            for pid, state in now.items():
                if known.setdefault(pid, state) != state:
                    wrong.append(f"{name} left its state changed")
                    known[pid] = state
            after = await sandbox.execute(language, SETS[language].CANARY)
            if after.output != canary:
                wrong.append(f"after {name} the canary saw {str(after.output or after.error)[:300]}")
        health = await sandbox.health()
        rights = {_rights(pid) for pid in sandbox.processes()}
    finally:
        await sandbox.stop()
    return {
        "user": os.getuid(),
        "rights": sorted(rights),
        "probes": len(probes),
        "statuses": statuses,
        "wrong": wrong,
        "seen": seen,
        "health": health.status,
        "confinement": health.details["confinement"],
        "replaced": health.details[language]["replaced"],
    }


def _rights(pid: int) -> str:
    """The user and the effective capabilities of a worker."""
    if sys.platform != "linux":
        return ""
    fields = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    return f"{fields['Uid'].split()[1]} {fields['CapEff']}"


if __name__ == "__main__":
    chosen: Any = sys.argv[1]
    part = slice(int(sys.argv[3]), None, int(sys.argv[4]))
    report = asyncio.run(probe(chosen, int(sys.argv[2]), part, Path(sys.argv[5]) if len(sys.argv) > 5 else None))
    print(json.dumps(report))
