"""Reading JSON bodies, with errors that say where they are."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from litestar import Request
from litestar.types import Empty

from runtime.errors import Invalid, Pointer

_OFFSET = re.compile(r" \(byte (\d+)\)$")


class JsonRequest(Request[Any, Any, Any]):
    """A request whose malformed JSON is answered with line and column."""

    async def json(self) -> Any:
        """The body as plain data, None where there is none.

        Raises:
            Invalid: it is not JSON, or too deep.
        """
        if self._json is Empty:
            self._json = decode(await self.body())
        return self._json


def decode(body: bytes) -> Any:
    """JSON text as plain data; None where it is empty.

    Raises:
        Invalid: says what is wrong, at which line and column.
    """
    try:
        return msgspec.json.decode(body or b"null")
    except RecursionError:
        raise Invalid("the body is nested too deeply", errors=[Pointer("", "too many levels of nesting")]) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(body, str(error)) from None


def malformed(body: bytes, message: str) -> Invalid:
    """The error for text that is not JSON.

    Args:
        message: msgspec's own, which ends with the offset: `… (byte 12)`.
    """
    offset = _OFFSET.search(message)
    what = _OFFSET.sub("", message).removeprefix("JSON is malformed: ")
    if offset is None:
        return Invalid(f"the body is not JSON: {what}", errors=[Pointer("", what)])
    before = body[: int(offset[1])]
    line = before.count(b"\n") + 1
    column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
    where = f"{what} at line {line}, column {column}"
    return Invalid(f"the body is not JSON: {where}", errors=[Pointer("", where)])
