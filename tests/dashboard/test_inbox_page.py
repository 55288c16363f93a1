"""The inbox on the page: live, through breaks, and always as text; and what its owner wants to be told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.dashboard.chromium import ProtocolError, until
from tests.dashboard.conftest import sign_in
from tests.dashboard.relay import relay
from tests.services.notifications.push_service import push_service

if TYPE_CHECKING:
    from tests.dashboard.chromium import Page
    from tests.dashboard.conftest import Site

SUBSCRIBED = """
PushManager.prototype.subscribe = async function (options) {
  const made = %s;
  const subscription = { endpoint: made.endpoint, options: {}, toJSON: () => made, unsubscribe: async () => true };
  this.constructor.prototype.getSubscription = async () => subscription;
  return subscription;
};
"""
"""In the place of the browser's own push service, which is somewhere in the internet."""


def test_what_comes_is_there_at_once_is_read_and_put_away(site: Site) -> None:
    ada = site.user("ada")
    with site.visit(ada) as page:
        page.reads("Nothing here yet")
        site.tell(ada, "Disk", "It is\nalmost full.", link="https://status.example.com/7")
        page.get("heading", "Unread: Disk")
        page.reads("It is\nalmost full.")
        assert page.evaluate("document.title") == "(1) Inbox · Runtime"
        assert page.get("link", "Inbox 1 unread")
        until(lambda: page.evaluate("announcer.textContent") == "New: Disk", "those who listen are told")
        followed = "document.querySelector('.follow')"
        assert page.evaluate(f"[{followed}.href, {followed}.rel]") == [
            "https://status.example.com/7",
            "noopener noreferrer",
        ]
        site.tell(ada, "Second")
        page.get("link", "Inbox 2 unread")
        assert [each.name for each in page.find("heading")] == ["Inbox", "Today", "Unread: Second", "Unread: Disk"]
        page.find("button", "Mark as read")[0].click()
        page.get("link", "Inbox 1 unread")
        page.find("button", "Archive")[0].focus()
        page.press("Enter")
        until(lambda: not page.find("heading", "Second"), "it is put away")
        described = "document.getElementById(document.activeElement.getAttribute('aria-describedby')).textContent"
        assert page.evaluate(described) == "Unread: Disk"
        page.get("button", "Mark all as read").click()
        page.get("link", "Inbox")
        assert page.evaluate("document.title") == "Inbox · Runtime"
        page.get("link", "Unread").click()
        page.reads("All read")
        page.get("link", "Archive").click()
        page.get("heading", "Second")
        assert site.at.get(f"/v1/notifications?user={site.users[ada]}").body["unread"] == 0


def test_what_is_done_on_another_device_is_seen_here(site: Site) -> None:
    cleo = site.user("cleo")
    with site.visit(cleo) as here, site.visit(cleo) as there:
        for title in ("First", "Second"):
            site.tell(cleo, title)
        for page in (here, there):
            page.get("link", "Inbox 2 unread")
        there.find("button", "Mark as read")[0].click()
        here.get("link", "Inbox 1 unread")
        until(lambda: not here.find("heading", "Unread: Second"), "it was read")
        there.find("button", "Archive")[0].click()
        until(lambda: not here.find("heading", "Second"), "it was put away")
        here.get("heading", "Unread: First")


def test_whatever_comes_is_text(site: Site) -> None:
    eve = site.user("eve")
    attack = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script>"
    with site.visit(eve) as page:
        site.tell(eve, attack, attack, link="/docs?<script>")
        page.get("heading", f"Unread: {attack}")
        assert page.evaluate("document.querySelectorAll('main :is(img, script, iframe, style)').length") == 0
        assert page.evaluate("window.pwned") is None
        assert page.evaluate("document.querySelector('.follow').href") == f"{site.at.url}/docs?%3Cscript%3E"


def test_links_lead_to_pages_only(site: Site) -> None:
    cases = {
        "https://a.example/x": "https://a.example/x", "/orders/7": f"{site.at.url}/orders/7",
        "//b.example": "http://b.example/", "javascript:alert(1)": None, " JaVaScRiPt:alert(1)": None,
        "java\nscript:alert(1)": None, "data:text/html,x": None, "vbscript:x": None, "blob:x": None,
        "file:///etc/passwd": None, "http://[": None, "": None, None: None,
    }  # fmt: skip
    with site.visit() as page:
        module = "document.querySelector('[href$=\"/texts.js\"]').href"
        shown = page.evaluate(
            f"import({module}).then(({{ safe }}) => {json.dumps(list(cases))}.map((each) => safe(each)?.href))"
        )
        assert dict(zip(cases, [each or None for each in shown], strict=True)) == cases


def test_the_policy_lets_in_nothing(site: Site) -> None:
    with site.browser.profile() as page:
        page.open(f"{site.at.url}/")
        page.get("heading", "Sign in")
        with pytest.raises(ProtocolError, match="TrustedHTML"):
            page.evaluate("document.body.innerHTML = '<b>x</b>'")
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('img'), {src: 'https://a.example/x'}))"
        )
        until(lambda: any("Content Security Policy" in each for each in page.complaints()), "the browser complains")


def test_a_break_loses_nothing_and_doubles_nothing(site: Site) -> None:
    bob = site.user("bob")
    with relay(urlsplit(site.at.url).port or 0) as way, site.visit(bob, way.url) as page:
        site.tell(bob, "Before")
        page.get("heading", "Unread: Before")
        way.cut()
        page.reads("Reconnecting")
        for number in range(3):
            site.tell(bob, f"Missed {number}")
        way.mend()
        page.reads("Live")
        page.get("link", "Inbox 4 unread")
        site.tell(bob, "After")
        page.get("link", "Inbox 5 unread")
        titles = ["After", "Missed 2", "Missed 1", "Missed 0", "Before"]
        assert page.evaluate("[...document.querySelectorAll('h3')].map((each) => each.lastChild.data)") == titles
        for offline, said in ((True, "Offline"), (False, "Live")):
            page.send("Network.emulateNetworkConditions", offline=offline, **_FAST)
            page.reads(said)


def test_whoever_does_not_look_is_told_otherwise(site: Site) -> None:
    lena = site.user("lena")

    def mailed() -> bool:
        """Whether a further notification goes out by mail too, and not to an open connection alone."""
        path = f"/v1/notifications/{site.tell(lena, 'Far')}/deliveries"

        def settled() -> Any:
            (mail,) = [each for each in site.at.get(path).body["items"] if each["kind"] == "email"]
            return mail["status"] in ("sent", "suppressed") and mail

        return bool(until(settled, "the mail is decided on")["status"] == "sent")

    with site.browser.profile() as page:
        page.send("Page.addScriptToEvaluateOnNewDocument", source=_SOON)
        page.open(site.at.url)
        sign_in(page, lena)
        assert not mailed()
        site.browser.page(page.context)  # a tab in front of it
        until(mailed, "mails come again")
        before = page.text()
        page.front()
        until(lambda: page.text().count("Far") > before.count("Far"), "what came meanwhile is there")
        page.reads("Live")
        assert not mailed()


def test_what_is_chosen_is_kept(site: Site) -> None:
    carl = site.user("carl")

    def kept() -> Any:
        return site.at.get(f"/v1/notifications/preferences?user={site.users[carl]}").body

    with site.visit(carl) as page:
        page.get("link", "Settings").click()
        page.get("switch", "E-mail: Troubles of the system").click()
        until(lambda: kept()["categories"].get("system-alert", {}).get("to_emails") is False, "a channel of a category")
        page.get("switch", "On: Offers and news").click()
        until(lambda: kept()["categories"].get("promotion", {}).get("enabled"), "a category that is out by itself")
        assert kept()["categories"]["system-alert"]["to_emails"] is False
        page.get("switch", "Push").focus()
        page.press("Space")
        until(lambda: kept()["to_push"] is False, "a channel")
        assert page.get("switch", "Push: Account security").properties["disabled"] is True
        page.evaluate("quiet.value = 'own'; quiet.dispatchEvent(new Event('change'))")
        until(lambda: kept()["quiet_hours"] == {"start": "22:00", "end": "07:00"}, "the user's own hours")
        page.get("button", "Use this browser\N{RIGHT SINGLE QUOTATION MARK}s: American English, Europe/Vienna").click()
        page.reads("Language and clock: American English, Europe/Vienna")
        page.open(f"{site.at.url}/#/inbox")
        page.get("link", "Settings").click()
        assert page.get("switch", "E-mail: Troubles of the system").properties["checked"] == "false"


def test_push_messages_reach_this_device(site: Site) -> None:
    dora = site.user("dora")
    with push_service() as service, site.visit(dora) as page:
        phone = service.browser()
        site.browser.send(
            "Browser.grantPermissions", permissions=["notifications"], origin=site.at.url, browserContextId=page.context
        )
        page.send("ServiceWorker.enable")
        page.get("link", "Settings").click()
        page.reads("This device gets no push messages.")
        page.evaluate(SUBSCRIBED % json.dumps(phone.subscription(expirationTime=None)))
        page.get("button", "Turn on here").click()
        page.reads("This device gets push messages.")
        site.tell(dora, "Signed in", "From <b>far</b>", "account-security", link="/#/devices")
        until(lambda: service.requests, "the push service has it")
        message = json.dumps(phone.opened(service.requests[0].body))
        (scope,) = {
            each["registrationId"]
            for event in page.events("ServiceWorker.workerRegistrationUpdated")
            for each in event["registrations"]
            if each["scopeURL"] == f"{site.at.url}/dashboard/"
        }

        def delivered() -> Any:
            page.send("ServiceWorker.deliverPushMessage", origin=site.at.url, registrationId=scope, data=message)
            return _notifications(page)

        found = until(delivered, "the worker shows it")
        assert [found[0][key] for key in ("title", "body", "link")] == ["Signed in", "From <b>far</b>", "/#/devices"]
        page.get("button", "Turn off here").click()
        page.reads("This device gets no push messages.")
        mine = site.at.get(f"/v1/notifications/push-subscriptions?user={site.users[dora]}")
        assert mine.body["items"] == []


@pytest.mark.parametrize("width", [320, 3840])
def test_no_width_hides_anything(site: Site, width: int) -> None:
    kim = site.user(f"kim{width}")
    site.tell(kim, "W" * 200, "a-very-long-address-without-a-place-to-break" * 10, link=f"https://{'a' * 60}.example/")
    with site.visit(kim) as page:
        page.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        for view, heading in _HEADINGS.items():
            page.evaluate(f"location.hash = '#/{view}'")
            page.get("heading", heading)
            until(lambda: page.evaluate("!document.querySelector('[aria-busy=true]')"), "the view is complete")
            assert page.evaluate(_TOO_WIDE) == [], view


_HEADINGS = {
    "devices": "Devices", "inbox": "Inbox", "settings": "Settings", "archive": "Inbox", "add": "Add an account",
    "sign-up": "Create an account", "reset": "Choose a new password",
}  # fmt: skip
_TOO_WIDE = """
[...document.querySelectorAll('body *')]
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.unseen'))
  .map((each) => each.outerHTML)
"""
_SOON = """
const later = window.setTimeout;
window.setTimeout = (act, time) => later(act, time >= 300000 ? 0 : time);
"""
_FAST = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}


def _notifications(page: Page) -> Any:
    return page.evaluate(
        "navigator.serviceWorker.getRegistration('/dashboard/').then((each) => each.getNotifications()).then((all) =>"
        " all.map(({title, body, data}) => ({title, body, link: data.link})))"
    )
