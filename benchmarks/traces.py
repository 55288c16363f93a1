"""What traces cost: the gateway to models with and without them, to a collector that takes all.

    python benchmarks/traces.py --rounds 5

One caller at a time asks, so that the processor time of a request is what differs; rounds are interleaved.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.ai import load
from benchmarks.gateways.systems import THERE, ours, provider
from tests.otlp import collector

WAYS = {"none": 0.0, "otlp, 1 in 10": 0.1, "otlp, all": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    args = parser.parse_args()
    os.sched_setaffinity(0, THERE)
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    with provider() as port, collector() as taken, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        gateways = {
            way: stack.enter_context(
                ours(f"http://127.0.0.1:{port}", Path(folder) / way, tracing=_tracing(share, taken.url))
            )
            for way, share in WAYS.items()
        }
        for _ in range(args.rounds):
            for way, gateway in gateways.items():
                told = load(gateway, "openai", connections=8, seconds=args.seconds, stream=False)
                found[way].append(told["cpu"])
        spans = len(taken.spans)
    for way, values in found.items():
        print(f"{way:16} {statistics.median(values):8.0f} us of CPU a request ({min(values):.0f}–{max(values):.0f})")
    print(f"{spans} spans arrived")


def _tracing(share: float, url: str) -> dict[str, object]:
    return {"exporter": "otlp", "endpoint": url, "sample": share} if share else {}


if __name__ == "__main__":
    main()
