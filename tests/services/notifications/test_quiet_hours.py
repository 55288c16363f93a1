"""Quiet hours against a model that looks at every minute of a user's clock, in zones that change theirs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.services.notifications.quiet import local_day, quiet_until, zone_of
from runtime.services.notifications.settings import QuietHours

ZONES = [
    "UTC",
    "Europe/Vienna",
    "America/New_York",
    "Australia/Lord_Howe",  # by half an hour
    "America/St_Johns",  # at one minute past midnight, in years past
    "Asia/Beirut",  # at midnight
    "Africa/Casablanca",  # backwards for a month
    "Pacific/Apia",  # a day that never was, 2011-12-30
    "Asia/Kathmandu",
]
CHANGES = [
    datetime(2024, 3, 31, 1, tzinfo=UTC),
    datetime(2024, 10, 27, 1, tzinfo=UTC),
    datetime(2011, 12, 30, 10, tzinfo=UTC),
]
MINUTE = timedelta(minutes=1)


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def modelled(now: datetime, zone: ZoneInfo, start: int, end: int) -> datetime | None:
    """The end of the quiet period, found by looking at each minute of five days."""
    if start == end:
        return None
    first = now.replace(second=0, microsecond=0) - timedelta(days=2, hours=12)
    walls = [(at := first + MINUTE * n, at.astimezone(zone).replace(tzinfo=None)) for n in range(5 * 1440)]

    def moment(day: date, minutes: int, *, last: bool) -> datetime | None:
        wanted = datetime(day.year, day.month, day.day, minutes // 60, minutes % 60)  # noqa: DTZ001 - a wall clock's
        shown = [at for at, wall in walls if wall == wanted]
        if shown:
            return shown[-1] if last else shown[0]
        for (_, before), (at, after) in pairwise(walls):
            if before < wanted < after:
                return at
        return None

    today = now.astimezone(zone).date()
    for day in (today + timedelta(days=n) for n in (-1, 0, 1)):
        begins = moment(day, start, last=False)
        ends = moment(day if start < end else day + timedelta(days=1), end, last=True)
        if begins is not None and ends is not None and begins <= now < ends:
            return ends
    return None


@given(
    st.sampled_from(ZONES),
    st.one_of(
        st.datetimes(datetime(2005, 1, 1), datetime(2034, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        st.builds(lambda at, off: at + timedelta(minutes=off), st.sampled_from(CHANGES), st.integers(-1500, 1500)),
    ),
    st.integers(0, 1439),
    st.integers(0, 1439),
)
@example("Europe/Vienna", datetime(2024, 3, 31, 0, 30, tzinfo=UTC), 22 * 60, 2 * 60 + 30)  # the end is jumped over
@example("Europe/Vienna", datetime(2024, 10, 27, 0, 45, tzinfo=UTC), 22 * 60, 2 * 60 + 30)  # the end comes twice
@example("Europe/Vienna", datetime(2024, 3, 31, 1, 0, tzinfo=UTC), 2 * 60 + 30, 7 * 60)  # the start is jumped over
@example("Pacific/Apia", datetime(2011, 12, 30, 9, 59, tzinfo=UTC), 22 * 60, 7 * 60)  # a day is
def test_the_model_agrees(zone: str, now: datetime, start: int, end: int) -> None:
    now = now.replace(second=0, microsecond=0)
    known = ZoneInfo(zone)
    assert quiet_until(now, known, QuietHours(clock(start), clock(end))) == modelled(now, known, start, end)


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2005, 1, 1), datetime(2034, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(0, 1439),
    st.integers(0, 1439),
)
def test_after_the_end_it_is_not_quiet_and_the_end_lies_ahead(zone: str, now: datetime, start: int, end: int) -> None:
    hours, known = QuietHours(clock(start), clock(end)), ZoneInfo(zone)
    until = quiet_until(now, known, hours)
    if until is not None:
        assert now < until <= now + timedelta(hours=49)  # a whole day may be jumped over
        assert quiet_until(until, known, hours) is None


def test_a_zone_that_is_no_more_counts_as_utc() -> None:
    assert zone_of("Mars/Olympus") is UTC
    assert zone_of(None) is UTC
    assert zone_of("../etc/passwd") is UTC


@pytest.mark.parametrize(
    ("zone", "day"), [("Pacific/Kiritimati", "2026-01-02"), ("UTC", "2026-01-01"), ("Pacific/Pago_Pago", "2026-01-01")]
)
def test_a_day_is_that_of_the_users_calendar(zone: str, day: str) -> None:
    assert local_day(datetime(2026, 1, 1, 12, 30, tzinfo=UTC), ZoneInfo(zone)) == day
