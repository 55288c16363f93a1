"""Runs: data from step to step, failures, and what is kept when a try ends before its time."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Invalid
from runtime.services.jobs.ports import Reject
from tests.services.routines.site import Elsewhere, Site

if TYPE_CHECKING:
    from runtime.services.jobs.ports import JobContext
    from tests.services.conftest import Server

QUICK = {"backoff": "10ms", "jitter": False}


def ask(elsewhere: Elsewhere, path: str, **more: Any) -> dict[str, Any]:
    """A step that asks a web server."""
    return {"uses": "http", "url": f"{elsewhere.url}{path}", "private_addresses": True, **more}


def work(**payload: Any) -> dict[str, Any]:
    """A step whose output is its payload."""
    return {"uses": "jobs.enqueue", "queue": "work", "wait": True, "payload": payload}


# Data


async def test_values_keep_their_type_from_step_to_step(site: Any) -> None:
    at = await site(
        {
            "first": work(count="{{ input.count + 1 }}", by="{{ run.started_by }}", of="{{ run.routine }}"),
            "second": work(twice="{{ steps.first.output.count * 2 }}", text="{{ steps.first.output.count }} times"),
        },
        input={"count": {"type": "integer"}},
        output="{{ [steps.first.output, steps.second.output] }}",
    )
    ended = await at.run(count=2, owner="ada")
    assert ended.status == "completed", ended.error
    assert ended.result["output"] == [{"count": 3, "by": "ada", "of": "r"}, {"twice": 6, "text": "3 times"}]
    steps = ended.result["steps"]
    assert {name: (step["status"], step["attempts"]) for name, step in steps.items()} == {
        "first": ("completed", 1),
        "second": ("completed", 1),
    }
    assert all(step["duration_ms"] > 0 and "output" not in step for step in steps.values())


async def test_a_step_whose_condition_does_not_hold_is_left_out(site: Any) -> None:
    at = await site(
        {
            "a": {**work(x=1), "if": "input.urgent"},
            "b": {**work(x=2), "if": "{{ not steps.a.output }}"},
        },
        input={"urgent": {"type": "boolean", "default": False}},
        output="{{ steps.a.status }} {{ steps.b.output }}",
    )
    assert (await at.run()).result["output"] == 'skipped {"x": 2}'
    urgent = (await at.run(urgent=True)).result
    assert (urgent["output"], urgent["steps"]["b"]) == (
        "completed ",
        {"status": "skipped", "duration_ms": 0.0, "attempts": 0},
    )


async def test_progress_names_the_step(site: Any, elsewhere: Elsewhere) -> None:
    gate = elsewhere.hold("/b")
    at = await site({"a": work(x=1), "b": ask(elsewhere, "/b")})
    job = await at.begin()
    seen = await at.until(job, lambda view: view.message == "b")
    assert seen.progress == 0.5
    gate.set()
    assert (await at.ended(job)).status == "completed"


# Failures


async def test_a_failure_names_the_step_and_ends_the_run(site: Any, elsewhere: Elsewhere) -> None:
    elsewhere.answers["/a"] = [404]
    at = await site({"a": ask(elsewhere, "/a"), "b": ask(elsewhere, "/b")})
    ended = await at.run()
    assert (ended.status, ended.attempts) == ("failed", 1)
    assert ended.error == 'the step "a" failed: it was answered with 404'
    assert elsewhere.came_to("/b") == 0


async def test_a_failure_may_be_allowed(site: Any, elsewhere: Elsewhere) -> None:
    elsewhere.answers["/a"] = [404]
    at = await site(
        {"a": ask(elsewhere, "/a", on_error="continue")}, output="{{ steps.a.status }}: {{ steps.a.error }}"
    )
    ended = await at.run()
    assert ended.status == "completed"
    assert ended.result["output"] == "failed: it was answered with 404"
    assert ended.result["steps"]["a"]["error"] == "it was answered with 404"


async def test_a_step_is_tried_again_under_the_same_operation(site: Any, elsewhere: Elsewhere) -> None:
    elsewhere.answers["/a"] = [500, 404, {"at": "last"}]
    step = ask(elsewhere, "/a", method="POST", json={"run": "{{ run.id }}"}, retry={"attempts": 3, **QUICK})
    at = await site({"a": step}, output="{{ steps.a.output.at }}")
    ended = await at.run()
    assert (ended.result["output"], ended.attempts, ended.result["steps"]["a"]["attempts"]) == ("last", 1, 3)
    assert {headers["Idempotency-Key"] for _, _, headers, _ in elsewhere.requests} == {f"{ended.id}.a"}
    assert [body for _, _, _, body in elsewhere.requests] == [{"run": ended.id}] * 3


async def test_what_may_go_by_itself_is_tried_again_by_the_queue_from_that_step_on(
    site: Any, elsewhere: Elsewhere
) -> None:
    elsewhere.answers["/b"] = [503, {"at": "last"}]
    at = await site({"a": ask(elsewhere, "/a"), "b": ask(elsewhere, "/b")}, output="{{ steps.b.output.at }}")
    ended = await at.run()
    assert (ended.status, ended.attempts, ended.result["output"]) == ("completed", 2, "last")
    assert (elsewhere.came_to("/a"), elsewhere.came_to("/b")) == (1, 2)


async def test_a_step_that_takes_too_long(site: Any, elsewhere: Elsewhere) -> None:
    steps = {"a": {**ask(elsewhere, "/a"), "timeout": "10s"}, "b": {**work(x=1), "timeout": "50ms"}}
    at = await site(steps, queues=("run",))  # nobody takes the job that `b` waits for
    ended = await at.run()
    assert (ended.status, ended.error) == ("failed", 'the step "b" failed: it took longer than 0.05 s')


async def test_an_expression_without_a_value_is_a_failure_of_its_step(site: Any) -> None:
    at = await site({"a": work(x=1), "b": work(y="{{ steps.a.output.nix }}")})
    error = (await at.run()).error
    assert error == 'the step "b" failed: {{ steps.a.output.nix }}: there is no "nix" in it, there is x'


async def test_an_output_without_a_value_fails_the_run(site: Any) -> None:
    at = await site({"a": work(x=1)}, output="{{ steps.a.output.nix }}")
    ended = await at.run()
    assert ended.error is not None
    assert ended.error.startswith("its output cannot be filled in: {{ steps.a.output.nix }}")


async def test_more_than_a_job_may_keep(site: Any, elsewhere: Elsewhere) -> None:
    elsewhere.answers["/a"] = [b"x" * 600_000]
    at = await site({"a": ask(elsewhere, "/a"), "b": ask(elsewhere, "/a")})
    ended = await at.run()
    assert (ended.status, ended.attempts) == ("failed", 1)
    assert ended.error is not None
    assert 'the steps up to "b"' in ended.error


async def test_the_result_of_a_job_that_fails_is_the_failure_of_its_step(site: Any) -> None:
    async def refuse(job: JobContext, payload: dict[str, Any]) -> None:
        raise Reject("not today")

    at = await site({"a": work()}, task=refuse)
    error = (await at.run()).error
    assert error is not None
    assert error.startswith('the step "a" failed: the job work.')
    assert error.endswith(" failed: not today")


# What is kept


def test_a_killed_worker_leaves_the_steps_that_have_ended(mortal_server: Server) -> None:
    asyncio.run(_killed_in_the_second_step(mortal_server))


async def _killed_in_the_second_step(server: Server) -> None:
    elsewhere = Elsewhere()
    await elsewhere.start()
    try:
        gate = elsewhere.hold("/b")
        steps = {"a": ask(elsewhere, "/a", method="POST"), "b": ask(elsewhere, "/b", method="POST")}
        routines = {"r": {"steps": steps, "output": "{{ steps.a.output.path }}{{ steps.b.output.path }}"}}
        client = server.client()
        site = Site(client, routines)
        await site.routines.start()
        job = await site.begin()
        script = Path(__file__).with_name("run_process.py")
        process = subprocess.Popen([sys.executable, str(script), str(server.socket), json.dumps(routines)])
        try:
            await elsewhere.asked("/b")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        gate.set()
        await site.start("run")
        try:
            ended = await site.ended(job)
        finally:
            await site.stop()
            await client.aclose()
    finally:
        await elsewhere.stop()
    assert (ended.status, ended.result["output"]) == ("completed", "/a/b")
    assert [path for _, path, _, _ in elsewhere.requests] == ["/a", "/b", "/b"]
    assert len({headers["Idempotency-Key"] for _, path, headers, _ in elsewhere.requests if path == "/b"}) == 1


async def test_a_paused_run_goes_on_with_the_step_that_it_was_in(site: Any, elsewhere: Elsewhere) -> None:
    at = await site({"a": ask(elsewhere, "/a"), "b": work(x=1), "c": ask(elsewhere, "/c")}, queues=("run",))
    job = await at.begin()
    await at.until(job, lambda view: view.message == "b")
    await at.jobs.rest(job.id)
    await at.until(job, lambda view: view.status == "paused")
    assert (await at.jobs.queue("work")).waiting == 1
    await at.start("work")
    await at.jobs.wake(job.id)
    ended = await at.ended(job)
    assert (ended.status, ended.attempts) == ("completed", 1)
    assert (elsewhere.came_to("/a"), elsewhere.came_to("/c")) == (1, 1)
    assert (await at.jobs.queue("work")).completed == 1  # the second try found the job of the first


async def test_a_cancelled_run_ends_within_its_step(site: Any, elsewhere: Elsewhere) -> None:
    gate = elsewhere.hold("/a")
    at = await site({"a": ask(elsewhere, "/a"), "b": ask(elsewhere, "/b")})
    job = await at.begin()
    await elsewhere.asked("/a")
    await at.jobs.cancel(job.id)
    assert (await at.ended(job)).status == "cancelled"
    gate.set()
    assert elsewhere.came_to("/b") == 0


async def test_a_failed_run_that_is_put_back_goes_on_where_it_failed(site: Any) -> None:
    tries: list[int] = []

    async def at_the_second_try(job: JobContext, payload: dict[str, Any]) -> int:
        tries.append(1)
        if len(tries) == 2:
            raise Reject("not yet")
        return len(tries)

    at = await site({"a": work(), "b": work()}, output="{{ steps.b.output }}", task=at_the_second_try)
    failed = await at.run()
    assert failed.status == "failed"
    await at.jobs.retry(failed.id)
    again = await at.until(failed, lambda view: view.status == "completed")
    assert (again.result["output"], len(tries)) == (3, 3)  # `a` once, `b` twice


async def test_a_changed_routine_is_for_runs_that_begin_later(site: Any, elsewhere: Elsewhere) -> None:
    gate = elsewhere.hold("/a")
    at = await site({"a": ask(elsewhere, "/a")}, output="before")
    job = await at.begin()
    await elsewhere.asked("/a")
    await at.change({"r": {"steps": {"a": work(x=1)}, "output": "after"}})
    gate.set()
    assert (await at.ended(job)).result["output"] == "before"
    assert (await at.run()).result["output"] == "after"


# Effects


async def test_an_event_has_the_same_id_at_each_try(site: Any, elsewhere: Elsewhere) -> None:
    step = {
        "uses": "events.publish",
        "stream": "s",
        "type": "a.b",
        "data": {"n": "{{ input.n }}"},
        "key": "{{ input.n }}",
    }
    at = await site({"tell": step}, input={"n": {"type": "integer"}}, output="{{ steps.tell.output.id }}")
    ended = await at.run(n=7)
    (event,) = await at.events.read("s")
    assert (event.id, event.key, event.data) == (f"{ended.id}.tell", "7", {"n": 7})
    assert ended.result["output"] == event.id


async def test_a_job_that_is_not_waited_for(site: Any) -> None:
    at = await site({"a": {**work(x=1), "wait": False}}, output="{{ steps.a.output.id }}")
    child = await at.jobs.get((await at.run(owner="ada")).result["output"])
    assert (child.owner, (await at.ended(child)).result) == ("ada", {"x": 1})


# What is refused


@pytest.mark.parametrize(
    ("payload", "pointers", "said"),
    [
        ({}, ["/payload/routine"], "must name a routine"),
        ({"routine": "rr"}, ["/payload/routine"], 'no routine "rr"'),
        ({"routine": "r", "inputs": {}}, ["/payload/inputs"], "started with `routine` and `input`"),
        ({"routine": "r", "input": []}, ["/payload/input"], "is an object"),
        ({"routine": "r"}, ["/payload/input/n"], '"n" is missing'),
        ({"routine": "r", "input": {"n": True}}, ["/payload/input/n"], "must be an integer"),
        ({"routine": "r", "input": {"n": None}}, ["/payload/input/n"], "must be an integer"),
        ({"routine": "r", "input": {"n": 1.5, "m/": 1}}, ["/payload/input/n", "/payload/input/m~1"], "an integer"),
        ({"routine": "r", "input": {"n": 1, "text": 2}}, ["/payload/input/text"], "must be a string"),
    ],
    ids=str,
)
async def test_a_wrong_start_is_refused_with_pointers(
    site: Any, payload: dict[str, Any], pointers: list[str], said: str
) -> None:
    declared = {"n": {"type": "integer"}, "text": {"required": False}}
    at = await site({"a": work()}, input=declared, queues=("run",))
    with pytest.raises(Invalid, match=said) as raised:
        await at.jobs.enqueue("run", payload)
    assert [error.pointer for error in raised.value.errors] == pointers
    assert (await at.jobs.queue("run")).waiting == 0


async def test_a_run_whose_routine_is_gone_fails_for_good(site: Any) -> None:
    at = await site({"a": work(x=1)}, queues=("work",))
    job = await at.begin()
    await at.change({"other": {"steps": {"a": work()}}})
    worker = await _run_worker(at)
    ended = await at.ended(job)
    await worker.stop()
    assert (ended.status, ended.error) == ("failed", 'no routine "r"')


async def _run_worker(at: Site) -> Any:
    from runtime.services.jobs.worker import QueueWorker

    worker = QueueWorker("run", at.specs["run"], at.jobs, at.events)
    await worker.start()
    return worker
