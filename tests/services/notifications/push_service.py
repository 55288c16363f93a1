"""A push service and the browsers that use it: it checks who sends (RFC 8292), they decrypt (RFC 8291)."""

from __future__ import annotations

import json
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_bytes
from typing import TYPE_CHECKING, Any

import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Browser:
    """One that has subscribed.

    Args:
        origin: of its push service.
        path: of its endpoint there.
    """

    origin: str
    path: str
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    secret: bytes = field(default_factory=lambda: token_bytes(16))

    def subscription(self, **more: Any) -> dict[str, Any]:
        """As `PushSubscription.toJSON()` has it."""
        point = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        keys = {"p256dh": _base64(point), "auth": _base64(self.secret)}
        return {"endpoint": self.origin + self.path, "keys": keys, **more}

    def opened(self, body: bytes) -> dict[str, Any]:
        """What its service worker is handed."""
        plain = http_ece.decrypt(body, private_key=self.private, auth_secret=self.secret, version="aes128gcm")
        shown: dict[str, Any] = json.loads(plain)
        return shown


@dataclass
class Request:
    """One that came, after its token was checked."""

    path: str
    headers: dict[str, str]
    body: bytes
    claims: dict[str, Any]
    key: str


@dataclass
class PushService:
    """A push service under a test's control.

    Args:
        answers: status and headers, by path; each list is used up, then it is 201.
    """

    origin: str = ""
    answers: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def browser(self, name: str = "1") -> Browser:
        return Browser(self.origin, f"/push/{name}")

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        try:
            token, key = (each.strip().partition("=")[2] for each in headers["authorization"][6:].split(","))
            point = urlsafe_b64decode(key + "=" * (-len(key) % 4))
            public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
            claims = jwt.decode(token, public, ["ES256"], audience=self.origin, options={"require": ["exp", "sub"]})
        except (KeyError, ValueError, jwt.PyJWTError) as error:
            return 403, {"X-Reason": repr(error)}
        self.requests.append(Request(path, headers, body, claims, key))
        waiting = self.answers.get(path)
        return waiting.pop(0) if waiting else (201, {"Location": f"{self.origin}/message/{len(self.requests)}"})


@contextmanager
def push_service() -> Iterator[PushService]:
    """Runs one on a free port."""
    service = PushService()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers = service.answer(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            said = b"" if status < 300 else b"told\nso"
            self.send_response(status)
            for name, value in {**headers, **({} if status == 204 else {"Content-Length": str(len(said))})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.origin = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _base64(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
