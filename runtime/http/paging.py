"""Lists by cursor: `?limit=&after=` in, `{"items": […], "next": "…" | null}` out."""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar.params import QueryParameter

from runtime.errors import Invalid, Pointer

T = TypeVar("T")

MAX_LIMIT = 200
_CHECK_BYTES = 6

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="How many items at most.")]
"""The `limit` parameter of a list; give it a default: `limit: Limit = 50`."""

After = Annotated[
    str | None,
    QueryParameter(max_length=512, description="The `next` of the answer before; none for the first page."),
]
"""The `after` parameter of a list: `after: After = None`."""


class Page(msgspec.Struct, Generic[T]):
    """One page of a list.

    Args:
        items: in the list's order.
        next: the cursor of the page after it; None at the end.
    """

    items: list[T]
    next: str | None = None


def page(kind: str, found: Sequence[T], limit: int, key: Callable[[T], Any]) -> Page[T]:
    """A page of what was found, where one more was asked for than fits.

    Args:
        kind: the list's name.
        key: the position of an item, from which the next page goes on.

    Example:
        >>> page("jobs", [1, 2, 3], 2, lambda item: item).items
        [1, 2]
    """
    shown = list(found[:limit])
    return Page(shown, cursor(kind, key(shown[-1])) if len(found) > limit else None)


def cursor(kind: str, position: Any) -> str:
    """An opaque text for a position in a list.

    Args:
        kind: the list's name; a cursor of another list is refused.
        position: where the next page begins, JSON values.

    Example:
        >>> position("jobs", cursor("jobs", ["2026-01-01", 7]))
        ['2026-01-01', 7]
    """
    body = msgspec.json.encode(position)
    return urlsafe_b64encode(_check(kind, body) + body).rstrip(b"=").decode()


def position_of(kind: str, after: str | None, type_: type[T]) -> T | None:
    """The position that a page begins after; None for the first page.

    Raises:
        Invalid: this is not a cursor of that list.
    """
    if after is None:
        return None
    known = position(kind, after)
    if isinstance(known, type_):
        return known
    raise _foreign()


def position(kind: str, after: str) -> Any:
    """The position inside a cursor.

    The check inside guards against a mangled or foreign cursor; it is no signature, so a handler treats the
    position as it treats any other input.

    Raises:
        Invalid: this is not a cursor of that list.
    """
    try:
        raw = urlsafe_b64decode(after + "=" * (-len(after) % 4))
        check, body = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
        if hmac.compare_digest(check, _check(kind, body)):
            return msgspec.json.decode(body)
    except (ValueError, msgspec.DecodeError):
        pass
    raise _foreign()


def _foreign() -> Invalid:
    return Invalid(
        "`after` is not a cursor of this list",
        errors=[Pointer("?after", "pass the `next` of an earlier answer as it is")],
        remedy="Begin again without `after`.",
    )


def _check(kind: str, body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECK_BYTES, person=kind.encode()[:16]).digest()
