"""Values of references: the command line, the environment, mounted files, Vault, the `.env` file, in this order."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING

from runtime.spec import files
from runtime.spec.diagnostics import printable
from runtime.spec.origins import Found, Origin, Unresolved
from runtime.spec.places import Source, Span, diagnose
from runtime.spec.references import Reference, Template, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runtime.spec.overlay import Composition
    from runtime.spec.report import Report

MAX_SECRET_BYTES = 64 * 1024
MAX_ENV_FILE_BYTES = 1024 * 1024
_DEFAULT_ENV_FILE = ".env"
_OPEN = re.compile(r"(?:^|_)(?:user|username|host|hostname|port|database|dbname|address|region)$")


class Values:
    """Looks the values of references up.

    Args:
        composition: the merged files, which name the `.env` file.
        environ: the environment variables.
        given: variables of the command line, which come before all others.
        report: gets what is wrong with the `.env` file.
    """

    def __init__(
        self, composition: Composition, environ: Mapping[str, str], given: Mapping[str, str], report: Report
    ) -> None:
        self._environ = environ
        self._given = given
        self._file_values: dict[str, str] = {}
        self._env_file = ""
        self._env_path = ""
        self.vault: Mapping[Reference, Found | Unresolved] = {}
        """What Vault answered."""
        self.secrets: set[str] = set()
        """Every text that came out of a mounted file or out of Vault."""
        self.files: set[str] = set()
        """Every file that was asked for, whether it exists or not."""
        self._read_env_file(composition, report)

    def of(self, reference: Reference, folder: str) -> Found:
        """The value of one reference.

        Args:
            reference: what is asked for.
            folder: where relative file names start.

        Raises:
            Unresolved: it has none.
        """
        if reference.kind == "vault":
            return self._from_vault(reference)
        if reference.kind == "file":
            return self._from_file(os.path.join(folder, reference.name), reference.name)
        found = self._variable(reference.name)
        if found is not None and found.text:
            return found
        if reference.default is not None:
            pieces = (p if isinstance(p, str) else self.of(p, folder).text for p in reference.default.parts)
            return Found("".join(pieces), self._default_origin(reference.default, folder))
        if reference.message is not None:
            reason = printable(reference.message, 200)
            raise Unresolved(f"{reference.name} is not set{': ' if reason else ''}{reason}")
        if found is None:
            also = f", in {self._env_file}" if self._env_file else ""
            raise Unresolved(
                f"{reference.name} is not set; set it in the environment{also}, "
                f"or let {reference.name}_FILE name a file that holds it"
            )
        return found

    def wanted(self, template: Template) -> Iterator[Reference]:
        """The references into Vault that a text needs: those in a default only where the variable is unset."""
        for reference in template.references:
            if reference.kind == "vault":
                yield reference
            elif reference.default is not None and not self._is_set(reference.name):
                yield from self.wanted(reference.default)

    def followed(self, reference: Reference) -> Reference:
        """The reference that gives the value: of `${A:-${B}}`, where A is unset, the inner one."""
        default = reference.default
        if default is None or not (default.whole and default.references) or self._is_set(reference.name):
            return reference
        return self.followed(default.references[0])

    def _is_set(self, name: str) -> bool:
        try:
            found = self._variable(name)
        except Unresolved:
            return True  # it names a file that cannot be read, which is told later
        return found is not None and bool(found.text)

    def _default_origin(self, default: Template, folder: str) -> Origin:
        inner = default.references
        return self.of(inner[0], folder).origin if default.whole and inner else Origin("default", "")

    def _variable(self, name: str) -> Found | None:
        if name in self._given:
            return Found(self._given[name], Origin("command line", name))
        if name in self._environ:
            return Found(self._environ[name], Origin("environment", name))
        if file := self._environ.get(f"{name}_FILE"):
            return self._from_file(file, f"{name}_FILE={file}")
        if name in self._file_values:
            return Found(self._file_values[name], Origin("env file", self._env_file, since=_written(self._env_path)))
        if file := self._file_values.get(f"{name}_FILE"):
            return self._from_file(file, f"{name}_FILE={file}")
        return None

    def _from_vault(self, reference: Reference) -> Found:
        answer = self.vault.get(reference)
        if answer is None:
            raise Unresolved("Vault was not asked for this")
        if isinstance(answer, Unresolved):
            raise answer
        if not tells_no_secret(reference.field):
            self.secrets.add(answer.text)
        return answer

    def _from_file(self, file: str, shown: str) -> Found:
        self.files.add(os.path.abspath(file))
        try:
            value = files.read_text(file, MAX_SECRET_BYTES).rstrip("\r\n")
        except files.Unreadable as error:
            raise Unresolved(f"cannot read {printable(shown)}: {error.reason}") from None
        if value:
            self.secrets.add(value)
        return Found(value, Origin("file", printable(file, 200), since=_written(file)))

    def _read_env_file(self, composition: Composition, report: Report) -> None:
        section = composition.data.get("secrets")
        written = section.get("env_file") if isinstance(section, dict) else None
        folder, path = composition.source.folder, ("secrets", "env_file")
        name = _DEFAULT_ENV_FILE
        if isinstance(written, str) and composition.place is not None:
            folder = composition.place.at(path).source.folder
            try:
                pieces = parse(written).parts
                name = "".join(p if isinstance(p, str) else self.of(p, folder).text for p in pieces)
            except Unresolved:
                return  # told with the other references
        file = os.path.join(folder, name)
        self.files.add(os.path.abspath(file))
        try:
            text = files.read_text(file, MAX_ENV_FILE_BYTES)
        except files.Unreadable as error:
            if not error.missing:
                report.add(path, f"cannot read {printable(name)}: {error.reason}")
            return
        self._env_file, self._env_path = name, file
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


def tells_no_secret(field: str) -> bool:
    """Whether a field of a secret names something that everybody may know, and that would be masked all over the logs.

    Example:
        >>> tells_no_secret("smtp_username"), tells_no_secret("password")
        (True, False)
    """
    return _OPEN.search(field.lower()) is not None


def _written(file: str) -> float | None:
    """When a file was last written."""
    try:
        return os.stat(file).st_mtime
    except OSError:
        return None
