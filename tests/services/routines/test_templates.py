"""Expressions: what they give, and what they say where they give nothing."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.errors import Fault
from runtime.services.routines.adapters.jinja import compiled, condition
from runtime.services.routines.templates import NotFilled, holds, templated

VARIABLES = {
    "input": {"n": 3, "text": "a {{ b }}", "list": [1, 2], "none": None, "yes": True},
    "steps": {"get-it": {"output": {"items": 7, "keys": "k"}}},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("{{ input.n }}", 3),
        ("{{ input.n }}\n", 3),
        ("{{- input.n -}}", 3),
        ("n={{ input.n }}", "n=3"),
        ("{{ input.list }}", [1, 2]),
        ("{{ input }}", VARIABLES["input"]),
        ("{{ input.list }}!", "[1, 2]!"),
        ("{{ input.none }}!", "!"),
        ("{{ input.yes }}!", "true!"),
        ("{{ input.n }}{{ input.n }}", "33"),
        ("{{ input.text }}", "a {{ b }}"),  # what is filled in is no template itself
        ("{{ input.text }}.", "a {{ b }}."),
        ("{{ steps['get-it'].output.items }}", 7),  # a field, not the method of that name
        ("{{ steps['get-it'].output['keys'] }}", "k"),
        ("{{ input.list | map('string') | map('upper') }}", ["1", "2"]),
        ("{% for x in input.list %}{{ x }};{% endfor %}", "1;2;"),
        ("{{ input.n > 2 and input.yes }}", True),
        ("{{ input.missing | default('none') }}", "none"),
        ("{{ input.missing is defined }}", False),
        ("{# nothing #}{{ input.n }}", "3"),
        ("}} {", "}} {"),
    ],
)
def test_what_a_text_gives(text: str, value: Any) -> None:
    given = compiled(text)(VARIABLES)
    assert given == value
    assert type(given) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ input.missing }}", 'there is no "missing" in it, there is n, text'),
        ("x {{ input.missing }}", 'there is no "missing" in it'),
        ("{{ input.missing.deeper }}", 'there is no "missing"'),
        ("{{ input.none.deeper }}", "None"),
        ("{{ stps.x }}", "'stps' is undefined"),
        ("{{ steps['get-it'].output.values }}", 'there is no "values"'),
        ("{{ input.n / 0 }}", "division by zero"),
        ("{{ input.text.__class__ }}", "unsafe"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ input.list.append(3) }}", "unsafe"),
        ("{{ range }}", "no JSON value"),
        ("{{ range(10**9) }}", "Range too big"),
        ("{{ lipsum() }}", "undefined"),
        ("{{ 'x' * 2000000 }}", "too long"),
    ],
)
def test_what_a_text_says_that_gives_nothing(text: str, said: str) -> None:
    with pytest.raises(NotFilled, match="(?i)" + said) as raised:
        compiled(text)(VARIABLES)
    assert str(raised.value).startswith(text[:100])


def test_what_is_no_template_is_refused() -> None:
    with pytest.raises(Fault, match="expected name or number"):
        compiled("{{ input. }}")
    with pytest.raises(Fault, match="No filter named"):
        compiled("{{ input.n | upcase }}")


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("input.yes", True),
        ("input.n > 3", False),
        ("{{ input.n > 3 }}", False),
        ("{{ input.none }}", False),
        ("{{ input.n > 3 }}!", True),
        ("no{{ input.none }}", True),
        ("{{ input.none }} ", False),
        ("{% if input.yes %}0{% endif %}", False),
        ("input.list", True),
    ],
)
def test_conditions(text: str, runs: bool) -> None:
    assert holds(condition(text)(VARIABLES)) is runs


def test_values_at_any_depth() -> None:
    value = {"a": ["{{ input.n }}", 1, None, {"b": "n is {{ input.n }}"}], "c": True}
    assert templated(value, compiled)(VARIABLES) == {"a": [3, 1, None, {"b": "n is 3"}], "c": True}
