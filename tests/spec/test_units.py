"""How quantities are written, and what is refused."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.spec import units
from runtime.spec.units import Money, Rate

if TYPE_CHECKING:
    from collections.abc import Callable

DURATIONS = {
    "500ms": 0.5,
    "30s": 30.0,
    "15m": 900.0,
    "24h": 86_400.0,
    "365d": 31_536_000.0,
    "1.5h": 5400.0,
    "1h30m": 5400.0,
    "0.001s": 0.001,
    "007s": 7.0,
}
SIZES = {
    "1B": 1,
    "256kB": 256_000,
    "256KB": 256_000,
    "16MB": 16_000_000,
    "16MiB": 16_777_216,
    "1.5GiB": 1_610_612_736,
}
RATES = {"100/m": Rate(100, 60.0), "10/s": Rate(10, 1.0), "5/h": Rate(5, 3600.0), "1/d": Rate(1, 86_400.0)}
AMOUNTS = {"5.00 USD": Money(Decimal("5.00"), "USD"), "0 EUR": Money(Decimal(0), "EUR")}

BLANK = ["", " ", "\n", "\t"]
NEVER_DURATIONS = [
    *BLANK, "30", "30 s", " 30s", "30s ", "-30s", "+30s", "1e3s", "1,5h", ".5s", "5.s", "s", "30S",
    "30sec", "1w", "1y", "nan s", "inf", "9999999d", "1.2345s", "1s1s1s1s1s1s", "0x10s", "30s;", "P1D",
    "\u0663\u0660s", "\uff13\uff10s", "30\uff53",
]  # fmt: skip
NEVER_SIZES = [
    *BLANK,
    "16",
    "16 MB",
    "-1MB",
    "0MB",
    "0.0GB",
    "1.5B",
    "16mb",
    "16M",
    "16Mb",
    "1e3MB",
    "\uff11MB",
    "9999999999MB",
]
NEVER_RATES = [
    *BLANK,
    "100",
    "100/min",
    "0/s",
    "-1/s",
    "1.5/s",
    "/s",
    "100/",
    "100 /m",
    "1e3/s",
    "\uff11/s",
    "01/s",
]
NEVER_AMOUNTS = [
    *BLANK,
    "5",
    "5.00",
    "USD",
    "5.00USD",
    "5.00 usd",
    "-5.00 USD",
    "5,00 USD",
    "$5.00",
    "1e3 USD",
    "NaN USD",
]
NEVER_TEXT: list[Any] = [30, 0, -1, 1.5, True, None, [], {}, float("nan"), 10**400]


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.items())
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert units.duration(text) == seconds


@pytest.mark.parametrize(("text", "count"), SIZES.items())
def test_sizes_are_bytes(text: str, count: int) -> None:
    assert units.size(text) == count


@pytest.mark.parametrize(("text", "rate"), RATES.items())
def test_rates_are_counts_in_seconds(text: str, rate: Rate) -> None:
    assert units.rate(text) == rate


@pytest.mark.parametrize(("text", "amount"), AMOUNTS.items())
def test_money_is_exact(text: str, amount: Money) -> None:
    assert units.money(text) == amount


@pytest.mark.parametrize(
    ("parse", "refused", "example"),
    [
        (units.duration, NEVER_DURATIONS, '"30s"'),
        (units.size, NEVER_SIZES, '"16MB"'),
        (units.rate, NEVER_RATES, '"100/m"'),
        (units.money, NEVER_AMOUNTS, '"5.00 USD"'),
    ],
)
def test_anything_else_is_refused_with_an_example(
    parse: Callable[[Any], Any], refused: list[str], example: str
) -> None:
    for value in [*refused, *NEVER_TEXT]:
        with pytest.raises(ValueError, match=re.escape(example)):
            parse(value)


def test_no_time_is_refused_where_it_makes_no_sense() -> None:
    assert units.duration("0s", zero=True) == 0
    for text in ("0s", "0.0s", "0h0m"):
        with pytest.raises(ValueError, match="30s"):
            units.duration(text)


@given(st.from_regex(units.DURATION))
def test_every_duration_of_the_pattern_is_a_time(text: str) -> None:
    assert 0 < units.duration(text) < 1e12


@given(st.from_regex(units.SIZE))
def test_every_size_of_the_pattern_is_at_least_a_byte(text: str) -> None:
    assert units.size(text) >= 1


@given(st.from_regex(units.RATE))
def test_every_rate_of_the_pattern_is_positive(text: str) -> None:
    assert units.rate(text).count > 0


@given(st.from_regex(units.MONEY))
def test_every_amount_of_the_pattern_is_not_negative(text: str) -> None:
    assert units.money(text).amount >= 0
