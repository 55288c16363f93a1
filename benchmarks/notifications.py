"""One event to many users through four channels, beside the libraries that send the same messages alone.

    python benchmarks/notifications.py [--users 500] [--rounds 5]

Ours is `runtime apply` on SQLite and the embedded server. Rounds are interleaved, medians are shown; what has arrived
is counted after each run, and a single message too many or too few ends it. See `benchmarks/README.md` for the method.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import uvloop

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.notices.doors import Browser, Doors, doors
from benchmarks.notices.libraries import Libraries
from benchmarks.notices.ours import Ours, spec
from runtime.testing import running

PLACES = {"email": 8, "push": 10, "sms": 10}
"""Messages under way at once, for both."""
WAYS = {
    "all": ("in_app", "email", "push", "sms"),
    "email": ("email",),
    "push": ("push",),
    "sms": ("sms",),
    "in_app": ("in_app",),
}
NAMES = {
    "all": "all four",
    "email": "e-mail (aiosmtplib)",
    "push": "web push (pywebpush)",
    "sms": "SMS (httpx)",
    "in_app": "inbox (sqlite3, redis-py)",
}

Figures = dict[str, list[float]]


class Rounds:
    """What was measured so far.

    Args:
        rates: by way, users a second: ours and the libraries'.
        more: further figures of ours by way.
    """

    def __init__(self, users: int) -> None:
        self.users = users
        self.ours: dict[str, Figures] = {way: {} for way in WAYS}
        self.bare: dict[str, Figures] = {way: {} for way in WAYS}
        self.read = 0

    def note(self, found: Figures, **figures: float) -> None:
        for name, value in figures.items():
            found.setdefault(name, []).append(value)

    def measure(self, way: str, ours: Ours, libraries: Libraries, there: Doors, browser: Browser) -> None:
        """One round of one way: ours, then the libraries."""
        kinds = WAYS[way]
        there.forget()
        told = ours.tell(way, kinds, self.users)
        received = there.require_exact(kinds, self.users)
        self.read += browser.require_read(there.samples(), there.origin)
        self.note(self.ours[way], **told, rate=self.users / told["seconds"], received=received / told["seconds"])
        there.forget()
        seconds = uvloop.run(libraries.send(kinds, self.users))
        received = there.require_exact(kinds, self.users)
        self.read += browser.require_read(there.samples(), there.origin)
        assert libraries.inbox() == (self.users if "in_app" in kinds else 0)
        self.note(self.bare[way], rate=self.users / seconds, received=received / seconds)
        print(f"{way}: {told['seconds']:.2f} s, alone {seconds:.2f} s", file=sys.stderr, flush=True)

    def show(self) -> None:
        print(f"{self.users} users; users a second, medians of {len(self.ours['all']['rate'])} rounds")
        for way, name in NAMES.items():
            ours, bare = self.ours[way], self.bare[way]
            ratio = statistics.median(ours["rate"]) / statistics.median(bare["rate"])
            cpu = statistics.median(ours["cpu"]) / self.users * 1000
            print(
                f"{name:<26} ours {_spread(ours['rate'])}  alone {_spread(bare['rate'])}  {ratio:.2f} of it; "
                f"CPU a user {cpu:.2f} ms; the busier receiver {_share(ours)}, {_share(bare)}"
            )
        taken = statistics.median(self.ours["all"]["taken"]) * 1000
        print(f"the call to everybody answered in {taken:.0f} ms; {self.read} pushes decrypted")


def _spread(rates: list[float]) -> str:
    return f"{statistics.median(rates):6.0f} ({min(rates):.0f}–{max(rates):.0f})"


def _share(figures: Figures) -> str:
    return f"{statistics.median(figures['received']):.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    rounds, browser = Rounds(asked.users), Browser()
    with tempfile.TemporaryDirectory(prefix="runtime-bench-") as name, doors() as there:
        folder = Path(name)
        with running(spec(folder, there, WAYS, PLACES), timeout=60) as at:
            ours = Ours(at, there)
            ours.settle(asked.users, browser.keys)
            libraries = Libraries(
                there, PLACES, browser.keys, ours.preview(), folder / "inbox.db", ours.tables(), ours.cache
            )
            for _ in range(asked.rounds):
                for way in WAYS:
                    rounds.measure(way, ours, libraries, there, browser)
            rounds.show()
            calls = ours.single()
            middle, late = calls[len(calls) // 2] * 1000, calls[int(len(calls) * 0.99)] * 1000
            print(f"a call to one: p50 {middle:.1f} ms, p99 {late:.1f} ms; main process {ours.memory():.0f} MB")


if __name__ == "__main__":
    main()
