"""The files of the page at `/`: the same for everybody, kept by browsers, under a policy that lets in nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from runtime.http.dashboard.files import FOLDER, files
from runtime.http.dashboard.routes import POLICY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.http.conftest import Bench


class NobodyIsAsked:
    """Visitors that no request may be held against."""

    async def caller(self, scope: Any) -> None:
        raise AssertionError("somebody was asked who it is")


@pytest.fixture
async def stranger(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    """A browser with cookies and a wrong key, which matter to nobody."""
    headers = {"Authorization": "Bearer rt_wrong", "Cookie": "__Host-access=a.b.c; __Host-refresh=x"}
    async with (
        bench.client(bench.api(visitors=NobodyIsAsked())) as client,
        httpx.AsyncClient(base_url=client.base_url, headers=headers) as stranger,
    ):
        yield stranger


async def test_the_document_names_its_files_and_all_of_them_are_there(stranger: httpx.AsyncClient) -> None:
    document = await stranger.get("/")
    assert (document.status_code, document.headers["content-type"]) == (200, "text/html; charset=utf-8")
    named = set(re.findall(r'(?:href|src)="([^"]+)"', document.text))
    assets = {f"/dashboard/{files().version}/{name}" for name in files().assets}
    operators = {address for address in assets if "/operations/" in address}
    assert operators
    assert named == assets - operators | {"/docs"}  # nobody else's browser loads theirs
    for address in assets:
        found = await stranger.get(address)
        assert found.status_code == 200, address
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert found.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in found.headers


async def test_the_document_runs_nothing_but_its_own_files(stranger: httpx.AsyncClient) -> None:
    document = await stranger.get("/")
    assert document.headers.get_list("content-security-policy") == [POLICY]
    for directive in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert directive in POLICY
    assert "unsafe" not in POLICY
    assert document.headers["x-frame-options"] == "DENY"
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", document.text)


@pytest.mark.parametrize("address", ["/", "/dashboard/worker.js"])
async def test_what_keeps_its_address_is_asked_for_again(stranger: httpx.AsyncClient, address: str) -> None:
    first = await stranger.get(address)
    assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
    for tag in (first.headers["etag"], f'"other", W/{first.headers["etag"]}'):
        again = await stranger.get(address, headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert (await stranger.get(address, headers={"If-None-Match": '"other"'})).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["0000000000000000/app.js", "{version}/none.js", "{version}/..%2froutes.py", "{version}/../routes.py", "{version}/",
     "{version}/index.html", "{version}/%00", "{version}"],
)  # fmt: skip
async def test_nothing_else_is_served(stranger: httpx.AsyncClient, path: str) -> None:
    answer = await stranger.get(f"/dashboard/{path.format(version=files().version)}")
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")


def test_modules_import_what_there_is_and_nothing_from_elsewhere() -> None:
    for path in FOLDER.rglob("*.*"):
        text = path.read_text()
        for name in re.findall(r'^import .* from "(\S+)";$', text, re.MULTILINE):
            assert (path.parent / name).is_file(), f"{path.name}: {name}"
        outside = set(re.findall(r"https?://[^\s\"'`]+", text)) - {"http://www.w3.org/2000/svg"}
        assert outside == set(), path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text)


async def test_a_change_of_a_file_changes_its_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for path in FOLDER.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr("runtime.http.dashboard.files.FOLDER", tmp_path)
    before = files.__wrapped__()
    (tmp_path / "app.js").write_text("// changed\n")
    after = files.__wrapped__()
    assert before.version != after.version
    assert before.document.tag != after.document.tag
    assert before.worker == after.worker
