"""The small parts of the language: suggestions, cron expressions, emitted YAML, redaction."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.spec import cron, yaml
from runtime.spec.diagnostics import Diagnostic, dotted, ordered, quoted
from runtime.spec.emit import emit
from runtime.spec.places import Source
from runtime.spec.redact import redacted
from runtime.spec.shapes import Shapes, load_schema
from runtime.spec.suggest import Speller, did_you_mean, distance

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False,
    allow_infinity=False) | TEXT
    | st.sampled_from(["no", "010", "12:30", "1e3", "0o7", "null", "~", "", "a: b", "- a", "#", "<<", "*a",
    "30s", "100/m"]),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(TEXT, below, max_size=4),
    max_leaves=25,
)  # fmt: skip


@given(st.dictionaries(TEXT.filter(lambda key: key != "<<"), DATA, max_size=5))
def test_emitted_yaml_is_read_back_as_it_was(data: dict[str, Any]) -> None:
    document = yaml.parse(Source("x", "/x", emit(data)))
    assert not document.diagnostics, emit(data)
    assert document.data == data


@given(st.dictionaries(TEXT, DATA, max_size=5))
def test_comments_change_nothing(data: dict[str, Any]) -> None:
    with_comments = yaml.parse(Source("x", "/x", emit(data, lambda path: "file:1")))
    assert with_comments.data == yaml.parse(Source("x", "/x", emit(data))).data


def test_emitted_yaml_is_pleasant_to_read() -> None:
    data = {
        "a": {"timeout": "30s", "on": "no", "list": [1, "x y"], "empty": {}, "none": None},
        "b": [{"c": 1}],
    }
    assert emit(data) == (
        'a:\n  timeout: 30s\n  "on": "no"\n  list: [1, x y]\n  empty: {}\n  none: null\nb:\n  -\n    c: 1\n'
    )


@given(st.text("abcdef", max_size=7), st.text("abcdef", max_size=7))
def test_a_distance_is_one(a: str, b: str) -> None:
    slips = distance(a, b, 20)
    assert slips == distance(b, a, 20)
    assert (slips == 0) == (a == b)
    assert abs(len(a) - len(b)) <= slips <= max(len(a), len(b))
    assert distance(a, b, 2) == min(slips, 3)


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("concurency", "concurrency"), ("timeuot", "timeout"), ("retr", "retry"), ("maxStalled",
        "max_stalled"),
        ("max-stalled", "max_stalled"), ("zebra", None), ("timeout", None), ("x" * 100, None), ("", None),
    ],
)  # fmt: skip
def test_what_was_meant(word: str, near: str | None) -> None:
    assert did_you_mean(word, ["concurrency", "timeout", "retry", "max_stalled", "rate"]) == near


def test_patience_ends() -> None:
    speller = Speller(patience=10)
    names = ["concurrency", "timeout", "retry"]
    assert [speller.nearest("retri", names) for _ in range(5)] == ["retry", "retry", "retry", None, None]


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("17 3 * * *", None), ("*/15 8-18 * * mon-fri", None), ("0 0 29 2 *", None), ("0 0 30 2 1", None),
        ("0 0 1,31 2 *", None), ("5/10 * * JAN-MAR 7", None), ("0 0 * *", "a cron expression has 5 "
                                                                          "columns, this has 4"),
        ("0 0 31 2,4 *", "this never comes: no day of the month fits the months"),
        ("0 20-8 * * *", '"20-8" runs backwards in the column of the hour'),
        ("0 0 * * fri-mon", '"fri-mon" runs backwards in the column of the day of the week'),
        ("60 0 * * *", '"60" is out of place in the column of the minute'),
        ("*/0 0 * * *", '"0" is no step in the column of the minute'),
    ],
)  # fmt: skip
def test_cron_expressions(expression: str, fault: str | None) -> None:
    assert cron.fault(expression) == fault


def test_redaction_keeps_references_and_hides_the_rest() -> None:
    shapes = Shapes(load_schema())
    data: dict[str, Any] = {
        "storage": {"redis": "redis://user:hunter2@h:1/0", "database": "postgresql://u:${PW}@h/db"},
        "ai": {"providers": {"a": {"kind": "openai", "api_key": "sk-1"}, "b": {"kind": "openai",
        "api_key": "${K:-sk-2}"}}},
        "secrets": {"encryption": {"keys": {"k1": "${file:/k}", "k2": "${vault:a#b?version=2}",
        "k3": "pre-${K:?why}"}}},
    }  # fmt: skip
    assert redacted(data, shapes) == {
        "storage": {"redis": "redis://user:***@h:1/0", "database": "postgresql://u:${PW}@h/db"},
        "ai": {"providers": {"a": {"kind": "openai", "api_key": "***"}, "b": {"kind": "openai",
        "api_key": "${K:-***}"}}},
        "secrets": {"encryption": {"keys": {"k1": "${file:/k}", "k2": "${vault:a#b?version=2}",
        "k3": "***${K:?why}"}}},
    }  # fmt: skip
    assert data["ai"]["providers"]["a"]["api_key"] == "sk-1"


def test_diagnostics_are_told_once_and_in_order() -> None:
    def at(file: str, line: int, column: int) -> Diagnostic:
        return Diagnostic(file, line, column, 1, "a", "wrong")

    found = [at("b", 2, 1), at("a", 9, 9), at("b", 1, 5), at("b", 2, 1), at("b", 1, 3)]
    assert ordered(found) == [at("a", 9, 9), at("b", 1, 3), at("b", 1, 5), at("b", 2, 1)]
    assert ordered(found, "b") == [at("b", 1, 3), at("b", 1, 5), at("b", 2, 1), at("a", 9, 9)]


def test_paths_and_values_in_messages() -> None:
    assert dotted(("a", "b-c", 0, "credits.used", 1)) == 'a.b-c[0]."credits.used"[1]'
    assert dotted(()) == ""
    assert quoted("a\x1b[31m\n" + "b" * 100) == '"a\\x1b[31m\\n' + "b" * 33 + "…" + "b" * 19 + '"'
    assert quoted("redis://u:pw@h") == '"redis://u:***@h"'


def test_annotations_of_github() -> None:
    diagnostic = Diagnostic("a,b:c.yaml", 3, 5, 4, "x", "100% wrong\nhere")
    assert diagnostic.as_annotation() == (
        "::error file=a%2Cb%3Ac.yaml,line=3,col=5,endColumn=9,title=runtime validate::x: 100%25 wrong%0Ahere"
    )
    assert Diagnostic("a", 0, 0, 1, "", "gone", severity="warning").as_annotation() == (
        "::warning file=a,title=runtime validate::gone"
    )
