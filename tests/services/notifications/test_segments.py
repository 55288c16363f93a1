"""How many messages a text takes, and what a number is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.services.notifications.segments import BASIC, EXTENDED, Segments, segments
from runtime.services.phones import e164


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ("GSM-7", 0, 1)),
        ("a" * 160, ("GSM-7", 160, 1)),
        ("a" * 161, ("GSM-7", 161, 2)),
        ("a" * 306, ("GSM-7", 306, 2)),
        ("a" * 307, ("GSM-7", 307, 3)),
        ("€" * 80, ("GSM-7", 160, 1)),
        ("a" * 152 + "€" * 10, ("GSM-7", 172, 2)),
        ("€" * 153, ("GSM-7", 306, 3)),  # an escape is not parted from its character: one septet is lost in each
        ("ж" * 70, ("UCS-2", 70, 1)),
        ("ж" * 71, ("UCS-2", 71, 2)),
        ("ж" * 135, ("UCS-2", 135, 3)),
        ("😀" * 35, ("UCS-2", 70, 1)),
        ("😀" * 67, ("UCS-2", 134, 3)),  # nor is a pair of surrogates
        ("`" + "a" * 69, ("UCS-2", 70, 1)),
    ],
    ids=lambda value: None if isinstance(value, tuple) else f"{len(value)} of {value[:1]!a}",
)
def test_the_boundaries(text: str, wanted: tuple[str, int, int]) -> None:
    assert segments(text) == Segments(*wanted)  # type: ignore[arg-type]


@given(st.text(max_size=400))
def test_a_text_takes_as_many_segments_as_it_has_room_in_and_never_fewer_than_a_part_of_it(text: str) -> None:
    found = segments(text)
    gsm = set(text) <= BASIC | EXTENDED
    assert found.encoding == ("GSM-7" if gsm else "UCS-2")
    units = (
        len(text) + sum(each in EXTENDED for each in text)
        if gsm
        else len(text.encode("utf-16-le", "surrogatepass")) // 2
    )
    assert found.units == units
    alone, joined = (160, 153) if gsm else (70, 67)
    if units <= alone:
        assert found.count == 1
    else:
        assert -(-units // joined) <= found.count <= -(-units // (joined - 1))


def test_the_alphabet_has_the_letters_that_it_has() -> None:
    assert len(BASIC) == 127  # and the escape
    assert len(EXTENDED) == 10
    assert not BASIC & EXTENDED


@pytest.mark.parametrize(
    ("written", "region", "wanted"),
    [
        ("+43 (0)660 123 45 67", None, "+436601234567"),
        ("0660/1234567", "AT", "+436601234567"),
        ("(202) 555-0123", "US", "+12025550123"),
        ("+1 202.555.0123", "AT", "+12025550123"),
    ],
    ids=["a zero in brackets", "of Austria", "of the United States", "of another country"],
)
def test_numbers_have_one_form(written: str, region: str | None, wanted: str) -> None:
    assert e164(written, region) == wanted
    assert e164(wanted) == wanted


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "no phone number"),
        ("0660 1234567", "names no country"),
        ("+43x1234567", "no phone number"),
        ("1-800-FLOWERS", "no phone number"),
        ("+12345", "too short"),
        ("+4366012345678901234", "length"),
        ("+999123456789", "country"),
        ("+1;ext=5", "no phone number"),
    ],
    ids=lambda value: ascii(value),
)
def test_what_is_no_number_says_why(written: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        e164(written)


@given(st.text(max_size=20), st.sampled_from([None, "AT", "US"]))
def test_whatever_is_written_is_a_number_or_refused(written: str, region: str | None) -> None:
    try:
        found = e164(written, region)
    except ValueError:
        return
    assert found.startswith("+")
    assert found[1:].isascii()
    assert found[1:].isdecimal()
    assert 6 <= len(found) <= 16
