"""How long a provider asks to wait (RFC 9110, 10.2.3): seconds, a date, or nonsense."""

from __future__ import annotations

import math
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

NEVER: Final = math.inf
"""Waiting is of no use."""


def retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds to wait, never negative; None where nothing is said, or nothing that can be understood.

    A wait that is absurdly long is returned as it is: whoever waits knows how much time it has.

    Args:
        headers: of the answer, in any case.
        now: Unix time.

    Example:
        >>> retry_after({"Retry-After": "2"}), retry_after({"retry-after-ms": "1500"})
        (2.0, 1.5)
    """
    known = {name.lower(): value for name, value in headers.items()}
    if (wait := _number(known.get("retry-after-ms"))) is not None:
        return wait / 1000
    text = known.get("retry-after")
    if (wait := _number(text)) is not None or text is None:
        return wait
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return None if math.isnan(number) else max(0.0, number)
