"""The evaluator: held to the verdict of the jsonschema library, and to words that help."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from runtime.spec.diagnostics import dotted
from runtime.spec.overlay import compose
from runtime.spec.shapes import Shapes, load_schema
from runtime.spec.validator import Validator

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = load_schema()
SHAPES = Shapes(SCHEMA)
OURS = Validator(SHAPES)
THEIRS = Draft202012Validator(SCHEMA)
SPECS = Path(__file__).parents[2] / "specs"
VALID = {name: compose(str(SPECS / f"{name}.yaml")).data for name in ("base", "development", "test", "production")}

FRAGMENTS = st.sampled_from(
    [
        None, True, False, 0, 1, -1, 7, 99999, 0.5, -2.5, "", "x", "30s", "0s", "5 minutes", "16MB", "100/m",
        "5.00 USD",
        "no", "${PORT:-8080}", "${", "a/b", "openai/gpt-5", "17 3 * * *", "UTC", "en", "22:00", "smtp",
        "embedded", "redis",
        "https://example.com", "ops@example.com", [], ["a"], [1], {}, {"a": 1}, {"x-own": 1}, {"min": 1,
        "max": 2},
        {"kind": "smtp"}, {"kind": "in_app"}, {"kind": "http", "provider": "http"}, {"handler": "x"}, [["a"]],
    ]
).map(copy.deepcopy)  # fmt: skip
KEYS = st.sampled_from(["x-own", "extra", "kind", "handler", "Name", "a.b", "timeout", "email", "concurrency", "", "é"])


def containers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list) and value:
        yield value
        for below in value.values() if isinstance(value, dict) else value:
            yield from containers(below)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A valid spec with a few things replaced, removed, added or renamed."""
    data = copy.deepcopy(VALID[draw(st.sampled_from(sorted(VALID)))])
    for _ in range(draw(st.integers(1, 3))):
        every = list(containers(data))
        place = every[draw(st.integers(0, len(every) - 1))]
        key = draw(st.sampled_from(list(place))) if isinstance(place, dict) else draw(st.integers(0, len(place) - 1))
        action = draw(st.sampled_from(["replace", "remove", "add", "rename"]))
        if action == "replace":
            place[key] = draw(FRAGMENTS)
        elif action == "remove":
            del place[key]
        elif isinstance(place, list):
            place.append(draw(FRAGMENTS))
        elif action == "add":
            place[draw(KEYS)] = draw(FRAGMENTS)
        else:
            place[draw(KEYS)] = place.pop(key)
    return data


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_it_agrees_with_jsonschema(data: dict[str, Any]) -> None:
    problems = OURS.problems(data)
    assert bool(problems) is not THEIRS.is_valid(data), problems
    for problem in problems:
        assert problem.message
        assert "\n" not in problem.message


@pytest.mark.parametrize("name", sorted(VALID))
def test_the_reference_specs_fit(name: str) -> None:
    assert OURS.problems(VALID[name]) == []


def test_a_part_of_a_spec_may_lack_keys() -> None:
    part = {"queues": {"images": {"concurrency": 5}}, "notifications": {"channels": {"a": {"port": 5}}}}
    assert OURS.problems(part)
    partial = Validator(SHAPES, partial=True)
    assert partial.problems(part) == []
    assert [dotted(p.path) for p in partial.problems({"queues": {"images": {"concurency": 5}}})] == [
        "queues.images.concurency"
    ]


def test_references_are_only_accepted_until_they_are_resolved() -> None:
    data = {"version": 1, "name": "x", "api": {"port": "${PORT}"}}
    assert OURS.problems(data) == []
    assert [dotted(p.path) for p in Validator(SHAPES, references=False).problems(data)] == ["api.port"]


def test_a_whole_number_with_a_point_is_none() -> None:
    (problem,) = OURS.problems({"version": 1, "name": "x", "api": {"port": 8080.0}})
    assert (problem.message, problem.suggestion) == ("expected a whole number; write 8080", "8080")


def told(**sections: Any) -> list[str]:
    return [
        f"{dotted(p.path)}: {p.message} [{p.suggestion}]"
        for p in Validator(SHAPES).problems({"version": 1, "name": "shop", **sections})
    ]


@pytest.mark.parametrize(
    ("queue", "words"),
    [
        ({"timeout": 30}, 'timeout: a duration needs its unit; write "30s" [30s]'),
        ({"timeout": "5 minutes"}, 'timeout: "5 minutes" is no duration; write "5m" [5m]'),
        ({"timeout": "2 weeks"}, 'timeout: "2 weeks" is no duration; write "14d" [14d]'),
        ({"timeout": "90"}, 'timeout: "90" is no duration; write "90s" [90s]'),
        (
            {"timeout": "soon"},
            'timeout: "soon" is no duration; write a number with ms, s, m, h or d, such as "30s" [None]',
        ),
        ({"timeout": True}, 'timeout: expected a duration, found true; write "30s" [None]'),
        ({"rate": 30}, 'rate: a rate needs its unit; write "30/m" [30/m]'),
        ({"concurrency": 0}, "concurrency: must be at least 1, found 0 [1]"),
        ({"concurrency": "5"}, 'concurrency: expected a whole number or a mapping, found the text "5"; '
                               'write 5 without quotes [5]'),
        ({"concurrency": {"max": "x"}}, 'concurrency.max: expected a whole number, found the text "x"; '
                                        'write for example 50 [None]'),
        ({"retry": {"jitter": "no"}}, 'retry.jitter: expected true or false, found the text "no"; write '
                                      'false [false]'),
        ({"retry": {"jitter": 1}}, "retry.jitter: expected true or false, found the number 1; write for "
                                   "example false [None]"),
        ({"handler": 5}, 'handler: expected text, found the number 5; write "5" ["5"]'),
        ({"handler": ""}, "handler: this must not be empty [None]"),
        ({"concurency": 5}, 'concurency: unknown key, did you mean "concurrency"? [concurrency]'),
        ({"timeout": "1s", "timeot": "5s"}, 'timeot: unknown key; "timeout" is set already [None]'),
        ({"retry": [1]}, "retry: expected a mapping, found a list [None]"),
    ],
)  # fmt: skip
def test_words(queue: dict[str, Any], words: str) -> None:
    assert told(queues={"images": {"handler": "x", **queue}}) == [f"queues.images.{words}"]


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ({}, "a.kind: this key is missing; write kind: smtp, webpush, in_app or http [None]"),
        (
            {"kind": "smpt"},
            'a.kind: expected one of smtp, webpush, in_app or http, found the text "smpt", did you mean "smtp"? [smtp]',
        ),
        (
            {"kind": "http", "provider": "twillio"},
            'a.provider: expected one of twilio, vonage, generic or embedded, found the text "twillio", did you mean '
            '"twilio"? [twilio]',
        ),
        ({"kind": "in_app", "host": "x"}, "a.host: unknown key; the keys here are kind or fallback [None]"),
        (
            {"kind": "smtp", "host": "x", "from": "nobody"},
            'a.from: "nobody" is no e-mail address; write an address, or a name and an address in <>, '
            "such as "
            '"ops@example.com" [None]',
        ),
    ],
)
def test_words_of_alternatives(channel: dict[str, Any], words: str) -> None:
    assert told(notifications={"channels": {"a": channel}}) == [f"notifications.channels.{words}"]


def test_words_of_names_and_missing_keys() -> None:
    assert told(queues={"My Queue": {"handler": "x"}, "b": {}}) == [
        'queues."My Queue": "My Queue" cannot be a name here; write "my-queue" [my-queue]',
        'queues.b.handler: this key is missing; for example handler: "images.resize" [None]',
    ]
    assert [dotted(p.path) for p in Validator(SHAPES).problems({})] == ["version", "name"]


def test_a_secret_is_not_repeated() -> None:
    wrong = told(ai={"providers": {"openai": {"kind": "openai", "api_key": 123456789}}})
    assert wrong == ['ai.providers.openai.api_key: expected a secret, found something else; write "${API_KEY}" [None]']


def test_many_problems_are_cut_off() -> None:
    assert len(Validator(SHAPES).problems({f"k{n}": n for n in range(5000)})) == 1000
