"""The gateway: takes a request, finds who may answer it, keeps the books, and hands the answer out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from runtime.errors import Invalid, Pointer
from runtime.services.ai.accounting import Call, Candidate
from runtime.services.ai.chain import Run
from runtime.services.ai.failures import Failure
from runtime.services.ai.own_keys import OwnKeys
from runtime.services.ai.plan import Plans
from runtime.services.ai.ports import Completion
from runtime.services.ai.request import ChatRequest, refusal
from runtime.services.ai.spans import begun
from runtime.services.ai.stream import Streaming, opened
from runtime.services.names import time_ordered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from decimal import Decimal

    from runtime.services.ai.accounting import Accounting
    from runtime.services.ai.attempt import Try
    from runtime.services.ai.figures import Figures
    from runtime.services.ai.pieces import Answer
    from runtime.services.ai.plan import Plan
    from runtime.services.ai.registry import Registry
    from runtime.services.ai.spec import AiSpec
    from runtime.services.secrets.ports import ProviderKeys
    from runtime.telemetry.tracing import Tracing

logger = logging.getLogger("runtime.ai")

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)


class Gateway:
    """Answers requests by asking models.

    Args:
        spec: gives the `ai` section, which is live in parts.
        registry: the providers and their states.
        accounting: keeps the books.
        keys: users' own keys; None where the spec keeps none.
        tracing: where calls are traced.
    """

    def __init__(
        self,
        spec: Callable[[], AiSpec],
        registry: Registry,
        accounting: Accounting,
        figures: Figures,
        keys: ProviderKeys | None,
        tracing: Tracing,
    ) -> None:
        self._spec = spec
        self._registry = registry
        self._accounting = accounting
        self._figures = figures
        self._keys = OwnKeys(keys)
        self._plans = Plans(spec, registry.clients)
        self._tracing = tracing

    # -- chat --------------------------------------------------------------------------------------------------------

    async def complete(
        self, request: ChatRequest, *, user: str, key: str, key_credits: Decimal | None = None
    ) -> Completion:
        """A whole answer; raises as `Ai.chat` does."""
        plan = self._plans.chat(request.model)
        with begun(self._tracing, plan, "chat", request, prompts=self._spec().log_prompts) as trace:
            own = await self._own_keys(plan, user)
            call = self._call(plan, own, user, key, key_credits, request)
            account = await self._accounting.open(call)
            run = Run(call, account, self._registry, self._figures, plan.spec, keys=own, streamed=False, trace=trace)

            async def ask(attempt: Try) -> tuple[Try, Answer]:
                answer = await attempt.provider.chat(
                    request, attempt.candidate.model, key=attempt.key, limit=attempt.limit
                )
                attempt.came(answer.text, answer.usage, answer.body)
                used = attempt.used(complete=True)
                if answer.finish == "content_filter" and not answer.text and plan.spec.fallback.content_filter:
                    await attempt.record("content_filter", used, status=200)
                    raise Failure("content_filter", f"{attempt.name} refused to answer", status=200)
                await attempt.record("ok", used, status=200)
                return attempt, answer

            try:
                attempt, answer = await run.first(ask)
                flagged = await account.check_output(answer.text) if self._spec().safety.output is not None else None
                self._log_prompts(call, request, answer.text)
                return Completion(
                    body=answer.body,
                    provider=attempt.candidate.provider,
                    model=attempt.candidate.model,
                    attempts=run.attempts,
                    cost=account.cost,
                    ignored=answer.ignored,
                    flagged=flagged or account.reports,
                )
            finally:
                trace.spent(run.attempts, account.cost)
                await account.close()

    async def stream(
        self, request: ChatRequest, *, user: str, key: str, key_credits: Decimal | None = None
    ) -> Streaming:
        """A stream that has begun to answer: close its `events()`. Raises as `Ai.chat` does until then."""
        plan = self._plans.chat(request.model)
        trace = begun(self._tracing, plan, "chat", request, prompts=self._spec().log_prompts)
        try:
            own = await self._own_keys(plan, user)
            call = self._call(plan, own, user, key, key_credits, request)
            account = await self._accounting.open(call)
            run = Run(call, account, self._registry, self._figures, plan.spec, keys=own, streamed=True, trace=trace)
            try:
                first = await run.first(lambda attempt: opened(attempt, request, self._figures))
            except BaseException:
                trace.spent(run.attempts, account.cost)
                await account.close()
                raise
        except BaseException as error:
            trace.end(type(error).__name__)
            raise
        spec = self._spec()
        return Streaming(
            first,
            account,
            self._registry,
            idle=self._registry.clients[first.attempt.candidate.provider].spec.timeout,
            check=spec.safety.output.on_flag if spec.safety.output is not None else None,
            attempts=run.attempts,
            finished=(lambda text: self._log_prompts(call, request, text)) if spec.log_prompts else None,
            trace=trace,
        )

    # -- the rest ----------------------------------------------------------------------------------------------------

    async def embed(self, body: bytes, *, user: str, key: str, key_credits: Decimal | None = None) -> Completion:
        """Embeddings; of one model, since the vectors of two cannot be compared."""
        fields, model = _named(body, required=("model", "input"))
        assert model is not None  # noqa: S101 - required
        plan = self._plans.chat(model)
        if len(plan.models) > 1:
            raise Invalid(
                f'the chain "{plan.chain}" has several models, whose vectors cannot be compared',
                errors=[Pointer("/model", "names a chain of several models")],
                remedy="Name a chain of one model, or `provider/model`.",
            )
        return await self._plain(
            plan,
            fields,
            len(body),
            user,
            key,
            key_credits,
            "embeddings",
            lambda t: t.provider.embed(fields, t.candidate.model, key=t.key),
        )

    async def moderate(self, body: bytes, *, user: str, key: str, key_credits: Decimal | None = None) -> Completion:
        """A moderation, in OpenAI's form."""
        fields, model = _named(body, required=("input",))
        plan = self._plans.moderation(model)
        return await self._plain(
            plan,
            fields,
            len(body),
            user,
            key,
            key_credits,
            "moderation",
            lambda t: t.provider.moderate(fields, t.candidate.model, key=t.key),
        )

    async def _plain(
        self,
        plan: Plan,
        fields: Mapping[str, msgspec.Raw],
        size: int,
        user: str,
        key: str,
        key_credits: Decimal | None,
        operation: str,
        send: Callable[[Try], Awaitable[Answer]],
    ) -> Completion:
        with begun(self._tracing, plan, operation) as trace:
            own = await self._own_keys(plan, user)
            call = Call(
                id=time_ordered(),
                user=user,
                key=key,
                key_credits=key_credits,
                candidates=_candidates(plan, own),
                chain=plan.chain,
                input_bytes=size,
                max_output=0,
                operation=operation,
            )
            account = await self._accounting.open(call)
            run = Run(call, account, self._registry, self._figures, plan.spec, keys=own, streamed=False, trace=trace)

            async def ask(attempt: Try) -> tuple[Try, Answer]:
                answer = await send(attempt)
                attempt.came("", answer.usage, answer.body)
                await attempt.record("ok", attempt.used(complete=True), status=200)
                return attempt, answer

            try:
                attempt, answer = await run.first(ask)
                named = attempt.candidate
                return Completion(answer.body, named.provider, named.model, run.attempts, account.cost)
            finally:
                trace.spent(run.attempts, account.cost)
                await account.close()

    async def _own_keys(self, plan: Plan, user: str) -> Mapping[str, str]:
        kinds = {provider: self._registry.clients[provider].spec.kind for provider, _ in plan.models}
        return await self._keys.of(user, (provider for provider, kind in kinds.items() if kind != "echo"))

    def _call(
        self, plan: Plan, own: Mapping[str, str], user: str, key: str, key_credits: Decimal | None, request: ChatRequest
    ) -> Call:
        return Call(
            id=time_ordered(),
            user=user,
            key=key,
            key_credits=key_credits,
            candidates=_candidates(plan, own),
            chain=plan.chain,
            texts=request.prompts if self._spec().safety.input is not None else (),
            input_bytes=request.weight,
            images=request.images,
            max_output=request.max_output,
        )

    def _log_prompts(self, call: Call, request: ChatRequest, text: str) -> None:
        if self._spec().log_prompts:
            logger.info("a model was asked", extra={"call": call.id, "asked": list(request.prompts), "answered": text})


def _candidates(plan: Plan, own: Mapping[str, str]) -> tuple[Candidate, ...]:
    return tuple(Candidate(provider, model, provider in own) for provider, model in plan.models)


def _named(body: bytes, *, required: Sequence[str]) -> tuple[dict[str, msgspec.Raw], str | None]:
    """The fields of a request, and the model that it names."""
    try:
        fields = _fields.decode(body or b"null")
        model = _text.decode(fields["model"]) if "model" in fields else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(error) from error
    for name in required:
        if name not in fields:
            raise Invalid(f"the body has no {name}", errors=[Pointer(f"/{name}", "it is missing")])
    return fields, model
