"""A stream on its way to the caller: held back until its first content, watched until its last event."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from runtime.errors import Fault
from runtime.services.ai.failures import Failure
from runtime.services.ai.faults import CODES
from runtime.services.ai.patience import Patience
from runtime.services.ai.pieces import Piece
from runtime.services.ai.spans import UNTRACED, Untraced

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from runtime.services.ai.accounting import Account
    from runtime.services.ai.attempt import Try
    from runtime.services.ai.figures import Figures
    from runtime.services.ai.provider import Pieces
    from runtime.services.ai.registry import Registry
    from runtime.services.ai.request import ChatRequest

logger = logging.getLogger("runtime.ai")

DONE: Final = b"data: [DONE]\n\n"


class Opened:
    """A stream that has begun to answer.

    Args:
        attempt: whose it is.
        held: what came until its first content, that included.
    """

    def __init__(self, attempt: Try, stack: AsyncExitStack, pieces: Pieces, held: Sequence[Piece]) -> None:
        self.attempt = attempt
        self.ignored = pieces.ignored
        self._stack = stack
        self._pieces = pieces
        self._held = deque(held)
        self._patience: Patience | None = None
        self._interrupted = False

    async def next(self, idle: float) -> Piece:
        """The next piece, from the first; an empty one where `interrupt` has ended the wait for it.

        Args:
            idle: seconds that the provider may be silent; always the same.

        Raises:
            Failure: the stream broke.
        """
        if self._held:
            return self._held.popleft()
        patience = self._patience
        if patience is None:
            patience = self._patience = Patience(idle)
        try:
            with patience:
                piece = await self._pieces.next()
        except TimeoutError as error:
            if self._interrupted:
                return Piece()
            raise Failure("timeout", f"{self.attempt.name} was silent for {idle:g} s") from error
        self.attempt.came(piece.text, piece.usage, piece.data)
        return piece

    def interrupt(self) -> None:
        """Ends the wait for the next piece, if one is waited for."""
        self._interrupted = True
        if self._patience is not None:
            self._patience.end()

    async def close(self) -> None:
        """Lets go of the provider: it stops at once."""
        if self._patience is not None:
            self._patience.close()
        await self._stack.aclose()


async def opened(attempt: Try, request: ChatRequest, figures: Figures) -> Opened:
    """Asks for a stream and waits for its first content.

    Raises:
        Failure: it failed before that; the caller has not seen anything of it.
    """
    stack = AsyncExitStack()
    held: list[Piece] = []
    try:
        asked = attempt.provider.stream(request, attempt.candidate.model, key=attempt.key, limit=attempt.limit)
        pieces = await stack.enter_async_context(asked)
        while True:
            piece = await pieces.next()
            attempt.came(piece.text, piece.usage, piece.data)
            held.append(piece)
            if piece.begun or piece.ended:
                break
            if piece.failure is not None:
                raise piece.failure
    except BaseException:
        await stack.aclose()
        raise
    figures.first(attempt.candidate.provider, attempt.candidate.model, attempt.seconds)
    if attempt.span is not None:
        attempt.span.first(attempt.seconds)
    return Opened(attempt, stack, pieces, held)


class Streaming:
    """The answer to a call for a stream.

    Args:
        idle: seconds that the provider may be silent.
        check: whether the whole answer is checked at its end (`report`), or before any of it is handed out (`reject`).
        finished: called with all its text, at its end.
        trace: what is traced of the call.
    """

    def __init__(
        self,
        opened: Opened,
        account: Account,
        registry: Registry,
        *,
        idle: float,
        check: Literal["report", "reject"] | None,
        attempts: int,
        finished: Callable[[str], None] | None = None,
        trace: Untraced = UNTRACED,
    ) -> None:
        self._opened = opened
        self._account = account
        self._registry = registry
        self._idle = idle
        self._check = check
        self._finished = finished
        self._refused = ""
        self._trace = trace
        self.attempt = opened.attempt
        self.attempts = attempts
        self.ignored = opened.ignored
        self.flagged = account.reports

    def refuse(self, message: str) -> None:
        """Ends the stream at once with an error: its caller may not go on. What has come is the caller's to pay."""
        self._refused = message
        self._opened.interrupt()

    async def events(self) -> AsyncIterator[bytes]:
        """Server-Sent Events in OpenAI's format; the last is `[DONE]`, or one that tells an error.

        Close it, whatever happens: the attempt is recorded then.
        """
        attempt = self.attempt
        held: list[bytes] = []
        texts: list[str] = []
        listening = self._check is not None or self._finished is not None
        try:
            while not self._refused:
                piece = await self._opened.next(self._idle)
                if listening:
                    texts.append(piece.text)
                if self._check == "reject":
                    held.append(piece.data)
                elif piece.data:
                    yield piece.data
                if piece.failure is not None:
                    raise piece.failure
                if piece.ended:
                    break
                if attempt.spent():
                    await attempt.record("cut", attempt.used())
                    yield _error("the money for this answer is gone", "insufficient_credit")
                    return
            else:
                yield _error(self._refused, "invalid_api_key")
                return
            await attempt.record("ok", attempt.used(complete=True), status=200)
            async for event in self._checked("".join(texts), held):
                yield event
            yield b": cost %d nano-dollars\n\n" % self._account.cost + DONE
        except Failure as failure:
            await self._failed(failure)
            yield _error("the answer broke off: the provider failed", failure.kind)
        except Fault as fault:
            yield _error(fault.message, CODES.get(type(fault), "refused"))  # type: ignore[arg-type]
        finally:
            # Whoever leaves in the middle is billed for what it got.
            await attempt.record("aborted", attempt.used())
            await self._opened.close()
            await self._account.close()
            self._trace.spent(self.attempts, self._account.cost)
            self._trace.end(attempt.outcome if attempt.outcome not in (None, "ok") else "")

    async def _checked(self, text: str, held: Sequence[bytes]) -> AsyncIterator[bytes]:
        """What was held back, once it has been checked; and what was found."""
        flagged = await self._account.check_output(text) if self._check is not None else None
        if held:
            yield b"".join(held)
        if flagged:
            yield b": flagged " + msgspec.json.encode(flagged) + b"\n\n"
        if self._finished is not None:
            self._finished(text)

    async def _failed(self, failure: Failure) -> None:
        attempt = self.attempt
        about = {"attempt": attempt.number, "kind": failure.kind}
        logger.warning("%s broke its stream off: %s", attempt.name, failure.message, extra=about)
        await attempt.record(failure.kind, attempt.used(), status=failure.status)
        await self._registry.failed(attempt.candidate.provider, attempt.entry, failure)


def _error(message: str, code: str) -> bytes:
    body: dict[str, Any] = {"error": {"message": message, "type": code, "param": None, "code": code}}
    return b"data: " + msgspec.json.encode(body) + b"\n\n"
