"""Public keys as JSON Web Keys (RFC 7517), and their thumbprints (RFC 7638)."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey


def public_jwk(kid: str, key: RSAPublicKey) -> dict[str, object]:
    """A key as verifiers read it: for signatures with RS256, and for nothing else."""
    return {**_numbers(key), "kid": kid, "alg": "RS256", "use": "sig", "key_ops": ["verify"]}


def thumbprint(key: RSAPublicKey) -> str:
    """What names a key among all others."""
    canonical = json.dumps(_numbers(key), separators=(",", ":"), sort_keys=True)
    return _text(hashlib.sha256(canonical.encode()).digest())


def _numbers(key: RSAPublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {"e": _text(_bytes(numbers.e)), "kty": "RSA", "n": _text(_bytes(numbers.n))}


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
