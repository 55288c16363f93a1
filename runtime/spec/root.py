"""The whole spec: every section under its key."""
# ruff: noqa: TC001 - pydantic reads the annotations when the module is loaded

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from runtime.http.spec import ApiSpec
from runtime.services.ai.spec import AiSpec
from runtime.services.auth.spec import AuthSpec
from runtime.services.billing.spec import BillingSpec
from runtime.services.events.spec import EventsSpec
from runtime.services.jobs.spec import BUILT_IN_QUEUES, QueueSpec, ScheduleSpec
from runtime.services.notifications.spec import NotificationsSpec
from runtime.services.routines.spec import RoutineSpec
from runtime.services.sandbox.spec import SandboxSpec
from runtime.services.secrets.spec import SecretsSpec
from runtime.spec.defaults import with_built_in
from runtime.spec.fields import BuiltIn, Items, Named, Section, section, setting
from runtime.spec.kinds import ModuleName, Name, Natural, PathField, Positive
from runtime.storage.spec import StorageSpec
from runtime.telemetry.spec import ObservabilitySpec


def _number(version: object) -> object:
    """Python holds `true` for 1, JSON Schema does not."""
    if isinstance(version, bool):
        raise ValueError("is no number")
    return version


class ProcessesSpec(Section):
    """How many processes the environment is split into on this machine."""

    api: Positive = setting(1, "Processes that serve the API.", example=2)
    workers: Natural = setting(0, "Processes that run jobs; with 0 they run in the API's process.", example=4)


class Spec(Section):
    """A whole environment: its services, and how they are run."""

    version: Annotated[Literal[1], BeforeValidator(_number)] = setting(..., "The version of this language.", example=1)
    extends: PathField | Items[PathField] = setting(
        [], "Specs that this one is laid over; of several, later ones win.", example="base.yaml"
    )
    name: Name = setting(
        ...,
        "The name of the environment; it keeps its keys in Redis apart from others.",
        example="core-services",
    )
    environment: Name = setting("development", "What the environment is for.", example="production")
    plugins: Items[ModuleName] = setting(
        [],
        "Python modules with tasks and subscribers: files beside the spec, or installed.",
        example=["tasks"],
    )
    storage: StorageSpec = section("Where the state lives.")
    api: ApiSpec = section("The HTTP interface.")
    processes: ProcessesSpec = section("How many processes the environment is split into on this machine.")
    secrets: SecretsSpec = section("Where secrets come from.")
    auth: AuthSpec | None = setting(
        None,
        "Accounts, sessions and API keys; without it only the operator's key is known.",
        example={"signup": "invite"},
    )
    queues: Annotated[Named[QueueSpec], BuiltIn(BUILT_IN_QUEUES)] = section("Queues of jobs by name.")
    schedules: Named[ScheduleSpec] = section("Jobs that are enqueued at set times, by name.")
    routines: Named[RoutineSpec] | None = setting(
        None,
        "Steps that the `run` queue executes, by name.",
        example={"brief": {"steps": {"tell": {"uses": "events.publish", "stream": "user", "type": "profile.changed"}}}},
    )
    events: EventsSpec = section("The event bus.")
    billing: BillingSpec | None = setting(
        None,
        "Credits of accounts: a ledger, and the payments that buy them.",
        example={"currency": "USD"},
    )
    ai: AiSpec | None = setting(
        None,
        "Models of several providers behind one interface.",
        example={"providers": {"echo": {"kind": "echo"}}},
    )
    notifications: NotificationsSpec | None = setting(
        None, "How people are told of what happens.", example={"channels": {"in_app": {"kind": "in_app"}}}
    )
    sandbox: SandboxSpec | None = setting(None, "Where untrusted code runs.", example={"memory": "32MB"})
    observability: ObservabilitySpec = section("How the environment is watched.")

    @model_validator(mode="before")
    @classmethod
    def _with_built_in_queues(cls, data: Any) -> Any:
        return with_built_in(data, BUILT_IN_QUEUES, cls.model_fields) if isinstance(data, Mapping) else data
