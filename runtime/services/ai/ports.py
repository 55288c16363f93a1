"""What other services and the user's own tasks may use of the models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, Protocol

import msgspec

from runtime.errors import Invalid


class ProviderView(msgspec.Struct, frozen=True):
    """A provider as an operator sees it.

    Args:
        kind: `openai`, `anthropic`, `mistral`, `openai-compatible`, `echo`.
        state: `active`; `cooldown`, left alone after failures; `disabled`, as it refuses the environment's key.
        reason: why it is not active.
        retry_in: seconds until one call tries it again; null where it is not in cooldown.
        timeout: seconds that one try may take.
        requests: its limit, `500/m`; null for none.
        tokens: its limit, `200000/m`; null for none.
    """

    name: str
    kind: str
    state: Literal["active", "cooldown", "disabled"]
    reason: str
    retry_in: float | None
    timeout: float
    requests: str | None
    tokens: str | None


class Completion(msgspec.Struct, frozen=True):
    """An answer, and how it came about.

    Args:
        body: OpenAI's JSON.
        provider: who answered.
        model: which model of it.
        attempts: how many requests were sent to providers.
        cost: of all of them, in nano-dollars.
        ignored: fields of the request that the model has no counterpart of.
        flagged: what a check found and let through; null where it found nothing.
    """

    body: bytes
    provider: str
    model: str
    attempts: int
    cost: int
    ignored: Sequence[str] = ()
    flagged: Mapping[str, Any] | None = None

    def plain(self) -> dict[str, Any]:
        """The body as plain data."""
        data: dict[str, Any] = msgspec.json.decode(self.body)
        return data


class Ai(Protocol):
    """Models of several providers behind one interface."""

    async def chat(
        self, request: Mapping[str, Any] | bytes, *, user: str, key: str = "", key_credits: Decimal | None = None
    ) -> Completion:
        """Asks for a chat completion.

        Args:
            request: OpenAI's; `model` is the name of a chain or `provider/model`. `stream` is passed over.
            user: whose credits and budgets it uses.
            key: who asks, where that is another than the user.
            key_credits: the most that the key may spend of the user's credits, over all its time; None for all.

        Raises:
            NotFound: there is no such chain or provider.
            Invalid: the request is wrong, or no model of the chain can do what it asks for.
            Refused: it was flagged as unsafe.
            InsufficientCredit: there is not enough money left.
            TooMany: a limit is reached, ours or the providers'.
            ProviderFault: no model answered.

        Example:
            >>> messages = [{"role": "user", "content": "Hi"}]
            >>> answer = await ai.chat({"model": "default", "messages": messages}, user="ada")        # doctest: +SKIP
            >>> answer.plain()["choices"][0]["message"]["content"]                                    # doctest: +SKIP
            'Hello!'
        """
        ...

    async def embed(
        self, request: Mapping[str, Any] | bytes, *, user: str, key: str = "", key_credits: Decimal | None = None
    ) -> Completion:
        """Asks for embeddings; raises as `chat` does."""
        ...

    def providers(self) -> Sequence[ProviderView]:
        """Every provider and its state."""
        ...


class BoundAi:
    """Models, asked on behalf of one payer; what a job sees of them.

    Args:
        user: who pays; empty for nobody, so that each call has to name somebody.
        key: the key that the payer has shown; empty for none.
        credits: the most that the key may spend.

    Example:
        >>> answer = await job.ai.chat({"model": "default", "messages": [...]})                      # doctest: +SKIP
    """

    def __init__(self, ai: Ai, user: str = "", key: str = "", credits: Decimal | None = None) -> None:  # noqa: A002
        self._ai = ai
        self._payer = user, key, credits

    async def chat(self, request: Mapping[str, Any] | bytes, *, user: str = "", key: str = "") -> Completion:
        """As `Ai.chat`; `user` is another one who pays.

        Raises:
            Invalid: nobody is there to pay.
        """
        user, key, limit = self._paying(user, key)
        return await self._ai.chat(request, user=user, key=key, key_credits=limit)

    async def embed(self, request: Mapping[str, Any] | bytes, *, user: str = "", key: str = "") -> Completion:
        """As `Ai.embed`; raises as `chat` does."""
        user, key, limit = self._paying(user, key)
        return await self._ai.embed(request, user=user, key=key, key_credits=limit)

    def providers(self) -> Sequence[ProviderView]:
        """Every provider and its state."""
        return self._ai.providers()

    def _paying(self, user: str, key: str) -> tuple[str, str, Decimal | None]:
        if user:
            return user, key, None
        if not self._payer[0]:
            raise Invalid(
                "no caller of the API has put this job in, so nobody pays for the model",
                remedy='Name somebody: job.ai.chat(…, user="user:…").',
            )
        return self._payer
