"""An environment with something to see for an operator, and a browser on its page."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.testing import running
from tests.dashboard.chromium import chromium
from tests.dashboard.conftest import PASSWORD, TEMPLATES, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.dashboard.chromium import Page

AGE = 3_700.0
"""Seconds since the secret was written: an hour and a bit."""
ONCE = {"attempts": 1}
SPEC: dict[str, Any] = {
    "version": 1,
    "name": "plant",
    "plugins": ["works"],
    "api": {"rate_limit": "100000/m"},
    "auth": {"signup": "closed", "passwords": {"rounds": 4}},
    "queues": {
        "done": {"handler": "works.done", "concurrency": 4},
        "fails": {"handler": "works.fails", "concurrency": 1, "retry": ONCE},
        "waits": {"handler": "works.waits", "concurrency": 2, "retry": ONCE},
        "sandbox": {"handler": "sandbox.execute", "concurrency": 1},
    },
    "events": {
        "streams": {"orders": {"events": {"order.made": {"description": "Somebody has ordered."}}}},
        "subscriptions": {
            "takes": {"stream": "orders", "handler": "works.takes", "retry": ONCE, "dead_letter": True},
        },
    },
    "ai": {
        "providers": {
            "echo": {"kind": "echo", "limits": {"requests": "500/m"}},
            "spare": {"kind": "openai", "api_key": "${file:secret}"},
        },
        "chains": {"default": ["echo/parrot"]},
        "prices": {"echo/parrot": {"input": 100, "output": 200}, "echo/raven": {"input": 1, "output": 1}},
    },
    "notifications": {
        "channels": {
            "email": {"kind": "smtp", "host": "embedded", "from": "Site <site@example.com>"},
            "in_app": {"kind": "in_app"},
        },
        "categories": {"system-alert": {"template": "templates/system-alert", "channels": ["in_app", "email"]}},
    },
    "sandbox": {"languages": ["javascript"]},
}


class Plant(Site):
    """The environment, its browser, and a mark that lets what fails succeed."""

    mended: Path
    secret: Path

    def operator(self, name: str) -> str:
        """The address of a new account that may do everything."""
        address = f"{name}@example.com"
        wanted = {"email": address, "password": PASSWORD, "verified": True, "scopes": ["runtime:admin"]}
        made = self.at.post("/v1/users", wanted)
        assert made.status == 201, made
        self.users[address] = made.body["id"]
        return address

    def put(self, queue: str, **payload: Any) -> str:
        """A job's id."""
        taken = self.at.post(f"/v1/queues/{queue}/jobs", {"payload": payload})
        assert taken.status == 202, taken
        return str(taken.body["id"])

    def publish(self, data: dict[str, Any], **more: Any) -> str:
        taken = self.at.post("/v1/streams/orders/events", {"type": "order.made", "data": data, **more})
        assert taken.status == 202, taken
        return str(taken.body["id"])

    @contextmanager
    def operating(self, place: str = "overview", key: str = "", url: str = "") -> Iterator[Page]:
        """A browser on one of the operator's views, by a key; nothing may be wrong with it."""
        with self.browser.profile() as page:
            page.open(f"{url or self.at.url}/#/key")
            page.fill("Key", key or self.at.key)
            page.press("Enter")
            page.get("heading", "Overview")
            if place != "overview":
                page.evaluate(f"location.hash = '#/{place}'")
            page.reads("Live")
            yield page
            assert page.complaints() == []


@contextmanager
def plant(folder: Path) -> Iterator[Plant]:
    """Runs one until the block's end."""
    (folder / "templates").symlink_to(TEMPLATES)
    shutil.copy(Path(__file__).with_name("works.py"), folder)
    (folder / "spec.yaml").write_text(json.dumps(SPEC).replace("file:secret", f"file:{folder}/secret"))
    secret = folder / "secret"
    secret.write_text("first-of-the-files")
    os.utime(secret, (then := time.time() - AGE, then))
    mended = folder / "mended"
    environ = {"MENDED": str(mended)}
    with chromium(folder) as browser, running(folder / "spec.yaml", environ=environ) as at:
        made = Plant(at, browser)
        made.mended, made.secret = mended, secret
        yield made
