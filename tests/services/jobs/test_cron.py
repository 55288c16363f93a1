"""When cron expressions are due, above all where the clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.services.jobs.cron import Cron
from runtime.spec.cron import columns, either_day, fault

MINUTE = timedelta(minutes=1)
YEARS = {
    "Europe/Vienna": 2026,
    "America/New_York": 2026,
    "Australia/Lord_Howe": 2026,  # half an hour
    "America/St_Johns": 2010,  # at 0:01, over midnight
}


def local(zone: str, text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def seen(expression: str, zone: str, first: str, last: str) -> list[str]:
    """The due times between two local times, both left out and in, as the wall clock shows them."""
    found = Cron(expression, zone).between(local(zone, first), local(zone, last))
    return [moment.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z") for moment in found]


# -- clocks put forward ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["29 03:00 +0200"]),
        ("0,30 2 * * *", ["29 03:00 +0200"]),
        ("*/15 2 * * *", ["29 03:00 +0200"]),
        ("0 3 * * *", ["29 03:00 +0200"]),
        ("0 2,3 * * *", ["29 03:00 +0200"]),
        ("30 1-3 * * *", ["29 01:30 +0100", "29 03:00 +0200", "29 03:30 +0200"]),
        ("30 * * * *", ["29 01:30 +0100", "29 03:30 +0200"]),
        ("*/30 * * * *", ["29 01:00 +0100", "29 01:30 +0100", "29 03:00 +0200", "29 03:30 +0200"]),
        ("0 */2 * * *", []),
    ],
)
def test_a_time_that_does_not_exist_comes_once_at_the_change(expression: str, expected: list[str]) -> None:
    assert seen(expression, "Europe/Vienna", "2026-03-29T00:30", "2026-03-29T03:59") == expected


def test_the_change_is_found_to_the_second_where_it_is_of_half_an_hour() -> None:
    zone = "Australia/Lord_Howe"
    assert seen("10 2 * * *", zone, "2026-10-04T00:00", "2026-10-05T00:00") == ["04 02:30 +1100"]


def test_a_day_that_a_zone_leaves_out_comes_at_its_end() -> None:
    found = seen("0 9 * * *", "Pacific/Apia", "2011-12-29T10:00", "2011-12-31T10:00")
    assert found == ["31 00:00 +1400", "31 09:00 +1400"]


# -- clocks put back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["25 02:30 +0200"]),
        ("0,30 2 * * *", ["25 02:00 +0200", "25 02:30 +0200"]),
        ("0 1-3 * * *", ["25 01:00 +0200", "25 02:00 +0200", "25 03:00 +0100"]),
        ("0 * * * *", ["25 01:00 +0200", "25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]),
        ("*/30 2 * * *", ["25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100"]),
    ],
)
def test_a_time_that_exists_twice(expression: str, expected: list[str]) -> None:
    assert seen(expression, "Europe/Vienna", "2026-10-25T00:30", "2026-10-25T03:30") == expected


@pytest.mark.parametrize("zone", YEARS)
def test_each_real_quarter_of_an_hour(zone: str) -> None:
    start = datetime(YEARS[zone], 1, 1, tzinfo=UTC)
    found = Cron("*/15 * * * *", zone).between(start, start + timedelta(days=365))
    gaps = {later - earlier for earlier, later in pairwise(found)}
    odd = {timedelta(minutes=14), timedelta(minutes=16), timedelta(minutes=1)}
    assert gaps - odd == {timedelta(minutes=15)}
    assert len(found) == pytest.approx(365 * 96, abs=1)


def test_the_next_day_that_begins_before_the_last_hour_of_this_one() -> None:
    """At 0:01 the clocks go back to 23:01: 0:00 comes, then 23:30 once more, then 0:00 again."""
    zone = "America/St_Johns"
    cron, moment, found = Cron("*/30 * * * *", zone), local(zone, "2010-11-06T23:15"), []
    for _ in range(4):
        moment = cron.following(moment)
        found.append(moment.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z"))
    assert found == ["06 23:30 -0230", "07 00:00 -0230", "06 23:30 -0330", "07 00:00 -0330"]


# -- days --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "days"),
    [
        ("0 0 13 * fri", [2, 9, 13, 16, 23, 30]),  # one of the two is enough
        ("0 0 */2 * fri", [9, 23]),  # both
        ("0 0 13-17 * */2", [13, 15, 17]),
        ("0 0 * * 7", [4, 11, 18, 25]),
        ("0 0 * * 0", [4, 11, 18, 25]),
        ("0 0 31 * *", [31]),
    ],
)
def test_the_two_columns_of_days(expression: str, days: list[int]) -> None:
    found = Cron(expression, "UTC").between(datetime(2026, 9, 30, 1, tzinfo=UTC), datetime(2026, 10, 31, 1, tzinfo=UTC))
    assert [moment.day for moment in found] == days


def test_a_day_that_seldom_comes() -> None:
    cron = Cron("0 0 29 feb *", "UTC")
    assert cron.following(datetime(2096, 2, 29, tzinfo=UTC)) == datetime(2104, 2, 29, tzinfo=UTC)


def test_a_day_that_never_comes_is_at_fault() -> None:
    assert fault("0 0 30 feb */2") is not None
    assert fault("0 0 30 feb mon") is None
    with pytest.raises(ValueError, match="column of the hour"):
        Cron("0 24 * * *", "UTC")


# -- against the wall clock, minute by minute --------------------------------------------------------------------------


class Year:
    """Each minute of a year, and what the wall clock of a zone shows then."""

    def __init__(self, zone: str) -> None:
        start, there = datetime(YEARS[zone], 1, 1, tzinfo=UTC), ZoneInfo(zone)
        self.first, self.last = start, start + 365 * 24 * 60 * MINUTE
        self.shown: dict[date, list[tuple[datetime, int, int, int]]] = {}
        self.leapt: list[tuple[datetime, datetime]] = []
        """A time that the clock never shows, and the moment at which it leaps over it."""
        before = None
        moment = start
        while moment <= self.last:
            face = moment.astimezone(there)
            self.shown.setdefault(face.date(), []).append((moment, face.hour, face.minute, face.fold))
            if before is not None and face.utcoffset() != before.utcoffset():
                missing = before.replace(tzinfo=None) + MINUTE
                while missing < face.replace(tzinfo=None):
                    self.leapt.append((missing, moment))
                    missing += MINUTE
            before = face
            moment += MINUTE


year = cache(Year)


def by_the_clock(expression: str, zone: str) -> list[datetime]:
    """The due times of a year, by looking at the clock each minute, and at what it has leapt over."""
    minutes, hours, days, months, weekdays = columns(expression)
    either, (minute, hour, *_) = either_day(expression), expression.split()
    interval = minute.startswith("*") or hour.startswith("*")

    def fits(day: date) -> bool:
        two = day.day in days, day.isoweekday() % 7 in {weekday % 7 for weekday in weekdays}
        return day.month in months and (any(two) if either else all(two))

    found = {
        moment
        for day, shown in year(zone).shown.items()
        if fits(day)
        for moment, hour_shown, minute_shown, fold in shown
        if minute_shown in minutes and hour_shown in hours and (interval or not fold)
    }
    if not hour.startswith("*"):
        found |= {
            moment
            for missing, moment in year(zone).leapt
            if fits(missing.date()) and missing.minute in minutes and missing.hour in hours
        }
    return sorted(found)


def column(least: int, most: int) -> st.SearchStrategy[str]:
    number = st.integers(least, most)
    spans = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.tuples(st.one_of(st.just("*"), spans), st.integers(1, 30)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.one_of(number.map(str), st.just("*"), spans, steps, st.tuples(number, number).map("{0[0]},{0[1]}".format))


EXPRESSIONS = st.tuples(column(0, 59), column(0, 23), column(1, 28), column(1, 12), column(0, 7)).map(" ".join)


@pytest.mark.parametrize("zone", YEARS)
@given(
    expression=st.one_of(EXPRESSIONS, st.tuples(column(0, 59), column(0, 3)).map(lambda two: " ".join([*two, "* * *"])))
)
@settings(max_examples=3, deadline=None)
def test_a_year_by_the_clock(zone: str, expression: str) -> None:
    expected = by_the_clock(expression, zone)
    cron = Cron(expression, zone)
    assert cron.between(year(zone).first - MINUTE, year(zone).last) == expected
    for moment in expected[:: max(1, len(expected) // 10)]:
        assert cron.following(moment - timedelta(seconds=1)) == moment
    if len(expected) > 1:
        assert cron.following(expected[-2]) == expected[-1]
