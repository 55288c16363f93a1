"""What tokens cost, in whole nano-dollars.

The prices of models stand in a table that comes with a package and in the spec, which overrides it. A model with
no price is an error: nothing is ever free by oversight.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from anyio import to_thread

from runtime.errors import RequestFault
from runtime.services.ai.moderations import MODERATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from runtime.services.ai.spec import PriceSpec, Provider
    from runtime.services.ai.usage import Usage

SCALE: Final = 10**9
"""Rates are billionths of a nano-dollar a token, so that every price of the table is a whole number."""
PER_MILLION: Final = 10**12
"""From US dollars for a million tokens to a rate."""
LONGEST: Final = 60.0
"""Seconds for which a price that depends on the time is taken as it is."""
OUTPUT_FREE: Final = 2**31
"""As many tokens as nobody asks for."""


class PriceUnknown(RequestFault):
    """Nobody has said what a model costs.

    Args:
        model: `provider/model`.
    """

    title = "No price is known"

    def __init__(self, model: str) -> None:
        super().__init__(
            f"no price is known for {model}, so it is not asked",
            remedy=f"Add what it costs for a million tokens: ai: {{prices: {{{model}: {{input: 1.25, output: 10}}}}}}.",
        )
        self.model = model


class Rates(NamedTuple):
    """What one token of each kind costs, from a number of input tokens on.

    Args:
        above: they hold for requests with more input tokens than this; the lowest has -1.
        request: for the request as such, in nano-dollars.
    """

    above: int
    input: int
    cached_input: int
    cache_write: int
    output: int
    reasoning: int
    request: int = 0


class Price:
    """What a model costs.

    Some models cost more from a length of the input on, and then for all tokens.

    Args:
        tiers: by the length of the input, the shortest first; never empty.
        version: where they come from: `genai-prices 0.2.3`, `spec`.
        until: when they have to be looked up again, in seconds of `time.monotonic`.

    Example:
        >>> one = Rates(-1, *(1250 * SCALE, 125 * SCALE, 1250 * SCALE, 10_000 * SCALE, 10_000 * SCALE))
        >>> Price([one], "spec").cost(Usage(input=1000, output=10))
        1350000
    """

    __slots__ = ("_lowest", "_others", "tiers", "until", "version")

    def __init__(self, tiers: list[Rates], version: str, until: float = float("inf")) -> None:
        self.tiers = tuple(tiers)
        self.version = version
        self.until = until
        self._lowest = self.tiers[0]
        self._others = self.tiers[:0:-1]

    def cost(self, usage: Usage) -> int:
        """What an attempt costs, rounded to the nearest nano-dollar."""
        rates = self._lowest
        if self._others:
            rates = self._rates(usage.input + usage.cached_input + usage.cache_write)
        exact = (
            usage.input * rates.input
            + usage.cached_input * rates.cached_input
            + usage.cache_write * rates.cache_write
            + usage.output * rates.output
            + usage.reasoning * rates.reasoning
        )
        return (exact + SCALE // 2) // SCALE + rates.request

    def bound(self, input_tokens: int, output_tokens: int) -> int:
        """The most that so many tokens may cost, whatever their kinds turn out to be."""
        return max(
            -(-(input_tokens * _dearest_in(rates) + output_tokens * _dearest_out(rates)) // SCALE) + rates.request
            for rates in self.tiers
            if rates.above < input_tokens or rates is self._lowest
        )

    def affordable(self, nano: int, input_tokens: int) -> int | None:
        """How many tokens out an amount pays for, after that many in; None where they cost nothing."""
        fewest: int | None = None
        for rates in self.tiers:
            out = _dearest_out(rates)
            if out and (rates.above < input_tokens or rates is self._lowest):
                left = (nano - rates.request) * SCALE - input_tokens * _dearest_in(rates)
                fewest = min(OUTPUT_FREE if fewest is None else fewest, max(0, left // out))
        return fewest

    def _rates(self, input_tokens: int) -> Rates:
        return next((rates for rates in self._others if input_tokens > rates.above), self._lowest)


def _dearest_in(rates: Rates) -> int:
    return max(rates.input, rates.cached_input, rates.cache_write)


def _dearest_out(rates: Rates) -> int:
    return max(rates.output, rates.reasoning)


FREE: Final = Price([Rates(-1, 0, 0, 0, 0, 0)], "free")
"""Of what no provider charges for."""


class Published(Protocol):
    """A table of published prices."""

    def load(self) -> None:
        """Reads it, which may take a while; `price` does where this was not called.

        Raises:
            Fault: it is not installed.
        """
        ...

    def price(self, kind: str, base_url: str | None, model: str) -> Price | None:
        """What a model costs now; None where the table does not know.

        Args:
            kind: the kind of its provider: `openai`, `openai-compatible`.
            base_url: the provider's address, where the spec names one.
        """
        ...


class Prices:
    """The prices of the declared providers' models.

    Args:
        providers: the `ai.providers` of the spec.
        overrides: the `ai.prices` of the spec; they win.
        published: asked for all others.
    """

    def __init__(
        self, providers: Mapping[str, Provider], overrides: Mapping[str, PriceSpec], published: Published
    ) -> None:
        self._published = published
        self._known: dict[tuple[str, str], Price] = {}
        self.update(providers, overrides)

    async def load(self) -> None:
        """Reads the table, where a provider may need it."""
        if any(each.kind != "echo" for each in self._providers.values()):  # type: ignore[attr-defined]
            await to_thread.run_sync(self._published.load)

    def update(self, providers: Mapping[str, Provider], overrides: Mapping[str, PriceSpec]) -> None:
        """Takes other providers and overrides."""
        self._providers = providers
        self._overrides = {name: _declared(price) for name, price in overrides.items()}
        self._known.clear()

    def of(self, provider: str, model: str) -> Price:
        """What a model costs now.

        Raises:
            PriceUnknown: neither the spec nor the table says.
        """
        price = self._known.get((provider, model))
        if price is None or price.until < time.monotonic():
            price = self._known[provider, model] = self._find(provider, model)
        return price

    def usual_check(self, provider: str) -> str:
        """The model that moderates where none is named; the empty text for a provider without one."""
        declared = self._providers[provider]
        return MODERATIONS.get(declared.kind, "")  # type: ignore[attr-defined]  # each of the union's has one

    def _find(self, provider: str, model: str) -> Price:
        name = f"{provider}/{model}"
        if name in self._overrides:
            return self._overrides[name]
        declared = self._providers[provider]
        kind = declared.kind  # type: ignore[attr-defined]  # each of the union's has one
        if kind == "echo":
            return FREE
        found = self._published.price(kind, getattr(declared, "base_url", None), model)
        if found is None:
            raise PriceUnknown(name)
        return found


def _declared(price: PriceSpec) -> Price:
    """The price that a spec gives."""
    whole = rate(price.input)
    cached = whole if price.cached_input is None else rate(price.cached_input)
    written = whole if price.cache_write is None else rate(price.cache_write)
    out = rate(price.output)
    return Price([Rates(-1, whole, cached, written, out, out)], "spec")


def rate(dollars: Decimal) -> int:
    """The rate of a price in US dollars for a million tokens."""
    return round(dollars * PER_MILLION)
