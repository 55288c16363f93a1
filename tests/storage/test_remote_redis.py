"""Why a Redis cannot be used: each reason has its own words, and none shows the password."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ConnectionError as Broken

from runtime.errors import Fault, Unreachable
from runtime.storage.remote import RemoteRedis
from tests.valkey import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.valkey import ValkeyServer

COMMAND = re.compile(rb"\*\d+\r\n\$\d+\r\n(\w+)\r\n")
CERTIFICATE = Path(__file__).parent / "localhost.pem"


async def refusal(url: str) -> Unreachable:
    redis = RemoteRedis(url)
    with pytest.raises(Unreachable) as caught:
        await redis.start()
    await redis.stop()
    fault = caught.value
    assert fault.name == "storage.redis"
    assert fault.exit_code == 3
    assert "hunter2" not in str(fault)
    assert fault.remedy
    return fault


@asynccontextmanager
async def answering(*, tls: ssl.SSLContext | None = None, **answers: bytes) -> AsyncIterator[int]:
    """A server that gives these answers, by the name of the command, and says nothing to other commands."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            for name in COMMAND.findall(data):
                writer.write(answers.get(name.decode(), b""))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def info(**fields: object) -> bytes:
    text = "\r\n".join(f"{name}:{value}" for name, value in fields.items()).encode()
    return b"$%d\r\n%s\r\n" % (len(text), text)


def own_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        fault = await refusal(f"redis://admin:hunter2@127.0.0.1:{port}/2")
    assert fault.message == f"storage.redis: cannot reach redis://127.0.0.1:{port}/2: connection refused"
    assert "redis: embedded" in fault.remedy


async def test_no_socket() -> None:
    fault = await refusal("unix:///nowhere/redis.sock?password=hunter2")
    assert fault.message == "storage.redis: cannot reach unix:///nowhere/redis.sock: no such file or directory"


async def test_an_unknown_host() -> None:
    assert "nowhere.invalid" in (await refusal("redis://:hunter2@nowhere.invalid")).message


async def test_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.storage.remote.REACH_LIMIT", 0.05)
    async with answering() as port:
        assert (await refusal(f"redis://127.0.0.1:{port}")).reason == "no answer within 0.05 s"


async def test_a_wrong_password_and_none() -> None:
    with running("--requirepass", "right") as server:
        for url in (f"redis://:hunter2@127.0.0.1:{server.port}", f"redis://127.0.0.1:{server.port}"):
            fault = await refusal(url)
            assert fault.reason == "it refuses the user or password"
            assert fault.remedy == "Check both in `storage.redis`."
        redis = RemoteRedis(f"redis://:right@127.0.0.1:{server.port}")
        await redis.start()
        await redis.stop()


async def test_a_user_who_may_not(valkey: ValkeyServer) -> None:
    with running("--user", "limited", "on", ">hunter2", "~*", "-@all") as server:
        fault = await refusal(f"redis://limited:hunter2@127.0.0.1:{server.port}")
    assert fault.reason == "the user may not use it"


async def test_a_user_who_may_not_ask_for_information_may_use_it() -> None:
    with running("--user", "plain", "on", ">hunter2", "~*", "+@all", "-info") as server:
        redis = RemoteRedis(f"redis://plain:hunter2@127.0.0.1:{server.port}")
        await redis.start()
        assert await redis.client.ping()  # type: ignore[misc]
        await redis.stop()


async def test_a_read_only_replica(valkey: ValkeyServer) -> None:
    with running("--replicaof", f"127.0.0.1 {valkey.port}") as server:
        fault = await refusal(server.url)
    assert fault.reason == "it is a read-only replica"
    assert "primary" in fault.remedy


async def test_one_that_is_too_old() -> None:
    old = info(redis_version="6.0.16", role="master")
    async with answering(CLIENT=b"+OK\r\n", PING=b"+PONG\r\n", INFO=old) as port:
        fault = await refusal(f"redis://127.0.0.1:{port}")
    assert fault.reason == "it is Redis 6.0.16"
    assert fault.remedy == "Use Redis 6.2 or newer, or Valkey."


async def test_one_that_still_loads() -> None:
    loading = b"-LOADING Redis is loading the dataset in memory\r\n"
    async with answering(CLIENT=b"+OK\r\n", PING=loading) as port:
        assert (await refusal(f"redis://127.0.0.1:{port}")).reason == "it still loads its data"


async def test_tls_to_one_without(valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.storage.remote.REACH_LIMIT", 0.2)
    fault = await refusal(f"rediss://:hunter2@127.0.0.1:{valkey.port}")
    assert fault.remedy == "Write redis:// if the server does not speak TLS."


async def test_a_certificate_that_nobody_vouches_for() -> None:
    async with answering(tls=own_certificate()) as port:
        fault = await refusal(f"rediss://:hunter2@localhost:{port}")
    assert fault.reason.startswith("its certificate is not trusted (")
    assert "ssl_ca_certs" in fault.remedy


async def test_a_certificate_that_is_vouched_for() -> None:
    new = info(redis_version="7.2.4", role="master")
    async with answering(tls=own_certificate(), CLIENT=b"+OK\r\n", PING=b"+PONG\r\n", INFO=new) as port:
        redis = RemoteRedis(f"rediss://localhost:{port}?ssl_ca_certs={CERTIFICATE}")
        await redis.start()
        await redis.stop()


async def test_no_tls_to_one_with() -> None:
    async with answering(tls=own_certificate()) as port:
        assert "rediss://" in (await refusal(f"redis://127.0.0.1:{port}")).reason


@pytest.mark.parametrize("url", ["http://:hunter2@host", "redis://host:port", "redis://:hunter2@[::1", "nonsense"])
async def test_what_is_no_address(url: str) -> None:
    with pytest.raises(Fault, match="is no address of a Redis") as caught:
        await RemoteRedis(url).start()
    assert "hunter2" not in str(caught.value)


async def test_one_that_goes_away_is_down_and_comes_back() -> None:
    with running() as first:
        redis = RemoteRedis(first.url)
        await redis.start()
        first.process.kill()
        first.process.wait()
        health = await redis.health()
        assert health.status == "down"
        assert str(first.port) in health.reason
        with running(port=first.port):
            assert await redis.client.ping()  # type: ignore[misc]
            assert (await redis.health()).status == "operational"
        await redis.stop()


async def test_a_command_waits_for_a_server_that_is_away_for_a_moment_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.storage.connection.PATIENCE", 0.05)
    with running() as server:
        redis = RemoteRedis(server.url)
        await redis.start()
        await redis.client.set("key", "1", px=60_000)
    with pytest.raises(Broken):
        await redis.client.get("key")
    await redis.stop()


async def test_a_connection_that_was_cut_while_idle_is_no_outage(valkey: ValkeyServer) -> None:
    remote = RemoteRedis(valkey.url)
    await remote.start()
    assert (await remote.health()).status == "operational"
    await remote.client.execute_command("CLIENT", "KILL", "TYPE", "normal")
    assert (await remote.health()).status == "operational"
    await remote.stop()


async def test_a_connection_that_is_gone_says_so_before_anybody_was_told(valkey: ValkeyServer) -> None:
    remote = RemoteRedis(valkey.url)
    await remote.start()
    line = await remote.client.wire.opened()
    line._transport.abort()
    for _ in range(3):  # uvloop refuses with an error of its own from the next turn of the loop on
        with pytest.raises(Broken):
            await line.send(("PING",))
        with contextlib.suppress(Broken):
            assert isinstance((await line.send_all(("PING",)))[0], Broken)
        await asyncio.sleep(0)
    assert await remote.client.execute_command("PING")
    await remote.stop()
