"""`runtime down`: ends a running environment, drained."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import Fault

if TYPE_CHECKING:
    import argparse

EXAMPLE = "runtime down specs/development.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the spec that was applied")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="how long to wait (default: 60)")


def run(args: argparse.Namespace) -> int:
    from runtime.kernel.lock import running
    from runtime.running import state_of

    state = state_of(args.spec)
    holder = running(state.path)
    if holder is None:
        print(f"{args.spec} is not running.")
        return 0
    try:
        os.kill(holder.pid, signal.SIGTERM)
    except PermissionError as error:
        raise Fault(
            f"process {holder.pid} belongs to another user", remedy="Run this as the user who applied the spec."
        ) from error
    except ProcessLookupError:
        pass  # it ended between the two looks
    start = time.monotonic()
    while (now := running(state.path)) and now.pid == holder.pid:
        if time.monotonic() - start > args.timeout:
            raise Fault(
                f"process {holder.pid} is still draining after {args.timeout:g} s",
                remedy="Wait for its jobs with --timeout, or send it a second SIGTERM to hurry it.",
            )
        time.sleep(0.02)
    print(f"{args.spec} has stopped ({time.monotonic() - start:.1f} s).")
    return 0
