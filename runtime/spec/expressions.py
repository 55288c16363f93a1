"""Expressions in texts, `{{ steps.facts.output }}`: which names they use, and where; they are filled in elsewhere.

Nearly all are a dotted name, which is found without Jinja; its parser is loaded for the others alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

GLOBALS = frozenset(["range", "dict", "namespace"])
"""Functions that every expression may use."""

_PLAIN = re.compile(r"\{\{[-+]?\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*[-+]?\}\}", re.ASCII)
_SIGN = re.compile(r"\{[{%#]")
_BOUND_IN_LOOPS = frozenset(["loop", "self", "caller", "varargs", "kwargs"])


class Use(NamedTuple):
    """A name that an expression uses, with what is taken of it: `steps.facts.output`.

    Args:
        parts: the name and the keys after it, as far as they stand in the text.
        offset: where it begins; -1 where that is not known.
        length: how many characters it has there.
    """

    parts: tuple[str, ...]
    offset: int = -1
    length: int = 0


class Malformed(Exception):  # noqa: N818 - a finding
    """A text is no template: says what is wrong."""


def is_template(text: str) -> bool:
    """Whether anything in a text is to be filled in."""
    return _SIGN.search(text) is not None


def uses(text: str, *, condition: bool = False) -> list[Use]:
    """The names that a text uses.

    Args:
        condition: whether it is an expression even without braces.

    Raises:
        Malformed: it is no template.

    Example:
        >>> uses("On {{ input.topic }}")
        [Use(parts=('input', 'topic'), offset=6, length=11)]
    """
    if condition and not is_template(text):
        shifted = uses("{{ " + text + " }}")
        return [use._replace(offset=max(-1, use.offset - 3)) for use in shifted]
    if _SIGN.search(_PLAIN.sub("", text)) is None:
        return [Use(tuple(m[1].split(".")), m.start(1), len(m[1])) for m in _PLAIN.finditer(text)]
    return list(_parsed(text))


def _parsed(text: str) -> Iterator[Use]:
    from jinja2 import nodes
    from jinja2.exceptions import TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment()
    try:
        environment.compile(text, raw=True)  # looks at the names of filters and tests too
        tree = environment.parse(text)
    except TemplateSyntaxError as error:
        raise Malformed((error.message or "it is no template").rstrip(".")) from None
    names = list(tree.find_all(nodes.Name))
    bound = {name.name for name in names if name.ctx != "load"} | GLOBALS | _BOUND_IN_LOOPS
    chained: list[Any] = list(tree.find_all((nodes.Getattr, nodes.Getitem)))
    inner = {id(node.node) for node in chained}
    for node in [*names, *chained]:
        if id(node) in inner:
            continue
        parts = _chain(node, nodes)
        if parts and parts[0] not in bound:
            yield Use(parts, *_place(text, parts))


def _chain(node: Any, nodes: Any) -> tuple[str, ...]:
    """The name and the keys of a chain, up to the first key that is none of the text's own."""
    keys: list[str | None] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            keys.append(node.attr)
        else:
            known = isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)
            keys.append(node.arg.value if known else None)
        node = node.node
    if not isinstance(node, nodes.Name):
        return ()
    keys.reverse()
    end = keys.index(None) if None in keys else len(keys)
    return (node.name, *(key for key in keys[:end] if key is not None))


def _place(text: str, parts: tuple[str, ...]) -> tuple[int, int]:
    for count in range(len(parts), 0, -1):
        match = re.search(rf"(?<![\w.]){re.escape('.'.join(parts[:count]))}(?!\w)", text)
        if match is not None:
            return match.start(), len(match[0])
    return -1, 0
