"""`ai.chat`: a question to a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runtime.errors import Invalid
from runtime.services.document import Document
from runtime.services.routines.step import StepFailed
from runtime.services.routines.templates import templated

if TYPE_CHECKING:
    from runtime.services.routines.spec import ChatStep
    from runtime.services.routines.step import Scope
    from runtime.services.routines.templates import Compile


class Ask:
    """Asks a chain of models at the expense of whoever has started the run.

    Raises:
        Fault: `schema` is no JSON Schema.
    """

    def __init__(self, spec: ChatStep, compiled: Compile) -> None:
        messages: list[dict[str, str]] = [{"role": "system", "content": spec.system}] if spec.system else []
        messages += [{"role": each.role, "content": each.content} for each in spec.messages]
        messages += [{"role": "user", "content": spec.prompt}] if spec.prompt else []
        self._messages = templated(messages, compiled)
        self._request: dict[str, Any] = {"model": spec.chain}
        if spec.max_tokens is not None:
            self._request["max_completion_tokens"] = spec.max_tokens
        self._document: Document | None = None
        if spec.schema_:
            self._document = Document(spec.schema_, "/output")
            schema = {"name": "output", "schema": spec.schema_, "strict": True}
            self._request["response_format"] = {"type": "json_schema", "json_schema": schema}

    async def __call__(self, scope: Scope) -> Any:
        messages = [{**each, "content": _text(each["content"])} for each in self._messages(scope.variables)]
        payer = "" if scope.job.by else scope.account  # whoever has started it pays, by the limits of their key
        answer = await scope.job.ai.chat({**self._request, "messages": messages}, user=payer)
        choice = answer.plain()["choices"][0]
        said = choice["message"].get("content")
        if not isinstance(said, str):
            raise StepFailed(f"{answer.provider}/{answer.model} answered without a text")
        if self._document is None:
            return said
        whole = "" if choice.get("finish_reason") != "length" else "; it was cut off: raise max_tokens"
        try:
            value = json.loads(said)
            self._document.check(value, "the answer")
        except Invalid as error:
            raise StepFailed(f"{error.message}{whole}") from error
        except ValueError as error:
            raise StepFailed(f"the answer is no JSON: {error}{whole}") from error
        return value


def _text(content: Any) -> str:
    """What a model is sent of a value that is no text: its JSON."""
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
