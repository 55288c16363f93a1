"""`events.publish`: an event on a stream, under the same id at each try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.services.routines.templates import templated

if TYPE_CHECKING:
    from runtime.services.routines.spec import PublishStep
    from runtime.services.routines.step import Scope
    from runtime.services.routines.templates import Compile


class Publish:
    """Publishes an event."""

    def __init__(self, spec: PublishStep, compiled: Compile) -> None:
        self._stream = spec.stream
        self._type = spec.type
        self._data = templated(spec.data, compiled)
        self._key = compiled(spec.key) if spec.key is not None else None

    async def __call__(self, scope: Scope) -> Any:
        key = self._key(scope.variables) if self._key is not None else None
        event = await scope.job.events.publish(
            self._stream,
            self._type,
            self._data(scope.variables),
            key=str(key) if key is not None else None,
            id=scope.operation,
        )
        return {"id": event.id}
