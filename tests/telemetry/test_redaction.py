"""Known secrets never come out, in whatever form a library writes them."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import anyio
from hypothesis import given
from hypothesis import strategies as st

from runtime.telemetry.redaction import MASK, Redactor, mask_here

SECRETS = st.text(min_size=6, max_size=40).filter(lambda text: len(text.strip()) >= 6)


@given(SECRETS, st.text(max_size=10), st.text(max_size=10))
def test_every_form_is_masked(secret: str, before: str, after: str) -> None:
    redactor = Redactor([secret])
    try:
        raw = secret.encode()
    except UnicodeEncodeError:
        return
    for form in (
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        b64encode(raw).decode(),
        urlsafe_b64encode(raw).decode(),
    ):
        assert form not in redactor.text(f"{before} {form} {after}").replace(MASK, "")


@given(
    st.text(st.characters(codec="ascii"), min_size=9, max_size=30),
    st.binary(max_size=7),
    st.binary(max_size=7),
)
def test_base64_is_masked_wherever_it_falls_inside_a_longer_value(secret: str, before: bytes, after: bytes) -> None:
    if len(secret.strip()) < 9:
        return
    encoded = b64encode(before + secret.encode() + after).decode()
    shown = Redactor([secret]).text(encoded)
    assert MASK in shown
    assert len(shown.replace(MASK, "")) <= len(encoded) - len(secret)


def test_nested_data_is_masked_and_keeps_its_shape() -> None:
    redactor = Redactor(["hunter2!"])
    data = {
        "a": ["x hunter2!", 5, None, True, 1.5],
        "hunter2!": {"b": b"hunter2!"},
        "c": ("ok",),
        "d": Error("hunter2!"),
    }
    assert redactor.value(data) == {
        "a": [f"x {MASK}", 5, None, True, 1.5],
        MASK: {"b": MASK},
        "c": ["ok"],
        "d": f"Error: {MASK}",
    }


class Error(Exception):
    def __str__(self) -> str:
        return f"Error: {self.args[0]}"


def test_data_without_an_end_is_cut() -> None:
    endless: list[object] = ["hunter2!"]
    endless.append(endless)
    assert "hunter2!" not in str(Redactor(["hunter2!"]).value(endless))


def test_short_values_are_no_secrets_and_longer_ones_go_first() -> None:
    redactor = Redactor(["on", "80", "   ", "abcd", "abcdefgh"])
    assert redactor.text("on port 80") == "on port 80"
    assert redactor.text("abcdefgh abcd") == f"{MASK} {MASK}"


def test_a_key_file_is_masked_line_by_line() -> None:
    pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhki\n-----END KEY-----\n"
    assert "MIIEvQIBADANBgkqhki" not in Redactor([pem]).text("line: MIIEvQIBADANBgkqhki")


def test_more_can_be_learned() -> None:
    redactor = Redactor()
    assert redactor.text("later-secret") == "later-secret"
    redactor.learn(["later-secret"])
    assert redactor.text("later-secret") == MASK


async def test_a_value_of_one_request_is_masked_there_alone() -> None:
    redactor = Redactor()
    said: dict[str, str] = {}

    async def request(name: str, secret: str) -> None:
        mask_here([secret])
        await anyio.sleep(0)
        said[name] = redactor.text(f"sk-first-key-1 sk-second-key {b64encode(secret.encode()).decode()}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(request, "first", "sk-first-key-1")
        tasks.start_soon(request, "second", "sk-second-key")
    assert said == {"first": "*** sk-second-key ***", "second": "sk-first-key-1 *** ***"}
    assert redactor.value({"key": "sk-first-key-1"}) == {"key": "sk-first-key-1"}
