"""The four specs: they are sound, have the reference system's figures, and all that they name is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from runtime.plugins import Registry
from runtime.services.jobs.spec import BUILT_IN_QUEUES, ConcurrencyRange
from runtime.services.notifications.channels.spec import EmbeddedSmsChannel, SmtpChannel
from runtime.spec.defaults import filled
from runtime.spec.load import load
from runtime.spec.overlay import compose
from runtime.spec.root import Spec
from runtime.spec.units import Rate

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "specs"
NAMES = ("base", "development", "test", "production")
SCHEMA = json.loads((ROOT / "schemas" / "spec.v1.json").read_text())
OVERLAY = json.loads((ROOT / "schemas" / "overlay.v1.json").read_text())
FILES_OF_A_TEMPLATE = {"subject.txt", "title.txt", "body.html", "body.txt", "push.json"}
CATEGORIES = {
    "account-credits", "account-security", "award", "issue-status", "message", "object-activity",
    "project-object", "promotion", "pull-request-status", "report-status", "run-complete", "schedule",
    "streak", "system-alert", "team-object", "transfer", "user-invite",
}  # fmt: skip


def _merged(name: str) -> dict[str, Any]:
    composition = compose(str(SPECS / f"{name}.yaml"))
    assert not composition.diagnostics
    return composition.data


def _spec(name: str) -> Spec:
    return load(SPECS / f"{name}.yaml", environ={}).spec


@pytest.mark.parametrize("name", NAMES)
def test_each_spec_fits_the_schema(name: str) -> None:
    merged = _merged(name)
    Draft202012Validator(SCHEMA).validate(merged)
    Draft202012Validator(SCHEMA).validate(filled(merged, SCHEMA))


@pytest.mark.parametrize("name", NAMES)
def test_each_file_fits_the_schema_that_it_names(name: str) -> None:
    text = (SPECS / f"{name}.yaml").read_text()
    assert text.startswith(
        f"# yaml-language-server: $schema=../schemas/{'spec' if name == 'base' else 'overlay'}.v1.json\n"
    )
    Draft202012Validator(SCHEMA if name == "base" else OVERLAY).validate(yaml.safe_load(text))


def test_development_and_test_need_nothing_from_the_environment() -> None:
    assert _spec("development").environment == "development"
    assert _spec("test").environment == "test"


def test_the_figures_of_the_reference_system() -> None:
    spec = _spec("development")
    figures = {name: (queue.concurrency, queue.timeout) for name, queue in spec.queues.items() if name != "demo"}
    assert figures == {
        "email": (5, 60),
        "push": (10, 30),
        "sms": (3, 30),
        "notification": (5, 30),
        "swarm": (ConcurrencyRange(min=1, max=10), 600),
        "run": (ConcurrencyRange(min=1, max=1000), 7200),
        "sandbox": (5, 5),
        "import": (2, 3600),
        "export": (2, 3600),
    }
    assert spec.queues["sms"].rate == Rate(30, 60.0)
    assert {name: set(stream.events) for name, stream in spec.events.streams.items()} == {
        "billing": {"credits.used", "credits.overdrawn", "payment.received"},
        "security": {"login.failed", "session.revoked"},
        "system": {"secret.rotated", "service.health", "workers.scaled"},
        "user": {
            "profile.changed",
            "preferences.changed",
            *(f"notification.{status}" for status in ("failed", "bounced", "complained")),
        },
    }
    assert spec.auth is not None
    assert (spec.auth.jwt.access_ttl, spec.auth.jwt.refresh_ttl) == (900, 365 * 86_400)
    assert spec.sandbox is not None
    assert (spec.sandbox.memory, spec.sandbox.timeout, spec.sandbox.code) == (16_000_000, 0.5, 8192)
    assert spec.notifications is not None
    assert set(spec.notifications.categories) == CATEGORIES


def test_the_built_in_queues_are_written_out_as_they_are() -> None:
    queues = _merged("base")["queues"]
    assert queues == BUILT_IN_QUEUES


def test_development_catches_its_mails_and_echoes_its_questions() -> None:
    spec = _spec("development")
    assert spec.notifications is not None
    assert spec.ai is not None
    email = spec.notifications.channels["email"]
    assert isinstance(email, SmtpChannel)
    assert email.host == "embedded"
    assert isinstance(spec.notifications.channels["sms"], EmbeddedSmsChannel)
    assert list(spec.ai.providers) == ["echo"]
    assert (spec.secrets.vault, spec.secrets.encryption) == (None, None)


def test_the_plugin_of_development_holds_what_it_declares() -> None:
    spec = _spec("development")
    registry = Registry.load([(module, SPECS) for module in spec.plugins])
    assert registry.get("task", spec.queues["demo"].handler)
    assert registry.get("subscriber", spec.events.subscriptions["demo-log"].handler)


def test_the_test_environment_has_a_state_folder_and_a_port_of_its_own() -> None:
    spec = _spec("test")
    assert spec.storage.path == SPECS / ".runtime-test"
    assert spec.api.port == 0
    assert load(SPECS / "test.yaml", environ={"PORT": "8099"}).spec.api.port == 8099


def test_production_is_closed_split_and_confined() -> None:
    data = _in_place_of_references(filled(_merged("production"), SCHEMA))
    spec = Spec.model_validate(data)
    assert spec.auth is not None
    assert spec.auth.signup == "closed"
    assert (spec.processes.api, spec.processes.workers) == (2, 4)
    assert spec.observability.logs.format == "json"
    assert spec.storage.redis.startswith("rediss://")
    assert spec.storage.database.startswith("postgresql://")
    assert spec.sandbox is not None
    assert spec.sandbox.require_confinement


def _in_place_of_references(value: Any) -> Any:
    """The spec with its references given, as Vault and the environment would."""
    values = {
        "PORT": 8080,
        "LOG_LEVEL": "info",
        "TRACING": "none",
        "MAIL_FROM": "Core <no-reply@example.com>",
    }
    if isinstance(value, dict):
        return {key: _in_place_of_references(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_place_of_references(item) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    for name, given in values.items():
        if value.startswith(f"${{{name}:-"):
            return given
    before, _, rest = value.partition("${")
    given = "https://example.com" if rest.startswith(("VAULT_ADDR", "PUBLIC_URL")) else "given"
    return _in_place_of_references(before + given + rest.partition("}")[2])


def test_production_holds_no_secret() -> None:
    shown = json.dumps(filled(_merged("production"), SCHEMA))
    for word in ("password", "token", "api_key", "dsn", "account"):
        assert f'"{word}": "${{' in shown or f'"{word}": null' in shown or f'"{word}"' not in shown


@pytest.mark.parametrize("name", NAMES)
def test_all_files_that_a_spec_names_are_there(name: str) -> None:
    files = list(_paths(_merged(name)))
    assert files
    for file in files:
        assert (SPECS / file).exists(), file


def _paths(data: Any) -> Iterator[str]:
    for key, value in data.items() if isinstance(data, dict) else ():
        if key in ("template", "schema", "code_file"):
            yield value
        yield from _paths(value)


def test_every_template_has_a_text_for_each_channel() -> None:
    folders = {
        folder.name: {file.name for file in folder.iterdir()}
        for folder in (SPECS / "templates").iterdir()
        if folder.is_dir()
    }
    assert folders
    for name, files in folders.items():
        assert files >= FILES_OF_A_TEMPLATE, name
    used = {Path(template).name for template in _paths(_merged("base")["notifications"])}
    assert set(folders) == {*used, "_digest"}
    assert (SPECS / "templates" / "_layout.html").is_file()


def test_the_schema_of_an_event_takes_what_it_describes_and_nothing_else() -> None:
    schema = json.loads((ROOT / "schemas" / "events" / "credits-used.json").read_text())
    Draft202012Validator.check_schema(schema)
    fits = Draft202012Validator(schema)
    event = {"account": "a1", "amount": "0.0125", "currency": "USD", "reason": "ai.chat"}
    assert fits.is_valid(event)
    for wrong in (
        {**event, "amount": 0.0125},
        {**event, "amount": "-1"},
        {**event, "more": 1},
        {"account": "a1"},
    ):
        assert not fits.is_valid(wrong)


# Defaults filled in from the schema are those of the models


@pytest.mark.parametrize("name", ["development", "test"])
def test_filling_in_defaults_changes_nothing_for_the_models(name: str) -> None:
    loaded = load(SPECS / f"{name}.yaml", environ={})
    sparse = dict(_merged(name), api={})
    whole = filled(sparse, SCHEMA)
    assert Spec.model_validate(whole) == Spec.model_validate(sparse)
    assert filled(whole, SCHEMA) == whole
    assert list(loaded.data) == list(SCHEMA["properties"])


def test_filling_in_defaults_survives_what_does_not_fit() -> None:
    provider = {"ai": {"providers": {"x": {"kind": "?"}}}}
    wrongs: list[dict[str, Any]] = [{"queues": 5}, {"queues": {"email": 5}}, {"api": []}, provider]
    for wrong in wrongs:
        made = filled({"version": 1, "name": "shop", **wrong}, SCHEMA)
        assert made["storage"]["redis"] == "embedded"
        with pytest.raises(ValidationError):
            Spec.model_validate(made)
