"""Whatever is sent, the answer is never a 5xx, and always a problem where it is an error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.http.conftest import Bench

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["name", "count", "parts", "labels", "more"])
THING = st.dictionaries(NAMES, JSON, max_size=5)
BODY = st.one_of(st.binary(max_size=200), (JSON | THING).map(lambda value: json.dumps(value).encode()))
SEGMENT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PATHS = st.one_of(
    st.sampled_from(["/v1/things", "/v1/things/1", "/v1/things/me", "/v1/things/search", "/v1/things/form", "/docs/x"]),
    SEGMENT.map(lambda text: "/v1/things/" + _quoted(text)),
    SEGMENT.map(lambda text: "/v1/" + _quoted(text)),
)


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]),
    path=PATHS,
    query=st.dictionaries(st.sampled_from(["limit", "after", "size", "exact", "kind", "x"]), st.text(max_size=20)),
    body=BODY,
    media=st.sampled_from(["application/json", "text/plain", "application/json; charset=utf-16", "x", "*/*", ";"]),
    key=st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)
async def test_no_request_is_a_server_error(
    bench: Bench,
    method: str,
    path: str,
    query: dict[str, Any],
    body: bytes,
    media: str,
    key: str | None,
) -> None:
    headers = {**bench.authorization, "Content-Type": media}
    if key is not None:
        headers["Idempotency-Key"] = key.strip()
    if path.startswith("/v1/things/stream"):
        return
    api = getattr(bench, "_fuzzed", None) or bench.api({"rate_limit": "1000000/s"})
    bench._fuzzed = api  # type: ignore[attr-defined]
    transport = httpx.ASGITransport(api)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://core.test") as client:
        answer = await client.request(method, path, params=query, content=body, headers=headers)
    assert answer.status_code < 500 or answer.status_code == 501, answer.text
    if answer.status_code >= 400 and method != "HEAD" and "access-control" not in str(answer.headers):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
