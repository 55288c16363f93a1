"""What a queue should do, in plain Python: where each job is, and what every call makes of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

USUAL = 10
"""The priority of jobs that were given none."""


@dataclass
class ModelJob:
    """One job. `place` is waiting, delayed, held, resting, blocked or ended; `order` its turn among its equals."""

    id: str
    place: str = "waiting"
    order: int = 0
    priority: int | None = None
    group: str = ""
    key: str | None = None
    parent: str | None = None
    runs_anyway: bool = False
    awaits: int = 0
    children: list[str] = field(default_factory=list)
    broken: str | None = None
    signal: str = ""
    stalls: int = 0
    token: str = ""
    ended: str = ""
    counted: bool = False

    @property
    def rank(self) -> int:
        return USUAL if self.priority is None else self.priority

    @property
    def of_a_family(self) -> bool:
        return bool(self.parent or self.children)


class Model:
    """A queue.

    Args:
        lives: how often a job may lose its worker.
        slots: jobs of one group that may run at once.
    """

    def __init__(self, lives: int, slots: int | None) -> None:
        self.lives = lives
        self.slots = slots
        self.jobs: dict[str, ModelJob] = {}
        self.keys: dict[str, str] = {}
        self.throttled: dict[str, str] = {}
        self.stats: Counter[str] = Counter()
        self.paused = False
        self._last = 0
        self._first = 0

    def at(self, *places: str) -> list[ModelJob]:
        """The jobs in these places, in a fixed order."""
        return sorted((job for job in self.jobs.values() if job.place in places), key=lambda job: job.id)

    def running_of(self, group: str) -> int:
        return sum(job.group == group and job.counted for job in self.at("held"))

    def line_up(self, job: ModelJob) -> None:
        self._last += 1
        job.place, job.order = "waiting", self._last

    def put_back(self, *jobs: ModelJob) -> None:
        """Jobs go to the front; of several, no one knows which is first."""
        self._first -= 1
        for job in jobs:
            job.place, job.order = "waiting", self._first

    def add(self, new: ModelJob, policy: str, delay: bool) -> tuple[str, str | None]:
        """Stores a job; answers with the id under which it is, and how another stands for it."""
        how = None
        if new.key and policy == "throttle":
            if new.key in self.throttled:
                return self.throttled[new.key], "throttled"
            self.throttled[new.key] = new.id
        elif new.key:
            owner = self.jobs.get(self.keys.get(new.key, ""))
            delay |= policy == "debounce"
            if owner and owner.place not in ("held", "ended") and not owner.of_a_family:
                new.id, how = owner.id, "replaced"
            self.keys[new.key] = new.id
        self.jobs[new.id] = new
        if new.awaits:
            new.place = "blocked"
        elif delay:
            new.place = "delayed"
        else:
            self.line_up(new)
        return new.id, how

    def taken(self, key: str | None) -> bool:
        return key in self.keys

    def claim(self, job: ModelJob, token: str) -> None:
        assert job.place == "waiting", f"{job} was claimed"
        job.place, job.token = "held", token
        job.counted = bool(self.slots and job.group)

    def settle(self, job: ModelJob, kind: str, delay: bool) -> bool:
        """What an outcome makes of a job; False where its holder must cancel it instead."""
        if job.signal == "cancel" and kind not in ("completed", "cancelled"):
            return False
        if job.signal == "pause" and kind in ("retry", "back"):
            kind = "paused"
        job.signal, job.stalls, job.counted, job.token = "", 0, False, ""
        self.stats[kind] += 1
        if kind in ("completed", "failed", "cancelled"):
            self.end(job, kind)
        elif kind == "paused":
            job.place = "resting"
        elif kind == "retry" and delay:
            job.place = "delayed"
        elif kind == "retry":
            self.line_up(job)
        else:
            self.put_back(job)
        return True

    def end(self, job: ModelJob, kind: str) -> None:
        job.place, job.ended, job.broken, job.stalls = "ended", kind, None, 0
        if job.key and self.keys.get(job.key) == job.id:
            del self.keys[job.key]
        parent = self.jobs.get(job.parent or "")
        if parent and parent.place == "blocked":
            parent.awaits -= 1
            fails = kind != "completed" and not job.runs_anyway
            if fails:
                parent.broken = job.id
            if fails or not parent.awaits:
                self.line_up(parent)

    def lose_worker(self, worker: str) -> list[ModelJob]:
        """A worker is gone; answers with the jobs that whoever noticed must end."""
        lost = [job for job in self.at("held") if job.token.startswith(f"{worker}#")]
        back, mine = [], []
        for job in lost:
            job.stalls += 1
            if job.signal == "cancel" or job.stalls > self.lives:
                mine.append(job)
            elif job.signal == "pause":
                job.place, job.signal, job.counted, job.token = "resting", "", False, ""
            else:
                job.counted, job.token = False, ""
                back.append(job)
        self.put_back(*back)
        return mine
