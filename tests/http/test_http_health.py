"""Health, figures and the environment itself."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from runtime.health import Health
from runtime.telemetry.metrics import Metrics

if TYPE_CHECKING:
    import httpx

    from tests.http.conftest import Bench

NOBODY = {"Authorization": ""}


async def test_livez_is_there_whatever_else_is(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.services.draining = True
    answer = await client.get("/livez", headers=NOBODY)
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_readyz_follows_the_essential_services_and_the_drain(bench: Bench, client: httpx.AsyncClient) -> None:
    well = {"status": "ready", "waiting_for": [], "degraded": []}
    assert (await client.get("/readyz", headers=NOBODY)).json() == well
    bench.services.states["jobs"] = (Health("down", "gone"), False)
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {**well, "degraded": ["jobs"]})
    bench.services.states["storage"] = (Health("down", "redis://10.0.0.7 is away"), True)
    answer = await client.get("/readyz", headers=NOBODY)
    ill = {"status": "not ready", "waiting_for": ["storage"], "degraded": ["jobs"]}
    assert (answer.status_code, answer.json()) == (503, ill)
    bench.services.draining = True
    assert (await client.get("/readyz")).json()["status"] == "draining"
    assert (await client.get("/readyz")).status_code == 503


async def test_healthz_in_short_and_in_full(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.services.states["jobs"] = (Health("degraded", "backlog at 10.0.0.7", {"depth": 9}), False)
    short = (await client.get("/healthz", headers=NOBODY)).json()
    assert short["status"] == "degraded"
    assert short["version"] == "0.1.0"
    assert short["services"]["jobs"]["status"] == "degraded"
    assert short["services"]["jobs"]["healthy"] is True
    assert short["services"]["ai"] == {**short["services"]["ai"], "status": "not built", "healthy": False}
    assert all(service["details"] is None and service["reason"] is None for service in short["services"].values())
    for time in (short["timestamp"], short["services"]["jobs"]["last_checked"]):
        assert datetime.fromisoformat(time).utcoffset() is not None
        assert time.endswith("Z")
    full = (await client.get("/healthz")).json()
    assert full["services"]["jobs"]["details"] == {"depth": 9}
    assert full["services"]["jobs"]["reason"] == "backlog at 10.0.0.7"


async def test_what_is_not_built_does_not_degrade(bench: Bench, client: httpx.AsyncClient) -> None:
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (200, "operational")


async def test_it_is_503_when_an_essential_service_is_down(bench: Bench, client: httpx.AsyncClient) -> None:
    bench.services.states["storage"] = (Health("down"), True)
    answer = await client.get("/healthz", headers=NOBODY)
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    bench.services.states["storage"] = (Health(), True)
    bench.services.states["jobs"] = (Health("down"), False)
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")


async def test_metrics_need_the_key_and_know_routes_by_their_template(bench: Bench) -> None:
    async with bench.client(bench.api(metrics=Metrics("core", "0.1.0"))) as client:
        assert (await client.get("/metrics", headers=NOBODY)).status_code == 401
        for number in (1, 2, 3):
            await client.get(f"/v1/things/{number}")
        await client.get("/v1/nothing/at/all")
        text = (await client.get("/metrics")).text
        labels = 'method="GET",route="/v1/things/{number}",status="200"'
        assert f"runtime_http_request_seconds_count{{{labels}}} 3.0" in text
        assert 'route="none",status="404"' in text
        assert "/v1/nothing" not in text
        assert "process_resident_memory_bytes" in text


async def test_metrics_where_the_spec_says(bench: Bench) -> None:
    api = bench.api(metrics=Metrics("core", "0.1.0"), metrics_path="/internal/metrics")
    async with bench.client(api) as client:
        assert (await client.get("/internal/metrics")).status_code == 200
        assert (await client.get("/metrics")).status_code == 404


async def test_the_environment_shows_itself(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/runtime")).json()["revision"] == 12
    assert (await client.get("/v1/runtime/spec")).json() == {"version": 1, "name": "core"}


async def test_revisions_come_in_pages(client: httpx.AsyncClient) -> None:
    numbers: list[int] = []
    after: str | None = ""
    while after is not None:
        parameters = {"limit": "5", **({"after": after} if after else {})}
        page = (await client.get("/v1/runtime/revisions", params=parameters)).json()
        numbers += [item["number"] for item in page["items"]]
        after = page["next"]
    assert numbers == list(range(12, 0, -1))
