"""The HTTP calls of credits."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from runtime.errors import Conflict, Forbidden, NotFound
from runtime.http.access import ADMIN, OPEN, Caller, scope
from runtime.http.audit import audited
from runtime.http.paging import After, Limit, page, position_of
from runtime.http.ports import Port
from runtime.services.billing.amounts import parse, show
from runtime.services.billing.ports import Billing, Entry, Posting
from runtime.services.names import time_ordered

POSTED = audited("credits.post", "{account}", "kind", "amount", "currency", "id")

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=180)]
Text = Annotated[str, msgspec.Meta(max_length=500)]


class EntryShown(msgspec.Struct):
    """An entry of the ledger.

    Args:
        amount: what was added to the balance; below zero for a debit.
        balance: the account's after it.
        operation: what the entry stands for; each is entered once.
    """

    id: int
    account: str
    kind: str
    amount: str
    balance: str
    currency: str
    operation: str
    reason: str | None
    reference: str | None
    created_at: datetime

    @classmethod
    def of(cls, entry: Entry, currency: str) -> "EntryShown":
        return cls(
            entry.id,
            entry.account,
            entry.kind,
            show(entry.amount),
            show(entry.balance),
            currency,
            entry.operation,
            entry.reason,
            entry.reference,
            entry.created_at,
        )


class CreditsShown(msgspec.Struct):
    """An account and a page of its entries, newest first.

    Args:
        balance: the sum of all entries; below zero where work was done beyond it.
        reserved: what running work may still take.
        available: the rest.
        limit: what the key that asks may spend in all; null where it has no limit of its own.
        spent: what it has spent, where it has one.
    """

    account: str
    currency: str
    balance: str
    reserved: str
    available: str
    items: list[EntryShown]
    next: str | None
    limit: str | None = None
    spent: str | None = None


class CreditsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An entry to be made.

    Args:
        amount: an exact decimal, "12.50"; of an adjustment also below zero.
        currency: the environment's, if it is given.
        operation: names the entry: sent again, it is made once.
        reason: what it is for.
        reference: the id of what caused it.
    """

    account: Name
    kind: Literal["purchase", "bonus", "refund", "adjustment"]
    amount: str
    currency: str | None = None
    operation: Name | None = None
    reason: Text | None = None
    reference: Text | None = None


class CallbackAnswer(msgspec.Struct):
    """What became of a callback: `recorded`, `known` from an earlier one, or `ignored`."""

    result: str


class CreditRoutes(Controller):
    """Credits of accounts."""

    path = "/v1/credits"
    tags = ["credits"]

    @get("/", opt=scope("credits:read"), summary="Balance and ledger of an account")
    async def credits(
        self,
        billing: Port[Billing | None],
        caller: Port[Caller],
        account: Annotated[
            str | None, QueryParameter(max_length=200, description="Another's needs `runtime:admin`.")
        ] = None,
        limit: Limit = 50,
        after: After = None,
    ) -> CreditsShown:
        ledger = _declared(billing)
        wanted = account or caller.account
        if wanted != caller.account and not caller.may(ADMIN):
            raise Forbidden("this needs the scope runtime:admin: it is another's account")
        found = await ledger.entries(wanted, before=position_of("credits", after, int), limit=limit + 1)
        stands = await ledger.balance(wanted)
        shown = page("credits", found, limit, lambda entry: entry.id)
        return CreditsShown(
            wanted,
            ledger.currency,
            show(stands.balance),
            show(stands.reserved),
            show(stands.available),
            [EntryShown.of(entry, ledger.currency) for entry in shown.items],
            shown.next,
            show(caller.credits) if caller.credits is not None else None,
            show(await ledger.spent(caller.id)) if caller.credits is not None else None,
        )

    @post("/", opt={**scope(ADMIN), **POSTED}, summary="Enter a purchase, a bonus, a refund or an adjustment")
    async def enter(self, data: JSONBody[CreditsRequest], billing: Port[Billing | None]) -> EntryShown:
        ledger = _declared(billing)
        if data.currency not in (None, ledger.currency):
            raise Conflict(f"credits are in {ledger.currency}, not in {data.currency}")
        operation = f"operator:{data.operation or time_ordered()}"
        posting = Posting(data.account, data.kind, parse(data.amount), operation, data.reason, data.reference)
        return EntryShown.of(await ledger.post(posting), ledger.currency)

    @post(
        "/callbacks/{processor:str}",
        opt=OPEN,
        status_code=HTTP_200_OK,
        summary="A payment processor's signed callback",
    )
    async def callback(
        self,
        processor: FromPath[str],
        request: Request[Any, Any, Any],
        billing: Port[Billing | None],
        signature: Annotated[
            str | None, HeaderParameter(name="Stripe-Signature", max_length=4000, description="Stripe's signature.")
        ] = None,
    ) -> CallbackAnswer:
        return CallbackAnswer(await _declared(billing).callback(processor, signature, await request.body()))


def _declared(billing: Billing | None) -> Billing:
    if billing is None:
        raise NotFound("the spec declares no billing", remedy="Add `billing: {currency: USD}` to it.")
    return billing
