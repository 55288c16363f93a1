"""Diagnostics about merged data: a path is turned into the place where its value was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.spec.places import diagnose
from runtime.spec.shapes import is_secret

if TYPE_CHECKING:
    from runtime.spec.diagnostics import Diagnostic, Severity
    from runtime.spec.overlay import Composition
    from runtime.spec.places import Path, Place
    from runtime.spec.shapes import Shapes
    from runtime.spec.validator import Problem

_LEAST_SECRET = 4
"""Shorter texts are not masked: half of every line would turn into stars."""


class Report:
    """Collects diagnostics about the merged data of one composition.

    Args:
        composition: the files and their places.
        secrets: literal secrets that must not be shown.
    """

    def __init__(self, composition: Composition, secrets: frozenset[str] = frozenset()) -> None:
        self._root = composition.place
        self._secrets = secrets
        self.diagnostics: list[Diagnostic] = list(composition.diagnostics)

    def add(
        self,
        path: Path,
        message: str,
        suggestion: str | None = None,
        *,
        on_key: bool = False,
        severity: Severity = "error",
        part: tuple[str, int, int] | None = None,
        away: bool = False,
    ) -> None:
        """Notes one diagnostic.

        Args:
            path: the keys that lead to the value.
            message: what is wrong and what to write.
            suggestion: the bare replacement.
            on_key: whether the key is meant, not its value.
            severity: how bad it is.
            part: of a text value the text, and where the meant part begins and how long it is.
            away: whether only what the value names does not answer.
        """
        if self._root is None:
            return
        place = self._root.at(path)
        if part is not None:
            where = place.inner_span(*part)
        elif on_key or not self._reaches(path):
            where = place.key_span()
        else:
            where = place.value_span()
        self.diagnostics.append(
            diagnose(
                place.source,
                where,
                path,
                message,
                suggestion=suggestion,
                severity=severity,
                secrets=self._secrets,
            )._replace(away=away)
        )

    def problem(self, problem: Problem) -> None:
        self.add(problem.path, problem.message, problem.suggestion, on_key=problem.on_key)

    def _reaches(self, path: Path) -> bool:
        place: Place | None = self._root
        for part in path:
            place = place.child(part) if place is not None else None
        return place is not None


def literal_secrets(data: Any, shapes: Shapes) -> frozenset[str]:
    """The secrets that stand in the file itself rather than behind a reference."""
    found = (mark.value for mark in shapes.marked(data, is_secret) if "${" not in mark.value)
    return frozenset(value for value in found if len(value) >= _LEAST_SECRET)
