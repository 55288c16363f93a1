"""No route is open by accident."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from litestar import Controller, get

from runtime.http.access import Caller, Undeclared, address_of, scope
from runtime.http.guard import WRONG
from runtime.http.not_built import ROWS

if TYPE_CHECKING:
    from tests.http.conftest import Bench

OPEN_PATHS = {"/livez", "/readyz", "/healthz", "/v1/things/open"}
"""Of the document: open by design. So are the document itself and its page, which are not in it."""


async def test_no_route_of_the_document_answers_without_a_key_but_the_open_ones(bench: Bench) -> None:
    async with bench.client() as client:
        document = (await client.get("/openapi.json")).json()
        answered = set()
        for path, item in document["paths"].items():
            for method in item:
                address = re.sub(r"\{[^}]*\}", "1", path)
                answer = await client.request(method, address, headers={"Authorization": ""}, json={})
                assert (path in OPEN_PATHS) == (answer.status_code != 401), f"{method} {path}: {answer.text}"
                answered.add(path)
                assert (item[method]["security"] == []) == (path in OPEN_PATHS)
        assert answered >= OPEN_PATHS
        assert bench.done.made == []


async def test_what_is_not_built_asks_for_a_key_too(client: httpx.AsyncClient) -> None:
    for row in ROWS:
        address = re.sub(r"\{[^}]*\}", "1", row.path)
        for method in row.methods.split():
            refused = await client.request(method, address, headers={"Authorization": ""})
            assert refused.status_code == 401, f"{method} {address}"


async def test_every_served_route_is_in_the_document_or_known_to_be_open(bench: Bench) -> None:
    api = bench.api()
    served = {route.path_format for route in api.litestar.routes}
    page = {"/", "/dashboard/worker.js", "/dashboard/{version}/{name}"}
    assert served - set(api.document()["paths"]) == {"/openapi.json", "/docs", "/not-built/{row}", *page}


async def test_the_key_is_accepted_in_both_headers(bench: Bench, client: httpx.AsyncClient) -> None:
    for headers in (
        {"Authorization": f"Bearer {bench.key}"},
        {"Authorization": f"bearer  {bench.key}"},
        {"Authorization": f"Bearer {bench.key}", "X-API-Key": "nonsense"},
    ):
        answer = await client.get("/v1/things/me", headers=headers)
        assert answer.json() == {"id": "key:operator"}
    async with httpx.AsyncClient(base_url=client.base_url, headers={"X-API-Key": bench.key}) as by_key:
        assert (await by_key.get("/v1/things/me")).json() == {"id": "key:operator"}


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Basic cnQ6eA==", "Bearer rt_wrong", "Bearer rt_" + "é" * 30, "rt_naked", "Bearer a b"],
)
async def test_anything_else_is_401(client: httpx.AsyncClient, authorization: str) -> None:
    answer = await client.get("/v1/things", headers=[(b"Authorization", authorization.encode())])
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["type"] == "/docs#unauthenticated"


async def test_a_truncated_or_longer_key_is_401(bench: Bench, client: httpx.AsyncClient) -> None:
    for key in (bench.key[:-1], bench.key + "A", bench.key.lower(), bench.key[:10]):
        assert (await client.get("/v1/things", headers={"Authorization": f"Bearer {key}"})).status_code == 401


async def test_a_scope_opens_its_routes_and_no_other(bench: Bench) -> None:
    bench.keys.others["reader"] = Caller("key:reader", frozenset({"things:read"}))
    async with bench.client() as client:
        reader = {"Authorization": "Bearer reader"}
        assert (await client.get("/v1/things/me", headers=reader)).json() == {"id": "key:reader"}
        refused = await client.post("/v1/things", json={"name": "a"}, headers=reader)
        assert refused.status_code == 403
        assert "things:write" in refused.json()["detail"]
        assert (await client.get("/v1/runtime", headers=reader)).status_code == 403
        assert bench.done.made == []


async def test_an_open_route_knows_its_caller_where_there_is_a_key(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/things/open")).json() == {"id": "key:operator"}
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}):
        answer = await client.get("/v1/things/open", headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"id": "address:127.0.0.1"})


async def test_wrong_keys_are_limited_by_address_and_the_right_one_still_passes(
    client: httpx.AsyncClient,
) -> None:
    wrong = {"Authorization": "Bearer rt_wrong"}
    seen = [(await client.get("/v1/things", headers=wrong)).status_code for _ in range(WRONG.count + 2)]
    assert seen == [401] * WRONG.count + [429, 429]
    assert (await client.get("/v1/things")).status_code == 200


@pytest.mark.parametrize("declared", [{}, {"scope": ""}, {"open": False}, {"open": True, "scope": "a:b"}, {"open": 1}])
def test_an_application_with_an_undeclared_route_does_not_start(bench: Bench, declared: dict[str, Any]) -> None:
    class Careless(Controller):
        @get("/v1/careless", opt=declared)
        async def careless(self) -> None: ...

    with pytest.raises(Undeclared, match="GET /v1/careless"):
        bench.api(controllers=[Careless])


async def test_a_route_that_comes_later_undeclared_is_refused(bench: Bench) -> None:
    @get("/v1/late")
    async def late() -> str:
        return "open by accident"

    api = bench.api()
    api.litestar.register(late)
    async with bench.client(api) as client:
        answer = await client.get("/v1/late")
        assert answer.status_code == 403
        assert "accident" not in answer.text


async def test_options_say_the_methods_and_nothing_else(client: httpx.AsyncClient) -> None:
    answer = await client.options("/v1/things", headers={"Authorization": ""})
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == "GET, OPTIONS, POST"


async def test_no_key_is_ever_logged(bench: Bench, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "runtime"):
        await client.get("/v1/things/me")
        await client.get("/v1/things/me", headers={"Authorization": "Bearer rt_mistyped"})
    said = " ".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "/v1/things/me" in said
    assert bench.key not in said
    assert "rt_mistyped" not in said


def test_ipv6_callers_are_known_by_their_network() -> None:
    def address(host: str) -> str:
        return address_of({"client": (host, 1)})  # type: ignore[arg-type]

    assert address("127.0.0.1") == "127.0.0.1"
    assert address("2001:db8:1:2:3:4:5:6") == address("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert address("2001:db8:1:3::1") != address("2001:db8:1:2::1")
    assert address("fe80::1%eth0") == "fe80::/64"
    assert address("not:an:address") == "not:an:address"


def test_a_declaration_reads_as_it_is_written() -> None:
    assert scope("jobs:write") == {"scope": "jobs:write"}
