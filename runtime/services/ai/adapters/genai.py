"""The table of prices that comes with the package genai-prices; it is never fetched.

The package reckons in decimals, a fifth of a millisecond for each answer. Here it is asked once for each model:
its own arithmetic is probed with a million tokens of each kind, so that tiers, cached tokens and thoughts cost what
it says, by whatever rule it says it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault
from runtime.services.ai.nano import DOLLAR
from runtime.services.ai.prices import LONGEST, Price, Rates, rate

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelPrice

MILLION: Final = 1_000_000
KINDS: Final = {"openai": "openai", "anthropic": "anthropic", "mistral": "mistral"}
"""Our kinds of provider by the table's; of an `openai-compatible` one the address tells."""

_TENTH: Final = rate(Decimal("0.1"))
BESIDES: Final = {
    "mistral": ("mistral-moderation", Price([Rates(-1, _TENTH, _TENTH, _TENTH, output=0, reasoning=0)], "mistral.ai"))
}
"""What the table leaves out, by kind of provider: how the model's name begins, and its price.

Source: mistral.ai/pricing; 0.10 dollars for a million tokens of a moderation since its release in November 2024.
"""


class PublishedPrices:
    """Implements `Published`."""

    def __init__(self) -> None:
        self._snapshot: DataSnapshot | None = None
        self._version = ""

    def load(self) -> None:
        """Reads the table, which takes half a second.

        Raises:
            Fault: the package is not installed.
        """
        self._table()

    def price(self, kind: str, base_url: str | None, model: str) -> Price | None:
        table = self._table()
        try:
            _, found = table.find_provider_model(model, None, KINDS.get(kind), None if kind in KINDS else base_url)
        except LookupError:
            begin, price = BESIDES.get(kind, ("", None))
            return price if price is not None and model.startswith(begin) else None
        priced = found.get_prices(datetime.now(UTC))
        if not _by_tokens(priced):
            return None
        changes = not isinstance(found.prices, type(priced))
        return Price(_tiers(priced), self._version, time.monotonic() + LONGEST if changes else float("inf"))

    def _table(self) -> DataSnapshot:
        if self._snapshot is None:
            try:
                from genai_prices import __version__
                from genai_prices.data_snapshot import get_snapshot
            except ModuleNotFoundError as error:
                raise Fault(
                    "ai: the prices of models need the package genai-prices, which is not installed",
                    remedy="Install it: pip install 'declarative-runtime[ai]'",
                ) from error
            self._snapshot = get_snapshot()
            self._version = f"genai-prices {__version__}"
        return self._snapshot


def _by_tokens(priced: ModelPrice) -> bool:
    """Whether it says what text costs, and not only sound, pictures or hours."""
    return priced.input_mtok is not None


def _tiers(priced: ModelPrice) -> list[Rates]:
    starts = {tier.start for price in vars(priced).values() for tier in getattr(price, "tiers", ())}
    return [_rates(priced, above) for above in (-1, *sorted(starts))]


def _rates(priced: ModelPrice, above: int) -> Rates:
    """What a million tokens of each kind cost beside so many input tokens that this tier holds."""
    flat = _flat(priced, above + 1)
    nothing = _cost(flat)
    whole, cached, written, out, thought = (
        rate(_cost(flat, **usage) - nothing)
        for usage in (
            {"input_tokens": MILLION},
            {"input_tokens": MILLION, "cache_read_tokens": MILLION},
            {"input_tokens": MILLION, "cache_write_tokens": MILLION},
            {"output_tokens": MILLION},
            {"output_tokens": MILLION, "output_reasoning_tokens": MILLION},
        )
    )
    return Rates(above, whole, cached, written, out, thought, int(nothing * DOLLAR))


def _flat(priced: ModelPrice, tokens: int) -> ModelPrice:
    """The prices that hold at a length of the input."""
    from genai_prices.types import ModelPrice, TieredPrices

    def at(price: Any) -> Any:
        if not isinstance(price, TieredPrices):
            return price
        return next((step.price for step in reversed(price.tiers) if tokens > step.start), price.base)

    return ModelPrice(**{name: at(price) for name, price in vars(priced).items() if price is not None})


def _cost(priced: ModelPrice, **tokens: int) -> Decimal:
    from genai_prices import Usage

    return priced.calc_price(Usage(**tokens))["total_price"]
