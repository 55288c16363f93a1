"""What billing needs of a payment processor, without knowing which it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from decimal import Decimal


class Payment(NamedTuple):
    """Money that has come in.

    Args:
        id: the processor's own, the same in all that it says of this payment.
        currency: by its code, `USD`.
    """

    id: str
    account: str
    amount: Decimal
    currency: str


class Received(NamedTuple):
    """A callback that is the processor's: the id of its event, and the payment that it tells of, if any."""

    event: str
    payment: Payment | None


class Processor(Protocol):
    """How one processor signs and speaks."""

    def read(self, signature: str | None, body: bytes) -> Received:
        """What a callback says.

        Args:
            signature: the header that it signs with.
            body: as it was sent, to the byte.

        Raises:
            Invalid: not signed by it, too old, or not readable.
        """
        ...
