"""Expressions in Jinja2: sandboxed, strict with names, over data alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from jinja2 import StrictUndefined, Undefined, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runtime.errors import Fault
from runtime.services.routines.templates import NotFilled
from runtime.spec.expressions import GLOBALS, is_template

if TYPE_CHECKING:
    from runtime.services.routines.templates import Template, Variables

LONGEST: Final = 1_000_000
"""Characters that a text may become."""
_SHOWN: Final = 200


class _Environment(ImmutableSandboxedEnvironment):
    """What is taken of an object is one of its fields, never a method: `output.items` is the field of that name."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self._field(obj, attribute) if isinstance(obj, Mapping) else super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return self._field(obj, argument) if isinstance(obj, Mapping) else super().getitem(obj, argument)

    def _field(self, obj: Mapping[str, Any], name: Any) -> Any:
        if name in obj:
            return obj[name]
        known = ", ".join(list(obj)[:12]) or "nothing"
        return self.undefined(f'there is no "{name}" in it, there is {known}', obj=obj, name=name)


def _in_a_text(value: Any) -> Any:
    """What a value becomes within a text: objects and lists are JSON, nothing is nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | tuple) else value


_environment = _Environment(undefined=StrictUndefined, finalize=_in_a_text, autoescape=False)
_environment.globals = {name: _environment.globals[name] for name in GLOBALS}


def compiled(text: str) -> Template:
    """A text as a template; one that is a single expression gives that expression's value.

    Raises:
        Fault: it is none.

    Example:
        >>> compiled("{{ input.count + 1 }}")({"input": {"count": 2}})
        3
        >>> compiled("{{ input.count }} days")({"input": {"count": 2}})
        '2 days'
    """
    if not is_template(text):
        return lambda _: text
    try:
        source = _whole(text)
        evaluate = _environment.compile_expression(source, undefined_to_none=False) if source is not None else None
        render = _environment.from_string(text).render if source is None else None
    except TemplateSyntaxError as error:
        raise Fault(f'"{text[:_SHOWN]}" cannot be filled in: {error.message}', remedy="Correct it.") from error

    def fill(variables: Variables) -> Any:
        try:
            value = evaluate(**variables) if evaluate is not None else render(**variables) if render else text
            return _plain(value)
        except NotFilled as error:
            raise NotFilled(f"{text[:_SHOWN]}: {error}") from None
        except Exception as error:  # whatever an expression makes of its values
            said = (str(error) or type(error).__name__).splitlines()[0][:_SHOWN]
            raise NotFilled(f"{text[:_SHOWN]}: {said}") from error

    return fill


def condition(text: str) -> Template:
    """An expression, with braces around it or without; raises as `compiled`."""
    return compiled(text if is_template(text) else "{{ " + text + " }}")


def _whole(text: str) -> str | None:
    """The expression that a text is as a whole; None where there is more in it."""
    body = _environment.parse(text).body
    found = body[0].nodes if len(body) == 1 and isinstance(body[0], nodes.Output) else []
    inner = text.strip()
    if len(found) != 1 or isinstance(found[0], nodes.TemplateData):
        return None
    return inner[2:-2].strip("-+") if inner.startswith("{{") and inner.endswith("}}") else None


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        if len(value) > LONGEST:
            raise NotFilled(f"it becomes too long: {len(value):,} characters")
        return str(value)
    if isinstance(value, Undefined):
        str(value)  # raises what it says
    if isinstance(value, Mapping):
        return {str(key): _plain(below) for key, below in value.items()}
    if isinstance(value, list | tuple | Iterator):
        return [_plain(below) for below in value]
    raise NotFilled(f"it gives a {type(value).__name__}, which is no JSON value")
