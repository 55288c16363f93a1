"""The operator's views: they show what the API says, do what they are told, and end with the right to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.dashboard.chromium import installed, until
from tests.dashboard.plant import Plant, plant
from tests.dashboard.relay import relay
from tests.dashboard.sights import (
    DOUBLED,
    FOCUSED,
    LONGEST,
    MULTIPLIED,
    NAMELESS,
    PALE,
    TOO_WIDE,
    agree,
    facts_of,
    nothing_ran,
    see,
    table_of,
    tiles_of,
)
from tests.dashboard.works import HOSTILE, LARGE

if TYPE_CHECKING:
    from collections.abc import Iterator


VIEWS = {
    "overview": "Overview", "queues": "Queues", "queues/done": "done", "streams": "Streams", "streams/orders": "orders",
    "ai": "AI", "notifications": "Notifications", "sandbox": "Sandbox", "secrets": "Secrets", "revisions": "Revisions",
}  # fmt: skip
SEEN = HOSTILE.replace("\u202e", "\\u202e").replace("\u202c", "\\u202c")
"""What a reader sees of it: signs that turn the text around stand there as what they are."""


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    if installed() is None:
        pytest.skip("there is no Chromium here: apt-get install chromium, or CHROMIUM=/path/to/it")
    with plant(tmp_path_factory.mktemp("operations")) as made:
        yield made


def test_a_session_with_the_right_has_the_views_and_another_has_not(works: Plant) -> None:
    ada, bob = works.operator("ada"), works.user("bob")
    with works.visit(ada) as page:
        page.get("link", "Operations").click()
        page.get("heading", "Overview")
        page.reads("The environment plant")
        assert page.evaluate("document.title") == "Overview · Runtime"
        assert not page.find("button", "Forget the key")
        page.get("link", "Inbox").click()
        page.get("heading", "Inbox")
    with works.visit(bob) as page:
        assert not page.find("link", "Operations")
        for place in ("overview", "queues/done", "jobs/x", "secrets"):
            page.evaluate(f"location.hash = '#/{place}'")
            until(lambda: page.evaluate("location.hash") == "#/inbox", "there is no such view for him")
        page.get("heading", "Inbox")
        asked = [each["request"]["url"] for each in page.events("Network.requestWillBeSent")]
        assert not [url for url in asked if "/operations/" in url or "/v1/runtime" in url]


def test_a_key_is_kept_in_memory_alone(works: Plant) -> None:
    with works.operating() as page:
        kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state])"
        assert works.at.key not in page.evaluate(kept)
        assert page.evaluate("indexedDB.databases().then((all) => all.length)") == 0
        assert page.send("Network.getCookies")["cookies"] == []
        page.send("Page.reload")
        page.get("heading", "Sign in")
        page.get("link", "Use an operator's key").click()
        for wrong, said in (("rt_wrong", "The key is not valid."), (_key(works, "jobs:read"), "runtime:admin")):
            page.fill("Key", wrong)
            page.press("Enter")
            page.reads(said)
        page.fill("Key", works.at.key)
        page.press("Enter")
        page.get("heading", "Overview")
        page.get("button", "Forget the key").click()
        page.reads("The key was forgotten.")
        page.get("heading", "Sign in")


def test_a_key_that_is_revoked_ends_the_views(works: Plant) -> None:
    made = works.at.post("/v1/api-keys", {"name": "page", "scopes": ["runtime:admin"]}).body
    with works.operating("streams/orders", made["key"]) as page:
        page.reads("Whatever comes from now on is here.")
        assert works.at.request("DELETE", f"/v1/api-keys/{made['id']}").status in (200, 204)
        page.reads("The key was forgotten.")
        page.get("heading", "Sign in")
        assert "orders" not in page.text()
        page.evaluate("location.hash = '#/queues'")
        page.get("heading", "Sign in")


def test_a_session_that_loses_the_right_ends_the_views(works: Plant) -> None:
    eve = works.operator("eve")
    with works.visit(eve) as page:
        page.get("link", "Operations").click()
        page.reads("The environment plant")
        assert works.at.request("DELETE", f"/v1/users/{works.users[eve]}").status in (200, 204)
        page.get("heading", "Sign in")
        assert "The environment" not in page.text()


def test_the_overview_is_what_runs(works: Plant) -> None:
    with works.operating() as page:
        told = works.at.get("/v1/runtime").body
        page.get("table", "Components")
        rows = table_of(page, "Components")
        assert {row["Component"].split()[0]: row["State"] for row in rows} == {
            each["id"]: each["state"] for each in told["components"]
        }
        assert [row["Health"] for row in rows if row["Component"].startswith("storage.database")] == ["operational"]
        tiles = tiles_of(page)
        assert tiles["Readiness"] == "ready"
        assert tiles["Revision"] == str(told["revision"])
        page.reads("Memory")
        assert tiles_of(page)["Memory"].endswith("MB")
        page.fill("Filter components", "storage.", "searchbox")
        until(lambda: len(table_of(page, "Components")) == 3, "the filter holds")
        page.reads(f"3 of {len(rows)}")


def test_a_queue_is_paused_and_goes_on(works: Plant) -> None:
    for _ in range(3):
        works.at.wait_for_job(works.put("done"))
    with works.operating("queues") as page:
        page.get("table", "Queues")
        told = {each["name"]: each for each in works.at.get("/v1/queues").body["items"]}
        rows = {row["Queue"]: row for row in table_of(page, "Queues")}
        assert rows.keys() == told.keys()
        assert rows["done"]["Completed"] == str(told["done"]["completed"])
        assert (rows["done"]["At once"], rows["done"]["State"]) == ("4", "operational")
        page.get("link", "done").click()
        page.get("heading", "done")
        page.get("button", "Pause").click()
        page.get("heading", "Pause the queue done?")
        assert page.evaluate("document.activeElement.textContent") == "Leave it"
        page.press("Escape")
        until(lambda: not page.find("heading", "Pause the queue done?"), "the question is gone")
        assert works.at.get("/v1/queues/done").body["paused"] is False
        page.get("button", "Pause").click()
        agree(page, "Pause")
        page.get("button", "Resume")
        assert works.at.get("/v1/queues/done").body["paused"] is True
        until(lambda: page.evaluate("announcer.textContent") == "done is paused.", "those who listen are told")
        waits = works.put("done")
        until(lambda: tiles_of(page)["Waiting"] == "1", "what waits is seen")
        page.get("button", "Resume").click()
        page.get("button", "Pause")
        works.at.wait_for_job(waits)
        until(lambda: tiles_of(page)["Waiting"] == "0", "it goes on")
        page.get("image", page.find("image")[0].name)
        drawn = "[...document.querySelectorAll('.columns rect.part-0')].length"
        until(lambda: page.evaluate(drawn) > 0, "what was completed is drawn")


def test_dead_jobs_are_shown_as_text_and_replayed(works: Plant) -> None:
    works.mended.unlink(missing_ok=True)
    jobs = [works.put("fails") for _ in range(3)]
    for job in jobs:
        works.at.wait_for_job(job)
    with works.operating("queues/fails") as page:
        page.reads(SEEN)
        assert {row["Job"] for row in table_of(page, "Dead jobs")} == set(jobs)
        nothing_ran(page)
        works.mended.touch()
        page.get("button", f"Replay {jobs[0]}").click()
        until(lambda: len(table_of(page, "Dead jobs")) == 2, "one is gone")
        assert works.at.wait_for_job(jobs[0])["result"] == "mended"
        page.get("button", "Replay all").click()
        page.reads("Replay all 2 dead jobs of fails?")
        agree(page, "Replay")
        page.reads("No job has failed for good")
        for job in jobs[1:]:
            assert works.at.wait_for_job(job)["status"] == "completed"
    works.mended.unlink()


def test_a_job_is_followed_cancelled_and_retried(works: Plant) -> None:
    job = works.put("waits")
    with works.operating("queues") as page:
        page.fill("A job by its id", job, "searchbox")
        page.press("Enter")
        page.get("heading", job)
        page.reads(f"half done {SEEN}")
        assert page.evaluate("document.querySelector('progress').value") == 0.5
        nothing_ran(page)
        page.get("button", "Cancel").click()
        agree(page, "Cancel the job")
        until(lambda: works.at.get(f"/v1/jobs/{job}").body["status"] == "cancelled", "it is cancelled")
        until(
            lambda: page.evaluate("document.querySelector('.standing').innerText").startswith("cancelled"), "it is seen"
        )
        until(lambda: not page.find("button", "Cancel"), "it cannot be cancelled again")

        works.mended.unlink(missing_ok=True)
        failed = works.put("fails")
        works.at.wait_for_job(failed)
        page.evaluate(f"location.hash = '#/jobs/{failed}'")
        page.get("heading", failed)
        page.reads(f"RuntimeError: {SEEN}")
        works.mended.touch()
        page.get("button", "Retry").click()
        page.reads("completed")
        page.reads("mended")
        works.mended.unlink()
        page.evaluate("location.hash = '#/jobs/done.none'")
        page.reads('No job "done.none".')
        page.get("heading", "done.none")


def test_a_result_of_a_megabyte_is_text_and_quick(works: Plant) -> None:
    job = works.put("done", size=LARGE)
    works.at.wait_for_job(job)
    with works.operating(f"jobs/{job}") as page:
        page.reads("Show all (990 kB)")
        assert page.evaluate("document.querySelector('pre').textContent.length") < 10_000
        page.get("button", "Show all (990 kB)").click()
        shown = json.loads(page.evaluate("document.querySelector('pre').textContent"))
        assert shown == {"text": HOSTILE + "x" * LARGE}
        assert page.evaluate("document.activeElement.tagName") == "PRE"
        nothing_ran(page)


def test_a_stream_is_followed_and_its_dead_events_replayed(works: Plant) -> None:
    works.mended.unlink(missing_ok=True)
    with works.operating("streams/orders") as page:
        page.reads("Whatever comes from now on is here.")
        first = works.publish({"note": HOSTILE})
        page.reads(f'{{"note":"{SEEN}"}}')
        page.get("button", f"Replay {first}")
        until(
            lambda: [row["Error"] for row in table_of(page, "Dead events")] == [f"RuntimeError: {SEEN}"], "why it died"
        )
        nothing_ran(page)
        page.get("button", "Hold").click()
        page.reads("Held;")
        held = works.publish({"held": True})
        page.get("button", f"Replay {held}")
        assert '{"held":true}' not in page.text()
        page.get("button", "Hold").click()
        page.reads('{"held":true}')  # what came meanwhile is not lost
        told = works.at.get("/v1/streams/orders").body
        tiles = tiles_of(page)
        assert (tiles["Published ever"], tiles["Dead events"]) == (str(told["published"]), "2")
        works.mended.touch()
        page.get("button", f"Replay {first}").click()
        until(lambda: len(table_of(page, "Dead events")) == 1, "one is gone")
        page.get("button", "Replay all").click()
        agree(page, "Replay")
        page.reads("Every event could be handled")
        assert works.at.get("/v1/streams/orders").body["subscriptions"][0]["dead"] == 0
    works.mended.unlink()


def test_a_flood_of_events_does_not_grow_the_page(works: Plant) -> None:
    works.mended.touch()
    with works.operating("streams/orders") as page:
        page.reads("Whatever comes from now on is here.")
        many = [{"type": "order.made", "data": {"number": number}} for number in range(1000)]
        assert works.at.post("/v1/streams/orders/events/batch", {"events": many}).status == 202
        page.reads('{"number":999}')
        page.reads("1,000 since this view was opened.")
        assert page.evaluate("document.querySelector('.tail').childElementCount") == 100
    works.mended.unlink()


def test_a_live_tail_goes_on_where_it_was(works: Plant) -> None:
    works.mended.touch()
    with relay(urlsplit(works.at.url).port or 0) as way, works.operating("streams/orders", url=way.url) as page:
        page.reads("Whatever comes from now on is here.")
        works.publish({"before": 1})
        page.reads('{"before":1}')
        way.cut()
        page.reads("The connection is gone; it is tried again.")
        works.publish({"meanwhile": 2})
        way.mend()
        page.reads('{"meanwhile":2}')
        assert page.text().count('{"before":1}') == 1
    works.mended.unlink()


def test_providers_and_what_models_cost(works: Plant) -> None:
    for model in ("echo/parrot", "echo/parrot", "echo/raven"):
        body = {"model": model, "messages": [{"role": "user", "content": "How much is it?"}]}
        assert works.at.post("/v1/chat/completions", body).status == 200
    with works.operating("ai") as page:
        page.get("table", "Use by model")
        assert [(row["Provider"], row["State"]) for row in table_of(page, "Providers")] == [
            ("echo echo", "active"),
            ("spare openai", "active"),
        ]
        told = {each["model"]: each for each in works.at.get("/v1/usage?user=*&by=model").body["items"]}
        rows = {row["Model"]: row for row in table_of(page, "Use by model")}
        assert set(rows) == {"echo/parrot", "echo/raven"}
        for model in ("parrot", "raven"):
            row, tokens = rows[f"echo/{model}"], told[model]["tokens"]
            assert (row["Calls"], row["Tokens in"]) == (str(told[model]["calls"]), str(tokens["input"]))
            assert float(row["Cost"].lstrip("$")) == pytest.approx(float(told[model]["cost"]))
        assert page.evaluate("document.querySelectorAll('.columns rect:is(.part-0, .part-1)').length") == 2
        assert page.evaluate("document.querySelectorAll('.columns .reach').length") == 30
        page.evaluate("days.value = '7'; days.dispatchEvent(new Event('change'))")
        until(lambda: page.evaluate("document.querySelectorAll('.columns .reach').length") == 7, "a week is drawn")


def test_deliveries_by_channel_and_outcome(works: Plant) -> None:
    carl = works.user("carl")
    told = works.tell(carl, "Disk")
    receipts = f"/v1/notifications/{told}/deliveries"
    ended = {("email", "sent"), ("in_app", "sent")}
    until(
        lambda: {(each["kind"], each["status"]) for each in works.at.get(receipts).body["items"]} >= ended, "all ended"
    )
    with works.operating("notifications") as page:
        page.get("table", "Deliveries by channel and outcome")
        known = {
            each["id"]: each["health"]["details"] for each in works.at.get("/v1/runtime").body["components"]
        }["notifications"]["ended"]  # fmt: skip
        rows = {row["Channel"]: row for row in table_of(page, "Deliveries by channel and outcome")}
        assert rows["E-mail"]["Sent"] == str(known["email sent"])
        assert [row["Breaker"] for row in table_of(page, "Channels") if row["Channel"] == "email E-mail"] == ["closed"]
        page.fill("A notification by its id", told, "searchbox")
        page.press("Enter")
        page.get("table", "Receipts")
        shown = {(row["Channel"], row["Status"]) for row in table_of(page, "Receipts")}
        assert {("E-mail", "sent"), ("Inbox", "sent")} <= shown


def test_a_snippet_runs_in_the_sandbox(works: Plant) -> None:
    with works.operating("sandbox") as page:
        page.get("button", "Run").click()
        page.reads("ok")
        assert page.evaluate("document.querySelector('.outcome pre').textContent") == "6"
        page.fill("Code", "\nconsole.log('<b>' + input); throw new Error('<script>')")
        page.fill("Input", '"given"')
        page.get("button", "Run").click()
        page.reads("Error: <script> (line 2)")
        page.reads("log: <b>given")
        page.fill("Input", "{")
        page.get("button", "Run").click()
        page.reads("The input is no JSON.")

        def counted() -> bool:
            (row,) = table_of(page, "Languages")
            return row["Language"] == "JavaScript" and row["Executions"] == "1 ok, 1 error"

        until(counted, "both are counted")


def test_secrets_have_ages_and_no_values(works: Plant) -> None:
    with works.operating("secrets") as page:
        page.get("table", "Sources of secrets")
        told = works.at.get("/v1/secrets").body["items"]
        shown = table_of(page, "Sources of secrets")
        assert [row["Name"].split()[0] for row in shown] == [each["name"] for each in told]
        assert (shown[0]["Name"], shown[0]["State"], shown[0]["Age"][:3]) == (f"{works.secret} file", "fresh", "1 h")
        works.secret.write_text("another-of-the-files")
        page.get("button", f"Refresh {told[0]['name']}").click()
        until(lambda: page.evaluate("announcer.textContent") == "It was looked at.", "it is said")
        until(lambda: not table_of(page, "Sources of secrets")[0]["Age"].startswith("1 h"), "it is a new one")
        whole = page.evaluate("document.documentElement.outerHTML")
        assert "another-of-the-files" not in whole
        assert "first-of-the-files" not in whole


def test_revisions_say_what_changed(works: Plant) -> None:
    with works.operating("revisions") as page:
        told = works.at.get("/v1/runtime/revisions").body["items"]
        page.get("table", "Revisions")
        rows = table_of(page, "Revisions")
        assert [row["Revision"] for row in rows] == [str(each["number"]) for each in told]
        assert rows[0]["What changed"].startswith(f"create {len(told[0]['plan'])}")
        page.evaluate("document.querySelector('.figures summary').click()")
        page.reads("storage.redis")


def test_a_server_that_is_away_is_told_and_met_again(works: Plant) -> None:
    with relay(urlsplit(works.at.url).port or 0) as way, works.operating("queues/done", url=way.url) as page:
        page.reads("Its jobs are run by")
        way.cut()
        page.reads("The server cannot be reached.")
        page.reads("What is shown is of")
        page.reads("Reconnecting")
        page.reads("Its jobs are run by")  # what was known stays
        page.get("button", "Pause").click()
        agree(page, "Pause")
        page.reads("Try again in a moment.")
        way.mend()
        page.reads("Live")
        until(lambda: "What is shown is of" not in page.text(), "it is met again")
        done = works.at.get("/v1/queues/done").body["completed"]
        works.at.wait_for_job(works.put("done"))
        until(lambda: facts_of(page)["Completed"] == str(done + 1), "figures go on")


def test_a_hidden_tab_asks_nothing(works: Plant) -> None:
    with works.operating("queues") as page:
        page.get("table", "Queues")
        other = works.browser.page(page.context)
        other.open("about:blank")
        other.front()
        until(lambda: page.evaluate("document.hidden"), "nobody looks at it")
        before = len(page.events("Network.requestWillBeSent"))
        page.evaluate("new Promise((done) => setTimeout(done, 3500))")  # longer than it waits from answer to question
        assert len(page.events("Network.requestWillBeSent")) == before
        page.front()
        until(lambda: len(page.events("Network.requestWillBeSent")) > before, "it goes on when it is seen")


def test_views_are_named_labelled_and_in_order(works: Plant) -> None:
    with works.operating() as page:
        for place, heading in VIEWS.items():
            see(page, place, heading)
            assert page.evaluate("document.activeElement.tagName") == "H1", place
            assert page.evaluate("document.querySelectorAll('h1').length") == 1, place
            assert page.evaluate(NAMELESS) == [], place
            assert page.evaluate(DOUBLED) == [], place
            assert page.evaluate(PALE) == [], place
            levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((each) => +each.tagName[1])")
            assert all(after - before <= 1 for before, after in zip([0, *levels], levels, strict=False)), place
            assert page.evaluate("document.querySelector('.ways [aria-current]').textContent") in VIEWS.values(), place
        page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        for place, heading in VIEWS.items():
            see(page, place, heading)
            assert page.evaluate(PALE) == [], place


def test_by_keyboard_alone(works: Plant) -> None:
    with works.operating("queues") as page:
        page.get("table", "Queues")
        page.get("link", "Skip to the content").focus()
        page.press("Enter")
        order = []
        for _ in range(14):
            page.press("Tab")
            order.append(page.evaluate(FOCUSED))
        ways = ["Overview", "Queues", "Streams", "AI", "Notifications", "Sandbox", "Secrets", "Revisions"]
        rest = ["Forget the key", "A job by its id", "Show", "Filter queues", "Needs a look"]
        first = table_of(page, "Queues")[0]["Queue"]
        assert order == [*ways, *rest, first]
        page.press("Enter")
        page.get("heading", first)


@pytest.mark.parametrize("width", [320, 3840])
def test_no_width_hides_anything(works: Plant, width: int) -> None:
    works.mended.unlink(missing_ok=True)
    job = works.put("fails")
    works.at.wait_for_job(job)
    with works.operating() as page:
        page.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        for place, heading in {**VIEWS, "queues/fails": "fails", f"jobs/{job}": job}.items():
            see(page, place, heading)
            assert page.evaluate(TOO_WIDE) == [], place


def test_hundreds_of_queues_and_streams_stay_quick(works: Plant) -> None:
    """What is measured is the page: the API's answers are multiplied in the browser."""
    with works.operating() as page:
        page.evaluate(MULTIPLIED)
        for place, heading, table, number in (
            ("queues", "Queues", "Queues", 200),
            ("streams", "Streams", "Streams", 50),
        ):
            see(page, place, heading)
            counted = f"document.querySelector('table[aria-label={table}]').tBodies[0].rows.length"
            until(lambda: page.evaluate(counted) == number, "all are there")  # noqa: B023
            assert page.evaluate(LONGEST) < 1000, place  # milliseconds; about 200 on a busy machine
        see(page, "queues", "Queues")
        page.fill("Filter queues", "q-19", "searchbox")
        page.reads("11 of 200")


def test_figures_are_as_people_read_them(works: Plant) -> None:
    cases: dict[str, list[tuple[Any, str]]] = {
        "bytes": [(0, "0 B"), (999, "999 B"), (990_093, "990 kB"), (999_600, "1 MB"), (160_000_000, "160 MB")],
        "rate": [(None, "–"), (0, "0/s"), (0.05, "3/min"), (12.34, "12.3/s"), (1234, "1,230/s")],
        "span": [(None, "–"), (0.002, "2 ms"), (59.9, "59 s"), (3_700, "1 h 1 min"), (90_000, "1 d 1 h")],
        "money": [("0.00", "$0.00"), ("0.000000001", "$0.000000001"), ("0.051", "$0.051"), ("12345.67", "$12,345.67")],
    }
    with works.operating() as page:
        asked = json.dumps({name: [one for one, _ in all_] for name, all_ in cases.items()})
        folder = "new URL('operations/', document.querySelector('[href$=\"/app.js\"]').href).href"
        read = f"""
        import({folder} + 'figures.js').then((figures) =>
          Object.fromEntries(Object.entries({asked})
            .map(([name, all]) => [name, all.map((each) =>
              name === 'money' ? figures.money(figures.nano(each)) : figures[name](each))])))
        """
        assert page.evaluate(read) == {name: [text for _, text in all_] for name, all_ in cases.items()}
        at = 1_000_000_000_000
        noted = [[10, 0], [40, 3_000], [40, 60_000], [5, 63_000], [65, 66_000]]
        rates = f"""
        import({folder} + 'history.js').then(({{ History }}) => {{
          const history = new History();
          for (const [value, after] of {noted}) history.note('x', value, {at} + after);
          return [history.points('x', {at} + 66000).slice(-8), history.rate('x', {at} + 66000), history.rate('y')];
        }})
        """  # what nobody saw grow, and what fell, is not told
        assert page.evaluate(rates) == [[None, 10, None, None, None, None, None, 20], 20, None]


def _key(works: Plant, *scopes: str) -> str:
    made = works.at.post("/v1/api-keys", {"name": "less", "scopes": list(scopes)})
    return str(made.body["key"])
