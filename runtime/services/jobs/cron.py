"""When a cron expression is due in its time zone, through every change of the clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from typing import Final
from zoneinfo import ZoneInfo

from runtime.spec.cron import columns, either_day

_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)


class Cron:
    """The due times of an expression of five columns.

    The columns are read on the wall clock of the time zone. A day must fit both the day of the month and the day of the
    week; where neither column begins with `*`, one of the two is enough (crontab(5)).

    When the clocks are put forward, a time that does not exist comes once, at the moment of the change: `30 2 * * *`
    runs at 3:00. Several of them come once together. Where the column of the hour begins with `*` such a time is left
    out, for the next one is near: `*/15 * * * *` goes on every 15 minutes.

    When the clocks are put back, a time that exists twice comes once, the first time: `30 2 * * *` runs once. Where the
    column of the minute or of the hour begins with `*` it comes both times: `*/15 * * * *` and `0 * * * *` go on every
    15 minutes and every hour.

    Args:
        expression: as the spec takes it.
        timezone: the name of a zone, `Europe/Vienna`.

    Raises:
        ValueError: the expression holds what it cannot.

    Example:
        >>> cron = Cron("30 2 * * *", "Europe/Vienna")
        >>> cron.following(datetime(2026, 3, 29, tzinfo=UTC)).isoformat()  # 2:30 does not exist: at 3:00 local time
        '2026-03-29T01:00:00+00:00'
    """

    def __init__(self, expression: str, timezone: str) -> None:
        minutes, hours, days, months, weekdays = columns(expression)
        self._times = [time(hour, minute) for hour, minute in product(sorted(hours), sorted(minutes))]
        self._days = days
        self._months = months
        self._weekdays = {weekday % 7 for weekday in weekdays}
        self._either = either_day(expression)
        minute, hour, *_ = expression.split()
        self._every_hour = hour.startswith("*")
        self._interval = self._every_hour or minute.startswith("*")
        self._zone = ZoneInfo(timezone)

    def following(self, after: datetime) -> datetime:
        """The first due time later than a moment; UTC."""
        day = self._before(after)
        while not any(moment > after for moment in self._moments(day)):
            day += _DAY
        # The next day's as well: where clocks are put back over midnight, it begins before the last hour of this one.
        return min(moment for moment in self._moments(day) | self._moments(day + _DAY) if moment > after)

    def between(self, after: datetime, until: datetime) -> list[datetime]:
        """The due times later than `after` and not later than `until`, in order; UTC."""
        day, last = self._before(after), until.astimezone(self._zone).date() + _DAY
        found: set[datetime] = set()
        while day <= last:
            found |= self._moments(day)
            day += _DAY
        return sorted(moment for moment in found if after < moment <= until)

    def _before(self, moment: datetime) -> date:
        """The day before that of a moment: its times may come later than the moment, where the clocks are put back."""
        return moment.astimezone(self._zone).date() - _DAY

    def _moments(self, day: date) -> set[datetime]:
        """When the times of a day come; UTC."""
        if not self._fits(day):
            return set()
        return {moment for each in self._times for moment in self._real(datetime.combine(day, each, self._zone))}

    def _fits(self, day: date) -> bool:
        if day.month not in self._months:
            return False
        fitting = day.day in self._days, day.isoweekday() % 7 in self._weekdays
        return any(fitting) if self._either else all(fitting)

    def _real(self, wall: datetime) -> list[datetime]:
        """When a wall clock shows a time: once, twice, or never and then perhaps at the moment of the change."""
        first, second = wall.astimezone(UTC), wall.replace(fold=1).astimezone(UTC)
        if first == second:
            return [first]
        if first < second:
            return [first, second] if self._interval else [first]
        return [] if self._every_hour else [self._change(second, first)]

    def _change(self, before: datetime, after: datetime) -> datetime:
        """The moment between two at which the clocks change."""
        old = before.astimezone(self._zone).utcoffset()
        while after - before > _SECOND:
            middle = before + (after - before) // _SECOND // 2 * _SECOND
            if middle.astimezone(self._zone).utcoffset() == old:
                before = middle
            else:
                after = middle
        return after
