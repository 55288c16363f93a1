"""The server in the loop: start, stop, swap, death, proxies."""

from __future__ import annotations

import logging
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from runtime.errors import Fault, StartFailed
from runtime.http.server import HttpServer
from tests.http.conftest import Bench, listening, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def test_it_answers_when_start_returns_and_ends_with_stop(bench: Bench) -> None:
    listener = listening()
    server = HttpServer(bench.api(), listener.dup)
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await server.health()).status == "operational"
    await server.stop()
    await server.stop()
    assert (await server.health()).status == "down"
    listener.close()


async def test_a_server_that_never_started_can_be_stopped(bench: Bench) -> None:
    await HttpServer(bench.api(), socket.socket).stop()


async def test_it_starts_again_on_the_same_socket_and_refuses_nobody_in_between(bench: Bench) -> None:
    listener = listening()
    server = HttpServer(bench.api(), listener.dup)
    await server.start()
    await server.stop()
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=10) as client,
        anyio.create_task_group() as group,
    ):
        answers: list[int] = []

        async def call() -> None:
            answers.append((await client.get("/livez")).status_code)

        group.start_soon(call)  # waits in the socket's queue
        await anyio.sleep(0.05)
        await server.start()
    assert answers == [200]
    await server.stop()
    listener.close()


async def test_requests_under_way_end_before_it_does(bench: Bench) -> None:
    async with serving(bench.api()) as server, httpx.AsyncClient(headers=bench.authorization) as client:
        answers: list[httpx.Response] = []

        async def call() -> None:
            answers.append(await client.post(f"{server.url}/v1/things/slow"))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await bench.done.entered.wait()
            group.start_soon(server.stop)
            await anyio.sleep(0.2)
            assert not answers
            bench.done.gate.set()
        assert answers[0].status_code == 201
        assert bench.done.made == ["slow"]


async def test_what_does_not_end_in_time_is_cut_off(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        serving(bench.api(), drain=1.0) as server,
        httpx.AsyncClient(headers=bench.authorization) as client,
    ):

        async def call() -> None:
            answer = await client.post(f"{server.url}/v1/things/slow", timeout=10)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["title"] == "The server is stopping"

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await bench.done.entered.wait()
            with anyio.fail_after(5):
                await server.stop()
    assert bench.done.made == []
    assert not any(record.exc_info for record in caplog.records)


async def test_watch_tells_of_its_death_and_not_of_its_stop(bench: Bench) -> None:
    async with serving(bench.api()) as server:
        assert server._serving is not None
        server._serving.cancel()
        with pytest.raises(Fault, match="the HTTP server died"):
            await server.watch()
        assert (await server.health()).status == "down"
        await server.stop()
        await server.start()
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{server.url}/livez")).status_code == 200
        async with anyio.create_task_group() as group:
            group.start_soon(server.watch)
            await anyio.sleep(0.02)
            await server.stop()


async def test_a_swap_under_load_loses_no_request(bench: Bench) -> None:
    versions = [bench.api(version=str(number)) for number in range(6)]
    seen: dict[str, int] = {}
    over = anyio.Event()

    async with serving(versions[0]) as server:

        async def load(keep_alive: bool) -> None:
            limits = httpx.Limits(max_keepalive_connections=None if keep_alive else 0)
            async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=10) as client:
                while not over.is_set():
                    answer = await client.get("/healthz")
                    assert answer.status_code == 200
                    version = answer.json()["version"]
                    seen[version] = seen.get(version, 0) + 1

        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(load, number % 2 == 0)
            for number, api in enumerate(versions[1:], 1):
                target = sum(seen.values()) + 30
                while sum(seen.values()) < target:
                    await anyio.sleep(0.005)
                await server.swap(api)
                while str(number) not in seen:
                    await anyio.sleep(0.005)
            over.set()
    assert set(seen) == {"0", "1", "2", "3", "4", "5"}


async def test_after_a_swap_the_old_one_ends_its_requests_and_streams(bench: Bench) -> None:
    async with serving(bench.api()) as server, httpx.AsyncClient(headers=bench.authorization) as client:
        answers: list[httpx.Response] = []

        async def call(method: str, path: str) -> None:
            answers.append(await client.request(method, server.url + path))

        async with anyio.create_task_group() as group:
            group.start_soon(call, "POST", "/v1/things/slow")
            group.start_soon(call, "GET", "/v1/things/stream?kind=endless")
            await bench.done.entered.wait()
            await server.swap(bench.api())
            await bench.done.closed.wait()  # the stream was told to end
            bench.done.gate.set()
        assert {answer.status_code for answer in answers} == {200, 201}


async def test_lifespans_begin_before_the_first_request_and_end_after_the_last(bench: Bench) -> None:
    events: list[str] = []

    def lived(name: str) -> object:
        @asynccontextmanager
        async def lifespan(_: object) -> AsyncIterator[None]:
            events.append(f"{name} begins")
            yield
            events.append(f"{name} ends")

        api = bench.api()
        api.litestar._lifespan_managers.append(lifespan)
        return api

    async with serving(lived("first")) as server:  # type: ignore[arg-type]
        assert events == ["first begins"]
        await server.swap(lived("second"))  # type: ignore[arg-type]
    assert events[:2] == ["first begins", "second begins"]
    assert sorted(events[2:]) == ["first ends", "second ends"]


async def test_one_that_does_not_begin_leaves_the_old_one(bench: Bench) -> None:
    @asynccontextmanager
    async def broken(_: object) -> AsyncIterator[None]:
        raise OSError("no disk")
        yield

    api = bench.api()
    api.litestar._lifespan_managers.append(broken)
    async with serving(bench.api()) as server:
        with pytest.raises(StartFailed, match="no disk"):
            await server.swap(api)
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{server.url}/livez")).status_code == 200
    listener = listening()
    with pytest.raises(StartFailed, match="no disk"):
        await HttpServer(api, listener.dup).start()
    listener.close()


async def test_forwarded_addresses_count_from_trusted_proxies_only(bench: Bench) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.7"}
    for trusted, caller in (
        ((), "127.0.0.1"),
        (("127.0.0.0/8",), "203.0.113.7"),
        (("10.0.0.1",), "127.0.0.1"),
    ):
        async with serving(bench.api(), trusted_proxies=trusted) as server, httpx.AsyncClient() as client:
            answer = await client.get(f"{server.url}/v1/things/open", headers=forwarded)
            assert answer.json() == {"id": f"address:{caller}"}


async def test_live_fields_reach_the_application(bench: Bench) -> None:
    api = bench.api()
    async with serving(api) as server:
        await server.update({"rate_limit": "5/s", "max_body": "2kB", "host": "elsewhere"})
        assert (api.live.rate_limit.count, api.live.max_body) == (5, 2000)


async def test_small_answers_do_not_wait_for_an_acknowledgement(client: httpx.AsyncClient) -> None:
    """Without TCP_NODELAY each answer on a kept connection takes 40 ms more."""
    await client.get("/livez")
    with anyio.fail_after(3):
        for _ in range(100):
            await client.get("/livez")


async def test_no_signal_handler_is_touched(bench: Bench) -> None:
    import signal

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with serving(bench.api()):
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def test_nothing_of_the_server_is_told(client: httpx.AsyncClient) -> None:
    answer = await client.get("/livez")
    assert "server" not in answer.headers
    assert answer.headers["date"]


async def test_uvicorn_logs_nothing_at_its_normal_work(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with bench.client() as client:
            await client.get("/livez")
    assert [record.getMessage() for record in caplog.records] == []
