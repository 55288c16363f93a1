"""Values of the spec with expressions in their texts, and what they become in a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Variables = Mapping[str, Any]
"""What expressions see: `input`, `steps` and `run`."""

Template = Callable[[Variables], Any]
"""Gives the value that a text, or what holds texts, stands for; raises `NotFilled`."""

Compile = Callable[[str], Template]
"""Makes a template of a text; raises Fault where it is none."""


class NotFilled(Exception):  # noqa: N818 - a finding
    """An expression has no value: says which, and why."""


def templated(value: Any, compiled: Compile) -> Template:
    """A value whose texts are templates, at any depth.

    Args:
        value: JSON values.
        compiled: makes a template of a text.
    """
    if isinstance(value, str):
        return compiled(value)
    if isinstance(value, Mapping):
        fields = {key: templated(below, compiled) for key, below in value.items()}
        return lambda variables: {key: field(variables) for key, field in fields.items()}
    if isinstance(value, list | tuple):
        items = [templated(below, compiled) for below in value]
        return lambda variables: [item(variables) for item in items]
    return lambda _: value


def holds(value: Any) -> bool:
    """Whether the value of a condition lets its step run.

    Example:
        >>> holds("false"), holds(0), holds("no news")
        (False, False, True)
    """
    return value.strip().lower() not in ("", "false", "0") if isinstance(value, str) else bool(value)
