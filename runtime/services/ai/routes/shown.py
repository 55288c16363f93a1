"""How the calls of models stand in the OpenAPI document, which cannot tell: their bodies are read as bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType

_TEXT: Final = Schema(type=OpenAPIType.STRING)
_MODEL: Final = Schema(type=OpenAPIType.STRING, description="The name of a chain, or `provider/model`.")

CHAT: Final = Schema(
    type=OpenAPIType.OBJECT,
    description="OpenAI's request for a chat completion; fields that do not stand here are passed on.",
    required=["model", "messages"],
    properties={
        "model": _MODEL,
        "messages": Schema(
            type=OpenAPIType.ARRAY,
            min_items=1,
            items=Schema(type=OpenAPIType.OBJECT, required=["role"], properties={"role": _TEXT}),
        ),
        "stream": Schema(type=[OpenAPIType.BOOLEAN, OpenAPIType.NULL]),
        "max_completion_tokens": Schema(type=[OpenAPIType.INTEGER, OpenAPIType.NULL], minimum=1),
    },
)
EMBEDDINGS: Final = Schema(
    type=OpenAPIType.OBJECT,
    description="OpenAI's request for embeddings.",
    required=["model", "input"],
    properties={"model": _MODEL, "input": Schema(description="A text, or a list of texts.")},
)
MODERATIONS: Final = Schema(
    type=OpenAPIType.OBJECT,
    description="OpenAI's request for a moderation.",
    required=["input"],
    properties={
        "model": Schema(type=OpenAPIType.STRING, description="By default that of the first provider that moderates."),
        "input": Schema(description="A text, or a list of texts."),
    },
)


def described(body: Schema, *, stream: bool = False) -> type[Operation]:
    """An operation with a body.

    Args:
        stream: whether it may also answer with Server-Sent Events.
    """

    @dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            self.request_body = RequestBody(content={"application/json": OpenAPIMediaType(schema=body)}, required=True)
            answers: dict[str, Any] = {
                "application/json": OpenAPIMediaType(schema=Schema(type=OpenAPIType.OBJECT, description="OpenAI's."))
            }
            if stream:
                answers["text/event-stream"] = OpenAPIMediaType(schema=_TEXT)
            for status, response in (self.responses or {}).items():
                if status == "200":
                    response.content = answers  # type: ignore[union-attr]

    return Described
