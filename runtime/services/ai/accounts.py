"""The books of calls: implements the ports `Accounting` and `Account`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runtime.errors import InsufficientCredit
from runtime.services.ai import funds as funding
from runtime.services.ai import tokens
from runtime.services.ai.accounting import Admission, TooExpensive
from runtime.services.ai.nano import show
from runtime.services.ai.prices import FREE, OUTPUT_FREE, Price, PriceUnknown
from runtime.services.ai.store.attempts import Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.errors import TooMany
    from runtime.services.ai.accounting import Call, Candidate
    from runtime.services.ai.books import Books
    from runtime.services.ai.funds import Fund
    from runtime.services.ai.limits import Need
    from runtime.services.ai.safety import Safety, Verdict
    from runtime.services.ai.usage import Attempt, Usage

ANSWER: Final = 256
"""Tokens out that have to be paid for at least, where a caller names no limit of its own."""
LIKELY: Final = 1000
"""Tokens out that such a call counts against limits of tokens, until it is known how many there were."""
DAY_MS: Final = 86_400_000


class Accounts:
    """Implements `Accounting`.

    Args:
        books: started.
        safety: the checks; None where the spec declares none.
    """

    def __init__(self, books: Books, safety: Safety | None = None) -> None:
        self._books = books
        self._safety = safety

    async def open(self, call: Call) -> OpenAccount:
        books = self._books
        tokens_in = tokens.bound(call.input_bytes, call.images)
        least, most = _range(call, [_price(books, call, each) for each in call.candidates], tokens_in, books.max_cost)
        account = OpenAccount(books, self._safety, call, tokens_in)
        await account.begin(least, most)
        return account


class OpenAccount:
    """Implements `Account`.

    Args:
        tokens_in: the most that the question has.
    """

    def __init__(self, books: Books, safety: Safety | None, call: Call, tokens_in: int) -> None:
        self._books = books
        self._safety = safety
        self._call = call
        self._tokens_in = tokens_in
        self._caller = _caller_needs(books, call, tokens_in)
        self._funds: Sequence[Fund] = ()
        self._names: tuple[str, ...] = ()
        self._held = 0
        self._first: tuple[Candidate, list[Need], TooMany | None] | None = None
        self._needs: list[Need] = []
        self._price: Price = FREE
        self._own = False
        self._room = 0
        self._charged = 0
        self._used = 0
        self._checks = 0
        self._closed = False
        self.cost = 0
        self.reports: Mapping[str, Any] | None = None

    async def begin(self, least: int, most: int) -> None:
        """Counts, reserves and checks, in this order; raises as `Accounting.open` does."""
        first = self._call.candidates[0]
        needs = _model_needs(self._books, self._call, first, self._tokens_in)
        self._first = first, needs, await self._books.limits.take(self._caller, needs)
        funds = self._books.paying(self._call) if most else ()
        try:
            self._held = await self._books.teller.reserve(funds, least, most)
        except BaseException:
            await self.close()
            raise
        self._funds, self._names = funds, tuple(funding.name(fund) for fund in funds)
        if self._safety is not None and self._call.texts:
            try:
                verdict = await self._safety.check_input(self._call)
                self._entered(verdict)
            except BaseException as error:
                self._entered(getattr(error, "verdict", None))
                await self.close()
                raise
            self.reports = verdict.report if verdict is not None else None

    async def admit(self, candidate: Candidate) -> Admission:
        known, self._first = self._first, None
        if known is not None and known[0] == candidate:
            _, needs, refused = known
        else:
            if known is not None and known[2] is None:
                self._books.limits.settle(known[1], 0)  # it was counted, and is not asked
            needs = _model_needs(self._books, self._call, candidate, self._tokens_in)
            refused = await self._books.limits.take((), needs)
        if refused is not None:
            raise refused
        self._needs, self._own = needs, candidate.own_key
        self._price = _price(self._books, self._call, candidate) or FREE
        if self._own:
            return Admission(None, 0)
        self._room = self._held - self._charged
        if self._room < 0 or (self._held and not self._room):
            raise InsufficientCredit(
                "what was reserved for this call is spent by its earlier tries",
                remedy="Ask again; a higher `max_tokens` reserves more.",
            )
        return Admission(self._price.affordable(self._room, self._tokens_in), self._room)

    def spent(self, usage: Usage) -> bool:
        return not self._own and self._price.cost(usage) > self._room

    async def record(self, attempt: Attempt) -> int:
        cost = self._write(attempt, self._price, self._call.operation, free=self._own)
        self._books.limits.settle(self._needs, attempt.usage.total)
        self._needs = []
        self._used += attempt.usage.total
        return cost

    async def check_output(self, text: str) -> Mapping[str, Any] | None:
        if self._safety is None:
            return None
        try:
            verdict = await self._safety.check_output(text)
        except BaseException as error:
            self._entered(getattr(error, "verdict", None))
            raise
        self._entered(verdict)
        return verdict.report if verdict is not None else None

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._funds:
            self._books.teller.release(self._funds, self._held)
        if self._first is not None and self._first[2] is None:
            self._books.limits.settle(self._first[1], 0)
        self._books.limits.settle(self._needs, 0)
        self._books.limits.settle(self._caller, self._used)

    def _entered(self, verdict: Verdict | None) -> None:
        """Enters what a check did cost."""
        for attempt in verdict.attempts if verdict is not None else ():
            self._checks += 1
            price = self._books.prices.of(attempt.provider, attempt.model)
            self._write(attempt, price, "safety", number=self._checks)

    def _write(
        self, attempt: Attempt, price: Price, operation: str, *, free: bool = False, number: int | None = None
    ) -> int:
        usage, call, started = attempt.usage, self._call, int(attempt.started * 1000)
        cost = price.cost(usage)
        charged = 0 if free else cost
        self.cost += cost
        self._charged += charged
        self._books.teller.note(
            Row(
                call=call.id,
                operation=operation,
                number=number if number is not None else attempt.number,
                user=call.user,
                key=call.key,
                chain=call.chain,
                provider=attempt.provider,
                model=attempt.model[:200],
                outcome=attempt.outcome,
                status=attempt.status,
                streamed=attempt.streamed,
                estimated=usage.estimated,
                input=usage.input,
                cached_input=usage.cached_input,
                cache_write=usage.cache_write,
                output=usage.output,
                reasoning=usage.reasoning,
                cost=cost,
                charged=charged,
                price=price.version,
                entry=None,
                day=started // DAY_MS,
                started=started,
                duration=int(attempt.duration * 1000),
                funds=self._names if charged else (),
            )
        )
        return cost


def _price(books: Books, call: Call, candidate: Candidate) -> Price | None:
    """What a candidate costs us; None where the caller pays the provider and no price is known.

    Raises:
        PriceUnknown: neither the spec nor the table says.
    """
    model = candidate.model
    if not model and call.operation == "moderation":
        model = books.prices.usual_check(candidate.provider)
    try:
        return books.prices.of(candidate.provider, model)
    except PriceUnknown:
        if candidate.own_key:
            return None
        raise


def _range(call: Call, prices: Sequence[Price | None], tokens_in: int, limit: int) -> tuple[int, int]:
    """The least and the most that is to be reserved.

    Raises:
        TooExpensive: the question alone may cost more than the limit of one answer.
    """
    ours = [
        price for price, each in zip(prices, call.candidates, strict=True) if price is not None and not each.own_key
    ]
    if not ours:
        return 0, 0
    question = max(price.bound(tokens_in, 0) for price in ours)
    if question > limit:
        raise TooExpensive(
            f"the question alone may cost {show(question)} USD, one answer may cost {show(limit)}",
            remedy="Ask with less text, or raise `ai.max_cost`.",
        )
    if call.max_output is not None or call.operation != "chat":
        most = min(limit, max(price.bound(tokens_in, call.max_output or 0) for price in ours))
        return most, most
    most = min(limit, max(price.bound(tokens_in, OUTPUT_FREE) for price in ours))
    return min(most, max(price.bound(tokens_in, ANSWER) for price in ours)), most


def _caller_needs(books: Books, call: Call, tokens_in: int) -> list[Need]:
    """What a call needs of its caller's limits."""
    spec, expected = books.spec.limits, tokens_in + _expected(call)
    return [
        *books.limits.needs("user", call.user, spec.user, expected),
        *books.limits.needs("key", call.key, spec.key, expected),
    ]


def _model_needs(books: Books, call: Call, candidate: Candidate, tokens_in: int) -> list[Need]:
    """What a call needs of the limits of a provider and of its model."""
    if candidate.own_key:
        return []  # the provider counts it against the caller's own account
    provider, expected = books.spec.providers[candidate.provider], tokens_in + _expected(call)
    found = books.limits.needs("provider", candidate.provider, provider.limits, expected)
    if (model := provider.models.get(candidate.model)) is not None:
        found += books.limits.needs("model", f"{candidate.provider}/{candidate.model}", model.limits, expected)
    return found


def _expected(call: Call) -> int:
    """The tokens out that a call counts against limits before it is known how many there are."""
    if call.operation != "chat":
        return 0
    return LIKELY if call.max_output is None else call.max_output
