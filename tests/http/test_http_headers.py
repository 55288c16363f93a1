"""What every answer carries: request id, security headers, CORS; and the docs page."""

from __future__ import annotations

import logging
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from runtime.telemetry.context import request_id

if TYPE_CHECKING:
    import httpx

    from tests.http.conftest import Bench


@pytest.mark.parametrize("sane", ["a", "0f9c-1", "req_42:a/b", "x" * 128])
async def test_a_sane_request_id_is_taken(client: httpx.AsyncClient, sane: str) -> None:
    answer = await client.get("/v1/nothing", headers={"X-Request-ID": sane})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == sane


@pytest.mark.parametrize("insane", ["", "x" * 129, "a b", "<script>", 'a"b', "é", "-a", "a;b"])
async def test_another_is_replaced(client: httpx.AsyncClient, insane: str) -> None:
    answer = await client.get("/livez", headers=[(b"X-Request-ID", insane.encode("utf-8"))])
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_the_access_log_knows_it(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str | None] = []

    def note(_: logging.LogRecord) -> bool:
        seen.append(request_id.get())
        return True

    caplog.handler.addFilter(note)
    with caplog.at_level(logging.INFO, "runtime.http"):
        await client.get("/v1/things/1", headers={"X-Request-ID": "mine"})
    record = next(record for record in caplog.records if record.name == "runtime.http")
    assert record.getMessage() == "GET /v1/things/1 200"
    assert record.caller == "key:operator"  # type: ignore[attr-defined]
    assert "mine" in seen


async def test_security_headers_are_on_every_answer(client: httpx.AsyncClient) -> None:
    for path, headers in (
        ("/livez", {}),
        ("/v1/things", {}),
        ("/nope", {}),
        ("/v1/things", {"Authorization": ""}),
    ):
        answer = await client.get(path, headers=headers)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers.get_list("content-security-policy") == ["default-src 'none'; frame-ancestors 'none'"]


async def test_the_docs_page_needs_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs", headers={"Authorization": ""})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "style-src 'sha256-" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    outside: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in {"script", "link", "img", "iframe"}
            outside.extend(value or "" for name, value in attrs if name in {"src", "href"})
            assert not any(name.startswith("on") or name == "style" for name, _ in attrs)

    Links().feed(answer.text)
    assert outside == ["/openapi.json"]
    for said in ("/v1/things/{number}", "things:write", "Makes a thing.", 'id="not-found"', 'id="too-many"'):
        assert said in answer.text


async def test_the_document_is_openapi_3_1(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json", headers={"Authorization": ""})).json()
    assert document["openapi"].startswith("3.1")
    operation = document["paths"]["/v1/things"]["post"]
    assert operation["x-scope"] == "things:write"
    assert operation["security"] == [{"bearer": []}, {"key": []}, {"session": []}]
    assert "Idempotency-Key" in [parameter["name"] for parameter in operation["parameters"]]
    problem = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}
    names = {
        name
        for schema in re.findall(r"#/components/schemas/([^\"]+)", str(document).replace("'", '"'))
        for name in [schema]
    }
    assert names <= set(document["components"]["schemas"])


async def test_cors_is_closed_by_default(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/things", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


async def test_cors_opens_for_the_origins_of_the_spec(bench: Bench) -> None:
    async with bench.client(bench.api({"cors": {"origins": ["https://app.example.com"]}})) as client:
        preflight = await client.options(
            "/v1/things",
            headers={
                "Authorization": "",
                "Origin": "https://app.example.com",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization, idempotency-key",
            },
        )
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "https://app.example.com"
        refused = await client.options(
            "/v1/things", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        )
        assert refused.headers.get("access-control-allow-origin") != "https://evil.example"
        for headers in ({}, {"Authorization": ""}):
            answer = await client.get("/v1/things", headers={"Origin": "https://app.example.com", **headers})
            assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
            assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
