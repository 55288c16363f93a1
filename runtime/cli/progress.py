"""A bar on a terminal, a line a step elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

_WIDTH: Final = 30


class Progress:
    """Shows how far a long step has come, on standard error."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._last = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._on_terminal:
            sys.stderr.write("\r\033[K")

    def show(self, step: str, part: float) -> None:
        """Tells a step.

        Args:
            part: of the whole, from 0 to 1.
        """
        if self._on_terminal:
            full = round(part * _WIDTH)
            sys.stderr.write(f"\r[{'█' * full}{'·' * (_WIDTH - full)}] {part:4.0%}  {step}\033[K")
        elif step != self._last:
            sys.stderr.write(f"{step}\n")
        self._last = step
        sys.stderr.flush()
