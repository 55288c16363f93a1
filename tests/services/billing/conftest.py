"""A ledger over real servers: what the tests of billing build on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime.services.billing.service import Billing
from runtime.services.billing.spec import BillingSpec
from tests.services.outbox.conftest import place as place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.outbox.conftest import Place

STREAMS: dict[str, Any] = {
    "billing": {"events": {"credits.used": {}, "credits.overdrawn": {}, "payment.received": {}}},
    "s": {"events": {}},
}
SECRET = "whsec_of_tests"


class Books:
    """A ledger, and the instance that it is on."""

    def __init__(self, at: Place, **section: Any) -> None:
        processors = {"stripe": {"kind": "stripe", "signing_secret": SECRET}}
        spec = BillingSpec.model_validate({"processors": processors, **section})
        self.at = at
        self.ledger = Billing(spec, at.database, at.outbox, at.outbox, at.events)

    async def told(self, type_: str) -> list[dict[str, Any]]:
        """The data of the events of one type, in order."""
        return [dict(event.data) for event in await self.at.published("billing") if event.type == type_]


@pytest.fixture
def books(place: Callable[..., Awaitable[Place]]) -> Callable[..., Awaitable[Books]]:
    """Makes ledgers that share a database."""

    async def build(streams: dict[str, Any] | None = None, **section: Any) -> Books:
        made = Books(await place(streams=streams or STREAMS), **section)
        await made.ledger.start()
        return made

    return build
