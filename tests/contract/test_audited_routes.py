"""Every call that changes something is told of as an act, or is named here as the traffic that it is."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

from litestar import Controller
from litestar.handlers import HTTPRouteHandler

import runtime.services
from runtime.http.access import ADMIN

if TYPE_CHECKING:
    from collections.abc import Iterator

TRAFFIC = frozenset({
    "AiRoutes.chat", "AiRoutes.embeddings", "AiRoutes.moderations",
    "CallbackRoutes.called", "CreditRoutes.callback",
    "InboxRoutes.archive", "InboxRoutes.read", "InboxRoutes.read_all",
    "JobRoutes.cancel", "JobRoutes.pause", "JobRoutes.resume", "JobRoutes.retry",
    "NotificationRoutes.preview", "NotificationRoutes.notify", "PreferenceRoutes.change",
    "PushRoutes.subscribe", "PushRoutes.unsubscribe",
    "QueueRoutes.enqueue", "QueueRoutes.enqueue_all", "RoutineRoutes.start", "SandboxRoutes.execute",
    "SessionRoutes.refresh", "StreamRoutes.publish", "StreamRoutes.publish_batch",
    "TopicRoutes.follow", "TopicRoutes.leave", "UnsubscribeRoutes.unsubscribe",
})  # fmt: skip


def writes() -> Iterator[tuple[str, HTTPRouteHandler, object]]:
    """The name, the handler and the scope of each call that changes something."""
    for module in pkgutil.walk_packages(runtime.services.__path__, "runtime.services."):
        if ".routes" not in module.name:
            continue
        for controller in vars(import_module(module.name)).values():
            if not (isinstance(controller, type) and issubclass(controller, Controller)):
                continue
            for name, handler in vars(controller).items():
                if isinstance(handler, HTTPRouteHandler) and handler.http_methods - {"GET", "HEAD", "OPTIONS"}:
                    opt = {**vars(controller).get("opt", {}), **handler.opt}
                    yield f"{controller.__name__}.{name}", handler, opt.get("scope")


def test_each_change_is_an_act_or_traffic() -> None:
    silent = {name for name, handler, _ in writes() if "audit" not in handler.opt}
    assert silent == TRAFFIC


def test_whatever_operators_change_is_an_act() -> None:
    of_operators = {name: "audit" in handler.opt for name, handler, scope in writes() if scope == ADMIN}
    assert of_operators
    assert all(of_operators.values()), of_operators
