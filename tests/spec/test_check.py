"""What validation knows beyond the shape: names that must exist elsewhere, files, values that agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtime.spec.check import check
from runtime.spec.overlay import compose
from runtime.spec.shapes import Shapes, load_schema

if TYPE_CHECKING:
    from pathlib import Path

SHAPES = Shapes(load_schema())
HEAD = "version: 1\nname: shop\n"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "spec.yaml"


def complaints(spec: Path, text: str, severity: str = "error") -> list[str]:
    spec.write_text(HEAD + text)
    found = [d for d in check(compose(spec.name), SHAPES) if d.severity == severity]
    return [f"{d.line}:{d.column} {d.path}: {d.message}" for d in found]


def test_names_that_must_be_declared(spec: Path) -> None:
    text = """
schedules:
  a: {queue: exprt, cron: "1 1 1 1 1"}
  b: {queue: email, cron: "1 1 1 1 1"}
  c: {queue: "${QUEUE}", cron: "1 1 1 1 1"}
ai:
  providers: {openai: {kind: openai, api_key: "${K}"}, x-mine: {anything: 1}}
  chains: {default: [opnai/gpt-5, x-mine/y], other: {models: [openai/gpt-5, absent/x]}}
events:
  streams: {billing: {events: {credits.used: {}}}, user: {events: {profile.changed: {}}}}
  subscriptions:
    a: {stream: biling, handler: audit.record}
    b: {stream: billing, handler: audit.record, types: [credit.used, profile.changed, other.thing]}
notifications:
  channels: {in_app: {kind: in_app, fallback: [sms]}}
secrets:
  encryption: {keys: {k1: "${K}"}, active: k2}
"""
    assert complaints(spec, text) == [
        '5:14 schedules.a.queue: no queue "exprt" is declared under queues, did you mean "export"?',
        '10:22 ai.chains.default[0]: no provider "opnai" is declared under ai.providers, did you mean '
        '"openai"?',
        '10:35 ai.chains.default[1]: no provider "x-mine" is declared under ai.providers; there are openai',
        '10:77 ai.chains.other.models[1]: no provider "absent" is declared under ai.providers; there are '
        'openai',
        '14:17 events.subscriptions.a.stream: no stream "biling" is declared under events.streams, did '
        'you mean "billing"?',
        '15:57 events.subscriptions.b.types[0]: the stream "billing" has no event "credit.used", '
        'did you mean "credits.used"?',
        '15:70 events.subscriptions.b.types[1]: the stream "billing" has no event "profile.changed"; '
        'it belongs to the stream "user"',
        '15:87 events.subscriptions.b.types[2]: the stream "billing" has no event "other.thing"',
        '17:48 notifications.channels.in_app.fallback[0]: no channel "sms" is declared under '
        'notifications.channels; '
        "there are in_app",
        '19:44 secrets.encryption.active: no key "k2" is declared under secrets.encryption.keys, did you '
        'mean "k1"?',
    ]  # fmt: skip


def test_built_in_queues_exist_where_their_service_is_declared(spec: Path) -> None:
    schedule = 'schedules: {a: {queue: email, cron: "1 1 1 1 1"}}\n'
    assert complaints(spec, schedule)[0].startswith('3:24 schedules.a.queue: no queue "email" is declared')
    assert complaints(spec, schedule + "notifications: {}\n") == []
    assert complaints(spec, schedule + "queues: {email: {concurrency: 1}}\n") == []


def test_a_type_error_elsewhere_hides_no_missing_name(spec: Path) -> None:
    text = """
queues: []
api: 5
schedules: {a: {queue: nowhere, cron: 5}}
ai: {chains: {d: [x/y]}, providers: 7}
events: {streams: {}, subscriptions: {s: {stream: gone, handler: 1}}}
"""
    paths = [line.split(":")[1].split(" ")[1] for line in complaints(spec, text)]
    assert paths == [
        "queues", "api", "schedules.a.cron", "ai.providers",
        "events.subscriptions.s.stream", "events.subscriptions.s.handler",
    ]  # fmt: skip


def test_handlers_are_found_in_the_source_of_plugins(spec: Path) -> None:
    (spec.parent / "tasks.py").write_text(
        "import runtime\nfrom runtime import task as job, subscriber\nfrom more import resize\nNAME = "
        '"images.named"\n'
        '@job("images.crop")\nasync def crop(j, p): ...\n'
        "@runtime.task(NAME)\ndef named(j, p): ...\n"
        '@subscriber("log")\nasync def log(e): ...\n'
        'raise SystemExit("validation must not run this")\n'
    )
    (spec.parent / "more.py").write_text('from runtime import task\n@task("images.resize")\ndef resize(j, p): ...\n')
    text = """
plugins: [tasks]
queues:
  a: {handler: images.crop}
  b: {handler: images.named}
  c: {handler: images.resize}
  d: {handler: images.resise}
  e: {handler: log}
  f: {handler: notifications.email}
events:
  streams: {s: {}}
  subscriptions:
    one: {stream: s, handler: log}
    two: {stream: s, handler: images.crop}
"""
    assert complaints(spec, text) == [
        '9:16 queues.d.handler: no @task("images.resise") in the plugins, and none of that name is built in, '
        'did you mean "images.resize"?',
        '10:16 queues.e.handler: no @task("log") in the plugins, and none of that name is built in; '
        'name the module that has it under "plugins"',
        '16:31 events.subscriptions.two.handler: no @subscriber("images.crop") in the plugins, and none '
        "of that name "
        'is built in; name the module that has it under "plugins"',
    ]


def test_plugins_that_are_absent_or_broken(spec: Path) -> None:
    (spec.parent / "tasks.py").write_text("def f(:\n  pass\n")
    assert complaints(spec, "plugins: [tsks, tasks, no.such.module]\nqueues: {a: {handler: unknown}}\n") == [
        '3:11 plugins[0]: no module "tsks" beside the spec or installed, did you mean "tasks"?',
        '3:24 plugins[2]: no module "no.such.module" beside the spec or installed; create no/such/module.py there',
        "1:7 : this is no Python: invalid syntax",
    ]


def test_names_that_are_computed_cannot_be_refused(spec: Path) -> None:
    (spec.parent / "tasks.py").write_text('from runtime import task\n@task("a" + "b")\ndef f(j, p): ...\n')
    text = "plugins: [tasks]\nqueues: {a: {handler: ab}}\n"
    assert complaints(spec, text) == []
    assert complaints(spec, text, "warning") == [
        '4:23 queues.a.handler: no @task("ab") is seen in the plugins, which name some only when they run'
    ]


def test_plugins_lie_beside_the_file_that_names_them(spec: Path) -> None:
    base = spec.parent / "base"
    base.mkdir()
    (base / "own.py").write_text('from runtime import task\n@task("t")\ndef f(j, p): ...\n')
    (base / "base.yaml").write_text("plugins: [own]\nqueues: {a: {handler: t}}\n")
    assert complaints(spec, "extends: base/base.yaml\n") == []


def test_files_of_the_spec_must_be_there(spec: Path) -> None:
    folder = spec.parent
    (folder / "good.json").write_text('{"type": "object"}')
    (folder / "bad.json").write_text('{"type": ]')
    (folder / "list.json").write_text("[1]")
    (folder / "templates" / "welcome").mkdir(parents=True)
    text = """
queues:
  a: {handler: notifications.email, payload: good.json}
  b: {handler: notifications.email, payload: bad.json}
  c: {handler: notifications.email, payload: list.json}
  d: {handler: notifications.email, payload: god.json}
  e: {handler: notifications.email, payload: "${SCHEMA}"}
notifications:
  channels: {in_app: {kind: in_app}}
  categories:
    a: {channels: [in_app], template: templates/welcome}
    b: {channels: [in_app], template: templates/welcom}
    c: {channels: [in_app], template: good.json}
sandbox: {}
routines: {r: {steps: {s: {uses: sandbox.python, code_file: absent.py}}}}
"""
    assert complaints(spec, text) == [
        '6:46 queues.b.payload: the file is no JSON (Expecting value at line 1, column 10): "bad.json"',
        '7:46 queues.c.payload: the file is JSON, but no JSON Schema: "list.json"',
        '8:46 queues.d.payload: there is no file of this name: "god.json", did you mean "good.json"?',
        '14:39 notifications.categories.b.template: there is no folder of this name: "templates/welcom", '
        'did you mean "templates/welcome"?',
        '15:39 notifications.categories.c.template: this is a file, not a folder: "good.json"',
        '17:61 routines.r.steps.s.code_file: there is no file of this name: "absent.py"',
    ]


def test_values_that_must_agree(spec: Path) -> None:
    text = """
queues:
  a: {handler: notifications.email, concurrency: {min: 5, max: 2}}
processes: {workers: 2}
events: {backend: memory}
schedules:
  a: {queue: a, cron: "30-10 1 1 1 1", timezone: Mars/Olympus}
  b: {queue: a, cron: "1 1 31 4,6 *"}
"""
    assert complaints(spec, text) == [
        "5:56 queues.a.concurrency.min: min is greater than max: 5 > 2",
        '7:19 events.backend: events in memory stay within one process, and "processes" asks for several; write redis',
        '9:23 schedules.a.cron: "30-10" runs backwards in the column of the minute',
        '9:50 schedules.a.timezone: there is no time zone "Mars/Olympus"; write a name such as "Europe/Vienna"',
        "10:23 schedules.b.cron: this never comes: no day of the month fits the months",
    ]


def test_references_are_checked_where_they_stand(spec: Path) -> None:
    text = """
api: {host: "x${A-y} ${B", port: "${PORT"}
observability: {errors: {dsn: "${vault:pg#dsn} ${vault:raw/path#x}"}}
secrets: {vault: {address: "https://v", auth: {method: token, token: "${T}"}, paths: {db: {path: a/b}}}}
x-mine: "${"
"""
    assert complaints(spec, text) == [
        "4:15 api.host: a colon is missing; write ${A:-y}",
        "4:22 api.host: this reference is never closed; write ${NAME}, or $$ for a dollar sign",
        "4:35 api.port: this reference is never closed; write ${NAME}, or $$ for a dollar sign",
        '5:32 observability.errors.dsn: no path "pg" is declared under secrets.vault.paths; '
        "a raw path has a slash, secret/data/app",
    ]
    assert complaints(spec, 'observability: {errors: {dsn: "${vault:a/b#c}"}}\n') == [
        "3:32 observability.errors.dsn: this needs Vault, and there is no section secrets.vault"
    ]


def test_a_missing_key_that_an_overlay_removed_is_told_there(spec: Path) -> None:
    (spec.parent / "base.yaml").write_text(HEAD + "queues: {a: {handler: notifications.email}}\n")
    assert complaints(spec, "extends: base.yaml\nqueues:\n  a:\n    handler: null\n") == [
        '6:5 queues.a.handler: this key is missing; for example handler: "images.resize"'
    ]


def test_nothing_is_said_of_missing_keys_while_a_base_cannot_be_read(spec: Path) -> None:
    (spec.parent / "base.yaml").write_text("a: [\n")
    found = complaints(spec, "extends: base.yaml\nqueues: {a: {concurrency: 0}}\nschedules: {s: {queue: a}}\n")
    assert [line.partition(" ")[2] for line in found] == [
        "queues.a.concurrency: must be at least 1, found 0",
        ': this "[" is never closed',
    ]


def test_a_secret_in_a_production_file_is_worth_a_warning(spec: Path) -> None:
    text = "environment: production\nai: {providers: {openai: {kind: openai, api_key: sk-12345}}}\n"
    (warning,) = complaints(spec, text, "warning")
    assert warning.startswith("4:50 ai.providers.openai.api_key: a secret stands in the file")
    assert complaints(spec, text.replace("production", "test"), "warning") == []


def test_secrets_of_the_file_are_masked_in_its_lines(spec: Path) -> None:
    spec.write_text(
        HEAD + "storage: {redis: 'redis://:pw1234@h', pth: x}\n"
        "notifications: {channels: {s: {kind: http, provider: twilio, account: secretive, token: t0ken, "
        "from: 5}}}\n"
    )
    found = check(compose(spec.name), SHAPES)
    assert [d.path for d in found] == ["storage.pth", "notifications.channels.s.from"]
    assert found[0].snippet == "storage: {redis: 'redis://:******@h', pth: x}"
    assert "secretive" not in found[1].snippet
    assert "t0ken" not in found[1].snippet
    assert len(found[1].snippet) == 105


def test_events_are_not_written_into_a_trail_that_is_off(spec: Path) -> None:
    text = """
events:
  streams: {security: {events: {login.failed: {}}}}
  subscriptions: {kept: {stream: security, handler: audit.record}}
observability: {audit: %s}
"""
    assert complaints(spec, text % "false") == [
        "6:53 events.subscriptions.kept.handler: audit.record writes into the audit trail, which observability.audit "
        "turns off"
    ]
    assert complaints(spec, text % "{keep: 400d}") == []
    assert complaints(spec, text % "{keep: 400}")[0].startswith("7:31 observability.audit.keep")
