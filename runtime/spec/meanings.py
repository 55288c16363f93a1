"""Texts with a meaning that a pattern cannot hold: cron expressions, time zones, files beside the spec, secrets."""

from __future__ import annotations

import json
import os.path
import re
from typing import TYPE_CHECKING

from runtime.spec import cron, files
from runtime.spec.diagnostics import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.spec.shapes import Marked
    from runtime.spec.view import View

KINDS = ("cron", "timezone", "path", "secret")
"""Values of `x-kind` that are looked into."""

MAX_SCHEMA_BYTES = 1024 * 1024


class Meanings:
    """Looks into texts."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._checks: dict[str, Callable[[Marked], None]] = {
            "cron": self._cron,
            "timezone": self._timezone,
            "path": self._path,
            "secret": self._secret,
        }

    def check(self, mark: Marked) -> None:
        """One text whose field has one of the `KINDS`."""
        self._checks[mark.leaf["x-kind"]](mark)

    def _cron(self, mark: Marked) -> None:
        if re.search(mark.leaf.get("pattern", ""), mark.value):
            wrong = cron.fault(mark.value)
            if wrong:
                self._view.report.add(mark.path, wrong)

    def _timezone(self, mark: Marked) -> None:
        if mark.value == "UTC" or not mark.value:
            return
        import zoneinfo

        try:
            zoneinfo.ZoneInfo(mark.value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            zones = zoneinfo.available_timezones()
            if not zones:
                self._view.report.add(mark.path, "this machine knows no time zones; install tzdata", severity="warning")
                return
            near = self._view.speller.nearest(mark.value, sorted(zones))
            hint = f", did you mean {quoted(near)}?" if near else '; write a name such as "Europe/Vienna"'
            self._view.report.add(mark.path, f"there is no time zone {quoted(mark.value)}{hint}", near)

    def _path(self, mark: Marked) -> None:
        """Files that belong to the spec must be there; those of the machine that it will run on need not."""
        wanted = _FILES.get(str(mark.path[-1]))
        if wanted is None or self._view.composition.place is None or not mark.value:
            return
        folder = self._view.folder(mark.path)
        file = os.path.join(folder, mark.value)
        reason = wanted(file)
        if reason is not None:
            near = files.nearest(file.rstrip("/")) if reason.startswith("there is no") else None
            better = os.path.join(os.path.dirname(mark.value.rstrip("/")), near) if near else None
            hint = f", did you mean {quoted(better)}?" if better else ""
            self._view.report.add(mark.path, f"{reason}: {quoted(mark.value)}{hint}", better)

    def _secret(self, mark: Marked) -> None:
        if self._view.data.get("environment") == "production":
            message = "a secret stands in the file; write a reference, such as ${NAME} or ${file:/run/secrets/name}"
            self._view.report.add(mark.path, message, severity="warning")


def _folder_fault(file: str) -> str | None:
    if _is(os.path.isdir, file):
        return None
    return "this is a file, not a folder" if _is(os.path.exists, file) else "there is no folder of this name"


def _file_fault(file: str) -> str | None:
    if _is(os.path.isfile, file):
        return None
    return "this is no regular file" if _is(os.path.exists, file) else "there is no file of this name"


def _json_fault(file: str) -> str | None:
    try:
        content = json.loads(files.read_text(file, MAX_SCHEMA_BYTES))
    except files.Unreadable as error:
        return "there is no file of this name" if error.missing else error.reason
    except json.JSONDecodeError as error:
        return f"the file is no JSON ({error.msg} at line {error.lineno}, column {error.colno})"
    except (ValueError, RecursionError):
        return "the file is no JSON"
    return None if isinstance(content, dict | bool) else "the file is JSON, but no JSON Schema"


def _is(test: Callable[[str], bool], file: str) -> bool:
    try:
        return test(file)
    except ValueError:
        return False


_FILES: dict[str, Callable[[str], str | None]] = {
    "template": _folder_fault,
    "code_file": _file_fault,
    "payload": _json_fault,
    "schema": _json_fault,
}
