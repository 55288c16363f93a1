"""`runtime show`, `explain`, `schema` and `graph`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.cli.explain import find
from runtime.cli.graph import dot, mermaid
from runtime.cli.main import main
from runtime.cli.render import Style, columns, expanded, rendered
from runtime.spec import yaml
from runtime.spec.diagnostics import Diagnostic
from runtime.spec.places import Source
from runtime.spec.shapes import Schema, Shapes, load_schema

ROOT = Path(__file__).parents[2]
SHAPES = Shapes(load_schema())


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(list(arguments)) == code
    captured = capsys.readouterr()
    return captured.out if code == 0 else captured.err


def test_show_prints_a_spec_that_is_valid_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(capsys, "show", "specs/base.yaml")
    data = yaml.parse(Source("x", "/x", text)).data
    assert data["queues"]["email"]["retry"] == {"attempts": 5, "backoff": "10s", "max": "10m", "jitter": True}
    assert data == json.loads(shown(capsys, "show", "specs/base.yaml", "--json"))
    copy = ROOT / "specs" / ".shown-by-a-test.yaml"
    try:
        copy.write_text(text)
        assert main(["validate", str(copy)]) == 0
    finally:
        copy.unlink()


def test_show_tells_where_values_come_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "base.yaml").write_text("version: 1\nname: shop\nqueues: {email: {timeout: 9s}}\n")
    spec = tmp_path / "spec.yaml"
    spec.write_text("extends: base.yaml\napi:\n  port: ${PORT}\n")
    text = shown(capsys, "show", str(spec), "--origin")
    lines = {line.split(":")[0].strip(): line.partition("#")[2].strip() for line in text.splitlines() if "#" in line}
    assert lines["port"] == f"{spec}:3 <- PORT not set"
    assert lines["name"] == f"{tmp_path}/base.yaml:2"
    assert lines["host"] == "default"
    email = text[text.index("  email:") :]
    assert "timeout: 9s" in email.splitlines()[3]
    assert f"{tmp_path}/base.yaml:3" in email.splitlines()[3]
    assert "built in" in email.splitlines()[1]
    origins = json.loads(shown(capsys, "show", str(spec), "--origin", "--json"))["origin"]
    assert origins["queues.email.handler"] == "built in"
    assert origins["queues.email.keep"] == "default"


def test_show_hides_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "version: 1\nname: shop\nstorage: {redis: 'redis://:hunter2@h'}\n"
        "ai: {providers: {a: {kind: openai, api_key: sk-12345}, b: {kind: openai, api_key: "
        "'${K:-sk-67890}'}}}\n"
    )
    for arguments in (["show"], ["show", "--origin"], ["show", "--json"]):
        text = shown(capsys, *arguments, str(spec))
        assert "***" in text
        assert "${K:-***}" in text
        assert not any(secret in text for secret in ("hunter2", "sk-12345", "sk-67890"))


def test_show_of_a_wrong_spec_tells_its_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("version: 1\nname: shop\nquues: {}\n")
    assert 'quues: unknown key, did you mean "queues"?' in shown(capsys, "show", str(spec), code=1)
    assert "1 error" in shown(capsys, "graph", str(spec), code=1)
    assert "no such file" in shown(capsys, "graph", str(tmp_path / "absent.yaml"), code=1)


def test_explain_tells_everything_of_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "explain", "queues.anything.rate")
    assert text.splitlines()[0] == "queues.anything.rate"
    facts = dict(line.split(None, 1) for line in text.splitlines()[3:])
    assert facts["type"] == "a rate"
    assert facts["default"] == "none"
    assert facts["example"] == '"30/m"'
    assert facts["live"].startswith("yes")
    assert "Where mails go" not in text
    text = shown(capsys, "explain", "queues.email.handler")
    assert "names     an entry of handlers" in text
    assert "secret    yes" in shown(capsys, "explain", "ai.providers.openai.api_key")


def test_explain_lists_what_is_below(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\n    attempts  5 " in shown(capsys, "explain", "queues.email.retry")
    sections = shown(capsys, "explain")
    assert all(f"\n    {name} " in sections for name in ("queues", "events", "ai", "observability"))
    assert "keys with kind: smtp" in shown(capsys, "explain", "notifications.channels.email")
    assert "NAME" in shown(capsys, "explain", "queues")


@pytest.mark.parametrize(
    "path",
    [
        "queues.email.retry.attempts", "events.streams.billing.events.credits.used.schema",
        'events.streams.billing.events."credits.used".schema', "ai.chains.default[0]", "ai.chains.default[]",
        "ai.prices.openai/gpt-5.input", "plugins[0]", "notifications.channels.sms.token",
    ],
)  # fmt: skip
def test_explain_finds(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "explain", path)
    assert json.loads(shown(capsys, "explain", path, "--json"))["description"] is not None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("queues.email.retri", 'there is no queues.email.retri, did you mean "queues.email.retry"?'),
        ("quues", 'there is no quues, did you mean "queues"?'),
        ("zebra.x", "there is no zebra\n  `runtime explain` lists the keys there."),
        ("api[0]", "api is no list"),
        ("api.port.deeper", "there is no api.port.deeper"),
    ],
)
def test_explain_helps_with_a_wrong_path(path: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in shown(capsys, "explain", path, code=1)


def fields(node: Schema, path: str, depth: int = 0) -> list[str]:
    """Every path that the schema knows."""
    found = [path] if path else []
    if depth > 8:
        return found
    for leaf in SHAPES.leaves(node):
        for key, below in leaf.get("properties", {}).items():
            found += fields(below, f"{path}.{key}" if path else key, depth + 1)
        if isinstance(leaf.get("additionalProperties"), dict):
            found += fields(leaf["additionalProperties"], f"{path}.anything", depth + 1)
    return found


def test_every_field_of_the_schema_can_be_explained() -> None:
    every = set(fields(SHAPES.schema, ""))
    assert len(every) > 300
    for path in every:
        field = find(path, SHAPES)
        assert field.path == path


def test_schema_prints_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "schema") == (ROOT / "schemas" / "spec.v1.json").read_text()
    assert shown(capsys, "schema", "--overlay") == (ROOT / "schemas" / "overlay.v1.json").read_text()


def test_graph(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "graph", "specs/development.yaml")
    assert text.startswith("flowchart TD\n")
    assert '["jobs.email"]' in text
    drawn = shown(capsys, "graph", "specs/development.yaml", "--format", "dot")
    assert drawn.startswith("digraph runtime {")
    assert '"jobs.email" -> "jobs";' in drawn
    nodes = json.loads(shown(capsys, "graph", "specs/development.yaml", "--format", "json"))["components"]
    assert {"id": "events", "needs": ["storage.redis"]} in nodes
    known = {node["id"] for node in nodes}
    assert all(need in known for node in nodes for need in node["needs"])


def test_drawings() -> None:
    nodes = [("a", ()), ("b.c", ("a",))]
    assert list(mermaid(nodes)) == ["flowchart TD", '  n0["a"]', '  n1["b.c"]', "  n1 --> n0"]
    assert list(dot(nodes))[3:] == ['  "a";', '  "b.c";', '  "b.c" -> "a";', "}"]


class _Terminal:
    @staticmethod
    def isatty() -> bool:
        return False


@pytest.mark.parametrize(
    ("line", "column", "length", "caret"),
    [
        ("name: x", 7, 1, "      ^"),
        ("\tname: x", 2, 4, "    ^^^^"),
        ("a\tname", 3, 4, "    ^^^^"),
        ("日本: wrong", 5, 5, "      ^^^^^"),
        ("a: 日本", 4, 2, "   ^^^^"),
        ("e\u0301: x", 5, 1, "   ^"),
        ("a: \x1b[31mred", 4, 1, "   ^"),
        ("a: \u202eb", 5, 1, "    ^"),
    ],
)
def test_the_caret_stands_under_its_text(line: str, column: int, length: int, caret: str) -> None:
    diagnostic = Diagnostic("f.yaml", 3, column, length, "a", "wrong", snippet=line)
    head, text, under = rendered(diagnostic, Style(_Terminal)).splitlines()  # type: ignore[arg-type]
    assert head == f"f.yaml:3:{column}: a: wrong"
    assert under == f"      | {caret}"
    assert "\x1b" not in text
    assert "\t" not in text
    assert text == f"    3 | {expanded(line)}"
    assert columns(line) >= len(caret)
