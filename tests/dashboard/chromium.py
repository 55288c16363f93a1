"""A real browser without a window, driven over its DevTools protocol; what is on a page is found as a screen reader
finds it, by role and name.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE: Final = 15.0
"""Seconds until a thing that does not come is a failure."""
PLAIN: Final = "plain.example"
"""A name of this machine that the browser does not take for it: no page of that host is trusted with plain HTTP."""
NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",  # the tests may run as root; no page but our own is opened
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--window-size=1280,900",
    f"--host-resolver-rules=MAP {PLAIN} 127.0.0.1",
    "--password-store=basic",
    "--lang=en-US",
    "--remote-debugging-port=0",
)
_KEYS: Final = {"Tab": 9, "Enter": 13, "Escape": 27, "Space": 32, "ArrowDown": 40}


def installed() -> str | None:
    """The browser of this machine; the variable CHROMIUM names another."""
    return os.environ.get("CHROMIUM") or next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def chromium(folder: Path) -> Iterator[Chromium]:
    """Runs one until the block's end, on a profile of its own."""
    path = installed()
    assert path is not None, "there is no Chromium"
    profile = folder / "profile"
    said = folder / "chromium.txt"
    with said.open("wb") as sink:
        process = subprocess.Popen(
            [path, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**os.environ, "TZ": "Europe/Vienna", "LANGUAGE": "en_US", "HOME": str(folder)},
        )
    try:
        port = profile / "DevToolsActivePort"
        until(lambda: port.exists() and port.read_text().count("\n"), "Chromium did not start")
        number, path = port.read_text().split("\n")[:2]
        with connect(f"ws://127.0.0.1:{number}{path}", max_size=None, compression=None) as socket:
            yield Chromium(socket)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(condition: Callable[[], Any], wrong: str) -> Any:
    """What a condition gives, once it gives something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, wrong
        time.sleep(0.02)
    return found


class Chromium:
    """The running browser."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, *, session: str | None = None, **params: Any) -> Any:
        """Calls a method and waits for its answer."""
        id_ = next(self._ids)
        message = {"id": id_, "method": method, "params": params}
        self._socket.send(json.dumps(message if session is None else {**message, "sessionId": session}))
        while True:
            answer = json.loads(self._socket.recv(timeout=PATIENCE))
            if answer.get("id") == id_:
                if "error" in answer:
                    raise ProtocolError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    @contextmanager
    def profile(self) -> Iterator[Page]:
        """A page with cookies of its own."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        try:
            yield self.page(context)
        finally:
            self.send("Target.disposeBrowserContext", browserContextId=context)

    def page(self, context: str | None = None) -> Page:
        """A further tab of a profile."""
        place = {"browserContextId": context} if context else {}
        target = self.send("Target.createTarget", url="about:blank", **place)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session, target, context)


class ProtocolError(Exception):
    """The browser does not do it."""


class Page:
    """A tab."""

    def __init__(self, browser: Chromium, session: str, target: str, context: str | None) -> None:
        self.browser = browser
        self.context = context
        self.target = target
        self._session = session
        for domain in ("Page", "Runtime", "Log", "DOM", "Accessibility", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> Any:
        return self.browser.send(method, session=self._session, **params)

    def events(self, *methods: str) -> list[dict[str, Any]]:
        """What the browser has told of this page."""
        self.evaluate("0")  # what was told before its answer has come
        mine = [event for event in self.browser.events if event.get("sessionId") == self._session]
        return [event["params"] for event in mine if event["method"] in methods]

    def complaints(self) -> list[str]:
        """What a developer would find in the console: exceptions, violations of the policy, wrong uses."""
        thrown = [each["exceptionDetails"] for each in self.events("Runtime.exceptionThrown")]
        logged = [each["entry"] for each in self.events("Log.entryAdded")]
        said = [each for each in self.events("Runtime.consoleAPICalled") if each["type"] in ("error", "warning")]
        return [
            *(str(each.get("exception", {}).get("description") or each["text"]) for each in thrown),
            *(f"{each['source']}: {each['text']}" for each in logged if each["source"] != "network"),
            *(str(each["args"]) for each in said),
        ]

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def front(self) -> None:
        """Makes it the one of its window's tabs that is seen."""
        self.send("Page.bringToFront")

    def evaluate(self, script: str) -> Any:
        """The value of an expression; of a promise, once it has one."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise ProtocolError(str(answer["exceptionDetails"].get("exception", {}).get("description")))
        return answer["result"].get("value")

    def find(self, role: str, name: str | None = None) -> list[Node]:
        """What a screen reader would find by role and name; nothing hidden."""
        wanted = {"role": role} if name is None else {"role": role, "accessibleName": name}
        try:
            root = self.send("DOM.getDocument", depth=0)["root"]["backendNodeId"]
            found = self.send("Accessibility.queryAXTree", backendNodeId=root, **wanted)["nodes"]
        except ProtocolError:  # the page is on its way out
            return []
        return [Node(self, each) for each in found if not each["ignored"]]

    def get(self, role: str, name: str | None = None) -> Node:
        """The one thing of a role and a name, once it is there."""

        def look() -> Node | None:
            found = self.find(role, name)
            return found[0] if len(found) == 1 else None

        found: Node = until(look, f"no {role} {name!r} in: {self.text()}")
        return found

    def text(self) -> str:
        """What can be read on the page."""
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def reads(self, words: str) -> None:
        """Waits until words can be read."""
        until(lambda: words in self.text(), f"no {words!r} in: {self.text()}")

    def fill(self, name: str, value: str, role: str = "textbox") -> None:
        """Types into a field as a user does, over what is there."""
        until(lambda: self.get(role, name).focus(), f"{name!r} takes no focus")
        self.evaluate("document.activeElement.select()")
        self.send("Input.insertText", text=value)

    def press(self, key: str) -> None:
        """A key of the keyboard."""
        code = {"key": " " if key == "Space" else key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
        text = {"Enter": "\r", "Space": " "}.get(key)
        self.send("Input.dispatchKeyEvent", type="keyDown", **code, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **code)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))


class Node:
    """Something on a page."""

    def __init__(self, page: Page, found: dict[str, Any]) -> None:
        self._page = page
        self._id = found["backendDOMNodeId"]
        self.name: str = found.get("name", {}).get("value", "")
        self.description: str = found.get("description", {}).get("value", "")
        self.properties = {each["name"]: each["value"].get("value") for each in found.get("properties", ())}

    def focus(self) -> bool:
        """Gives whether it has it: it may just have been replaced by another."""
        try:
            self._page.send("DOM.focus", backendNodeId=self._id)
        except ProtocolError:
            return False
        return True

    def click(self) -> None:
        """With the mouse, in its middle."""
        object_ = self._page.send("DOM.resolveNode", backendNodeId=self._id)["object"]["objectId"]
        centre = "function () { this.scrollIntoView({ block: 'center' }) }"  # and not under what stays at the top
        self._page.send("Runtime.callFunctionOn", objectId=object_, functionDeclaration=centre)
        box = self._page.send("DOM.getBoxModel", backendNodeId=self._id)["model"]["content"]
        place = {"x": (box[0] + box[4]) / 2, "y": (box[1] + box[5]) / 2, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self._page.send("Input.dispatchMouseEvent", type=kind, **place)
