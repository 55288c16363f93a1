"""Signing keys: made once, published before they sign, retired without a refused token."""

from __future__ import annotations

import stat
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from runtime.errors import Conflict, Fault
from runtime.services.auth.signing import PUBLISHED, KeyRing
from runtime.services.auth.tokens import BadToken, Tokens

if TYPE_CHECKING:
    from pathlib import Path

KEEP = 1140.0


class Clock:
    """Moves the time of this process forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = time.time
        self.ahead = 0.0
        monkeypatch.setattr(time, "time", lambda: self._real() + self.ahead)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def opened(folder: Path, **more: Any) -> KeyRing:
    ring = KeyRing(folder, keep=KEEP, **more)
    await ring.open()
    return ring


def over(ring: KeyRing) -> Tokens:
    # PyJWT's clock is not moved with ours: a wide leeway lets it read what a later one has signed.
    return Tokens(ring, issuer="https://core.example.com", audience="core", life=900, leeway=2000)


def pem(bits: int = 2048) -> str:
    key = rsa.generate_private_key(65537, bits)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def test_the_first_start_makes_a_key_that_the_next_one_reads(tmp_path: Path) -> None:
    first = await opened(tmp_path / "keys")
    (file,) = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    again = await opened(tmp_path / "keys")
    assert again.active.kid == first.active.kid
    assert over(again).read(over(first).issue("user:1", "s")).user == "user:1"


async def test_others_can_verify_with_the_published_list(tmp_path: Path) -> None:
    ring = await opened(tmp_path)
    token = over(ring).issue("user:1", "s")
    (published,) = ring.jwks()["keys"]
    assert {name: published[name] for name in ("alg", "use", "key_ops", "kty")} == {
        "alg": "RS256", "use": "sig", "key_ops": ["verify"], "kty": "RSA"
    }  # fmt: skip
    assert not {"d", "p", "q"} & set(published)
    key = jwt.PyJWK(published)
    assert jwt.decode(token, key, ["RS256"], audience="core")["sub"] == "user:1"


async def test_a_rotation_refuses_no_token(tmp_path: Path, clock: Clock) -> None:
    ring, other = await opened(tmp_path), await opened(tmp_path)
    first = ring.active.kid
    before = over(ring).issue("user:1", "s")
    made, _ = await ring.rotate()
    assert [(key.kid, state) for key, state in ring.states()] == [(made.kid, "published"), (first, "active")]
    with pytest.raises(Conflict, match="about to sign"):
        await ring.rotate()
    other.read()
    assert len(other.jwks()["keys"]) == 2
    clock.ahead += PUBLISHED + 1
    assert ring.active.kid == made.kid
    assert over(other).read(over(ring).issue("user:2", "s")).kid == made.kid
    assert over(other).read(before).kid == first
    ring.sweep()
    assert [state for _, state in ring.states()] == ["active", "retired"]
    clock.ahead += KEEP
    ring.sweep()
    assert [key.kid for key, _ in ring.states()] == [made.kid]
    assert len(list(tmp_path.iterdir())) == 1
    other.read()
    assert other.find(first) is None


async def test_a_key_of_another_process_is_found_when_its_first_token_comes(tmp_path: Path) -> None:
    ring, other = await opened(tmp_path), await opened(tmp_path)
    await ring.rotate(compromised=True)
    assert over(other).read(over(ring).issue("user:1", "s")).user == "user:1"


async def test_tokens_of_a_compromised_key_are_refused_at_once(tmp_path: Path) -> None:
    ring = await opened(tmp_path)
    before = over(ring).issue("user:1", "s")
    made, removed = await ring.rotate(compromised=True)
    assert ring.active.kid == made.kid
    assert len(removed) == len(ring.jwks()["keys"]) == 1
    with pytest.raises(BadToken):
        over(ring).read(before)


async def test_keys_of_the_spec_verify_both_and_are_not_rotated_here(tmp_path: Path) -> None:
    present, previous = pem(), pem()
    old = await opened(tmp_path, given=[("auth.jwt.signing_key", previous)])
    both = await opened(tmp_path, given=[("auth.jwt.signing_key", present), ("auth.jwt.previous_key", previous)])
    assert over(both).read(over(old).issue("user:1", "s"))
    assert both.active.kid != old.active.kid
    with pytest.raises(Conflict, match="come from the spec"):
        await both.rotate()
    both.sweep()
    assert len(both.jwks()["keys"]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["", "nonsense", pem(1024)])
async def test_what_is_no_good_key_is_refused_without_showing_it(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(Fault, match=r"auth\.jwt\.signing_key") as refused:
        await opened(tmp_path, given=[("auth.jwt.signing_key", wrong)])
    assert "BEGIN" not in str(refused.value)


async def test_a_file_that_others_may_read_or_that_is_swapped_is_refused(tmp_path: Path) -> None:
    await opened(tmp_path)
    (file,) = tmp_path.iterdir()
    file.chmod(0o644)
    with pytest.raises(Fault, match="0644"):
        await opened(tmp_path)
    file.chmod(0o600)
    file.write_text(pem())
    with pytest.raises(Fault, match="not the one"):
        await opened(tmp_path)
