"""The form of stored keys: known answers, and whatever was changed, moved or is foreign does not open."""

from __future__ import annotations

import base64
import os
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import Fault
from runtime.services.secrets.adapters.ciphers import CIPHERS
from runtime.services.secrets.envelope import Binding, Envelope, Unopenable, decode
from runtime.services.secrets.keyring import KeyRing, key_bytes
from runtime.services.secrets.sealing import Sealer
from runtime.services.secrets.spec import EncryptionSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.services.secrets.envelope import CipherName

OURS = Binding("user:7", "openai", "record-1")
K1, K2 = base64.b64encode(bytes(range(32))).decode(), bytes(range(32, 64)).hex()
BOTH: list[CipherName] = ["aes-256-gcm", "aes-256-cbc-hmac"]


def ring(active: str = "k1", cipher: str = "aes-256-gcm", legacy: str | None = None, **keys: str) -> KeyRing:
    section = {"keys": keys or {"k1": K1}, "active": active, "cipher": cipher, "legacy": legacy}
    return KeyRing(EncryptionSpec.model_validate(section), None)


def vectors(file: str) -> Iterator[dict[str, str]]:
    """The vectors of NIST's CAVS with nonces of 96 bits and tags of 128, our form's sizes."""
    folder = files("cryptography_vectors") / "ciphers" / "AES" / "GCM"
    sizes: dict[str, str] = {}
    vector: dict[str, str] = {}
    for line in [*(folder / file).read_text().splitlines(), ""]:
        name, _, value = (part.strip() for part in line.strip("[]").partition("="))
        if line.startswith("["):
            sizes[name] = value
        elif line:
            vector[name] = value
        else:
            if "Key" in vector and (sizes["IVlen"], sizes["Taglen"]) == ("96", "128"):
                yield vector
            vector = {}


@pytest.mark.parametrize("file", ["gcmDecrypt256.rsp", "gcmEncryptExtIV256.rsp"])
def test_the_known_answers_of_aes_gcm_pass_through_the_form(file: str) -> None:
    cipher, passed, refused = CIPHERS["aes-256-gcm"], 0, 0
    for vector in vectors(file):
        key, nonce, associated = (bytes.fromhex(vector[name]) for name in ("Key", "IV", "AAD"))
        sealed = bytes.fromhex(vector["CT"]) + bytes.fromhex(vector["Tag"])
        envelope = decode(Envelope("aes-256-gcm", "k1", "mark", b"wrapped", nonce, sealed).encode())
        if "FAIL" in vector:
            with pytest.raises(Unopenable):
                cipher.open(key, envelope.nonce, envelope.sealed, associated)
            refused += 1
            continue
        plaintext = cipher.open(key, envelope.nonce, envelope.sealed, associated)
        assert plaintext == bytes.fromhex(vector["PT"])
        assert cipher.seal(key, envelope.nonce, plaintext, associated) == envelope.sealed
        passed += 1
    assert passed > 100
    assert (refused > 100) == (file == "gcmDecrypt256.rsp")


def test_the_known_answer_of_cbc_with_hmac() -> None:
    """RFC 7518, appendix B.3."""
    plaintext = (
        b"A cipher system must not be required to be secret, and it must be able to fall into the hands of the "
        b"enemy without inconvenience"
    )
    iv = bytes.fromhex("1af38c2dc2b96ffdd86694092341bc04")
    sealed = bytes.fromhex(
        "4affaaadb78c31c5da4b1b590d10ffbd3dd8d5d302423526912da037ecbcc7bd822c301dd67c373bccb584ad3e9279c2e6d12a13"
        "74b77f077553df829410446b36ebd97066296ae6427ea75c2e0846a11a09ccf5370dc80bfecbad28c73f09b3a3b75e662a259441"
        "0ae496b2e2e6609e31e6e02cc837f053d21f37ff4f51950bbe2638d09dd7a4930930806d0703b1f6"
        "4dd3b4c088a7f45c216839645b2012bf2e6269a8c56a816dbc1b267761955bc5"
    )
    cipher, key, associated = (
        CIPHERS["aes-256-cbc-hmac"],
        bytes(range(64)),
        b"The second principle of Auguste Kerckhoffs",
    )
    assert cipher.seal(key, iv, plaintext, associated) == sealed
    assert cipher.open(key, iv, sealed, associated) == plaintext


@pytest.mark.parametrize("cipher", BOTH)
@given(text=st.text(st.characters(codec="utf-8"), max_size=200))
def test_what_is_sealed_opens(cipher: CipherName, text: str) -> None:
    sealer = Sealer(ring(cipher=cipher))
    first, second = sealer.seal(text, OURS), sealer.seal(text, OURS)
    assert first.text != second.text
    assert first.label == second.label == sealer.label(first.text)
    assert sealer.open(first.text, OURS) == text
    assert text.encode() not in first.text.encode() or len(text) < 4


@pytest.mark.parametrize("cipher", BOTH)
@given(data=st.data())
def test_whatever_is_changed_does_not_open(cipher: CipherName, data: st.DataObject) -> None:
    sealer = Sealer(ring(cipher=cipher))
    sealed = sealer.seal("sk-live-0123456789", OURS).text
    place = data.draw(st.integers(0, len(sealed) - 1))
    changed = data.draw(st.sampled_from("abAB01-_:=+/ é"))
    damaged = data.draw(
        st.sampled_from(
            [
                sealed[:place] + changed + sealed[place + 1 :],
                sealed[:place],
                sealed[:place] + sealed[place + 1 :],
                sealed[:place] + changed + sealed[place:],
                sealed + changed,
            ]
        )
    )
    if damaged != sealed:
        with pytest.raises(Unopenable):
            sealer.open(damaged, OURS)


@pytest.mark.parametrize("cipher", BOTH)
def test_each_bit_counts(cipher: CipherName) -> None:
    sealer = Sealer(ring(cipher=cipher))
    envelope = decode(sealer.seal("sk-live", OURS).text)
    for name in ("wrapped", "nonce", "sealed"):
        raw = getattr(envelope, name)
        for bit in range(8 * len(raw)):
            turned = bytearray(raw)
            turned[bit // 8] ^= 1 << bit % 8
            with pytest.raises(Unopenable):
                sealer.open(envelope._replace(**cast("Any", {name: bytes(turned)})).encode(), OURS)


@pytest.mark.parametrize("cipher", BOTH)
@pytest.mark.parametrize(
    "other",
    [OURS._replace(user="user:8"), OURS._replace(provider="mistral"), OURS._replace(record="record-2"),
     Binding("user:7o", "penai", "record-1")],
)  # fmt: skip
def test_it_opens_for_its_own_record_alone(cipher: CipherName, other: Binding) -> None:
    sealer = Sealer(ring(cipher=cipher))
    with pytest.raises(Unopenable, match="belongs to another record"):
        sealer.open(sealer.seal("sk-live", OURS).text, other)


def test_parts_of_two_envelopes_make_no_third() -> None:
    sealer = Sealer(ring())
    one, two = (decode(sealer.seal(text, OURS).text) for text in ("sk-one", "sk-two"))
    for mixed in (one._replace(wrapped=two.wrapped), one._replace(sealed=two.sealed), one._replace(nonce=two.nonce)):
        with pytest.raises(Unopenable):
            sealer.open(mixed.encode(), OURS)


def test_a_key_that_is_not_known_is_named() -> None:
    sealed = Sealer(ring()).seal("sk-live", OURS).text
    with pytest.raises(Unopenable, match=r'encrypted with "k1" .* secrets\.encryption\.keys has no such key'):
        Sealer(ring("k2", k2=K2)).open(sealed, OURS)
    with pytest.raises(Unopenable, match=r'encrypted with "k1" .* another key has its name now'):
        Sealer(ring(k1=K2)).open(sealed, OURS)
    assert Sealer(ring("k2", k2=K2, k1=K1)).open(sealed, OURS) == "sk-live"


def test_a_cipher_that_is_not_the_record_s_own_does_not_open_it() -> None:
    sealer = Sealer(ring())
    swapped = sealer.seal("sk-live", OURS).text.replace("aes-256-gcm", "aes-256-cbc-hmac")
    with pytest.raises(Unopenable):
        sealer.open(swapped, OURS)


def test_a_key_that_changes_under_its_name_has_a_former_self() -> None:
    keys = ring(k1=K1)
    sealed = Sealer(keys).seal("sk-live", OURS)
    keys.adopt(EncryptionSpec.model_validate({"keys": {"k1": K2}, "active": "k1"}))
    again = Sealer(keys).seal("sk-live", OURS)
    assert again.label != sealed.label
    assert Sealer(keys).open(sealed.text, OURS) == "sk-live"
    assert Sealer(ring(k1=K2)).open(again.text, OURS) == "sk-live"


def unauthenticated(key: bytes, text: str) -> str:
    """The form of the earlier system."""
    iv, size = os.urandom(16), 16 - len(text) % 16
    encryptor = Cipher(AES(key), CBC(iv)).encryptor()
    return base64.b64encode(iv + encryptor.update(text.encode() + bytes([size]) * size) + encryptor.finalize()).decode()


def test_values_of_the_earlier_system_are_read_where_the_spec_says_so() -> None:
    old = unauthenticated(key_bytes(K2, "old"), "sk-from-before")
    assert Sealer(ring(legacy="old", k1=K1, old=K2)).open(old, OURS) == "sk-from-before"
    with pytest.raises(Unopenable, match=r"secrets\.encryption\.legacy names no key"):
        Sealer(ring(k1=K1, old=K2)).open(old, OURS)
    for wrong in (unauthenticated(os.urandom(32), "sk-from-before"), old[:-8], "bm8=", "%%%", ""):
        with pytest.raises(Unopenable):
            Sealer(ring(legacy="old", k1=K1, old=K2)).open(wrong, OURS)


@pytest.mark.parametrize(
    "text", ["", "short", "0" * 63, "g" * 64, base64.b64encode(b"x" * 31).decode(), "p4ssw0rd" * 4]
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(Fault, match="this is no key") as caught:
        key_bytes(text, "k1")
    assert not text or text not in str(caught.value)


def test_a_key_in_each_of_its_forms() -> None:
    raw = bytes(range(200, 232))
    for text in (raw.hex(), base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode().rstrip("=")):
        assert key_bytes(f" {text}\n", "k1") == raw
