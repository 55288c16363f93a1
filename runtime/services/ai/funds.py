"""What pays for a call: the credits of an account, what its key may spend of them, and each budget that applies."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from runtime.errors import InsufficientCredit, RequestFault
from runtime.services.ai.accounting import BudgetSpent
from runtime.services.ai.nano import show
from runtime.services.ai.store.budgets import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runtime.services.ai.spec import BudgetSpec


class Credit(NamedTuple):
    """The credits of an account."""

    account: str


class KeyCredit(NamedTuple):
    """What a key may spend of its account's credits, over all its time.

    Args:
        spender: the key's id.
        most: in nano-dollars.
    """

    account: str
    spender: str
    most: int


Fund = Credit | KeyCredit | Window


def name(fund: Fund) -> str:
    """A fund in one text, for the journal.

    Example:
        >>> name(Credit("user:ada")), name(Window("default", "user:ada", 0, 86400))
        ('credit:user:ada', 'budget:default:0:86400:user:ada')
        >>> name(KeyCredit("user:ada", "key:1", 500_000_000))
        'key-credit:500000000:key:1 user:ada'
    """
    if isinstance(fund, Credit):
        return f"credit:{fund.account}"
    if isinstance(fund, KeyCredit):
        return f"key-credit:{fund.most}:{fund.spender} {fund.account}"  # the id of a key has no blank
    return f"budget:{fund.budget}:{fund.begins}:{fund.ends}:{fund.holder}"


@lru_cache(maxsize=10_000)
def named(text: str) -> Fund:
    """The fund of a text that `name` made."""
    kind, _, rest = text.partition(":")
    if kind == "credit":
        return Credit(rest)
    if kind == "key-credit":
        most, _, names = rest.partition(":")
        spender, _, account = names.partition(" ")
        return KeyCredit(account, spender, int(most))
    budget, begins, ends, holder = rest.split(":", 3)
    return Window(budget, holder, int(begins), int(ends))


def windows(budgets: Mapping[str, BudgetSpec], user: str, key: str, now: float) -> list[Window]:
    """The windows of all budgets at a moment, for a caller.

    Lengths of time are counted from 1970-01-01 UTC, so that `1d` begins at midnight, on every instance.
    """
    found = []
    for budget, spec in budgets.items():
        length = max(1, int(spec.per))
        begins = int(now // length) * length
        holder = {"user": user, "key": key, "spec": ""}[spec.scope]
        found.append(Window(budget, holder, begins, begins + length))
    return found


def refusal(fund: Fund, needed: int, available: int) -> RequestFault:
    """What is said to a caller whose fund has not enough."""
    left = f"{show(needed)} USD are needed, {show(max(0, available))} are available"
    if isinstance(fund, Credit):
        return InsufficientCredit(
            left, remedy="Buy credits, ask for fewer tokens (`max_tokens`), or wait until running calls have ended."
        )
    if isinstance(fund, KeyCredit):
        return InsufficientCredit(
            f"{left} of the {show(fund.most)} that this key may spend",
            remedy="Ask for fewer tokens (`max_tokens`), or use another key.",
        )
    wait = max(1.0, fund.ends - time.time())
    return BudgetSpent(
        f'the budget "{fund.budget}" has not enough left: {left}',
        budget=fund.budget,
        retry_after=wait,
        remedy=f"Ask for fewer tokens (`max_tokens`), or wait: it begins anew in {span(wait)}.",
    )


def span(seconds: float) -> str:
    """A length of time, in a unit of which it has at least three.

    Example:
        >>> span(90), span(5400), span(200_000)
        ('90 s', '90 min', '56 h')
    """
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 3 * length:
            return f"{round(seconds / length)} {unit}"
    return f"{round(seconds)} s"


def by_kind(funds: Iterable[Fund]) -> tuple[list[str], list[KeyCredit], list[Window]]:
    """The accounts, the credits of keys and the windows of some funds, each once."""
    every = set(funds)
    return (
        sorted(fund.account for fund in every if isinstance(fund, Credit)),
        sorted(fund for fund in every if isinstance(fund, KeyCredit)),
        sorted(fund for fund in every if isinstance(fund, Window)),
    )
