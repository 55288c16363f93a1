"""References get their values: from the environment, the `.env` file, or a mounted file. All failures are told at once.

A value replaces the text that it stands in and can never add structure: it ends as a text, or, where it was a whole
value in a field that is no text, as the one number, switch or null that YAML reads in it.
"""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.spec import files
from runtime.spec.check import recheck, reference_texts
from runtime.spec.diagnostics import PASSWORD_IN_URL, Diagnostic, ordered, printable
from runtime.spec.places import Path, Source, Span, diagnose
from runtime.spec.references import Reference, Template, parse
from runtime.spec.report import Report, literal_secrets
from runtime.spec.scalars import scalar
from runtime.spec.validator import Validator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.spec.overlay import Composition
    from runtime.spec.shapes import Shapes

MAX_SECRET_BYTES = 64 * 1024
MAX_ENV_FILE_BYTES = 1024 * 1024
_DEFAULT_ENV_FILE = ".env"


class Resolution(NamedTuple):
    """A spec whose references have been followed.

    Args:
        data: merged plain data without references.
        secrets: every secret text in it, for redaction.
        diagnostics: what could not be resolved, or does not fit its field.
    """

    data: dict[str, Any]
    secrets: frozenset[str]
    diagnostics: list[Diagnostic]


class _Failed(Exception):  # noqa: N818 - carries the reason to where the position is known
    """A reference has no value; the message says why."""


def resolve(composition: Composition, shapes: Shapes, environ: Mapping[str, str]) -> Resolution:
    """Follows every reference of a spec that has been checked.

    Args:
        composition: the merged files.
        shapes: the schema, for the type that each field wants.
        environ: the environment variables.

    Example:
        >>> resolve(compose("spec.yaml"), shapes, {"PORT": "9000"}).data["api"]["port"]
        9000
    """
    secrets = set(literal_secrets(composition.data, shapes))
    report = Report(composition, frozenset(secrets))
    values = _Values(composition, environ, report, secrets)
    validator = Validator(shapes, references=False)
    data: dict[str, Any] = _copied(composition.data)
    failed = False
    for path, text in reference_texts(composition.data, shapes):
        template = parse(text)
        folder = composition.place.at(path).source.folder if composition.place else ""
        resolved = _expanded(path, text, template, values, report, folder)
        if resolved is None:
            failed = True
            continue
        field = shapes.at(path, composition.data)
        if field is not None:
            leaf = shapes.text(field)
            if leaf is not None and leaf.get("x-secret"):
                secrets.add(resolved)
        value: Any = resolved
        if template.whole and field is not None and not validator.fits(resolved, field):
            value = _converted(resolved)
        _put(data, path, value)
    secrets |= {match[2] for text in _all_texts(data) if (match := PASSWORD_IN_URL.search(text))}
    known = frozenset(secret for secret in secrets if secret)
    if failed or any(found.severity == "error" for found in report.diagnostics):
        return Resolution(data, known, ordered(report.diagnostics, composition.source.name))
    rechecked = [_discreet(found, known) for found in recheck(composition, shapes, data, known)]
    return Resolution(data, known, ordered([*report.diagnostics, *rechecked], composition.source.name))


def _expanded(path: Path, text: str, template: Template, values: _Values, report: Report, folder: str) -> str | None:
    """The text with its references replaced; None where one has no value, which has been noted."""
    pieces: list[str] = []
    complete = True
    for piece in template.parts:
        if isinstance(piece, str):
            pieces.append(piece)
            continue
        try:
            pieces.append(values.of(piece, folder))
        except _Failed as error:
            report.add(path, str(error), part=(text, piece.offset, piece.length))
            complete = False
    return "".join(pieces) if complete else None


class _Values:
    """Where values come from, in their order."""

    def __init__(self, composition: Composition, environ: Mapping[str, str], report: Report, secrets: set[str]) -> None:
        self._environ = environ
        self._secrets = secrets
        self._file_values: dict[str, str] = {}
        self._env_file = ""
        self._read_env_file(composition, report)

    def of(self, reference: Reference, folder: str) -> str:
        """The value of one reference.

        Args:
            reference: what is asked for.
            folder: where relative file names start.

        Raises:
            _Failed: it has none.
        """
        if reference.kind == "vault":
            raise _Failed("vault references are not built in this version; see CHANGELOG.md for what is")
        if reference.kind == "file":
            return self._from_file(os.path.join(folder, reference.name), reference.name)
        value = self._variable(reference.name)
        if not value and reference.default is not None:
            return "".join(p if isinstance(p, str) else self.of(p, folder) for p in reference.default.parts)
        if not value and reference.message is not None:
            reason = printable(reference.message, 200)
            raise _Failed(f"{reference.name} is not set{': ' if reason else ''}{reason}")
        if value is None:
            also = f", in {self._env_file}" if self._env_file else ""
            raise _Failed(
                f"{reference.name} is not set; set it in the environment{also}, "
                f"or let {reference.name}_FILE name a file that holds it"
            )
        return value

    def _variable(self, name: str) -> str | None:
        for source in (self._environ, self._file_values):
            if name in source:
                return source[name]
        file = self._environ.get(f"{name}_FILE") or self._file_values.get(f"{name}_FILE")
        return self._from_file(file, f"{name}_FILE={file}") if file else None

    def _from_file(self, file: str, shown: str) -> str:
        try:
            value = files.read_text(file, MAX_SECRET_BYTES).rstrip("\r\n")
        except files.Unreadable as error:
            raise _Failed(f"cannot read {printable(shown)}: {error.reason}") from None
        if value:
            self._secrets.add(value)
        return value

    def _read_env_file(self, composition: Composition, report: Report) -> None:
        section = composition.data.get("secrets")
        written = section.get("env_file") if isinstance(section, dict) else None
        folder, path = composition.source.folder, ("secrets", "env_file")
        name = _DEFAULT_ENV_FILE
        if isinstance(written, str) and composition.place is not None:
            folder = composition.place.at(path).source.folder
            try:
                pieces = parse(written).parts
                name = "".join(p if isinstance(p, str) else self.of(p, folder) for p in pieces)
            except _Failed:
                return  # told with the other references
        file = os.path.join(folder, name)
        try:
            text = files.read_text(file, MAX_ENV_FILE_BYTES)
        except files.Unreadable as error:
            if not error.missing:
                report.add(path, f"cannot read {printable(name)}: {error.reason}")
            return
        self._env_file = name
        self._parse_env_file(Source(os.path.relpath(file), file, text), report)

    def _parse_env_file(self, source: Source, report: Report) -> None:
        import io

        from dotenv.parser import parse_stream  # the rules that users of `.env` files know, with line numbers

        for binding in parse_stream(io.StringIO(source.text)):
            if binding.error:
                where = Span(binding.original.line, 1, 1)
                # The line may hold a secret, so it is not shown.
                wrong = diagnose(source, where, (), "this line is no NAME=value")
                report.diagnostics.append(wrong._replace(snippet=""))
            elif binding.key is not None and binding.value is not None:
                self._file_values[binding.key] = binding.value


def _converted(text: str) -> Any:
    try:
        return scalar(text)
    except ValueError:
        return text


def _copied(value: Any) -> Any:
    """A copy in which nothing is shared, so that two aliases of one value may become two values."""
    if isinstance(value, dict):
        return {key: _copied(below) for key, below in value.items()}
    return [_copied(below) for below in value] if isinstance(value, list) else value


def _put(data: Any, path: Path, value: Any) -> None:
    for part in path[:-1]:
        data = data[part]
    data[path[-1]] = value


def _all_texts(data: Any) -> list[str]:
    found: list[str] = []
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
    return found


def _discreet(found: Diagnostic, secrets: frozenset[str]) -> Diagnostic:
    """A diagnostic whose words hold no secret."""
    message, suggestion = found.message, found.suggestion
    for secret in sorted(secrets, key=len, reverse=True):
        message = message.replace(secret, "***")
        suggestion = None if suggestion is not None and secret in suggestion else suggestion
    return found._replace(message=message, suggestion=suggestion)
