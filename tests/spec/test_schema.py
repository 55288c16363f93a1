"""The published JSON Schemas: they are what the models say, and accept what the models accept."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from zoneinfo import available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from runtime.services.events.spec import BUILT_IN_SUBSCRIBERS
from runtime.services.jobs.spec import BUILT_IN_HANDLERS, BUILT_IN_QUEUES
from runtime.spec import schema
from runtime.spec.fields import Section
from runtime.spec.root import Spec
from runtime.spec.schema import FILES, Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMAS = Path(__file__).parents[2] / "schemas"
SPEC = schema.build("spec")
OVERLAY = schema.build("overlay")
DEFINITIONS: dict[str, Any] = SPEC["$defs"]
VOCABULARY = {
    "$defs", "$ref", "$schema", "additionalProperties", "anyOf", "const", "default", "deprecated",
    "description", "enum", "examples", "items", "maxItems", "maxLength", "maximum", "minItems", "minLength",
    "minimum", "pattern", "patternProperties", "properties", "propertyNames", "required", "title", "type",
    "uniqueItems", "x-base", "x-built-in", "x-built-in-handlers", "x-built-in-subscribers",
    "x-discriminator", "x-kind", "x-live", "x-ref", "x-secret", "x-shorthand",
}  # fmt: skip
OF_DATA = ("default", "examples", "const", "enum", "x-built-in", "required")
OF_NAMES = ("properties", "patternProperties", "$defs")


def _models(model: type[Section] = Section) -> Iterator[type[Section]]:
    for derived in model.__subclasses__():
        yield derived
        yield from _models(derived)


MODELS = {model.__name__: model for model in _models() if model.__name__ in DEFINITIONS}


def _shapes(shape: Any) -> Iterator[dict[str, Any]]:
    """Every schema within a schema."""
    if isinstance(shape, list):
        for item in shape:
            yield from _shapes(item)
    elif isinstance(shape, dict):
        yield shape
        for word, value in shape.items():
            if word not in OF_DATA:
                yield from _shapes(list(value.values()) if word in OF_NAMES else value)


def _validator(shape: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**shape, "$defs": DEFINITIONS})


# What is published


@pytest.mark.parametrize("purpose", get_args(Purpose))
def test_the_committed_schemas_are_what_the_models_say(purpose: Purpose) -> None:
    committed = (SCHEMAS / FILES[purpose]).read_text(encoding="utf-8")
    assert committed == schema.text(schema.build(purpose)), "run: python -m runtime.spec.schema"


def test_writing_makes_the_same_files_each_time(tmp_path: Path) -> None:
    first = [file.read_bytes() for file in schema.write(tmp_path / "schemas")]
    assert first == [file.read_bytes() for file in schema.write(tmp_path / "schemas")]


@pytest.mark.parametrize("whole", [SPEC, OVERLAY])
def test_the_schemas_keep_to_the_vocabulary(whole: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(whole)
    assert {word for shape in _shapes(whole) for word in shape} <= VOCABULARY
    for shape in _shapes(whole):
        assert set(shape.get("patternProperties", ["^x-"])) == {"^x-"}
        if "$ref" in shape:
            assert shape["$ref"].removeprefix("#/$defs/") in whole["$defs"]


@pytest.mark.parametrize("whole", [SPEC, OVERLAY])
def test_every_definition_is_used(whole: dict[str, Any]) -> None:
    used = {shape["$ref"].removeprefix("#/$defs/") for shape in _shapes(whole) if "$ref" in shape}
    assert set(whole["$defs"]) == used


def test_an_overlay_requires_nothing_and_may_remove_anything() -> None:
    for shape in _shapes(OVERLAY):
        assert "required" not in shape
    overlay = Draft202012Validator(OVERLAY)
    assert overlay.is_valid({})
    assert overlay.is_valid(
        {"extends": "base.yaml", "queues": {"mine": None, "email": {"handler": None}}, "name": None}
    )
    assert not overlay.is_valid({"queus": {}})


def test_every_field_says_what_it_means_and_shows_an_example() -> None:
    for name, section in {**DEFINITIONS, "": SPEC}.items():
        for key, field in section.get("properties", {}).items():
            where = f"{name}.{key}"
            assert field["description"].endswith("."), where
            is_section = field.get("default") == {} and "examples" not in field
            assert is_section or field["examples"], where
            assert key in section.get("required", []) or "default" in field or name.startswith("BuiltIn"), where


def test_defaults_and_examples_fit_their_own_schema() -> None:
    for shape in _shapes(SPEC):
        fits = _validator({word: value for word, value in shape.items() if word != "$defs"})
        for value in [*shape.get("examples", []), *([shape["default"]] if "default" in shape else [])]:
            assert fits.is_valid(value), (value, shape)


def test_the_built_in_names_are_in_the_schema() -> None:
    queues = SPEC["properties"]["queues"]["anyOf"][0]
    assert queues["x-built-in"] == BUILT_IN_QUEUES
    assert list(queues["properties"]) == list(BUILT_IN_QUEUES)
    assert SPEC["x-built-in-handlers"] == list(BUILT_IN_HANDLERS)
    assert SPEC["x-built-in-subscribers"] == list(BUILT_IN_SUBSCRIBERS)


def test_every_reference_has_a_target() -> None:
    targets = {shape["x-ref"] for shape in _shapes(SPEC) if "x-ref" in shape}
    assert targets == {
        "ai.chains", "ai.models", "ai.providers", "events.streams", "events.types", "handlers",
        "notifications.categories", "notifications.channels", "queues", "secrets.encryption.keys",
        "subscribers",
    }  # fmt: skip


def test_every_scalar_may_be_a_reference_and_no_mapping_may() -> None:
    fits = _validator({word: value for word, value in SPEC.items() if word != "$defs"})
    least = {"version": 1, "name": "shop"}
    assert fits.is_valid({**least, "api": {"port": "${PORT:-8080}", "rate_limit": "${RATE}"}})
    assert fits.is_valid({**least, "queues": {"mine": {"handler": "${HANDLER}", "concurrency": "${SLOTS}"}}})
    assert fits.is_valid({"version": 1, "name": "${NAME}"})
    assert not fits.is_valid({**least, "api": "${API}"})
    assert not fits.is_valid({**least, "plugins": "${PLUGINS}"})
    assert not fits.is_valid({**least, "queues": {"mine": "${QUEUE}"}})
    assert not fits.is_valid({**least, "notifications": {"channels": {"email": {"kind": "${KIND}"}}}})


# The schema and the models accept the same documents. References stay out: they are resolved before the
# models see them.

_NAMES = st.from_regex(r"\A[a-z][a-z0-9_]{0,6}\Z")
_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="$"), min_size=1, max_size=12)
_NUMBERS = st.floats(0, 1, allow_nan=False).filter(lambda number: not number.is_integer())
_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 70_000)
    | _NUMBERS
    | _TEXTS
    | st.sampled_from(["30s", "16MB", "10/s", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_NAMES, inner, max_size=2),
    max_leaves=4,
)


@cache
def _documents(reference: str) -> st.SearchStrategy[Any]:
    return _fitting(DEFINITIONS[reference.removeprefix("#/$defs/")])


def _fitting(shape: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Documents that fit a schema of our vocabulary."""
    if "$ref" in shape:
        return st.none() if shape["$ref"].endswith("/Unset") else st.deferred(lambda: _documents(shape["$ref"]))
    if "anyOf" in shape:
        return st.one_of([_fitting(branch) for branch in shape["anyOf"] if branch != {"$ref": "#/$defs/Reference"}])
    if "const" in shape or "enum" in shape:
        return st.sampled_from(shape.get("enum", [shape.get("const")]))
    match shape.get("type"):
        case "object":
            return _mappings(shape)
        case "array":
            return st.lists(_fitting(shape["items"]), min_size=shape.get("minItems", 0), max_size=3)
        case "string" if shape.get("x-kind") == "timezone":
            return st.sampled_from(sorted(available_timezones()))
        case "string" if "pattern" in shape:
            return st.from_regex(shape["pattern"]).filter(lambda text: "${" not in text)
        case "string":
            return _TEXTS if shape.get("minLength") else _TEXTS | st.just("")
        case "integer":
            return st.integers(shape.get("minimum", -1000), shape.get("maximum", 1000))
        case "number":
            return _NUMBERS | st.integers(0, 1)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case _:
            return _ANYTHING


def _mappings(shape: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    required = set(shape.get("required", []))
    fixed = {name: _fitting(field) for name, field in shape.get("properties", {}).items()}
    must = {name: field for name, field in fixed.items() if name in required}
    may = {name: field for name, field in fixed.items() if name not in required}
    entry = shape.get("additionalProperties", {})
    if entry is False:
        return st.fixed_dictionaries(must, optional={**may, "x-note": _ANYTHING})
    pattern = shape.get("propertyNames", {}).get("pattern")
    names = st.from_regex(pattern.removeprefix("^x-|")) if pattern else _TEXTS
    return st.dictionaries(names, _fitting(entry), max_size=2)


@st.composite
def _changed(draw: Any, document: Any) -> Any:
    """A document with one place in it changed."""
    if isinstance(document, dict) and document and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(document)))
        return {**document, key: draw(_changed(document[key]))}
    if isinstance(document, dict) and draw(st.booleans()):
        if document and draw(st.booleans()):
            gone = draw(st.sampled_from(sorted(document)))
            return {key: value for key, value in document.items() if key != gone}
        return {**document, draw(_NAMES): draw(_ANYTHING)}
    if isinstance(document, list) and document and draw(st.booleans()):
        place = draw(st.integers(0, len(document) - 1))
        return [*document[:place], draw(_changed(document[place])), *document[place + 1 :]]
    return draw(_ANYTHING)


def _refusal(model: type[Section], document: Any) -> str | None:
    """Why a model refuses a document; None where it accepts it, or where only the time zone is unknown."""
    try:
        TypeAdapter(model).validate_python(document)
    except ValidationError as error:
        reasons = [each for each in error.errors() if "no time zone" not in each["msg"]]
        return str(error) if reasons else None
    return None


_agreement = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@pytest.mark.parametrize("name", sorted(MODELS))
@_agreement
@given(data=st.data())
def test_schema_and_models_agree(name: str, data: st.DataObject) -> None:
    fits = _validator({"$ref": f"#/$defs/{name}"})
    document = data.draw(_documents(f"#/$defs/{name}"))
    assert fits.is_valid(document), document
    assert _refusal(MODELS[name], document) is None, document

    changed = data.draw(_changed(document))
    accepted = fits.is_valid(changed)
    assert accepted == (_refusal(MODELS[name], changed) is None), (changed, list(fits.iter_errors(changed)))


@_agreement
@given(data=st.data())
def test_schema_and_models_agree_on_whole_specs(data: st.DataObject) -> None:
    small = {name: _fitting(SPEC["properties"][name]) for name in ("storage", "api", "queues", "schedules", "plugins")}
    least = {"version": st.just(1), "name": _NAMES}
    document = data.draw(st.fixed_dictionaries(least, optional=small))
    for candidate in (document, data.draw(_changed(document))):
        accepted = Draft202012Validator(SPEC).is_valid(candidate)
        assert accepted == (_refusal(Spec, candidate) is None), json.dumps(candidate)
