"""The receivers in processes of their own, the mail server apart from the others, and what arrived there."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02

from benchmarks.notices import receivers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAM = Path(receivers.__file__)
TITLE, BODY = "Disk", "It is almost full."


@dataclass(frozen=True, slots=True)
class Doors:
    """Where messages go.

    Args:
        smtp: the port of the mail server.
        http: the port of the push service and of the provider of text messages.
        mails: the port that tells which mails came.
    """

    smtp: int
    http: int
    mails: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    def forget(self) -> None:
        for port in (self.http, self.mails):
            _ask(port, "/forget", "POST")

    def mailed(self) -> int:
        """Mails that came."""
        return int(_ask(self.mails, "/arrived")["came"]["email"][0])

    def require_exact(self, kinds: Sequence[str], users: int) -> float:
        """Checks that each user has got each message once, and nothing else came.

        Returns:
            Seconds of CPU that the busier of the receivers has spent.
        """
        web, mail = _ask(self.http, "/arrived"), _ask(self.mails, "/arrived")
        came = {**web["came"], "email": mail["came"]["email"]}
        wanted = {kind: [users, users] if kind in kinds else [0, 0] for kind in receivers.KINDS}
        if came != wanted or web["wrong"] or mail["wrong"]:
            raise SystemExit(f"came {came}, not {wanted}; wrong: {web['wrong']} {mail['wrong']}")
        return float(max(web["cpu"], mail["cpu"]))

    def samples(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = _ask(self.http, "/samples")
        return found


class Browser:
    """Keys of a browser: what is pushed to it can be read with them, and by nobody else."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        self._auth = b"sixteen bytes..!"
        point = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.keys = {"p256dh": _base64(point), "auth": _base64(self._auth)}

    def require_read(self, samples: Sequence[dict[str, str]], origin: str) -> int:
        """Decrypts pushes and checks their text, their signature and whom it is for; returns how many there were."""
        for sample in samples:
            sealed = b64decode(sample["body"])
            shown = json.loads(
                http_ece.decrypt(sealed, private_key=self._private, auth_secret=self._auth, version="aes128gcm")
            )
            assert (shown["title"], shown["body"]) == (TITLE, BODY), shown
            assert Vapid02.verify(sample["signed"]), sample["signed"]
            claims = sample["signed"].partition("t=")[2].split(".")[1]
            assert json.loads(urlsafe_b64decode(claims + "=="))["aud"] == origin, claims
        return len(samples)


@contextmanager
def doors() -> Iterator[Doors]:
    """Runs the receivers."""
    with ExitStack() as ends:
        ports = _free_ports(4)
        for smtp, http in (ports[:2], ports[2:]):
            line = [sys.executable, str(PROGRAM), str(smtp), str(http)]
            process = ends.enter_context(subprocess.Popen(line, stdout=subprocess.PIPE))
            ends.callback(process.terminate)
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise SystemExit("the receivers do not start")
        yield Doors(smtp=ports[0], mails=ports[1], http=ports[3])


def _ask(port: int, path: str, method: str = "GET") -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def _base64(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return found
