"""What runs the jobs of a queue, and what a payload must fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.errors import NotBuilt
from runtime.services.document import Document
from runtime.services.jobs.payload import AT, PayloadType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.plugins import Mark, Registry
    from runtime.services.jobs.spec import QueueSpec


class QueueTask:
    """The task of one queue, as its section names it.

    Args:
        queue: the queue's name.
        spec: its section.
        registry: the tasks that exist.

    Raises:
        Fault: the task's payload type or the payload schema cannot be used.
    """

    def __init__(self, queue: str, spec: QueueSpec, registry: Registry) -> None:
        self.handler = spec.handler
        self.schema = spec.payload
        self._queue = queue
        mark = registry.get("task", spec.handler)
        self._accepts = (mark.accepts or PayloadType(mark.function, mark.origin).parse) if mark is not None else None
        self._document = Document(spec.payload, AT) if spec.payload is not None else None
        self._mark = mark

    @property
    def built(self) -> bool:
        return self._mark is not None

    @property
    def mark(self) -> Mark:
        """The function that is run.

        Raises:
            NotBuilt: this version does not have it.
        """
        if self._mark is None:
            raise NotBuilt(f'the handler "{self.handler}" of the queue "{self._queue}"')
        return self._mark

    def parse(self, payload: Mapping[str, Any]) -> Any:
        """What the function gets for a payload.

        Raises:
            Invalid: the payload does not fit.
        """
        if self._document is not None:
            self._document.check(payload, f'the payload of a job of "{self._queue}"')
        return self._accepts(payload) if self._accepts is not None else payload
