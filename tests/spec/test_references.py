"""References in text: what is one, what is none, and how its place is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.spec import yaml
from runtime.spec.places import Source
from runtime.spec.references import Reference, Template, escaped, parse

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name not in ("file", "vault"))
PLAIN = st.text("ab $-:?#é", max_size=8)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_escaped_text_stands_for_itself(text: str) -> None:
    template = parse(escaped(text))
    assert not template.malformed
    assert "".join(part for part in template.parts if isinstance(part, str)) == text
    assert not template.references


@given(st.lists(PLAIN.map(escaped) | NAMES.map(lambda name: f"${{{name}}}"), max_size=6))
def test_references_are_found_where_they_stand(pieces: list[str]) -> None:
    text = "".join(pieces)
    template = parse(text)
    assert not template.malformed
    assert [text[r.offset : r.offset + r.length] for r in template.references] == [
        piece for piece in pieces if piece.startswith("${")
    ]


@given(st.text("${}:-?ab# file:vault", max_size=60))
def test_no_text_raises_and_mistakes_lie_inside_it(text: str) -> None:
    for wrong in parse(text).malformed:
        assert 0 <= wrong.offset < len(text)
        assert 0 < wrong.length <= len(text) - wrong.offset
        assert text.startswith("${", wrong.offset)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("${PORT}", Reference("environment", "PORT", 0, 7)),
        ("a ${_x1} b", Reference("environment", "_x1", 2, 6)),
        ("${A:-}", Reference("environment", "A", 0, 6, Template(()))),
        ("${A:-b c}", Reference("environment", "A", 0, 9, Template(("b c",)))),
        ("${A:-$$5}", Reference("environment", "A", 0, 9, Template(("$5",)))),
        ("${A:?say why}", Reference("environment", "A", 0, 13, None, "say why")),
        ("${A:?}", Reference("environment", "A", 0, 6, None, "")),
        ("${file}", Reference("environment", "file", 0, 7)),
        ("${file:-x}", Reference("environment", "file", 0, 10, Template(("x",)))),
        ("${file:/run/secrets/db}", Reference("file", "/run/secrets/db", 0, 23)),
        ("${vault:postgres#password}", Reference("vault", "postgres", 0, 26, field="password")),
        ("${vault:secret/data/app#key?version=3}", Reference("vault", "secret/data/app", 0, 38, field="key",
        version=3)),
        ("$$${A}", Reference("environment", "A", 2, 4)),
    ],
)  # fmt: skip
def test_forms(text: str, reference: Reference) -> None:
    template = parse(text)
    assert template.references == (reference,)
    assert not template.malformed


def test_defaults_may_hold_references() -> None:
    (outer,) = parse("${A:-x${B:-y}z}").references
    assert outer.default is not None
    assert outer.default.parts[0] == "x"
    assert isinstance(outer.default.parts[1], Reference)
    assert outer.default.parts[2] == "z"


@pytest.mark.parametrize("text", ["$", "$5", "$HOME", "a}b", "{}", "$ {A}", "$2b$12$abc", "cost: 5 $"])
def test_a_dollar_sign_before_anything_else_is_itself(text: str) -> None:
    assert parse(text) == Template((text,))


@pytest.mark.parametrize(
    ("text", "offset", "length", "message", "suggestion"),
    [
        ("a ${B", 2, 3, "this reference is never closed; write ${NAME}, or $$ for a dollar sign", None),
        ("${}", 0, 3, "this reference names nothing; write ${NAME}, or $$ for a dollar sign", None),
        ("${ A }", 0, 6, "no spaces inside a reference; write ${A}", "${A}"),
        ("${A-x}", 0, 6, "a colon is missing; write ${A:-x}", "${A:-x}"),
        ("${A?x}", 0, 6, "a colon is missing; write ${A:?x}", "${A:?x}"),
        ("${A:=x}", 0, 7, 'after the name comes ":-" and a default, or ":?" and a message; write ${A:-x}',
        "${A:-x}"),
        ("${1A}", 0, 5, '"1A" is no name of a variable; write ${NAME}, or $$ for a dollar sign', None),
        ("${file:}", 0, 8, "this names no file; write ${file:/run/secrets/name}", None),
        ("${file:/x", 0, 9, "this reference is never closed; a } is missing", None),
        ("${vault:a}", 0, 10, "this names no secret; write ${vault:path#field} or "
                              "${vault:path#field?version=3}", None),
        ("${A:-${B}", 0, 9, "this reference is never closed; write ${NAME}, or $$ for a dollar sign", None),
    ],
)  # fmt: skip
def test_malformed(text: str, offset: int, length: int, message: str, suggestion: str | None) -> None:
    assert parse(text).malformed == ((offset, length, message, suggestion),)


def test_deep_and_long_defaults_are_no_danger() -> None:
    deep = parse("${A:-" * 1000 + "}" * 1000)
    assert [wrong.message for wrong in deep.malformed] == ["references inside references, more than 8 deep"]
    assert parse("${A:-" + "$x" * 100_000).malformed
    assert not parse("${A:-" + "$x" * 100_000 + "}").malformed


@pytest.mark.parametrize(
    ("text", "line", "column", "length"),
    [
        ("a: x ${B", 1, 6, 3),
        ("a: 'x ${B'", 1, 7, 3),
        ('a: "\\t\\"x ${B"', 1, 11, 3),
        ("a: 'it''s ${B'", 1, 11, 3),
        ("a: |\n  first\n  second ${B\n", 3, 10, 3),
        ("a: >\n  $$ first\n  second ${B\n", 3, 10, 3),
        ("a: one\n   two ${B\n", 2, 8, 3),
        ('a: "\\x24{B"', 1, 4, 8),
    ],
)
def test_a_part_of_a_text_has_its_place_in_every_style(text: str, line: int, column: int, length: int) -> None:
    document = yaml.parse(Source("x", "/x", text))
    value = document.data["a"]
    (wrong,) = parse(value).malformed
    assert document.place is not None
    place = document.place.at(("a",))
    where = place.inner_span(value, wrong.offset, wrong.length)
    assert (where.line, where.column) == (line, column)
    assert where.length >= length
