"""The data path of a queue beside a model of it in plain Python, under whatever order of calls can be thought of."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from runtime.errors import Conflict
from runtime.services.jobs.adapters.held import Held, closing
from runtime.services.jobs.adapters.record import decoded
from runtime.services.jobs.adapters.saq import SaqBackend
from runtime.services.jobs.adapters.saq_queue import Claim
from runtime.services.jobs.backend import NewJob
from runtime.services.jobs.claiming import Outcome
from runtime.services.jobs.limits import Limits
from tests.services.jobs.model import USUAL, Model, ModelJob

if TYPE_CHECKING:
    from tests.services.conftest import Server

WORKERS = ("ada", "bob", "eve")
FINAL = {"completed": "complete", "failed": "failed", "cancelled": "aborted"}
LIVES_ON = {"turns", "workers", "pulse", "stats", "ended", "dead", "wake"}
"""Keys that stay when no job is left."""
numbers = itertools.count()
chance = st.integers(0, 2**16)
kinds = st.sampled_from(["completed", "completed", "failed", "retry", "late", "back", "paused", "cancelled"])
drafts = st.fixed_dictionaries(
    {
        "delay": st.booleans(),
        "priority": st.sampled_from([None, None, -5, 10, 20]),
        "group": st.sampled_from(["", "", "red", "blue"]),
        "key": st.sampled_from([None, None, "k1", "k2"]),
        "policy": st.sampled_from(["reject", "replace", "debounce", "throttle"]),
    }
)


class Queues(RuleBasedStateMachine):
    """One queue, three workers that are driven by hand."""

    server: Server

    @initialize(most=st.sampled_from([None, 3]), slots=st.sampled_from([None, 2]), lives=st.integers(0, 2))
    def begin(self, most: int | None, slots: int | None, lives: int) -> None:
        self.runner = asyncio.Runner()
        self.prefix = f"rt:model-{next(numbers)}:"
        self.limits = Limits(lives, 60.0, 3600.0, 3600.0, 10_000, 3, USUAL, most=most, group_slots=slots)
        self.model = Model(lives, slots)
        self.calls = itertools.count(1)
        self.due = itertools.count(1)
        self.claimed: dict[str, Held] = {}
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.client: Any = self.server.client()
        self.backend = SaqBackend(self.client, self.prefix)
        self.queue = self.backend._queue("q")
        self.base = self.queue.base

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            try:
                self.runner.run(self._finish())
            finally:
                self.runner.run(self.client.aclose())
                self.runner.close()

    # What callers do

    @rule(wanted=st.lists(drafts, min_size=1, max_size=4))
    def enqueue(self, wanted: list[dict[str, Any]]) -> None:
        seen: set[str | None] = set()
        for draft in wanted:  # the service refuses a key that two jobs of a batch have
            draft["key"] = None if draft["key"] in seen else draft["key"]
            seen.add(draft["key"])
        self._put([self._new(**draft) for draft in wanted])

    @rule(count=st.integers(1, 3), runs_anyway=st.booleans(), parent=drafts, child=drafts)
    def enqueue_family(self, count: int, runs_anyway: bool, parent: dict[str, Any], child: dict[str, Any]) -> None:
        above = self._new(**{**parent, "policy": "reject", "delay": False}, awaits=count)
        of: Any = {"parent": ("q", above.id, USUAL), "runs_anyway": runs_anyway}
        below = [self._new(**{**child, "key": None}, **of) for _ in range(count)]
        above = msgspec.structs.replace(above, children=[job.id for job in below])
        self._put([above, *below])

    def _new(self, *, policy: str, delay: bool, **options: Any) -> NewJob:
        later = 3600.0 if delay else 0.0
        options["group"] = options.get("group") or ""
        id_ = f"q.{next(numbers):06}"
        return NewJob(id_, "q", {}, 3, later, on_duplicate=policy, window=3600.0, usual=USUAL, **options)  # type: ignore[arg-type]

    def _put(self, jobs: list[NewJob]) -> None:
        refused = any(job.on_duplicate == "reject" and self.model.taken(job.key) for job in jobs)
        try:
            stored = self.runner.run(self.backend.put(jobs))
        except Conflict:
            assert refused
            return
        assert not refused
        for job, answer in zip(jobs, stored, strict=True):
            made = ModelJob(
                job.id,
                priority=job.priority,
                group=job.group,
                key=job.key,
                parent=job.parent[1] if job.parent else None,
                runs_anyway=job.runs_anyway,
                awaits=job.awaits,
                children=list(job.children),
            )
            assert self.model.add(made, job.on_duplicate, job.delay > 0) == (answer.id, answer.duplicate)
        if not any(job.key and job.on_duplicate != "reject" for job in jobs):
            self.runner.run(self.backend.put(jobs))  # the same call again changes nothing

    @precondition(lambda self: self.model.jobs)
    @rule(pick=chance)
    def cancel(self, pick: int) -> None:
        job = self._any(pick)
        try:
            view = self.runner.run(self.backend.cancel("q", job.id, self.limits))
        except Conflict:
            assert job.place == "ended"
            assert job.ended != "cancelled"
            return
        assert view is not None
        if job.place == "ended":  # sent again
            assert job.ended == "cancelled"
        elif job.place == "held":
            job.signal = "cancel"
        else:
            self.model.end(job, "cancelled")
            self.model.stats["cancelled"] += 1

    @precondition(lambda self: self.model.jobs)
    @rule(pick=chance)
    def rest(self, pick: int) -> None:
        job = self._any(pick)
        assert self.runner.run(self.backend.rest("q", job.id)) == (job.place not in ("ended", "blocked"))
        if job.place == "held":
            job.signal = job.signal or "pause"
        elif job.place in ("waiting", "delayed"):
            job.place = "resting"

    @precondition(lambda self: self.model.at("resting", "held"))
    @rule(pick=chance)
    def wake(self, pick: int) -> None:
        found = self.model.at("resting", "held")
        job = found[pick % len(found)]
        woken = self.runner.run(self.backend.wake("q", job.id, self.limits))
        assert woken == (job.place == "resting" or job.signal == "pause")
        if job.place == "resting":
            self.model.line_up(job)
        elif woken:
            job.signal = ""

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.runner.run(self.backend.pause("q", paused))
        self.model.paused = paused

    @precondition(lambda self: self.model.at("ended"))
    @rule(pick=chance)
    def replay(self, pick: int) -> None:
        found = self.model.at("ended")
        job = found[pick % len(found)]
        refused = self.runner.run(self.backend.replay("q", self.limits, [job.id]))
        assert bool(refused) == (job.ended != "failed" or self.model.taken(job.key))
        if not refused:
            job.ended, job.parent = "", None
            if job.key:
                self.model.keys[job.key] = job.id
            self.model.line_up(job)

    @precondition(lambda self: self.model.at("delayed"))
    @rule(pick=chance)
    def come_due(self, pick: int) -> None:
        found = self.model.at("delayed")
        self._make_due(found[pick % len(found)])

    def _make_due(self, job: ModelJob) -> None:
        self.runner.run(self.client.zadd(self.base + "delayed", {job.id: next(self.due)}))
        self.runner.run(self._exchange("ada", 0, []))  # whoever comes by puts it into the line
        self.model.line_up(job)

    # What workers do

    @rule(worker=st.sampled_from(WORKERS), want=st.integers(0, 4), ends=st.lists(st.tuples(chance, kinds), max_size=3))
    def exchange(self, worker: str, want: int, ends: list[tuple[int, str]]) -> None:
        self._work(worker, want, ends)

    @rule(worker=st.sampled_from(WORKERS), want=st.integers(0, 4), ends=st.lists(st.tuples(chance, kinds), max_size=3))
    def exchange_whose_answer_is_lost(self, worker: str, want: int, ends: list[tuple[int, str]]) -> None:
        self._work(worker, want, ends, lost=True)

    @precondition(lambda self: self.model.at("held"))
    @rule(worker=st.sampled_from(WORKERS), pick=chance, kind=kinds)
    def outcome_with_a_stale_token(self, worker: str, pick: int, kind: str) -> None:
        found = self.model.at("held")
        held = self.claimed[found[pick % len(found)].id]
        stale = Held(held.id, f"{worker}#stale", decoded(b"{}"), SimpleNamespace())  # type: ignore[arg-type]
        answer = self.runner.run(self._exchange(worker, 0, [self._closing(stale, kind)]))
        assert answer.lost == [held.id]
        marked = self.runner.run(self.queue.mark([(held.id, stale.token, b"{}")]))
        assert marked == ["lost"]

    @precondition(lambda self: self.model.at("held"))
    @rule(pick=chance)
    def mark(self, pick: int) -> None:
        found = self.model.at("held")
        job = found[pick % len(found)]
        stored = self.runner.run(self.client.get(f"{self.base}job:{job.id}"))
        assert self.runner.run(self.queue.mark([(job.id, job.token, stored)])) == [job.signal or None]

    @rule(worker=st.sampled_from(WORKERS), finder=st.sampled_from(WORKERS), lost=st.booleans())
    def die(self, worker: str, finder: str, lost: bool) -> None:
        if worker == finder:
            return
        self.runner.run(self.client.zadd(self.base + "workers", {worker: 1.0}))
        mine = self.model.lose_worker(worker)
        for job in mine:
            job.token = f"{finder}#0"
        self.claimed = {job.id: self.claimed[job.id] for job in self.model.at("held")}
        if lost:
            self.runner.run(self.queue.tick(finder, "", ":", self.limits, 500))
        ticked = self.runner.run(self.queue.tick(finder, "", ":", self.limits, 500))
        told = {id_: why for id_, _, why in ticked.mine}
        assert {job.id for job in mine} <= set(told)
        for id_, stored, why in ticked.mine:
            job = self.model.jobs[id_]
            assert why == "cancel" if job.signal == "cancel" else why
            self.claimed[id_] = self._held(id_, job.token, stored)
        assert ticked.signals == {job.id: job.signal for job in self.model.at("held") if job.signal}

    def _work(self, worker: str, want: int, ends: list[tuple[int, str]], *, lost: bool = False) -> None:
        handed: dict[str, tuple[Any, ...]] = {}
        for pick, kind in ends:
            mine = [job for job in self.model.at("held") if job.token.startswith(f"{worker}#")]
            if mine:
                job = mine[pick % len(mine)]
                kind = "failed" if job.broken and kind not in ("back", "cancelled") else kind
                handed[job.id] = self._closing(self.claimed[job.id], kind)
        token = f"{worker}#{next(self.calls)}"
        found: list[tuple[str, bytes | None, str | None]] = []
        if lost:
            first = self.runner.run(self._exchange(worker, want, list(handed.values()), token))
            again = self.runner.run(self.queue.claimed(token))
            assert sorted(again, key=str) == sorted(first.claimed, key=str)
            late = self.runner.run(self._exchange(worker, want, list(handed.values()), token))
            assert [late.lost, late.told, late.claimed] == [[], [], []]
        else:
            first = self.runner.run(self._exchange(worker, want, list(handed.values()), token))
        assert not first.lost
        told = [id_ for id_, part in handed.items() if not self._settled(id_, part)]
        assert first.told == told
        if lost:  # the worker hands them in once more
            second = self.runner.run(self._exchange(worker, 0, list(handed.values())))
            assert second.told == told
            assert set(second.lost) == set(handed) - set(told)
        found = first.claimed
        self._take(token, want, found, first.pause)

    def _settled(self, id_: str, part: tuple[Any, ...]) -> bool:
        done = self.model.settle(self.model.jobs[id_], part[2], float(part[4]) > 0)
        if done:
            del self.claimed[id_]
        return done

    def _take(
        self, token: str, want: int, found: list[tuple[str, bytes | None, str | None]], pause: float | None
    ) -> None:
        model = self.model
        assert len({id_ for id_, _, _ in found}) == len(found) <= want
        assert not (found and model.paused)
        for id_, stored, broken in found:
            job = model.jobs[id_]
            model.claim(job, token)
            assert stored is not None
            assert job.broken == broken
            self.claimed[id_] = self._held(id_, token, stored)
        running = len(model.at("held"))
        assert self.limits.most is None or running <= self.limits.most
        in_line = {id_.decode() for id_ in self.runner.run(self.client.zrange(self.base + "waiting", 0, -1))}
        for job in (model.jobs[id_] for id_, _, _ in found):
            assert not model.slots or not job.group or model.running_of(job.group) <= model.slots
            for other in (model.jobs[id_] for id_ in in_line):
                assert job.rank <= other.rank, f"{other} had to run before {job}"
                if job.rank == other.rank and job.group == other.group and not (job.group and model.slots):
                    assert job.order <= other.order, f"{other} had to run before {job}"
        free = self.limits.most is None or running < self.limits.most
        if len(found) < want and free and not model.paused and pause != 0.001:
            assert not in_line, "a worker had a slot for it"
            for job in model.at("waiting"):
                assert model.running_of(job.group), f"{job} waits for nothing"

    async def _exchange(self, worker: str, want: int, parts: list[tuple[Any, ...]], token: str = "") -> Any:
        token = token or f"{worker}#{next(self.calls)}"
        return await self.queue.exchange(Claim(worker, token, want, self.limits), parts, self.client)

    def _held(self, id_: str, token: str, stored: bytes) -> Held:
        record = decoded(stored)
        assert record is not None
        return Held(id_, token, record, SimpleNamespace(kept=self.queue))

    def _closing(self, held: Held, kind: str) -> tuple[Any, ...]:
        if kind == "late":
            return closing(held, Outcome("retry", error="no", delay=3600.0), self.limits)
        return closing(held, Outcome(kind, error=None if kind == "completed" else "no"), self.limits)  # type: ignore[arg-type]

    def _any(self, pick: int) -> ModelJob:
        return self.model.jobs[sorted(self.model.jobs)[pick % len(self.model.jobs)]]

    # What must always hold

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self._compare())

    async def _compare(self) -> None:
        model, places = self.model, await self._places()
        assert len(places) == len({id_ for id_, _ in places}), f"a job is in two places: {places}"
        assert dict(places) == {job.id: job.place for job in model.jobs.values() if job.place != "ended"}
        counts = await self.backend.counts("q", self.limits)
        seen = (counts.waiting, counts.scheduled, counts.running, counts.resting, counts.blocked)
        assert seen == tuple(len(model.at(each)) for each in ("waiting", "delayed", "held", "resting", "blocked"))
        stats = (counts.completed, counts.failed, counts.retried, counts.cancelled, counts.paused)
        assert stats == (*(model.stats[each] for each in ("completed", "failed", "retry", "cancelled")), model.paused)
        assert counts.dead == sum(job.ended == "failed" for job in model.jobs.values())
        assert await self._hash("held") == {job.id: job.token for job in model.at("held")}
        assert await self._hash("keys") == model.keys
        assert await self._hash("signals") == {job.id: job.signal for job in model.at("held") if job.signal}
        assert await self._hash("broken") == {job.id: job.broken for job in model.jobs.values() if job.broken}
        assert await self._hash("awaits") == {job.id: str(job.awaits) for job in model.at("blocked")}
        groups = {job.group for job in model.at("held") if job.counted}
        assert await self._hash("grouped") == {group: str(model.running_of(group)) for group in groups}
        unfinished = [job for job in model.jobs.values() if job.place != "ended"]
        assert await self._hash("stalls") == {job.id: str(job.stalls) for job in unfinished if job.stalls}
        placed = {job.id: f"{'' if job.priority is None else job.priority}:{job.group}" for job in unfinished}
        assert await self._hash("place") == {id_: place for id_, place in placed.items() if place != ":"}
        async with self.client.pipeline(transaction=False) as pipe:
            for job in model.jobs.values():
                pipe.get(f"{self.base}job:{job.id}").ttl(f"{self.base}job:{job.id}")
            answers = await pipe.execute()
        for job, stored, left in zip(model.jobs.values(), answers[::2], answers[1::2], strict=True):
            record = decoded(stored)
            assert record is not None
            assert (left == -1) == (job.place != "ended")
            assert record.status == FINAL.get(job.ended, "queued")

    async def _places(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        lines = [f"{self.base}parked:{group}" for group in ("red", "blue")]
        for key in (self.base + "waiting", *lines):
            found += [(id_.decode(), "waiting") for id_ in await self.client.zrange(key, 0, -1)]
        for name, place in (("delayed", "delayed"), ("resting", "resting")):
            found += [(id_.decode(), place) for id_ in await self.client.zrange(self.base + name, 0, -1)]
        for name, place in (("held", "held"), ("awaits", "blocked")):
            found += [(id_.decode(), place) for id_ in await self.client.hkeys(self.base + name)]
        return found

    async def _hash(self, name: str) -> dict[str, str]:
        found: Any = await self.client.hgetall(self.base + name)
        return {each.decode(): value.decode() for each, value in found.items()}

    async def _finish(self) -> None:
        """Lets everything come to its end: what is left then is what lives as long as the queue."""
        model = self.model
        await self.backend.pause("q", False)
        for job in model.at("resting"):
            await self.backend.wake("q", job.id, self.limits)
        open_ = dict(self.claimed)
        for _ in range(len(model.jobs) * 3 + 3):
            for id_ in await self.client.zrange(self.base + "delayed", 0, -1):
                await self.client.zadd(self.base + "delayed", {id_: 1.0})
            parts = [self._closing(held, "cancelled") for held in open_.values()]
            token = f"ada#{next(self.calls)}"
            answer = await self._exchange("ada", 50, parts, token)
            assert not answer.lost
            open_ = {id_: self._held(id_, token, stored) for id_, stored, _ in answer.claimed}
            await self.queue.tick("ada", "", ":", self.limits, 500)
            if not open_ and not await self._places():
                break
        assert await self._places() == []
        names = {key.decode().removeprefix(self.base) async for key in self.client.scan_iter(match=f"{self.base}*")}
        eternal = {name for name in names if await self.client.ttl(self.base + name) == -1}
        assert eternal <= LIVES_ON, f"left over: {eternal - LIVES_ON}"
        await self.client.delete(*(self.base + name for name in names))


def test_the_queue_does_what_its_model_does(shared_server: Server) -> None:
    class OnServer(Queues):
        server = shared_server

    run_state_machine_as_test(OnServer, settings=settings(max_examples=40, stateful_step_count=30))
