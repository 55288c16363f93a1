"""From a file to a typed spec: read, merge, check, resolve, fill in, type."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.errors import SpecFault
from runtime.spec.absolute import absolute, folder_of
from runtime.spec.declare import Declared, declare
from runtime.spec.defaults import filled
from runtime.spec.diagnostics import Diagnostic, ordered
from runtime.spec.places import Path as Keys
from runtime.spec.places import diagnose
from runtime.spec.portable import portable
from runtime.spec.redact import redacted
from runtime.spec.resolve import resolve

__all__ = ["Declared", "Loaded", "declare", "load"]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import ValidationError

    from runtime.spec.origins import Use, VaultLookup
    from runtime.spec.overlay import Composition
    from runtime.spec.root import Spec


@dataclass(frozen=True, slots=True)
class Loaded:
    """A spec that is ready to run.

    Args:
        spec: the typed spec; its paths are absolute.
        data: plain data, defaults filled in and references resolved: it holds secrets.
        declared: plain data, defaults filled in, references as they were written; it may be read as one file in the
            root spec's folder.
        shown: the same with the secrets that stand in it masked, for whoever may look.
        plugins: each module of `plugins` with the folder of the file that names it.
        secrets: every secret text in `data`, for redaction.
        root: the folder of the root spec.
        file: the root spec.
        warnings: what deserves a look but stops nothing.
        uses: each reference, with where its value came from.
        files: the files that values come from.
        vault: what read the references into Vault.
        sources: what it was made of.
    """

    spec: Spec = field(repr=False)
    data: dict[str, Any] = field(repr=False)
    declared: dict[str, Any] = field(repr=False)
    shown: dict[str, Any] = field(repr=False)
    plugins: tuple[tuple[str, Path], ...]
    secrets: frozenset[str] = field(repr=False)
    root: Path
    file: Path
    warnings: tuple[Diagnostic, ...] = ()
    uses: tuple[Use, ...] = field(default=(), repr=False)
    files: frozenset[str] = frozenset()
    vault: VaultLookup | None = field(default=None, repr=False)
    sources: _Sources | None = field(default=None, repr=False)

    def again(self) -> Loaded:
        """The same files with their references followed anew; the files themselves are not read again.

        Raises:
            SpecFault: a reference has no value any more, or one that does not fit its field.
        """
        return self.sources.load() if self.sources is not None else self

    def anew(self, text: str | None = None, *, prepare: Callable[[Declared], None] = lambda _: None) -> Loaded:
        """What the same file says now, with the variables and the Vault of this one.

        Args:
            text: what counts as the file's content, in place of what stands there.
            prepare: called with what was read, before any reference is followed; what it raises goes through.

        Raises:
            SpecFault: it is wrong, or a reference cannot be resolved; carries every diagnostic.
        """
        assert self.sources is not None  # noqa: S101 - whatever was loaded has them
        declared = declare(self.file, text=text)
        _stop_at_errors(declared.diagnostics)
        prepare(declared)
        return self.sources._replace(declared=declared).load()

    @property
    def read(self) -> frozenset[str]:
        """The files that it was read from."""
        return self.sources.declared.composition.files if self.sources is not None else frozenset()

    def place(self, *path: str | int) -> str:
        """Where a value stands, `specs/base.yaml:12:3`; empty for a default."""
        place = self.sources.declared.composition.place if self.sources is not None else None
        if place is None or not path or place.child(path[0]) is None:
            return ""
        found = place.at(path)
        span = found.value_span()
        return f"{found.source.name}:{span.line}:{span.column}"


def load(
    path: str | os.PathLike[str],
    environ: Mapping[str, str] = os.environ,
    *,
    given: Mapping[str, str] | None = None,
    vault: VaultLookup | None = None,
    declared: Declared | None = None,
) -> Loaded:
    """Reads a spec with all that it extends and refers to.

    Args:
        path: the file; `-` is standard input.
        environ: the environment variables that references are resolved from.
        given: variables that come before those of the environment.
        vault: reads references out of Vault; without it a spec that has some is refused.
        declared: the file as it has been read already.

    Raises:
        SpecFault: it is wrong, or a reference cannot be resolved; carries every diagnostic.

    Example:
        >>> load("specs/development.yaml").spec.api.port
        8080
    """
    declared = declared or declare(path)
    _stop_at_errors(declared.diagnostics)
    return _Sources(declared, dict(environ), dict(given or {}), vault).load()


class _Sources(NamedTuple):
    """What a spec is made of; its references can be followed again at any time."""

    declared: Declared
    environ: Mapping[str, str]
    given: Mapping[str, str]
    vault: VaultLookup | None

    def load(self) -> Loaded:
        declared, found, composition, shapes = self.declared
        resolution = resolve(composition, shapes, self.environ, given=self.given, vault=self.vault)
        _stop_at_errors(resolution.diagnostics)
        data = absolute(filled(resolution.data, shapes.schema), composition, shapes)
        return Loaded(
            spec=_typed(data, composition, resolution.secrets),
            data=data,
            declared=portable(declared or {}, composition, shapes),
            shown=redacted(declared or {}, shapes),
            plugins=tuple(
                (module, Path(folder_of(("plugins", number), composition)))
                for number, module in enumerate(data["plugins"])
            ),
            secrets=resolution.secrets,
            root=Path(composition.source.folder),
            file=Path(composition.source.file),
            warnings=tuple(warning for warning in found if warning.severity == "warning"),
            uses=resolution.uses,
            files=resolution.files,
            vault=self.vault,
            sources=self,
        )


def _stop_at_errors(diagnostics: list[Diagnostic]) -> None:
    errors = [diagnostic for diagnostic in diagnostics if diagnostic.severity == "error"]
    if errors:
        raise SpecFault(errors)


def _typed(data: dict[str, Any], composition: Composition, secrets: frozenset[str]) -> Spec:
    from pydantic import ValidationError

    from runtime.spec.root import Spec

    try:
        return Spec.model_validate(data)
    except ValidationError as error:
        raise SpecFault(ordered(_untyped(error, data, composition, secrets), composition.source.name)) from None


def _untyped(
    error: ValidationError, data: dict[str, Any], composition: Composition, secrets: frozenset[str]
) -> list[Diagnostic]:
    """What only the models know, with the place where it was written."""
    found: list[Diagnostic] = []
    for wrong in error.errors(include_url=False, include_context=False, include_input=False):
        path = _keys(wrong["loc"], data)
        place = composition.place.at(path) if composition.place else None
        if place is None:
            continue
        message = wrong["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        for secret in secrets:
            message = message.replace(secret, "***")
        found.append(diagnose(place.source, place.value_span(), path, message, secrets=secrets))
    return found


def _keys(location: tuple[str | int, ...], data: Any) -> Keys:
    """The keys of the file in a location of the models, which also names the alternatives of a union."""
    path: list[str | int] = []
    for part in location:
        known = data if isinstance(data, dict) else dict(enumerate(data)) if isinstance(data, list) else {}
        if part in known:
            data = known[part]
            path.append(part)
    return tuple(path)
