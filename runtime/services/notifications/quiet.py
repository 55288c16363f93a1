"""Quiet hours on the user's own clock, through changes of the clocks.

A quiet period begins when the clock first shows its start and ends when the clock last shows its end. Where the clocks
jump over one of them, the jump is the moment; where they show it twice, both times are quiet.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from runtime.services.notifications.settings import QuietHours

DAY = timedelta(days=1)


def zone_of(name: str | None) -> tzinfo:
    """A time zone by name; UTC where there is none, or none of that name any more."""
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return UTC


def quiet_until(now: datetime, zone: tzinfo, hours: QuietHours) -> datetime | None:
    """The end of the quiet period in which a moment lies, in UTC; None where it lies in none.

    Example:
        >>> from runtime.services.notifications.settings import QuietHours
        >>> quiet_until(datetime(2026, 1, 5, 23, tzinfo=UTC), ZoneInfo("Europe/Vienna"), QuietHours("22:00", "07:00"))
        datetime.datetime(2026, 1, 6, 6, 0, tzinfo=datetime.timezone.utc)
    """
    start, end = hours.minutes
    if start == end:
        return None
    today = now.astimezone(zone).date()
    for day in (today - DAY, today, today + DAY):
        begins = _moment(day, start, zone, last=False)
        ends = _moment(day if start < end else day + DAY, end, zone, last=True)
        if begins <= now < ends:
            return ends
    return None


def _moment(day: date, minutes: int, zone: tzinfo, *, last: bool) -> datetime:
    """When the clock of a zone shows a time of a day: the first or the last time, in UTC."""
    wall = datetime(day.year, day.month, day.day, minutes // 60, minutes % 60, tzinfo=zone)
    first, second = (wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if first.astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return second if last else first
    return _jump(second, first, zone)  # the clock never shows it


def _jump(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The second at which the offset of a zone changes between two moments."""
    old = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if middle <= before:
            break
        if middle.astimezone(zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after


def local_day(now: datetime, zone: tzinfo) -> str:
    """The day of a user's own calendar, `2026-01-05`."""
    return now.astimezone(zone).date().isoformat()
