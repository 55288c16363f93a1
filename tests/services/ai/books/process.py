"""One instance in a process of its own, which does what it is told line by line: for tests of several, and of kills."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.services.ai.books.conftest import STREAMS, Instance, attempt, call
from tests.services.outbox.conftest import Place
from tests.wired import wired


async def main(url: str, folder: str, socket: str, section: dict[str, Any]) -> None:
    client = wired(socket)

    async def nothing(job: Any, payload: dict[str, Any]) -> None: ...

    at = Place(client, url, Path(folder), {"q": nothing}, STREAMS)
    await at.start()
    one = Instance(at, Path(folder) / "journal", client, billing=True, section=section)
    await one.start()
    say("ready")
    loop, open_calls = asyncio.get_running_loop(), list[tuple[Any, Any]]()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        if line[0] == "open":
            calls = [call(max_output=3) for _ in range(int(line[1]))]
            accounts = await asyncio.gather(*map(one.accounts.open, calls), return_exceptions=True)
            passed = [pair for pair in zip(calls, accounts, strict=True) if not isinstance(pair[1], BaseException)]
            open_calls += passed
            say(str(len(passed)))
        elif line[0] == "record":
            for of, account in open_calls[: int(line[1])]:
                await account.admit(of.candidates[0])
                await account.record(attempt(of, output=3))
                await account.close()
            del open_calls[: int(line[1])]
            if line[-1] == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            say("recorded")
    await one.stop()
    await at.close()
    await client.aclose()


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])))
