"""The models of the sections: what they make of plain data, and what they refuse."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from runtime.http.spec import ApiSpec
from runtime.services.ai.spec import AiSpec, BudgetSpec, PriceSpec
from runtime.services.auth.spec import AuthSpec, JwtSpec
from runtime.services.events.spec import EventTypeSpec, SubscriptionSpec
from runtime.services.jobs.spec import BUILT_IN_QUEUES, ConcurrencyRange, QueueSpec, ScheduleSpec
from runtime.services.notifications.channels.spec import SmtpChannel, TwilioChannel
from runtime.services.notifications.spec import NotificationsSpec
from runtime.services.routines.spec import RoutineSpec
from runtime.services.sandbox.spec import SandboxSpec
from runtime.services.secrets.spec import AppRoleAuth, SecretsSpec, VaultSpec
from runtime.spec.fields import Retry, Section, live_fields
from runtime.spec.root import Spec
from runtime.spec.units import Money, Rate
from runtime.telemetry.spec import LogsSpec

LEAST = {"version": 1, "name": "shop"}


def _refusal(model: type[Section], data: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        model.model_validate(data)
    return str(raised.value)


def test_the_least_spec_has_every_default() -> None:
    spec = Spec.model_validate(LEAST)
    assert spec.environment == "development"
    assert spec.storage.redis == "embedded"
    assert spec.storage.database == "sqlite"
    assert spec.storage.path == Path(".runtime")
    assert spec.api.port == 8080
    assert spec.api.rate_limit == Rate(600, 60.0)
    assert spec.api.max_body == 1_000_000
    assert spec.secrets.env_file == Path(".env")
    assert spec.observability.logs.level == "info"
    assert spec.observability.audit
    assert (spec.auth, spec.ai, spec.notifications, spec.sandbox, spec.routines) == (None,) * 5


def test_a_queue_has_the_documented_defaults() -> None:
    queue = QueueSpec.model_validate({"handler": "images.resize"})
    assert queue.timeout == 300
    assert queue.lease == 10
    assert queue.retry == Retry(attempts=5, backoff="10s", max="10m", jitter=True)
    assert queue.max_stalled == 3
    assert queue.rate is None
    assert queue.priority == 0
    assert queue.payload is None
    assert queue.drain == 30
    assert queue.long_running is None
    assert queue.result_ttl == 86_400
    assert queue.keep == 5000
    assert queue.dead_letter.ttl == 7 * 86_400


def test_values_become_python_values() -> None:
    queue = QueueSpec.model_validate(
        {"handler": "a", "concurrency": {"max": 10}, "rate": "30/m", "payload": "schemas/a.json"}
    )
    assert queue.concurrency == ConcurrencyRange(max=10)
    assert queue.rate == Rate(30, 60.0)
    assert queue.payload == Path("schemas/a.json")
    assert SandboxSpec().memory == 16_000_000
    assert BudgetSpec.model_validate({"per": "30d", "limit": "5.00 USD"}).limit == Money(Decimal("5.00"), "USD")
    assert PriceSpec.model_validate({"input": 1.25, "output": 10}).input == Decimal("1.25")
    channel = SmtpChannel.model_validate({"kind": "smtp", "host": "h", "from": "a@b.c", "password": "hunter2"})
    assert channel.password == SecretStr("hunter2")
    assert channel.from_ == "a@b.c"


def test_null_means_the_default_and_x_keys_are_free() -> None:
    spec = Spec.model_validate(
        {
            **LEAST,
            "x-team": {"any": ["thing"]},
            "api": {"port": None, "x-why": 1},
            "queues": {"x-note": "ours"},
        }
    )
    assert spec == Spec.model_validate(LEAST)


def test_an_entry_without_content_takes_its_defaults() -> None:
    spec = Spec.model_validate({**LEAST, "events": {"streams": {"billing": {"events": {"payment.received": None}}}}})
    assert spec.events.streams["billing"].events == {"payment.received": EventTypeSpec()}
    assert "handler" in _refusal(Spec, {**LEAST, "queues": {"mine": None}})


# Built-in queues


def test_the_queues_of_a_declared_service_exist_with_their_figures() -> None:
    declared: dict[str, Any] = {"notifications": {}, "sandbox": {}, "routines": {}}
    queues = Spec.model_validate({**LEAST, **declared}).queues
    assert set(queues) == set(BUILT_IN_QUEUES)
    assert queues["push"].concurrency == 10
    assert queues["sms"].rate == Rate(30, 60.0)
    assert queues["run"].concurrency == ConcurrencyRange(min=1, max=1000)
    assert queues["run"].timeout == 7200
    assert queues["run"].priority_by["person"] == -20
    assert queues["sandbox"].retry.attempts == 1


def test_the_queues_of_an_undeclared_service_do_not_exist_until_they_are_named() -> None:
    assert set(Spec.model_validate(LEAST).queues) == {"import", "export"}
    assert set(Spec.model_validate({**LEAST, "queues": {"email": None}}).queues) == {
        "email",
        "import",
        "export",
    }


def test_what_a_spec_says_of_a_built_in_queue_is_laid_over_its_figures() -> None:
    said = {
        "run": {"concurrency": {"max": 20}},
        "sandbox": {"retry": {"backoff": "1s"}},
        "push": {"concurrency": 3},
    }
    queues = Spec.model_validate({**LEAST, "queues": said}).queues
    assert queues["run"].handler == "routines.run"
    assert queues["run"].concurrency == ConcurrencyRange(min=1, max=20)
    assert (queues["sandbox"].retry.attempts, queues["sandbox"].retry.backoff) == (1, 1.0)
    assert (queues["push"].concurrency, queues["push"].timeout) == (3, 30.0)


# Unions and shorthands


def test_a_chain_is_a_list_or_a_mapping() -> None:
    models = ["openai/gpt-5", "echo/echo"]
    short = AiSpec.model_validate({"chains": {"default": models}})
    long = AiSpec.model_validate({"chains": {"default": {"models": models}}})
    assert short == long
    assert short.chains["default"].models == tuple(models)
    assert short.chains["default"].fallback.content_filter is False


def test_alternatives_are_told_apart_by_their_kind() -> None:
    channels = {
        "email": {"kind": "smtp", "host": "embedded", "from": "Core <no-reply@example.com>"},
        "sms": {"kind": "http", "provider": "twilio", "account": "a", "token": "t", "from": "+15550100"},
    }
    spec = NotificationsSpec.model_validate({"channels": channels})
    assert isinstance(spec.channels["email"], SmtpChannel)
    assert isinstance(spec.channels["sms"], TwilioChannel)
    auth = {"method": "approle", "role_id": "r", "secret_id": "s"}
    assert isinstance(VaultSpec.model_validate({"address": "https://vault", "auth": auth}).auth, AppRoleAuth)
    assert "token" in _refusal(VaultSpec, {"address": "https://vault", "auth": {"method": "token"}})
    assert "kind" in _refusal(NotificationsSpec, {"channels": {"fax": {"kind": "fax"}}})


def test_the_steps_of_a_routine_keep_their_order() -> None:
    event = {"uses": "events.publish", "stream": "user", "type": "profile.changed"}
    steps = {"zulu": event, "alpha": event, "mike": {**event, "if": "{{ input.urgent }}", "data": {"a": 1}}}
    routine = RoutineSpec.model_validate({"steps": steps})
    assert list(routine.steps) == ["zulu", "alpha", "mike"]
    assert routine.steps["mike"].if_ == "{{ input.urgent }}"
    assert routine.steps["zulu"].retry.attempts == 1


# Refusals


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"api": {"port": "8080"}}, "api.port"),
        ({"api": {"port": 65_536}}, "api.port"),
        ({"api": {"rate_limit": 600}}, "api.rate_limit"),
        ({"api": {"max_body": 1_000_000}}, "16MB"),
        ({"api": {"hots": "x"}}, "api.hots"),
        ({"observability": {"audit": "yes"}}, "observability.audit"),
        ({"observability": {"logs": {"level": "loud"}}}, "observability.logs.level"),
        ({"storage": {"redis": "localhost"}}, "storage.redis"),
        ({"storage": {"database": "mysql://x"}}, "storage.database"),
        ({"queues": {"mine": {"handler": "a", "timeout": 60}}}, "30s"),
        ({"queues": {"mine": {"handler": "a", "concurrency": 0}}}, "queues.mine.concurrency"),
        ({"queues": {"Mine": {"handler": "a"}}}, "queues.Mine"),
        ({"schedules": {"nightly": {"queue": "export", "cron": "61 3 * * *"}}}, "17 3 * * *"),
        ({"schedules": {"nightly": {"queue": "export", "cron": "@daily"}}}, "17 3 * * *"),
        (
            {"schedules": {"nightly": {"queue": "export", "cron": "0 3 * * *", "timezone": "Mars/Base"}}},
            "Mars/Base",
        ),
        ({"name": "My Shop"}, "name"),
        ({"version": 2}, "version"),
        ({"plugins": ["my-tasks"]}, "plugins.0"),
    ],
)
def test_wrong_values_are_refused_where_they_stand(section: dict[str, Any], said: str) -> None:
    assert said in _refusal(Spec, {**LEAST, **section})


def test_a_refusal_never_shows_what_was_given() -> None:
    for given in (
        {"encryption": {"keys": {"k1": 4711.25}, "active": "k1"}},
        {"vault": {"address": "hunter2://x"}},
    ):
        assert not {"4711", "hunter2"} & set(_refusal(SecretsSpec, given).replace(".", " ").split())
    assert "hunter2" not in repr(JwtSpec.model_validate({"signing_key": "hunter2"}))


def test_a_spec_cannot_be_changed() -> None:
    spec = Spec.model_validate(LEAST)
    with pytest.raises(ValidationError, match="frozen"):
        spec.api.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "cron",
    [
        "* * * * *",
        "17 3 * * *",
        "*/5 0-6,22 1,15 jan-mar MON-FRI",
        "0 0 29 2 7",
        "59 23 31 12 0",
        "05 03 * * *",
    ],
)
def test_cron_expressions_are_read(cron: str) -> None:
    assert ScheduleSpec.model_validate({"queue": "export", "cron": cron}).cron == cron


@pytest.mark.parametrize("start", ["new", "beginning", "1732320000000-0", "2025-01-31T00:00:00Z"])
def test_a_subscription_starts_where_it_is_told(start: str) -> None:
    assert SubscriptionSpec.model_validate({"stream": "s", "handler": "h", "from": start}).from_ == start


# Live fields


@pytest.mark.parametrize(
    ("model", "live"),
    [
        (QueueSpec, {"concurrency", "rate"}),
        (ApiSpec, {"rate_limit", "max_body"}),
        (LogsSpec, {"level"}),
        (SubscriptionSpec, {"concurrency"}),
        (AiSpec, {"chains", "breaker", "safety", "limits", "budgets", "max_cost", "prices"}),
        (AuthSpec, {"signup"}),
        (ScheduleSpec, set()),
    ],
)
def test_live_fields_are_known(model: type[Section], live: set[str]) -> None:
    assert live_fields(model) == live
