"""Access tokens: what is read, and every attack of which none may be."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from runtime.services.auth.signing import KeyRing
from runtime.services.auth.tokens import BadToken, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ISSUER, AUDIENCE = "https://core.example.com", "core"


@pytest.fixture(scope="module")
def stranger() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
async def ring(tmp_path: Path) -> KeyRing:
    ring = KeyRing(tmp_path / "keys", keep=1020)
    await ring.open()
    return ring


@pytest.fixture
def tokens(ring: KeyRing) -> Tokens:
    return Tokens(ring, issuer=ISSUER, audience=AUDIENCE, life=900, leeway=120)


def text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class Forge:
    """Makes tokens that are right but for what a test changes."""

    def __init__(self, ring: KeyRing) -> None:
        self.key = ring.active
        now = int(time.time())
        self.header: dict[str, Any] = {"alg": "RS256", "kid": self.key.kid, "typ": "at+jwt"}
        self.claims: dict[str, Any] = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": "user:1", "sid": "s", "jti": "j", "iat": now, "exp": now + 900
        }  # fmt: skip

    def made(
        self,
        header: dict[str, Any] | str | None = None,
        claims: dict[str, Any] | str | None = None,
        sign: Callable[[bytes], bytes] | None = None,
    ) -> str:
        parts = [
            text((part if isinstance(part, str) else json.dumps(part)).encode())
            for part in (
                header if isinstance(header, str) else {**self.header, **(header or {})},
                claims if isinstance(claims, str) else {**self.claims, **(claims or {})},
            )
        ]
        signed = ".".join(parts).encode()
        return f"{'.'.join(parts)}.{text((sign or self.signed)(signed))}"

    def signed(self, content: bytes) -> bytes:
        return self.key.private.sign(content, padding.PKCS1v15(), SHA256())


@pytest.fixture
def forge(ring: KeyRing) -> Forge:
    return Forge(ring)


async def test_a_token_says_who_it_is_for(tokens: Tokens, ring: KeyRing) -> None:
    token = tokens.issue("user:1", "session")
    claims = tokens.read(token)
    assert (claims.user, claims.session, claims.kid) == ("user:1", "session", ring.active.kid)
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "kid": ring.active.kid, "typ": "at+jwt"}
    said = jwt.decode(token, options={"verify_signature": False})
    assert (said["iss"], said["aud"], said["exp"] - said["iat"]) == (ISSUER, AUDIENCE, 900)
    assert tokens.issue("user:1", "session") != token


async def test_the_forge_itself_is_right(tokens: Tokens, forge: Forge) -> None:
    assert tokens.read(forge.made()).user == "user:1"


async def test_clocks_may_differ_by_two_minutes_and_not_by_five(tokens: Tokens, forge: Forge) -> None:
    now = int(time.time())
    for skew in (-110, 110):
        assert tokens.read(forge.made(claims={"iat": now + skew, "exp": now + skew + (0 if skew < 0 else 900)}))
    for wrong in ({"exp": now - 300}, {"iat": now + 300, "exp": now + 1200}, {"nbf": now + 300}):
        with pytest.raises(BadToken):
            tokens.read(forge.made(claims=wrong))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"}, {"alg": "None"}, {"alg": "RS512"}, {"alg": "PS256"}, {"alg": ["RS256"]}, {"alg": None},
        {"typ": "JWT"}, {"typ": "AT+JWT"}, {"typ": None}, {"kid": "../../etc/passwd"}, {"kid": "' OR 1=1"},
        {"kid": None}, {"kid": ""}, {"kid": ["a"]}, {"jku": "https://evil.example/keys"}, {"jwk": {"kty": "RSA"}},
        {"x5u": "https://evil.example"}, {"x5c": ["a"]}, {"crit": ["exp"]}, {"b64": False}, {"zip": "DEF"},
    ],
)  # fmt: skip
async def test_another_header_is_refused(tokens: Tokens, forge: Forge, header: dict[str, Any]) -> None:
    with pytest.raises(BadToken):
        tokens.read(forge.made(header))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None}, {"exp": "9999999999"}, {"exp": 9999999999.5}, {"exp": True}, {"exp": 1e400}, {"exp": -1},
        {"exp": 1}, {"exp": 1 << 70}, {"iat": "1"}, {"iat": None}, {"nbf": "1"}, {"aud": "other"}, {"aud": [AUDIENCE]},
        {"aud": None}, {"iss": "https://evil.example"}, {"iss": [ISSUER]}, {"sub": 1}, {"sub": ""}, {"sid": None},
        {"jti": None},
    ],
)  # fmt: skip
async def test_other_claims_are_refused(tokens: Tokens, forge: Forge, claims: dict[str, Any]) -> None:
    with pytest.raises(BadToken):
        tokens.read(forge.made(claims=claims))


@pytest.mark.parametrize("missing", ["exp", "iat", "aud", "iss", "sub", "sid", "jti"])
async def test_a_missing_claim_is_refused(tokens: Tokens, forge: Forge, missing: str) -> None:
    del forge.claims[missing]
    with pytest.raises(BadToken):
        tokens.read(forge.made())


async def test_our_public_key_is_no_secret_for_hs256(tokens: Tokens, forge: Forge) -> None:
    pem = forge.key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, pem.strip(), b"", forge.key.kid.encode()):

        def sign(content: bytes, secret: bytes = secret) -> bytes:
            return hmac.digest(secret, content, hashlib.sha256)

        for alg in ("HS256", "RS256"):
            with pytest.raises(BadToken):
                tokens.read(forge.made({"alg": alg}, sign=sign))


async def test_a_strangers_key_under_our_kid_is_refused(
    tokens: Tokens, forge: Forge, stranger: rsa.RSAPrivateKey
) -> None:
    with pytest.raises(BadToken):
        tokens.read(forge.made(sign=lambda content: stranger.sign(content, padding.PKCS1v15(), SHA256())))
    with pytest.raises(BadToken):
        tokens.read(forge.made(sign=lambda _: b"\0"))


async def test_names_that_stand_twice_are_refused(tokens: Tokens, forge: Forge) -> None:
    claims = json.dumps(forge.claims)
    for twice in (claims[:-1] + ', "sub": "user:2"}', '{"exp": 9999999999, ' + claims[1:]):
        with pytest.raises(BadToken):
            tokens.read(forge.made(claims=twice))
    with pytest.raises(BadToken):
        tokens.read(forge.made(json.dumps(forge.header)[:-1] + ', "alg": "RS256"}'))


async def test_only_one_spelling_of_a_token_is_read(tokens: Tokens) -> None:
    token = tokens.issue("user:1", "s")
    head, body, signature = token.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    sibling = last[last.index(signature[-1]) ^ 1]  # 256 bytes leave four bits of the last character unused
    wrong = [
        token + "=", token + "==", f"{head}=.{body}.{signature}", f" {token}", f"{token}\n", token + ".", "." + token,
        f"{head}.{body}.", f"{head}.{body}", f"{head}.{body}.{signature[:-1]}{sibling}", f"{head}.{body}.{signature}A",
        token.replace("-", "+").replace("_", "/") + "+", f"{head}\n.{body}.{signature}", "", ".", "..", "...",
    ]  # fmt: skip
    for each in wrong:
        with pytest.raises(BadToken):
            tokens.read(each)


async def test_what_is_large_deep_or_no_json_is_refused(tokens: Tokens, forge: Forge) -> None:
    for claims in ('{"a":"' + "x" * 5000 + '"}', "[" * 1000, "[]", '"x"', "{", "{'a': 1}", "\ud7ff\x00", "NaN", "null"):
        with pytest.raises(BadToken):
            tokens.read(forge.made(claims=claims))
    with pytest.raises(BadToken):
        tokens.read("é" * 30 + ".a.b")


async def test_each_flipped_bit_of_the_signature_is_noticed(tokens: Tokens, forge: Forge) -> None:
    for place in (0, 100, 255):

        def flipped(content: bytes, place: int = place) -> bytes:
            signature = bytearray(forge.signed(content))
            signature[place] ^= 1
            return bytes(signature)

        with pytest.raises(BadToken):
            tokens.read(forge.made(sign=flipped))
