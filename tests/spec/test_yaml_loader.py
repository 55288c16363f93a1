"""The YAML loader: what it reads, where it says that things stand, and what no file may do to it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from runtime.spec import yaml
from runtime.spec.places import Source, Span


def parse(text: str) -> yaml.Document:
    return yaml.parse(Source("spec.yaml", "/folder/spec.yaml", text))


def complaints(text: str) -> list[str]:
    return [f"{d.line}:{d.column}:{d.length} {d.path}: {d.message}" for d in parse(text).diagnostics]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False,
    allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text("abcdefgh_-é 日", min_size=1, max_size=6), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=5), JSON, max_size=5), st.booleans())
def test_it_agrees_with_pyyaml_on_json_like_documents(data: dict[str, Any], flow: bool) -> None:
    # Every text in quotes, since plain text means other things in YAML 1.1 than in 1.2.
    text = pyyaml.dump(data, Dumper=pyyaml.CSafeDumper, default_flow_style=flow, allow_unicode=True, default_style='"')
    document = parse(text)
    assert not document.diagnostics
    assert document.data == pyyaml.load(text, Loader=pyyaml.CSafeLoader)


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_no_text_raises(text: str) -> None:
    document = parse(text)
    assert document.place is not None or document.diagnostics or document.data is None
    for diagnostic in document.diagnostics:
        assert diagnostic.line >= 1
        assert diagnostic.column >= 1
        assert diagnostic.length >= 1


@given(st.text("ab: -\n{}[],&*<|>#'\"!%@`?~\t01", max_size=80))
def test_no_text_of_yaml_characters_raises(text: str) -> None:
    document = parse(text)
    if document.data is not None:
        assert document.place is not None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("010", "010"), ("-010", "-010"), ("010.5", "010.5"),
        ("12:30", "12:30"), ("1_000", "1_000"), ("2024-01-01", "2024-01-01"), ("0b1", "0b1"), ("0o17", 15),
        ("0x1F", 31), ("+5", 5), ("-3", -3), ("0", 0), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("1.",
        1.0),
        ("~", None), ("null", None), ("", None), ("Null", None), ("true", True), ("FALSE", False), ("tRUE",
        "tRUE"),
        ("'5'", "5"), ('"true"', "true"), ("!!str 5", "5"), ("!!int 5", 5), ("!!float 5", 5.0), ("! 5", 5),
        ("=", "="),
        ("|\n  a\n  b", "a\nb\n"), (">-\n  a\n  b", "a b"), ("$5", "$5"), ('"\\u00e9"', "é"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    document = parse(f"a: {text}\n")
    assert not document.diagnostics
    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "1e999", "9" * 5000, "0x" + "f" * 200])
def test_numbers_that_json_cannot_carry_are_refused(text: str) -> None:
    (complaint,) = complaints(f"a: {text}")
    assert complaint.startswith("1:4:")
    assert "in quotes" in complaint


def test_every_key_and_value_has_its_place() -> None:
    document = parse('queues:\n  email: {rate: 5, "wide": [x, "é", 日本]}\n')
    assert document.place is not None
    rate = document.place.at(("queues", "email", "rate"))
    assert rate.key_span() == Span(2, 11, 4)
    assert rate.value_span() == Span(2, 17, 1)
    assert document.place.at(("queues", "email", "wide")).key_span() == Span(2, 20, 6)
    assert document.place.at(("queues", "email", "wide", 2)).value_span() == Span(2, 37, 2)
    assert document.place.at(("queues", "absent", "deeper")).key_span() == Span(1, 1, 6)


def test_an_empty_value_is_where_its_key_is() -> None:
    document = parse("a:\nb: 1\n")
    assert document.place is not None
    assert document.place.at(("a",)).value_span() == Span(1, 1, 1)


def test_all_duplicate_keys_are_told_with_both_places() -> None:
    assert complaints("a: 1\nb: {c: 1, c: 2}\na: 3\na: {d: 4}\n") == [
        '2:11:1 b.c: duplicate key "c", first written at line 2, column 5',
        '3:1:1 a: duplicate key "a", first written at line 1, column 1',
        '4:1:1 a: duplicate key "a", first written at line 1, column 1',
    ]
    assert parse("a: 1\na: 2").data == {"a": 1}


def test_keys_that_are_no_text() -> None:
    assert complaints("1: a\ntrue: b\n? [x]\n: c\n? {y: z}\n: d\nok: e\n") == [
        "1:1:1 : a key is text, and 1 is a number; put it in quotes",
        "2:1:4 : a key is text, and true is no text; put it in quotes",
        "3:3:1 : a key is text; a mapping or a list cannot be one",
        "5:3:1 : a key is text; a mapping or a list cannot be one",
    ]
    assert parse("? [x]\n: c\nok: {a: 1}\n").data == {"ok": {"a": 1}}


def test_anchors_and_merge_keys() -> None:
    text = """
x-base: &base {timeout: 30s, retry: &retry {attempts: 3}}
x-more: &more {timeout: 60s, rate: 5/m}
name: &name shop
again: *name
one: {<<: *base, timeout: 10s}
two: {<<: [*base, *more]}
three: *retry
*name : key
"""
    document = parse(text)
    assert not document.diagnostics
    assert document.data["one"] == {"timeout": "10s", "retry": {"attempts": 3}}
    assert document.data["two"] == {"timeout": "30s", "retry": {"attempts": 3}, "rate": "5/m"}
    assert document.data["three"] == {"attempts": 3}
    assert (document.data["again"], document.data["shop"]) == ("shop", "key")
    assert document.place is not None
    assert document.place.at(("two", "rate")).value_span() == Span(3, 36, 3)  # where it was written
    assert document.place.at(("one", "timeout")).value_span() == Span(6, 27, 3)
    assert document.place.at(("again",)).value_span() == Span(5, 8, 5)  # the alias itself


def test_a_quoted_merge_key_is_a_key() -> None:
    assert parse('"<<": {a: 1}').data == {"<<": {"a": 1}}


def test_wrong_aliases_and_merges() -> None:
    assert complaints("first: &first 1\na: *frist\nb: &b [*b]\nc: {<<: 5}\nd: {<<: {}, <<: {}}\n") == [
        "2:4:6 a: no anchor &frist above this alias, did you mean *first?",
        "3:8:2 b[0]: the alias *b stands inside its own anchor",
        "4:9:1 c: << takes a mapping or a list of mappings",
        "5:13:2 d: two << keys in one mapping; write one, <<: [*first, *second]",
    ]


def test_tags_without_meaning_are_refused() -> None:
    assert complaints("a: !!binary aGk=\nb: !custom {}\nc: !!int x\n") == [
        "1:4:13 : the tag !!binary has no meaning here; leave it out",
        "2:4:9 : the tag !custom has no meaning here; leave it out",
        '3:4:7 c: "x" is not of the type !!int',
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a:\n\tb: 1", "2:1:1 : a tab cannot indent; use spaces"),
        ("a: 'x", "1:4:1 : this quote is never closed"),
        ("a:\n  - {b: 1,\n    c: 2\n", '2:5:1 : this "{" is never closed'),
        ("a: [1,\n", '1:4:1 : this "[" is never closed'),
        ("a: @x", '1:4:1 : text cannot begin with "@"; put it in quotes'),
        ("a: b: c", '1:5:1 : a ":" is not expected here; check the indentation, or use quotes'),
        (
            "a:\n  b: 1\n c: 2",
            "3:2:1 : the indentation fits no key above, or a quote or bracket ends too early",
        ),
        ("a: {b: 1 c: 2}", '1:11:1 : expected "," or "}"'),
        ('a: "\\q"', "1:5:1 : this escape is unknown; write \\\\ or use single quotes"),
        ("a: 1\n---\nb: 2", "2:1:3 : a second document begins here; a spec is one document"),
        ("a: 1\n...\nb: 2", "3:1:1 : this belongs to nothing above; check the indentation"),
        ("a: \x07", "1:4:1 : a control character (U+0007) has no place in a text file"),
        ("a: 1\nb: x\0y", "2:5:1 : a control character (U+0000) has no place in a text file"),
        ('a: "x\\0y"', "1:4:6 a: text cannot hold the character NUL"),
        ("%YAML 3.0\n---\na: 1", "1:1:1 : this YAML version is not known; leave the %YAML line out"),
    ],
)
def test_syntax_errors_in_words(text: str, complaint: str) -> None:
    assert complaints(text) == [complaint]


def test_mistakes_before_a_syntax_error_are_told_too() -> None:
    assert [line.partition(" ")[0] for line in complaints("a: 1\na: 2\nb: [")] == ["2:1:1", "3:4:1"]


LEVELS = yaml.MAX_DEPTH
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
DEEP_BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 100))
SIZE = yaml.MAX_BYTES
HOSTILE = {
    "100,000 brackets": "[" * 100_000,
    "100,000 braces": "{a: " * 100_000,
    "100,000 dashes": "- " * 100_000,
    "100,000 question marks": "? " * 100_000,
    "deep by indentation": "".join(" " * n + "a:\n" for n in range(1000)),
    "aliases of aliases": BOMB,
    "aliases, deep": DEEP_BOMB,
    "merges of merges": "a0: &a0 {x: 1}\n"
    + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}], k{n}: *a{n - 1}}}\n" for n in range(1,
    12)),
    "many values": "[" + "1," * (SIZE // 2 - 2) + "]",
    "many keys": "{" + "a," * (SIZE // 2 - 2) + "}",
    "many nested lists": "[" * 60 + "[]," * (SIZE // 4),
    "many duplicate keys": "a: b\n" * (SIZE // 5),
    "many number keys": "".join(f"{n}: x\n" for n in range(SIZE // 12)),
    "many anchors": "".join(f"k{n}: &q{n} x\n" for n in range(SIZE // 20)),
    "many unknown aliases": "".join(f"k{n}: &q{n} [a]\n" for n in range(30_000))
    + "".join(f"z{n}: *qq{n}\n" for n in range(9_000)),
    "one long word": "a" * SIZE,
    "one long alias": "*" + "a" * SIZE,
    "one long tag": "!<" + "a" * SIZE,
    "one long key": "a: " + "'" + "b" * SIZE,
    "percent signs": "%" * SIZE,
    "quotes": "'" * SIZE,
    "escapes": 'a: "\\\n' * (SIZE // 10),
    "flow keys": "{" + "? " * (SIZE // 2 - 1),
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_end_in_few_plain_words(text: str) -> None:
    document = parse(text)
    assert len(document.diagnostics) <= 1000
    for diagnostic in document.diagnostics:
        assert len(str(diagnostic)) < 500
        assert len(diagnostic.snippet) <= 500
    if document.data is not None:
        assert document.nodes <= yaml.MAX_NODES


@pytest.mark.parametrize("kind", ["[", "{a: ", "- "])
def test_nesting_is_capped(kind: str) -> None:
    (complaint,) = complaints(kind * 100_000)
    assert "nested deeper than 64 levels" in complaint


def test_aliases_are_counted_as_often_as_they_stand() -> None:
    (complaint,) = complaints(BOMB)
    assert "more than 100,000 values" in complaint
    (complaint,) = complaints(DEEP_BOMB)
    assert "nested deeper than 64 levels once the alias is followed" in complaint


def test_the_deepest_allowed_nesting_is_read() -> None:
    document = parse("[" * LEVELS + "]" * LEVELS)
    assert not document.diagnostics


def test_secrets_in_a_wrong_line_are_masked() -> None:
    (diagnostic,) = parse('a: {api_key: sk-12345678, password: "hunter2 x", port: 1 b}}').diagnostics
    assert "sk-12345678" not in diagnostic.snippet
    assert "hunter2" not in diagnostic.snippet
    assert "port: 1 b" in diagnostic.snippet
