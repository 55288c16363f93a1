"""Steps that take as long for one address as for another.

An address with an account costs more: a mail is stored beside its code, a try is counted. Over many calls a millisecond
more tells whoever measures that there is an account (OWASP ASVS 5, 6.3.8). So the step ends at a set time from its
begin; what it is made of is over well before.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SPAN: Final = 0.03
"""Seconds; several times what the step takes."""


@asynccontextmanager
async def evenly(span: float = SPAN) -> AsyncIterator[None]:
    """Ends no sooner than so many seconds after it began, with an error or without; nothing should be held meanwhile.

    Example:
        >>> async with evenly(), transactions.transaction() as tx:                            # doctest: +SKIP
        ...     await codes.take(tx, "reset", "ada@example.com", "22222-22222")
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + span
    try:
        yield
    except Exception:
        await asyncio.sleep(until - loop.time())
        raise
    await asyncio.sleep(until - loop.time())
