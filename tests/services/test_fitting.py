"""The quick look at JSON Schemas says yes only where the validator does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from runtime.services.fitting import quick_look

NAMES = st.sampled_from(["a", "b", "c"])
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.0, -2.5]))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text("ab", max_size=3))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"])


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    words: dict[str, st.SearchStrategy[Any]] = {
        "type": st.one_of(TYPES, st.lists(TYPES, min_size=1, max_size=3, unique=True)),
        "enum": st.lists(SCALARS, min_size=1, max_size=3),
        "const": SCALARS,
        "required": st.lists(NAMES, max_size=2, unique=True),
        "properties": st.dictionaries(NAMES, inner, max_size=3),
        "additionalProperties": st.one_of(st.booleans(), inner),
        "items": inner,
        "minItems": st.integers(0, 2),
        "maxItems": st.integers(0, 3),
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 3),
        "minimum": NUMBERS,
        "maximum": NUMBERS,
        "exclusiveMinimum": NUMBERS,
        "exclusiveMaximum": NUMBERS,
        "description": st.just("said"),
    }
    return st.sets(st.sampled_from(sorted(words)), max_size=4).flatmap(
        lambda chosen: st.fixed_dictionaries({word: words[word] for word in chosen})
    )


SCHEMAS = st.recursive(st.one_of(st.just(True), _schemas(st.just(True))), _schemas, max_leaves=4)


@settings(max_examples=400, deadline=None)
@given(SCHEMAS, VALUES)
def test_a_yes_is_the_validators_yes(schema: Any, value: Any) -> None:
    fits = quick_look(schema)
    assert fits is not None
    if fits(value):
        assert Draft202012Validator(schema).is_valid(value)


ORDER = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["id", "lines"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "state": {"enum": ["open", "paid"]},
        "note": {"type": ["string", "null"]},
        "lines": {"type": "array", "minItems": 1, "items": {"type": "object", "properties": {"n": {"minimum": 1}}}},
    },
}


@pytest.mark.parametrize(
    ("value", "yes"),
    [
        ({"id": "7", "lines": [{"n": 1, "more": None}], "state": "paid", "note": None}, True),
        ({"id": "7", "lines": [{"n": 0}]}, False),
        ({"id": "7", "lines": []}, False),
        ({"id": "7", "lines": [{}], "state": "lost"}, False),
        ({"id": "7", "lines": [{}], "other": 1}, False),
        ({"lines": [{}]}, False),
    ],
    ids=["fits", "too small", "too few", "unknown state", "unknown field", "no id"],
)
def test_what_fits_is_seen(value: Any, yes: bool) -> None:
    fits = quick_look(ORDER)
    assert fits is not None
    assert fits(value) is yes is Draft202012Validator(ORDER).is_valid(value)


@pytest.mark.parametrize(
    "schema",
    [{"pattern": "a"}, {"items": {"format": "date"}}, {"$schema": "http://json-schema.org/draft-04/schema#"}, False],
    ids=["pattern", "format within", "an old dialect", "nothing fits"],
)
def test_other_schemas_are_the_validators(schema: Any) -> None:
    assert quick_look(schema) is None
