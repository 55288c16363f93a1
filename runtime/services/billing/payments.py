"""Payments that processors tell of by signed callbacks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from runtime.errors import Invalid
from runtime.services.billing.adapters.stripe import Stripe
from runtime.services.billing.amounts import positive
from runtime.services.names import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.services.billing.processor import Processor, Received
    from runtime.services.billing.spec import ProcessorSpec

logger = logging.getLogger("runtime.billing")


class Payments:
    """The processors of a spec.

    Args:
        processors: their sections, by name.
        currency: the one that can be credited.
    """

    def __init__(self, processors: Mapping[str, ProcessorSpec], currency: str) -> None:
        self._currency = currency
        self._processors: dict[str, Processor] = {
            name: Stripe(spec.signing_secret.get_secret_value(), spec.tolerance) for name, spec in processors.items()
        }

    @property
    def names(self) -> list[str]:
        return sorted(self._processors)

    def read(self, processor: str, signature: str | None, body: bytes) -> Received:
        """What a callback says.

        Raises:
            NotFound: no such processor.
            Invalid: not signed by it, too old, or unusable.
        """
        if processor not in self._processors:
            raise unknown("payment processor", processor, self._processors)
        received = self._processors[processor].read(signature, body)
        payment = received.payment
        if payment is None:
            return received
        positive(payment.amount)
        if payment.currency != self._currency:
            logger.error("the payment %s of %s is in %s and not credited", payment.id, processor, payment.currency)
            raise Invalid(
                f"the payment {payment.id} is in {payment.currency}, credits are in {self._currency}",
                remedy="Refund it, or credit it by hand.",
            )
        return received
