"""Signing keys are replaced while their tokens are in use: over real HTTP, under load, nobody is refused."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from runtime.services.auth.jwk import thumbprint
from runtime.testing import RunningEnvironment, running
from tests.browser import Browser
from tests.openbao import ROOT, openbao
from tests.production import await_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.openbao import OpenBao

__all__ = ["openbao"]

PASSWORD = "correct horse battery"
ADA = "ada@example.com"
CHEAP: dict[str, Any] = {"passwords": {"rounds": 4}, "api_keys": {"rounds": 4}}


def spec(folder: Path, auth: dict[str, Any], **more: Any) -> Path:
    path = folder / "spec.yaml"
    base = {"version": 1, "name": "keys", "api": {"rate_limit": "1000000/m"}, "auth": {**CHEAP, **auth}}
    path.write_text(json.dumps({**base, **more}))
    return path


def new_key() -> tuple[str, str]:
    """A key as PEM, and its kid."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return pem, thumbprint(key.public_key())


class Load:
    """Browsers that are signed in and never stop: each call must succeed, whatever becomes of the keys.

    Args:
        kids: of the keys that have signed the tokens that they were given.
    """

    def __init__(self, at: RunningEnvironment) -> None:
        self.at = at
        self.calls = 0
        self.kids: set[str] = set()
        self.failures: list[str] = []
        self._end = threading.Event()

    @contextmanager
    def flowing(self, browsers: int = 3) -> Iterator[Load]:
        threads = [threading.Thread(target=self._browse) for _ in range(browsers)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._end.set()
            for thread in threads:
                thread.join(30)
        assert self.failures == []

    def until(self, true: Callable[[], bool], patience: float = 30.0) -> None:
        deadline = time.monotonic() + patience
        while not true():
            assert self.failures == []
            assert time.monotonic() < deadline, (self.kids, self.calls)
            time.sleep(0.02)

    def more(self, calls: int) -> None:
        """Returns when so many further calls have succeeded."""
        goal = self.calls + calls
        self.until(lambda: self.calls >= goal)

    def _browse(self) -> None:
        with Browser(self.at) as browser:
            answer = browser.sign_in(ADA, PASSWORD)
            while not self._end.is_set():
                if answer.status_code != 200:
                    self.failures.append(f"{answer.request.url} {answer.status_code} {answer.text}")
                    return
                self.calls += 1
                self.kids.add(jwt.get_unverified_header(browser.cookies["__Host-access"])["kid"])
                if self.calls % 10:
                    answer = browser.send("GET", "/v1/profile")
                else:
                    answer = browser.send("POST", "/v1/auth/refresh")


def signing(at: RunningEnvironment) -> dict[str, str]:
    return {key["kid"]: key["state"] for key in at.get("/v1/signing-keys").body["items"]}


def test_keys_rotate_under_load_without_a_401(tmp_path: Path) -> None:
    """The whole life of two keys, published, active, retired and removed. The next key lies in the folder with the
    second from which it signs, as another process of the environment would have put it there: a key that is made by
    `rotate` would be published for five minutes."""
    quick = {"access_ttl": "1s", "leeway": "0s"}
    with running(spec(tmp_path, {"jwt": quick})) as at:
        assert at.post("/v1/users", {"email": ADA, "password": PASSWORD}).status == 201
        (first,) = signing(at)
        pem, second = new_key()
        with Load(at).flowing() as load:
            load.more(20)
            folder = at.state.path / "keys"
            draft = folder / ".draft"
            draft.touch(mode=0o600)
            draft.write_text(pem)
            draft.rename(folder / f"{int(time.time()) + 3}-{second}.pem")
            load.until(lambda: signing(at).get(second) == "published")
            published = at.request("GET", "/.well-known/jwks.json", headers={"Authorization": ""}).body["keys"]
            assert {key["kid"] for key in published} == {first, second}
            assert load.kids == {first}
            load.until(lambda: signing(at) == {second: "active", first: "retired"})
            load.until(lambda: second in load.kids)
            load.until(lambda: signing(at) == {second: "active"})
            load.more(50)
        assert load.kids == {first, second}


def test_a_signing_key_in_vault_is_replaced_while_its_tokens_are_in_use(tmp_path: Path, openbao: OpenBao) -> None:
    name = openbao.name("signing")
    (one, first), (two, second) = new_key(), new_key()
    openbao.put(name, private_key=one, previous_key=one)
    paths = {"signing": {"path": f"secret/data/{name}", "refresh": "100ms"}}
    vault = {"vault": {"address": openbao.url, "auth": {"method": "token", "token": ROOT}, "paths": paths}}
    keys = {"signing_key": "${vault:signing#private_key}", "previous_key": "${vault:signing#previous_key}"}
    streams: dict[str, Any] = {"system": {"events": {"secret.rotated": {}}}}
    with running(spec(tmp_path, {"jwt": keys}, secrets=vault, events={"streams": streams})) as at:
        assert at.post("/v1/users", {"email": ADA, "password": PASSWORD}).status == 201
        assert signing(at) == {first: "active"}
        with Browser(at) as idle, Load(at).flowing() as load:
            assert idle.sign_in(ADA, PASSWORD).status_code == 200
            load.more(20)
            openbao.put(name, private_key=two, previous_key=one)
            await_event(at, "secret.rotated", name="signing", version="2")
            load.until(lambda: second in load.kids)
            assert signing(at) == {second: "active", first: "retired"}
            load.more(50)
            assert idle.send("GET", "/v1/profile").status_code == 200  # by a token that the first one signed
        assert load.kids == {first, second}
        assert at.post("/v1/signing-keys/rotate", {}).status == 409
        for pem in (one, two):
            assert pem.splitlines()[1] not in at.output
