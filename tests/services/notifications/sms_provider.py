"""Providers of text messages: a server that is asked as Twilio, as Vonage, as any other, and takes nothing wrong."""

from __future__ import annotations

import base64
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT, TOKEN = "AC" + "0" * 32, "twilio-token"
KEY, SECRET, SIGNING = "abcd1234", "vonage-secret", "signature-secret-of-this-account"
BEARER = "generic-token"
NUMBER = re.compile(r"[1-9]\d{7,14}")

Reply = tuple[int, Any, dict[str, str]]


@dataclass
class Sent:
    """A request that was taken.

    Args:
        fields: the form or the JSON object, as it came.
    """

    to: str
    body: str
    fields: dict[str, Any]
    id: str
    headers: dict[str, str]


@dataclass
class SmsProvider:
    """A provider under a test's control.

    Args:
        answers: by number, what it says instead of taking a message; each list is used up. `silence` says nothing.
    """

    origin: str = ""
    answers: dict[str, list[Reply | str]] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    """Ends the silences."""

    @property
    def numbers(self) -> list[str]:
        """Whom each message went to, in order."""
        return [each.to for each in self.sent]

    def twilio(self, **more: Any) -> dict[str, Any]:
        """The section of a channel."""
        return {
            "kind": "http", "provider": "twilio", "account": ACCOUNT, "token": TOKEN, "from": "+12025550100",
            "base_url": self.origin, "timeout": "5s", **more,
        }  # fmt: skip

    def vonage(self, **more: Any) -> dict[str, Any]:
        return {
            "kind": "http", "provider": "vonage", "key": KEY, "secret": SECRET, "from": "12025550101",
            "base_url": self.origin, "timeout": "5s", "callback_secret": SIGNING, **more,
        }  # fmt: skip

    def generic(self, **more: Any) -> dict[str, Any]:
        return {
            "kind": "http", "provider": "generic", "url": f"{self.origin}/send", "from": "Core", "timeout": "5s",
            "headers": {"Authorization": f"Bearer {BEARER}"}, "callback_secret": "whsec_c2VjcmV0",
            "answers": {"id": "message.id", "reason": "message.said"}, **more,
        }  # fmt: skip

    def reply(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply | str:
        path = urlsplit(target).path
        if match := re.fullmatch(r"/2010-04-01/Accounts/(\w+)/Messages\.json", path):
            return self._twilio(match[1], method, headers, body)
        if path == "/v1/messages":
            return self._vonage(method, headers, body)
        if path == "/send":
            return self._generic(method, urlsplit(target).query, headers, body)
        return 404, {"message": "no such path"}, {}

    def _twilio(self, account: str, method: str, headers: dict[str, str], body: bytes) -> Reply | str:
        if method != "POST" or not _signed_in(headers, (ACCOUNT, TOKEN), ("SK1", "key-secret")):
            return _twilio_error(401, 20003, "Authenticate")
        if account != ACCOUNT:
            return _twilio_error(404, 20404, "The requested resource was not found")
        form = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
        if headers.get("content-type") != "application/x-www-form-urlencoded":
            return _twilio_error(400, 21604, "A 'To' phone number is required.")
        if not NUMBER.fullmatch(form.get("To", "").removeprefix("+")) or not form["To"].startswith("+"):
            return _twilio_error(400, 21211, f"Invalid 'To' Phone Number: {form.get('To')}")
        if bool(form.get("From")) == bool(form.get("MessagingServiceSid")):
            return _twilio_error(400, 21603, "A 'From' phone number is required.")
        if not 0 < len(form.get("Body", "")) <= 1600:
            return _twilio_error(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
        if "StatusCallback" in form and not re.fullmatch(r"https?://[\w.:]+/\S*", form["StatusCallback"]):
            return _twilio_error(400, 21609, "The 'StatusCallback' URL is not a valid URL")
        id_ = f"SM{len(self.sent):032x}"
        made = {"sid": id_, "status": "queued", "to": form["To"], "num_segments": "1", "error_code": None}
        return self._take(form["To"], form["Body"], form, id_, headers, (201, made, {}))

    def _vonage(self, method: str, headers: dict[str, str], body: bytes) -> Reply | str:
        if method != "POST" or not _signed_in(headers, (KEY, SECRET)):
            return _vonage_error(401, "https://developer.vonage.com/api-errors#unauthorized", "Unauthorized")
        given = json.loads(body)
        wanted = {"message_type": "text", "channel": "sms"}
        wrong = [name for name in ("to", "from", "text", "client_ref") if not isinstance(given.get(name), str)]
        wrong += [name for name, value in wanted.items() if given.get(name) != value]
        wrong += [] if NUMBER.fullmatch(str(given.get("to"))) else ["to"]
        if wrong or headers.get("content-type") != "application/json":
            return _vonage_error(422, "https://developer.vonage.com/api-errors/messages#1020", "Invalid params", *wrong)
        id_ = f"aaaaaaaa-bbbb-4ccc-8ddd-{len(self.sent):012x}"
        return self._take(f"+{given['to']}", given["text"], given, id_, headers, (202, {"message_uuid": id_}, {}))

    def _generic(self, method: str, query: str, headers: dict[str, str], body: bytes) -> Reply | str:
        if headers.get("authorization") != f"Bearer {BEARER}":
            return 401, {"message": {"said": "who are you?"}}, {}
        if method == "GET" or "form" in headers.get("content-type", ""):
            given: dict[str, Any] = dict(parse_qsl(query if method == "GET" else body.decode(), strict_parsing=True))
        else:
            given = json.loads(body)
        id_ = f"g{len(self.sent)}"
        return self._take(given["to"], given["text"], given, id_, headers, (200, {"message": {"id": id_}}, {}))

    def _take(
        self, to: str, body: str, fields: dict[str, Any], id_: str, headers: dict[str, str], taken: Reply
    ) -> Reply | str:
        if waiting := self.answers.get(to):
            answer = waiting.pop(0)
            if answer != "taken, silence":
                return answer
            self.sent.append(Sent(to, body, fields, id_, headers))
            return "silence"
        self.sent.append(Sent(to, body, fields, id_, headers))
        return taken


def _twilio_error(status: int, code: int, message: str) -> Reply:
    info = f"https://www.twilio.com/docs/errors/{code}"
    return status, {"code": code, "message": message, "more_info": info, "status": status}, {}


def _vonage_error(status: int, type_: str, title: str, *wrong: str) -> Reply:
    named = [{"name": name, "reason": "invalid"} for name in wrong]
    return status, {"type": type_, "title": title, "detail": "no", "invalid_parameters": named, "instance": "i"}, {}


def twilio_error(code: int, status: int = 400, message: str = "no", **headers: str) -> Reply:
    """An answer of Twilio's that takes nothing."""
    return (*_twilio_error(status, code, message)[:2], {name.replace("_", "-"): said for name, said in headers.items()})


def vonage_error(code: int, status: int = 422, **headers: str) -> Reply:
    """An answer of Vonage's that takes nothing."""
    type_ = f"https://developer.vonage.com/api-errors/messages#{code}"
    found = _vonage_error(status, type_, "No")
    return (*found[:2], {name.replace("_", "-"): said for name, said in headers.items()})


def _signed_in(headers: dict[str, str], *known: tuple[str, str]) -> bool:
    kind, _, given = headers.get("authorization", "").partition(" ")
    return kind == "Basic" and base64.b64decode(given).decode() in {f"{name}:{word}" for name, word in known}


@contextmanager
def sms_provider() -> Iterator[SmsProvider]:
    """Runs one on a free port."""
    provider = SmsProvider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found = provider.reply(self.command, self.path, headers, body)
            if isinstance(found, str):
                provider.over.wait(30)
                self.close_connection = True
                return
            status, said, more = found
            content = json.dumps(said).encode()
            self.send_response(status)
            for name, value in {**more, "Content-Type": "application/json", "Content-Length": len(content)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET = answer  # noqa: N815 - their names there

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    provider.origin = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        provider.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
