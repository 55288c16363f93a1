"""When a job may run, as callers write it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from runtime.errors import Invalid, Pointer
from runtime.services.names import seconds

LONGEST_DELAY: Final = 366 * 86_400.0


def ahead(delay: str | float | None, run_at: datetime | None) -> float:
    """The seconds until a job may run; 0 for at once.

    Args:
        delay: a duration such as `"30s"`, or seconds.
        run_at: a moment, with an offset from UTC; instead of `delay`.

    Raises:
        Invalid: this is no time in the next 366 days.

    Example:
        >>> ahead("1.5m", None)
        90.0
    """
    if delay is not None and run_at is not None:
        raise Invalid(
            "a job has a `delay` or a `run_at`, not both",
            errors=[Pointer("/run_at", "given beside `delay`")],
            remedy="Leave one of them out.",
        )
    if delay is not None:
        wanted = seconds(delay) if isinstance(delay, str) else delay
        if wanted is None:
            raise Invalid(
                "`delay` is no duration",
                errors=[Pointer("/delay", "a number and its unit, such as 30s, 15m or 24h")],
                remedy='Write it as "30s".',
            )
        return _within_reach(wanted, "/delay")
    if run_at is None:
        return 0.0
    if run_at.tzinfo is None:
        raise Invalid(
            "`run_at` does not say in which time zone",
            errors=[Pointer("/run_at", "an offset is missing")],
            remedy="End it with Z for UTC, as in 2030-01-31T08:00:00Z.",
        )
    left = (run_at - datetime.now(UTC)).total_seconds()
    if left < 0:
        raise Invalid(
            "`run_at` lies in the past",
            errors=[Pointer("/run_at", "it is over already")],
            remedy="Give a time to come, or leave it out to run the job at once.",
        )
    return _within_reach(left, "/run_at")


def _within_reach(delay: float, at: str) -> float:
    if not 0 <= delay <= LONGEST_DELAY:  # refuses NaN as well
        raise Invalid(
            f"a job cannot be delayed by {delay:g} s",
            errors=[Pointer(at, "between 0 seconds and 366 days")],
            remedy="Give a time in the next 366 days.",
        )
    return delay
