"""The parts of a message, and the refusal of what a provider has no counterpart of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Invalid, Pointer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DATA: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,(.*)", re.DOTALL)


class Unsupported(Invalid):
    """A provider cannot do what the request asks for; another model of the chain may."""

    title = "Not offered by this provider"


def refuse(provider: str, data: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuses a request that has one of the fields.

    Raises:
        Unsupported: it has.
    """
    for name in names:
        value = data.get(name)
        if value is not None and value is not False:
            shown = f": {value}" if isinstance(value, str | int) and value is not True else ""
            raise Unsupported(
                f"{provider} has nothing like `{name}`{shown}",
                errors=[Pointer(f"/{name}", f"{provider} does not offer it")],
                remedy="Leave it out, or ask a model of another provider.",
            )


def parts_of(content: Any) -> list[dict[str, Any]]:
    """A message's content as a list of parts.

    Example:
        >>> parts_of("Hello")
        [{'type': 'text', 'text': 'Hello'}]
    """
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        return content
    raise Invalid("a message's content is no text and no list of parts", errors=[Pointer("/messages", "wrong content")])


def text_of(content: Any) -> str:
    """The text of a message's content; its other parts are passed over."""
    texts = [part.get("text") or part.get("refusal") for part in parts_of(content)]
    return "\n".join(text for text in texts if isinstance(text, str) and text)


def data_url(url: Any) -> tuple[str, str] | None:
    """Media type and base64 text of a `data:` URL (RFC 2397); None for any other.

    Raises:
        Invalid: it is no URL at all.

    Example:
        >>> data_url("data:image/png;base64,iVBORw0KGgo=")
        ('image/png', 'iVBORw0KGgo=')
    """
    if not isinstance(url, str) or not url:
        raise Invalid("a picture or file has no address", errors=[Pointer("/messages", "a URL is missing")])
    found = _DATA.fullmatch(url)
    if found is not None:
        return found[1], found[2]
    if url.startswith("data:"):
        raise Invalid("a data: URL is not base64", errors=[Pointer("/messages", "not a base64 data: URL")])
    return None
