"""The HTTP call that tells what was used."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, get
from litestar.params import QueryParameter

from runtime.errors import Forbidden, Invalid, NotFound, Pointer
from runtime.http.access import ADMIN, Caller, scope
from runtime.http.paging import After, Limit, cursor, position
from runtime.http.ports import Port
from runtime.services.ai.nano import show
from runtime.services.ai.report import FIRST_DAY, BudgetLeft, Report
from runtime.services.ai.store.usage import Sum

Group = Literal["day", "user", "key", "provider", "model", "operation"]
USUAL_DAYS = 30
EVERYBODY = "*"


class TokensShown(msgspec.Struct):
    """Tokens by kind; the kinds do not overlap."""

    input: int
    cached_input: int
    cache_write: int
    output: int
    reasoning: int
    total: int


class UsageShown(msgspec.Struct, omit_defaults=True):
    """What the attempts of one group came to; of the group, what was asked for by `by`.

    Args:
        operation: `chat`, `embeddings`, `moderation`, `safety`.
        calls: different ones; each has one attempt or several.
        failed: attempts that did not end with an answer.
        estimated: attempts whose tokens were counted by us, since the provider did not tell.
        cost: by the price of the model.
        charged: what of it was charged; not what was asked with a key of the caller's own.
    """

    calls: int
    attempts: int
    failed: int
    estimated: int
    tokens: TokensShown
    cost: str
    charged: str
    currency: str
    day: str | None = None
    user: str | None = None
    key: str | None = None
    provider: str | None = None
    model: str | None = None
    operation: str | None = None

    @classmethod
    def of(cls, sum_: Sum, by: list[Group]) -> "UsageShown":
        group: dict[str, Any] = dict(zip(by, sum_.group, strict=True))
        if "day" in group:
            group["day"] = (FIRST_DAY + timedelta(days=group["day"])).isoformat()
        return cls(
            calls=sum_.calls,
            attempts=sum_.attempts,
            failed=sum_.failed,
            estimated=sum_.estimated,
            tokens=TokensShown(**sum_.tokens, total=sum(sum_.tokens.values())),
            cost=show(sum_.cost),
            charged=show(sum_.charged),
            currency="USD",
            **group,
        )


class BudgetShown(msgspec.Struct):
    """A budget of the caller.

    Args:
        scope: whether each user has it, each key, or all together.
        reserved: what running calls may still take.
        left: what a call may still reserve.
        begins, ends: the length of time that runs.
    """

    name: str
    scope: str
    limit: str
    spent: str
    reserved: str
    left: str
    currency: str
    begins: datetime
    ends: datetime

    @classmethod
    def of(cls, budget: BudgetLeft) -> "BudgetShown":
        limit, spent, reserved, left = map(show, (budget.limit, budget.spent, budget.reserved, budget.left))
        return cls(budget.name, budget.scope, limit, spent, reserved, left, "USD", budget.begins, budget.ends)


class UsagePage(msgspec.Struct):
    """A page of what was used, and the budgets of whom it was asked for (of nobody, where it was for everybody)."""

    items: list[UsageShown]
    next: str | None
    budgets: list[BudgetShown]


class UsageRoutes(Controller):
    """What calls to models used and did cost."""

    path = "/v1/usage"
    tags = ["ai"]

    @get("/", opt=scope("ai:use"), summary="Tokens, cost and what is left of budgets")
    async def usage(
        self,
        ai_usage: Port[Report | None],
        caller: Port[Caller],
        by: Annotated[
            list[Group] | None, QueryParameter(description="What to group by, in this order; `day` by default.")
        ] = None,
        user: Annotated[
            str | None,
            QueryParameter(max_length=200, description="Another user, or `*` for all; needs `runtime:admin`."),
        ] = None,
        key: Annotated[str | None, QueryParameter(max_length=200, description="One API key alone.")] = None,
        provider: Annotated[str | None, QueryParameter(max_length=63, description="One provider alone.")] = None,
        model: Annotated[str | None, QueryParameter(max_length=200, description="One model alone.")] = None,
        since: Annotated[
            date | None, QueryParameter(description="The first day, UTC; 30 days before the last by default.")
        ] = None,
        until: Annotated[date | None, QueryParameter(description="The last day, UTC; today by default.")] = None,
        limit: Limit = 50,
        after: After = None,
    ) -> UsagePage:
        report = _declared(ai_usage)
        wanted = user or caller.account
        if wanted != caller.account and not caller.may(ADMIN):
            raise Forbidden("this needs the scope runtime:admin: it is another's usage")
        groups: list[Group] = list(dict.fromkeys(by or ["day"]))
        last = until or datetime.now(UTC).date()
        first = since or last - timedelta(days=min(USUAL_DAYS, (last - date.min).days))
        chosen = {"user": None if wanted == EVERYBODY else wanted, "key": key, "provider": provider, "model": model}
        only = {name: value for name, value in chosen.items() if value is not None}
        place = _position(after, groups) if after else None
        found = await report.used(groups, only, first, last, after=place, limit=limit + 1)
        budgets = [] if wanted == EVERYBODY else await report.budgets(wanted, key or caller.id)
        shown = found[:limit]
        more = len(found) > limit
        return UsagePage(
            [UsageShown.of(each, groups) for each in shown],
            cursor("usage", [groups, shown[-1].group]) if more else None,
            [BudgetShown.of(budget) for budget in budgets],
        )


def _declared(report: Report | None) -> Report:
    if report is None:
        raise NotFound("the spec declares no AI", remedy="Add `ai: {providers: {echo: {kind: echo}}}` to it.")
    return report


def _position(after: str, groups: list[Group]) -> list[Any]:
    """Where a cursor points to."""
    match position("usage", after):
        case [list(known), list(place)] if known == groups and len(place) == len(groups):
            if all(type(value) is (int if group == "day" else str) for group, value in zip(groups, place, strict=True)):
                return place
    raise Invalid(
        "`after` is not a cursor of this list",
        errors=[Pointer("?after", "pass the `next` of an earlier answer as it is, with the same `by`")],
        remedy="Begin again without `after`.",
    )
