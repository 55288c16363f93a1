"""References at start: where values come from, what they may become, and that secrets stay secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.errors import SpecFault
from runtime.spec.load import Loaded, load

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "version: 1\nname: shop\n"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "spec.yaml"


def loaded(spec: Path, text: str, **environ: str) -> Loaded:
    spec.write_text(HEAD + text)
    return load(spec.name, environ)


def complaints(spec: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(SpecFault) as caught:
        loaded(spec, text, **environ)
    return [str(diagnostic) for diagnostic in caught.value.diagnostics]


def test_the_environment_comes_first_then_the_env_file_then_a_mounted_file(spec: Path) -> None:
    (spec.parent / ".env").write_text(
        'A=from-file\nB="from file # not a comment"\nexport C=c # a comment\n\n# more\nE_FILE=e.txt\n'
    )
    (spec.parent / "d.txt").write_text("from-d\n")
    (spec.parent / "e.txt").write_text("from-e\r\n")
    text = 'schedules: {s: {queue: export, cron: "1 1 1 1 1", payload: {v: "${A} ${B} ${C} ${D} ${E}"}}}\n'
    result = loaded(spec, text, A="from-environment", D_FILE=str(spec.parent / "d.txt"))
    payload = result.spec.schedules["s"].payload
    assert payload["v"] == "from-environment from file # not a comment c from-d from-e"
    assert {"from-d", "from-e"} <= result.secrets
    assert "from-environment" not in result.secrets


def test_defaults_messages_and_dollar_signs(spec: Path) -> None:
    text = """
api: {host: "${HOST:-0.0.0.0}"}
schedules:
  s: {queue: export, cron: "1 1 1 1 1", payload: {v: "$$5 ${EMPTY:-d} ${N:-${M:-in}}"}}
"""
    result = loaded(spec, text, EMPTY="")
    assert result.spec.api.host == "0.0.0.0"
    assert result.spec.schedules["s"].payload == {"v": "$5 d in"}
    assert result.declared["schedules"]["s"]["payload"] == {"v": "$$5 ${EMPTY:-d} ${N:-${M:-in}}"}


def test_a_whole_reference_is_converted_for_its_field(spec: Path) -> None:
    text = """
api: {port: "${PORT}", public_url: "${NOTHING:-}"}
queues:
  images: {handler: notifications.email, concurrency: "${C}", retry: {jitter: "${J}"}, timeout: "${T}"}
schedules:
  s: {queue: "${Q}", cron: "${CRON}", payload: {n: "${PORT}"}}
"""
    result = loaded(spec, text, PORT="9000", C="7", J="false", T="90s", Q="images", CRON="1 1 1 1 1")
    assert result.spec.api.port == 9000
    assert result.spec.api.public_url is None
    queue = result.spec.queues["images"]
    assert (queue.concurrency, queue.retry.jitter, queue.timeout) == (7, False, 90.0)
    assert result.spec.schedules["s"].payload == {"n": "9000"}  # free data stays text


def test_a_value_that_does_not_fit_is_told_with_its_place(spec: Path) -> None:
    text = """
api: {port: "${PORT}", host: "${HOST}"}
queues:
  images: {handler: notifications.email, timeout: "${T}", rate: "${R}/m"}
schedules:
  s: {queue: "${Q}", cron: "${CRON}", timezone: "${Z}"}
"""
    wrong = complaints(
        spec, text, PORT="http", HOST="", T="30", R="0", Q="export2", CRON="1 1 31 2 *", Z="Europe/Viena"
    )
    assert wrong == [
        'spec.yaml:4:13: api.port: expected a whole number, found the text "http"; write for example 9000',
        'spec.yaml:6:51: queues.images.timeout: a duration needs its unit; write "30s"',
        'spec.yaml:6:65: queues.images.rate: "0/m" is no rate; write a number in a s, m, h or d, such as '
        '"100/m"',
        'spec.yaml:8:14: schedules.s.queue: no queue "export2" is declared under queues, did you mean '
        '"export"?',
        "spec.yaml:8:28: schedules.s.cron: this never comes: no day of the month fits the months",
        'spec.yaml:8:49: schedules.s.timezone: there is no time zone "Europe/Viena", did you mean '
        '"Europe/Vienna"?',
    ]  # fmt: skip


def test_a_password_is_encoded_where_it_stands_in_an_address(spec: Path) -> None:
    text = """
storage:
  redis: redis://:${PW}@${HOST}:6379/0
  database: postgresql://${USER}:${ENCODED}@db:5432/core?application_name=${PW}
"""
    found = loaded(spec, text, PW="p@ss/w#rd%+1", HOST="redis", USER="core", ENCODED="p%40ss").spec.storage
    assert found.redis == "redis://:p%40ss%2Fw%23rd%25%2B1@redis:6379/0"
    assert found.database == "postgresql://core:p%40ss@db:5432/core?application_name=p@ss/w#rd%+1"


def test_all_that_cannot_be_resolved_is_one_list(spec: Path) -> None:
    text = """
api:
  host: http${A}x${B:?because it is needed}
  public_url: ${file:absent.txt}
secrets:
  vault:
    address: "${VAULT_ADDR}"
    auth: {method: token, token: "${file:/nowhere/token}"}
    paths: {db: {path: a/b}}
observability: {errors: {dsn: "${vault:db#dsn}"}}
"""
    told = "set it in the environment, or let {0}_FILE name a file that holds it"
    assert complaints(spec, text) == [
        f"spec.yaml:5:13: api.host: A is not set; {told.format('A')}",
        "spec.yaml:5:18: api.host: B is not set: because it is needed",
        "spec.yaml:6:15: api.public_url: cannot read absent.txt: no such file",
        f"spec.yaml:9:15: secrets.vault.address: VAULT_ADDR is not set; {told.format('VAULT_ADDR')}",
        "spec.yaml:10:35: secrets.vault.auth.token: cannot read /nowhere/token: no such file",
        "spec.yaml:12:32: observability.errors.dsn: secrets of Vault are read by `runtime apply` and "
        "`runtime secrets check` alone",
    ]


def test_files_are_found_from_the_file_that_names_them(spec: Path) -> None:
    base = spec.parent / "base"
    base.mkdir()
    (base / "host.txt").write_text("10.0.0.1\n")
    (base / "base.yaml").write_text("api: {host: '${file:host.txt}'}\nsecrets: {env_file: dev.env}\n")
    (base / "dev.env").write_text("PORT=7000\n")
    result = loaded(spec, "extends: base/base.yaml\napi: {port: '${PORT}'}\n")
    assert (result.spec.api.host, result.spec.api.port) == ("10.0.0.1", 7000)


def test_a_wrong_env_file_is_told_without_its_content(spec: Path) -> None:
    (spec.parent / ".env").write_text("A=1\nsecret words = 'unclosed\nB=2\n")
    (complaint,) = complaints(spec, "")
    assert complaint == ".env:2:1: this line is no NAME=value"


def test_secrets_are_known_and_never_told(spec: Path) -> None:
    (spec.parent / "token").write_text("tok-from-file\n")
    text = """
storage: {redis: "redis://:${PW}@localhost:6379/0"}
ai: {providers: {openai: {kind: openai, api_key: "${KEY}"}}}
notifications:
  channels:
    sms: {kind: http, provider: twilio, account: literal-account, token: "${file:token}", from: "+15550100"}
"""
    result = loaded(spec, text, PW="redis-password", KEY="sk-environment")
    assert {"redis-password", "sk-environment", "literal-account", "tok-from-file"} <= result.secrets
    shown = repr(result) + repr(result.spec.ai) + repr(result.spec.notifications) + str(result.shown)
    for secret in ("redis-password", "sk-environment", "literal-account", "tok-from-file"):
        assert secret not in shown


def test_a_wrong_value_out_of_a_file_is_not_repeated(spec: Path) -> None:
    (spec.parent / "secret").write_text("hunter22\n")
    (complaint,) = complaints(spec, "api: {port: '${file:secret}'}\n")
    assert "hunter22" not in complaint
    assert complaint.startswith("spec.yaml:3:13: api.port: expected a whole number")


def test_what_the_user_keeps_under_x_is_left_alone(spec: Path) -> None:
    text = """
x-notes: "${UNSET} ${"
queues:
  x-base: {handler: "${UNSET}"}
  a: {handler: notifications.email, x-why: "${UNSET}"}
"""
    assert loaded(spec, text).spec.queues["a"].handler == "notifications.email"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(value=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30))
def test_a_value_never_adds_structure(spec: Path, value: str) -> None:
    text = 'schedules: {s: {queue: export, cron: "1 1 1 1 1", payload: {whole: "${V}", part: "a ${V} b"}}}\n'
    payload: Any = loaded(spec, text, V=value).spec.schedules["s"].payload
    assert payload == {"whole": value, "part": f"a {value} b"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    value=st.sampled_from(["{a: 1}", "[1]", "1\napi: {port: 5}", "null", "- x", "${OTHER}", "*a", "&a 1", "!!int 1"])
)
def test_not_even_in_a_field_that_is_converted(spec: Path, value: str) -> None:
    try:
        result = loaded(spec, "api: {port: '${V}'}\n", V=value)
    except SpecFault as fault:
        assert [diagnostic.path for diagnostic in fault.diagnostics] == ["api.port"]  # noqa: PT017
    else:
        assert result.spec.api.port == 8080  # null: the default
