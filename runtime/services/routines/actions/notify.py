"""`notify`: people are told something, once for each run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.services.notifications.ports import Audience, Notice
from runtime.services.routines.step import StepFailed
from runtime.services.routines.templates import templated

if TYPE_CHECKING:
    from runtime.services.routines.spec import NotifyStep
    from runtime.services.routines.step import Scope
    from runtime.services.routines.templates import Compile


class Tell:
    """Sends a notification."""

    def __init__(self, spec: NotifyStep, compiled: Compile) -> None:
        self._category = spec.category
        self._to = compiled(spec.to)
        self._data = templated(spec.with_, compiled)

    async def __call__(self, scope: Scope) -> Any:
        to = _audience(self._to(scope.variables))
        told = await scope.job.notify(Notice(self._category, self._data(scope.variables), key=scope.operation), to)
        return {"id": told.id}


def _audience(named: Any) -> Audience:
    """Who is told: users by their ids or accounts (`user:ada`, as `run.started_by` gives them), others by address.

    Raises:
        StepFailed: it is nobody who can be told.
    """
    names = named if isinstance(named, list) else [named]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise StepFailed("`to` gives nobody: a user's id, an e-mail address or a list of them is wanted")
    for name in names:
        if name.startswith(("key:", "queue:")):
            raise StepFailed(f'"{name[:100]}" is no user, and cannot be told')
    users = tuple(name.removeprefix("user:") for name in names if "@" not in name)
    return Audience(users=users, emails=tuple(name for name in names if "@" in name))
