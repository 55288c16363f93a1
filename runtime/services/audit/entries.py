"""Entries as they wait and are stored: acts without what must not be kept, in the forms of the columns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from runtime.services.names import time_ordered

if TYPE_CHECKING:
    from runtime.services.audit.redaction import Redaction
    from runtime.telemetry.audit import Act

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def entry(act: Act, redaction: Redaction) -> dict[str, Any]:
    """The fields of an entry, without its place in the chain."""
    return {
        "id": act.id or time_ordered(),
        "time": microseconds(act.time or datetime.now(UTC)),
        "actor": redaction.text(act.actor, 200),
        "action": redaction.text(act.action, 100),
        "target": redaction.text(act.target, 255) if act.target is not None else None,
        "outcome": act.outcome,
        "request": redaction.text(act.request, 128) if act.request is not None else None,
        "address": redaction.text(act.address, 64) if act.address is not None else None,
        "details": redaction.details(act.details),
    }


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exactly.

    Example:
        >>> microseconds(datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC))
        1767225600000001
    """
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
