"""What a caller asks of a chat model: OpenAI's request, read as far as the gateway must know it.

The rest stays the bytes that it came in: what goes on to a provider of the same format is not taken apart.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, Final

import msgspec

from runtime.errors import Invalid, Pointer

STREAM_USAGE: Final = "include_usage"


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw = msgspec.Raw(b"null")


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Head(msgspec.Struct):
    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None


_head = msgspec.json.Decoder(_Head)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BASE64: Final = re.compile(rb";base64,[A-Za-z0-9+/=\\]*")
_WHERE: Final = re.compile(r"(?s)(.*) - at `\$(.*)`")


class ChatRequest:
    """A request for a chat completion.

    Args:
        body: OpenAI's JSON.

    Raises:
        Invalid: it is no such request; the error says where.

    Example:
        >>> request = ChatRequest(b'{"model": "default", "messages": [{"role": "user", "content": "Hello"}]}')
        >>> request.model, request.stream, request.prompts
        ('default', False, ('Hello',))
    """

    def __init__(self, body: bytes) -> None:
        try:
            self.fields: dict[str, msgspec.Raw] = _fields.decode(body or b"null")
            head = _head.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise refusal(error) from error
        if not head.messages:
            raise Invalid("there are no messages", errors=[Pointer("/messages", "it is empty")])
        self.body = body
        self.model = head.model
        self.stream = bool(head.stream)
        self.include_usage = bool(head.stream_options and head.stream_options.include_usage)
        self.choices = head.n or 1
        self._messages = head.messages
        limits = [limit for limit in (head.max_tokens, head.max_completion_tokens) if limit is not None]
        self.max_tokens = min(limits, default=None)
        for name, number in (("n", head.n), ("max_tokens", self.max_tokens)):
            if number is not None and number < 1:
                raise Invalid(f"{name} is not positive", errors=[Pointer(f"/{name}", "must be 1 or more")])

    @cached_property
    def plain(self) -> dict[str, Any]:
        """All of it as plain data, for a provider of another format."""
        try:
            data: dict[str, Any] = msgspec.json.decode(self.body)
        except RecursionError as error:
            raise refusal(error) from error
        return data

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """What the user's own messages say."""
        return tuple(
            text
            for message in self._messages
            if message.role == "user"
            for text in _texts(msgspec.json.decode(message.content))
        )

    @property
    def images(self) -> int:
        """How many pictures go with it."""
        return self.body.count(b'"image_url"') // 2 if b'"image_url"' in self.body else 0

    @property
    def weight(self) -> int:
        """Its bytes without those of pictures and files, from which tokens are estimated."""
        if b";base64," not in self.body:
            return len(self.body)
        return len(self.body) - sum(len(data) for data in _BASE64.findall(self.body))

    @property
    def max_output(self) -> int | None:
        """The caller's own limit of tokens, of all choices together; None where it has none."""
        return None if self.max_tokens is None else self.max_tokens * self.choices

    def limited(self, most: int | None) -> int | None:
        """The tokens that one choice may have.

        Args:
            most: what all choices together may have; None for any number.
        """
        if most is None:
            return self.max_tokens
        each = max(1, most // self.choices)
        return each if self.max_tokens is None else min(each, self.max_tokens)


def refusal(error: Exception) -> Invalid:
    """The error for a body that is not what it should be, with the place where msgspec says it."""
    if isinstance(error, RecursionError):
        return Invalid("the body is nested too deeply", errors=[Pointer("", "too many levels of nesting")])
    found = _WHERE.fullmatch(str(error))
    what, path = (found[1], found[2]) if found else (str(error), "")
    missing = re.fullmatch(r"Object missing required field `(.+)`", what)
    pointer = re.sub(r"\[(\d+)\]|\.([^.\[]+)", lambda part: f"/{part[1] or part[2]}", path)
    if missing:
        pointer, what = f"{pointer}/{missing[1]}", "it is missing"
    where = f"{pointer}: " if pointer else ""
    return Invalid(f"the body is not a request: {where}{what}", errors=[Pointer(pointer, what)])


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
    return [text for text in parts if isinstance(text, str)]
