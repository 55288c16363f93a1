"""Every error is a problem that says what, where and what to do, and nothing of the server's inside."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from litestar.exceptions import HTTPException

from runtime.http.problems import describe
from tests.http.routes import QueueController

if TYPE_CHECKING:
    import httpx

    from tests.http.conftest import Bench


async def problem(client: httpx.AsyncClient, method: str, path: str, **request: Any) -> dict[str, Any]:
    answer = await client.request(method, path, **request)
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json()
    assert said["status"] == answer.status_code
    assert said["request_id"] == answer.headers["x-request-id"]
    assert {"type", "title", "status", "detail"} <= said.keys()
    assert "traceback" not in answer.text.lower()
    assert "hunter2" not in answer.text
    return said


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        ({"count": 1}, "/name", "missing required field"),
        ({"name": "a", "cuont": 1}, "/cuont", "unknown field"),
        ({"name": "a", "count": "x"}, "/count", "Expected `int`, got `str`"),
        ({"name": "a", "parts": [{"name": "b"}, {"name": 5}]}, "/parts/1/name", "Expected `str`, got `int`"),
        ({"name": "a", "parts": [{"name": "b", "weight": -1}]}, "/parts/0/weight", "Expected `float` >= 0"),
        ({"name": "a", "labels": {"k": [1, "z"]}}, "/labels", "Expected `int`"),
        ({"name": ""}, "/name", "length >= 1"),
        ([1], "", "Expected `object`, got `array`"),
        (None, "", "a JSON body is needed"),
    ],
)
async def test_a_wrong_body_is_400_with_a_pointer(
    client: httpx.AsyncClient, body: Any, pointer: str, detail: str
) -> None:
    said = await problem(client, "POST", "/v1/things", json=body)
    assert (said["status"], said["type"], said["title"]) == (400, "/docs#invalid", "Invalid request")
    assert [(error["in"], error["pointer"]) for error in said["errors"]] == [("body", pointer)]
    assert detail in said["errors"][0]["detail"]


async def test_a_wrong_parameter_is_400_with_its_name(client: httpx.AsyncClient) -> None:
    said = await problem(client, "GET", "/v1/things/search?size=10&exact=perhaps")
    assert said["status"] == 400
    assert {(error["in"], error["pointer"]) for error in said["errors"]} == {
        ("query", "/size"),
        ("query", "/exact"),
    }
    missing = await problem(client, "GET", "/v1/things/search")
    assert missing["errors"] == [{"in": "query", "pointer": "/size", "detail": "it is missing"}]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"name":\n  "a",\n  count: 1}', "line 3, column 3"),
        (b'{"name": "a"', "truncated"),
        ('{"näme": x}'.encode(), "line 1, column 10"),
        (b"\xff\xfe", "line 1, column 1"),
        (b"{'name': 1}", "line 1, column 2"),
        (b'{"a": NaN}', "line 1, column 7"),
    ],
)
async def test_malformed_json_is_400_with_line_and_column(client: httpx.AsyncClient, body: bytes, where: str) -> None:
    said = await problem(client, "POST", "/v1/things", content=body)
    assert said["status"] == 400
    assert where in said["detail"]


async def test_deep_nesting_is_400(client: httpx.AsyncClient) -> None:
    said = await problem(client, "POST", "/v1/things", content=b"[" * 200_000)
    assert said["status"] == 400
    assert "deep" in said["detail"]


async def test_an_unknown_address_is_404(client: httpx.AsyncClient) -> None:
    assert (await problem(client, "GET", "/v1/nothing"))["status"] == 404
    assert (await problem(client, "GET", "/v1/things/not-a-number"))["status"] == 404


async def test_a_wrong_method_is_405_with_allow(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/v1/things")
    assert answer.status_code == 405
    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))
    assert (await problem(client, "DELETE", "/v1/things"))["type"] == "/docs#method-not-allowed"


async def test_what_a_handler_raises_is_told(client: httpx.AsyncClient) -> None:
    said = await problem(client, "GET", "/v1/things/9")
    assert (said["status"], said["detail"], said["remedy"]) == (404, "no thing 9", "There are 0 to 6.")
    assert (await problem(client, "POST", "/v1/things/wrong/conflict"))["type"] == "/docs#conflict"


async def test_a_limit_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/things/wrong/busy")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


async def test_a_dependency_that_is_away_is_503(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/things/wrong/away")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "10.0.0.7" not in answer.text


@pytest.mark.parametrize("kind", ["bug", "fault"])
async def test_an_error_inside_is_500_without_its_inside(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    with caplog.at_level(logging.ERROR, "runtime.http"):
        said = await problem(client, "POST", f"/v1/things/wrong/{kind}")
    assert said["status"] == 500
    assert said["title"] == "Internal error"
    logged = [record for record in caplog.records if record.exc_info]
    assert len(logged) == 1
    assert "hunter2" in str(logged[0].exc_info[1])  # type: ignore[index]  # there, for the redaction to mask


async def test_what_is_not_built_is_501_after_the_key(client: httpx.AsyncClient) -> None:
    said = await problem(client, "POST", "/v1/runtime/plan", json={})
    assert said["status"] == 501
    assert "not built" in said["detail"]
    assert (await client.post("/v1/runtime/plan", headers={"Authorization": ""})).status_code == 401


async def test_a_path_pattern_of_the_unbuilt_is_501(client: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", "/v1/jobs/j1"),
        ("GET", "/v1/queues/any"),
        ("GET", "/v1/streams/billing/subscribe"),
    ):
        assert (await problem(client, method, path))["status"] == 501
    assert (await problem(client, "GET", "/v1/api-keys/k1"))["status"] == 404
    assert (await problem(client, "GET", "/not-built/999"))["status"] == 404


async def test_a_route_that_is_built_comes_before_its_row(bench: Bench) -> None:
    async with bench.client(bench.api(controllers=[QueueController])) as client:
        assert (await client.get("/v1/queues/email")).text == "email"
        assert (await client.get("/v1/queues")).status_code == 501
        assert (await client.post("/v1/queues/email/jobs", json={})).status_code == 501


def test_any_client_error_of_the_framework_is_a_problem() -> None:
    for status in (400, 401, 403, 404, 409, 410, 413, 415, 429):
        said, _ = describe(HTTPException(status_code=status, detail="x"))
        assert said.status == status
        assert said.type.startswith("/docs#")
