"""What the steps of a routine hand to each other: wrong names are found where they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.spec.check import check
from runtime.spec.expressions import Malformed, Use, uses
from runtime.spec.overlay import compose
from runtime.spec.shapes import Shapes, load_schema

if TYPE_CHECKING:
    from pathlib import Path

SHAPES = Shapes(load_schema())
HEAD = """version: 1
name: shop
sandbox: {languages: [javascript]}
ai: {providers: {echo: {kind: echo}}, chains: {default: [echo/echo]}}
events: {streams: {user: {events: {a.b: {}}}}}
routines:
  r:
    input: {topic: {}, count: {type: integer, default: 3}}
    steps:
      facts: {uses: jobs.enqueue, queue: sandbox}
      get-it: {uses: jobs.enqueue, queue: sandbox}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "spec.yaml"


def complaints(spec: Path, text: str) -> list[str]:
    spec.write_text(HEAD + text)
    found = [each for each in check(compose(spec.name), SHAPES) if each.severity == "error"]
    return [f"{each.line}:{each.column} {each.path.removeprefix('routines.r.')}: {each.message}" for each in found]


ASK = "      ask: {uses: ai.chat, chain: default, prompt: "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"{{ input.topci }}"}', '12:56 steps.ask.prompt: the routine takes no input "topci", did you mean "topic"?'),
        ('"{{ input.nix }}"}', '12:56 steps.ask.prompt: the routine takes no input "nix"; there is topic or count'),
        ('"On {{ inputs.topic }}"}', '12:59 steps.ask.prompt: there is no "inputs" here, did you mean "input"?'),
        ('"{{ steps.fact.output }}"}', '12:56 steps.ask.prompt: no step "fact" comes before, did you mean "facts"?'),
        ('"{{ steps.ask.output }}"}', '12:56 steps.ask.prompt: "ask" is this step itself; it sees the steps before it'),
        ('"{{ steps.facts.ouput }}"}', '12:56 steps.ask.prompt: a step has no "ouput", did you mean "output"?'),
        ('"{{ steps.get-it.output }}"}', '12:56 steps.ask.prompt: a dash is a minus here; write steps["get-it"]'),
        ('"{{ run.owner }}"}', '12:56 steps.ask.prompt: a run has no "owner"; there is id, routine or started_by'),
        ("'{{ steps[\"nix\"].id }}'}", '12:56 steps.ask.prompt: no step "nix" comes before; there is facts or get-it'),
        ('"{{ input.topic | uper }}"}', "12:52 steps.ask.prompt: this cannot be filled in: No filter named 'uper'"),
        ('"{{ input.topic"}', "12:52 steps.ask.prompt: this cannot be filled in: unexpected end of template"),
        ('x, if: "steps.fact.output > 1"}', '12:60 steps.ask.if: no step "fact" comes before, did you mean "facts"?'),
        ('x, system: "{{ run.idd }}"}', '12:67 steps.ask.system: a run has no "idd", did you mean "id"?'),
    ],
    ids=range(13),
)  # fmt: skip
def test_a_name_that_is_not_there(spec: Path, text: str, said: str) -> None:
    found = complaints(spec, ASK + text)
    assert [line for line in found if line.startswith(said)], found


@pytest.mark.parametrize(
    "text",
    [
        '"{{ input.topic }} {{ input.count + 1 }} {{ run.id }} {{ steps.facts.output.any.thing }}"}',
        "\"{{ steps['get-it'].output }} {{ steps.facts.error }} {{ input }} {{ range(3) | list }}\"}",
        '"{% for step in steps.facts.output %}{{ loop.index }} {{ step.x }}{% endfor %}"}',
        "\"{% set input2 = input.topic %}{{ input2 }} {# steps.nix #} {{ '{{ steps.nix }}' }}\"}",
        '"{{ ${ANYTHING} }}"}',
        'steps.nix.output, if: "{{ input.count }}"}',
    ],
    ids=range(6),
)
def test_names_that_are_there(spec: Path, text: str) -> None:
    found = [line for line in complaints(spec, ASK + text) if "a dash is" not in line]
    assert found == []


def test_later_steps_and_the_places_of_lines(spec: Path) -> None:
    text = """      ask:
        uses: ai.chat
        chain: default
        messages:
          - content: >-
              Twice {{ steps.facts.output }},
              then {{ steps.tell.output }}.
      tell:
        uses: events.publish
        stream: user
        type: a.b
        data: {deep: [{a: "no {{ steps.tell.output }}"}], "{{ x }}": 1}
    output: "{{ steps.tel.output }}"
"""
    assert complaints(spec, text) == [
        '18:23 steps.ask.messages[0].content: the step "tell" comes later; a step sees those before it',
        '23:34 steps.tell.data.deep[0].a: "tell" is this step itself; it sees the steps before it',
        '24:17 output: no step "tel" comes before, did you mean "tell"?',
    ]


def test_keys_that_depend_on_each_other(spec: Path) -> None:
    text = """      a: {uses: sandbox.javascript}
      b: {uses: sandbox.javascript, code: "1", code_file: spec.yaml}
      c: {uses: sandbox.python, code: "1"}
      d: {uses: ai.chat, chain: default}
      e: {uses: ai.chat, chain: default, prompt: x, messages: [{content: y}]}
"""
    assert complaints(spec, text) == [
        "12:17 steps.a.uses: give this step code or code_file, one of them",
        "13:17 steps.b.uses: give this step code or code_file, not both",
        "14:17 steps.c.uses: the sandbox runs no python; add it to sandbox.languages",
        "15:17 steps.d.uses: give this step prompt or messages, one of them",
        "16:17 steps.e.uses: give this step prompt or messages, not both",
    ]


def test_a_default_fits_its_type(spec: Path) -> None:
    text = """  s:
    input: {a: {type: integer, default: true}, b: {default: 1}, c: {type: number, default: 1}, d: }
    steps: {a: {uses: jobs.enqueue, queue: sandbox}}
"""
    assert complaints(spec, text) == [
        "13:41 routines.s.input.a.default: this is no integer, as the input's type says",
        "13:61 routines.s.input.b.default: this is no string, as the input's type says",
    ]


def test_the_names_of_a_text() -> None:
    assert uses("plain {x}") == []
    assert uses("a {{ b.c }} {{d}}") == [Use(("b", "c"), 5, 3), Use(("d",), 14, 1)]
    assert uses("b.c[0].d > 1", condition=True) == [Use(("b", "c"), 0, 3)]
    assert uses("a.b", condition=True) == [Use(("a", "b"), 0, 3)]
    with pytest.raises(Malformed):
        uses("{{ }}")
