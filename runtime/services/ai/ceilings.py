"""How many tokens out a model allows to ask for, as far as its refusals have taught.

The limit that the money sets is often far above what a model can say at all, and a model refuses a limit above its own
maximum. No table of these maxima is kept current by anybody: the first refusal tells, and is remembered.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from runtime.services.ai.failures import Failure

LARGEST: Final = 131_072
"""Tokens out above which no limit is sent: no model says more."""

_SAID: Final = re.compile(r"max_(completion_|output_)?tokens", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\d[\d,_]*")


class Ceilings:
    """What is known of models, by `provider/model`.

    Example:
        >>> ceilings = Ceilings()
        >>> told = "max_tokens is too large: 50000. This model supports at most 16384 completion tokens"
        >>> ceilings.learn("openai/gpt-4o", 50_000, Failure("invalid_request", told))
        True
        >>> ceilings.fitting("openai/gpt-4o", 50_000), ceilings.fitting("openai/gpt-4o", 900)
        (None, 900)
    """

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def fitting(self, model: str, limit: int | None) -> int | None:
        """The limit to send; None where the model's own is lower anyway."""
        if limit is None or limit > LARGEST or limit >= self._known.get(model, LARGEST + 1):
            return None
        return limit

    def learn(self, model: str, limit: int | None, failure: Failure) -> bool:
        """Notes that a limit was refused.

        Returns:
            Whether it was: then the model may be asked again.
        """
        if limit is None or failure.kind != "invalid_request" or not _SAID.search(failure.message):
            return False
        told = [int(re.sub(r"\D", "", number)) for number in _NUMBER.findall(failure.message)]
        self._known[model] = max((number for number in told if number < limit), default=0)
        return True
