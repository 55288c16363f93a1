"""The pauses between the tries of failed work."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.spec.fields import Retry as RetrySpec


def pause(attempt: int, retry: RetrySpec, *, chance: Callable[[], float] = random.random) -> float:
    """Seconds between a failed try and the next one.

    It doubles with each try up to `retry.max`; with jitter up to a half of it is taken off at random.

    Args:
        attempt: the failed try, 1 for the first.
        retry: the `retry` of a queue or a subscription.
        chance: gives a number from 0 to 1.
    """
    longest: float = min(retry.max, retry.backoff * 2.0 ** min(attempt - 1, 60))
    return longest * (1.0 - chance() / 2) if retry.jitter else longest
