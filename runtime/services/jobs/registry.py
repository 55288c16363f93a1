"""Jobs that run long: their owner is warned, then the job is paused once, then it is stopped.

A pure policy: it is told what begins, pauses, goes on and ends, and says what is due. It asks no clock and acts on
nothing. All times are seconds of one clock that never goes back, as `time.monotonic()` gives them.

Each step waits for `long_running` seconds of *running* since the one before it, so that no step comes unannounced, even
when somebody asks late; time that a job is paused does not count. The hard limit counts from the job's begin, pauses
included.

Example:
    >>> active = ActiveJobs(long_running=60, timeout=600)
    >>> active.add("run.1", 0.0, owner="ada")
    >>> active.due(60.0)
    [Warn(job='run.1', owner='ada', ran=60.0)]
    >>> active.due(120.0)
    [Pause(job='run.1', owner='ada', ran=120.0)]
    >>> active.due(180.0)
    [Stop(job='run.1', owner='ada', ran=180.0, why='it ran for 3m although its owner had been warned')]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

PREMIUM: Final = 5.0


@dataclass(frozen=True, slots=True)
class Warn:
    """Its owner is to be told that it runs long.

    Args:
        ran: seconds that it has run, without its pauses.
    """

    job: str
    owner: str | None
    ran: float


@dataclass(frozen=True, slots=True)
class Pause:
    """It is to be paused; whoever does so says it with `paused`. It may go on, with `resumed`, and is never paused
    again."""

    job: str
    owner: str | None
    ran: float


@dataclass(frozen=True, slots=True)
class Stop:
    """It is to be stopped, and its owner told.

    Args:
        why: in words, for the owner and the job's record.
    """

    job: str
    owner: str | None
    ran: float
    why: str


Step = Warn | Pause | Stop


@dataclass(slots=True)
class _Active:
    job: str
    owner: str | None
    premium: bool
    started: float
    paused_at: float | None = None
    paused_for: float = 0.0
    warned: float | None = None
    """What it had run when its owner was warned; so for the next."""
    asked_to_pause: float | None = None
    stopped: bool = False

    def ran(self, now: float) -> float:
        until = now if self.paused_at is None else self.paused_at
        return until - self.started - self.paused_for


@dataclass
class ActiveJobs:
    """The running jobs of a queue.

    Args:
        long_running: seconds of running until a step is due; None for the hard limit alone.
        timeout: seconds after which a job is stopped at any rate.
        premium: how many times as long the jobs of premium owners may run until each step.
    """

    long_running: float | None
    timeout: float
    premium: float = PREMIUM
    _jobs: dict[str, _Active] = field(default_factory=dict)

    def add(
        self, job: str, now: float, *, owner: str | None = None, premium: bool = False, paused_before: bool = False
    ) -> None:
        """A job has begun; one that is known begins anew. One that was paused before is stopped next."""
        active = self._jobs[job] = _Active(job, owner, premium, now)
        if paused_before:
            active.warned = active.asked_to_pause = 0.0

    def remove(self, job: str) -> None:
        """It has ended; nothing where it is not known."""
        self._jobs.pop(job, None)

    def paused(self, job: str, now: float) -> None:
        """It does not run now; nothing where it is not known or is paused already."""
        active = self._jobs.get(job)
        if active is not None and active.paused_at is None:
            active.paused_at = now

    def resumed(self, job: str, now: float) -> None:
        """It goes on; nothing where it is not known or not paused."""
        active = self._jobs.get(job)
        if active is not None and active.paused_at is not None:
            active.paused_for += now - active.paused_at
            active.paused_at = None

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: object) -> bool:
        return job in self._jobs

    def ran(self, job: str, now: float) -> float:
        """Seconds that a known job has run, without its pauses."""
        return self._jobs[job].ran(now)

    def due(self, now: float) -> list[Step]:
        """The steps that are due, each given once; of a job at most one."""
        return [step for active in self._jobs.values() if (step := self._step(active, now)) is not None]

    def next_due(self) -> float | None:
        """When to ask again, if nothing begins, pauses or goes on before; None where nothing will be due."""
        return min((at for active in self._jobs.values() if (at := self._at(active)) is not None), default=None)

    def starts_early(self, job: str, following: float | None) -> bool:
        """Whether the next step of a known job is due before a moment; None is never."""
        at = self._at(self._jobs[job])
        return at is not None and (following is None or at < following)

    def _step(self, active: _Active, now: float) -> Step | None:
        at = self._at(active)
        if at is None or now < at:
            return None
        ran = active.ran(now)
        if now >= active.started + self.timeout:
            active.stopped = True
            return Stop(active.job, active.owner, ran, f"its time limit of {_words(self.timeout)} is over")
        if active.warned is None:
            active.warned = ran
            return Warn(active.job, active.owner, ran)
        if active.asked_to_pause is None:
            active.asked_to_pause = ran
            return Pause(active.job, active.owner, ran)
        active.stopped = True
        before = "it had been paused once" if active.paused_for else "its owner had been warned"
        return Stop(active.job, active.owner, ran, f"it ran for {_words(ran)} although {before}")

    def _at(self, active: _Active) -> float | None:
        """When the next step of a job is due."""
        if active.stopped:
            return None
        limit = active.started + self.timeout
        if self.long_running is None or active.paused_at is not None:
            return limit
        before = active.asked_to_pause if active.asked_to_pause is not None else active.warned or 0.0
        patience = self.long_running * (self.premium if active.premium else 1.0)
        return min(limit, active.started + active.paused_for + before + patience)


def _words(seconds: float) -> str:
    for unit, name in ((3600, "h"), (60, "m")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g}{name}"
    return f"{seconds:.3g}s" if seconds < 60 else f"{seconds:.0f}s"
