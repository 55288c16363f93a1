"""The HTTP calls of models, as OpenAI's clients make them."""

from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.status_codes import HTTP_200_OK

from runtime.http.access import Caller, caller_of, scope
from runtime.http.paging import Page
from runtime.http.ports import Port
from runtime.services.ai.ports import ProviderView
from runtime.services.ai.routes import answers
from runtime.services.ai.routes.problems import ai_problem
from runtime.services.ai.routes.shown import CHAT, EMBEDDINGS, MODERATIONS, described
from runtime.services.ai.service import AiService

USE = scope("ai:use")


class ModelList(msgspec.Struct):
    """Every name that `model` may have, in OpenAI's form."""

    data: list[dict[str, Any]]
    object: str = "list"


class AiRoutes(Controller):
    """Models behind OpenAI's API: any of its clients works with this base URL and a key of ours."""

    path = "/v1"
    tags = ["ai"]
    exception_handlers = {Exception: ai_problem}

    @post(
        "/chat/completions",
        opt=USE,
        status_code=HTTP_200_OK,
        summary="Ask a chat model, with or without a stream",
        operation_class=described(CHAT, stream=True),
    )
    async def chat(self, request: Request[Caller, Any, Any], ai: Port[AiService]) -> Response[Any]:
        """`model` is the name of a chain or `provider/model`; all else is OpenAI's."""
        caller = caller_of(request.scope)
        body = await request.body()
        return answers.chat(ai.gateway, body, user=caller.account, key=caller.id, key_credits=caller.credits)

    @post(
        "/embeddings",
        opt=USE,
        status_code=HTTP_200_OK,
        summary="Vectors of texts",
        operation_class=described(EMBEDDINGS),
    )
    async def embeddings(self, request: Request[Caller, Any, Any], ai: Port[AiService]) -> Response[Any]:
        caller, body = caller_of(request.scope), await request.body()
        return answers.whole(ai.gateway.embed(body, user=caller.account, key=caller.id, key_credits=caller.credits))

    @post(
        "/moderations",
        opt=USE,
        status_code=HTTP_200_OK,
        summary="Whether texts are unsafe",
        operation_class=described(MODERATIONS),
    )
    async def moderations(self, request: Request[Caller, Any, Any], ai: Port[AiService]) -> Response[Any]:
        caller, body = caller_of(request.scope), await request.body()
        asked = ai.gateway.moderate(body, user=caller.account, key=caller.id, key_credits=caller.credits)
        return answers.whole(asked)

    @get("/models", opt=USE, summary="Every name that `model` may have", sync_to_thread=False)
    def models(self, ai: Port[AiService]) -> ModelList:
        return ModelList(ai.models())

    @get("/ai/providers", opt=scope("ai:read"), summary="Every provider and its state", sync_to_thread=False)
    def providers(self, ai: Port[AiService]) -> Page[ProviderView]:
        return Page(list(ai.providers()))
