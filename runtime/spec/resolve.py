"""References get their values, and all failures are told at once.

A value replaces the text that it stands in and can never add structure: it ends as a text, or, where it was a whole
value in a field that is no text, as the one number, switch or null that YAML reads in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from runtime.spec.absolute import absolute
from runtime.spec.check import recheck, reference_texts
from runtime.spec.diagnostics import PASSWORD_IN_URL, Diagnostic, ordered
from runtime.spec.origins import Found, NoVault, Unresolved, Use
from runtime.spec.redact import written
from runtime.spec.references import Template, parse
from runtime.spec.report import Report, literal_secrets
from runtime.spec.scalars import scalar
from runtime.spec.validator import Validator
from runtime.spec.values import Values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.spec.origins import VaultLookup
    from runtime.spec.overlay import Composition
    from runtime.spec.places import Path
    from runtime.spec.shapes import Shapes

_PLAIN = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_VAULT: Path = ("secrets", "vault")

TOLD = "Vault could not be asked"
"""The problem of a reference whose cause is told at `secrets.vault`, once for all of them."""


class Resolution(NamedTuple):
    """A spec whose references have been followed.

    Args:
        data: merged plain data without references.
        secrets: every secret text in it, for redaction.
        diagnostics: what could not be resolved, or does not fit its field.
        uses: each reference, with where its value came from.
        files: the files that values came from, or would come from if they were there.
    """

    data: dict[str, Any]
    secrets: frozenset[str]
    diagnostics: list[Diagnostic]
    uses: tuple[Use, ...] = ()
    files: frozenset[str] = frozenset()


def resolve(
    composition: Composition,
    shapes: Shapes,
    environ: Mapping[str, str],
    *,
    given: Mapping[str, str] | None = None,
    vault: VaultLookup | None = None,
    only: Path = (),
) -> Resolution:
    """Follows every reference of a spec that has been checked.

    Args:
        composition: the merged files.
        shapes: the schema, for the type that each field wants.
        environ: the environment variables.
        given: variables of the command line, which come before those of the environment.
        vault: reads references out of Vault; without it they are told as unresolved.
        only: the path of the one value that is wanted; the references of all others stay.

    Example:
        >>> resolve(compose("spec.yaml"), shapes, {"PORT": "9000"}).data["api"]["port"]
        9000
    """
    literal = literal_secrets(composition.data, shapes)
    report = Report(composition, literal)
    resolving = _Resolving(composition, shapes, report, Values(composition, environ, given or {}, report))
    resolving.secrets |= literal
    texts = [found for found in reference_texts(composition.data, shapes) if found[0][: len(only)] == only]
    ours = [found for found in texts if found[0][:2] == _VAULT]
    resolving.expand(ours)
    rest = [found for found in texts if found[0][:2] != _VAULT]
    resolving.ask(vault, rest)
    resolving.expand(rest)
    return resolving.resolution(whole=not only)


class _Resolving:
    """One run over the references of a spec."""

    def __init__(self, composition: Composition, shapes: Shapes, report: Report, values: Values) -> None:
        self.values = values
        self.secrets: set[str] = set()
        self._composition = composition
        self._shapes = shapes
        self._report = report
        self._validator = Validator(shapes, references=False)
        self._data: dict[str, Any] = _copied(composition.data)
        self._uses: list[Use] = []
        self._failed = False

    def expand(self, texts: list[tuple[Path, str]]) -> None:
        """Puts values in the place of references, and notes those that have none."""
        for path, text in texts:
            template = parse(text)
            resolved = self._expanded(path, text, template)
            if resolved is None:
                self._failed = True
                continue
            field = self._shapes.at(path, self._composition.data)
            leaf = self._shapes.text(field) if field is not None else None
            if leaf is not None and leaf.get("x-secret"):
                self.secrets.add(resolved)
            value: Any = resolved
            if template.whole and field is not None and not self._validator.fits(resolved, field):
                value = _converted(resolved)
            _put(self._data, path, value)

    def ask(self, vault: VaultLookup | None, texts: list[tuple[Path, str]]) -> None:
        """Reads at once whatever is wanted of Vault."""
        wanted = list(dict.fromkeys(found for _, text in texts for found in self.values.wanted(parse(text))))
        if not wanted:
            return
        if vault is None:
            unread = Unresolved("secrets of Vault are read by `runtime apply` and `runtime secrets check` alone")
            self.values.vault = dict.fromkeys(wanted, unread)
            return
        self.values.vault = dict.fromkeys(wanted, Unresolved(TOLD))
        if self._failed:
            return  # what it takes to reach Vault is not known
        wrong = recheck(self._composition, self._shapes, self._data, frozenset(self.secrets))
        if found := [each for each in wrong if each.path.startswith("secrets.vault")]:
            self._failed = True
            self._report.diagnostics += found
            return
        data = {"secrets": {"vault": _copied(self._data["secrets"]["vault"])}}
        section = absolute(data, self._composition, self._shapes)["secrets"]["vault"]
        try:
            self.values.vault = vault(section, wanted)
        except NoVault as error:
            names = ", ".join(dict.fromkeys(f"{each.name}#{each.field}" for each in wanted[:3]))
            more = f" and {len(wanted) - 3} more" if len(wanted) > 3 else ""
            self._report.add((*_VAULT, error.key), f"{error.reason} (needed for {names}{more})", away=error.away)

    def resolution(self, *, whole: bool) -> Resolution:
        composition, report = self._composition, self._report
        secrets = self.secrets | self.values.secrets
        secrets |= {match[2] for text in _all_texts(self._data) if (match := PASSWORD_IN_URL.search(text))}
        known = frozenset(secret for secret in secrets if secret)
        found = [_discreet(each, known) for each in report.diagnostics]
        if whole and not self._failed and not any(each.severity == "error" for each in found):
            found += [_discreet(each, known) for each in recheck(composition, self._shapes, self._data, known)]
        diagnostics = ordered(found, composition.source.name)
        uses = tuple(sorted(self._uses, key=_in_order))
        return Resolution(self._data, known, diagnostics, uses, frozenset(self.values.files))

    def _expanded(self, path: Path, text: str, template: Template) -> str | None:
        """The text with its references replaced; None where one has no value, which has been noted."""
        place = self._composition.place.at(path) if self._composition.place else None
        folder = place.source.folder if place else ""
        pieces: list[str] = []
        complete = True
        for number, piece in enumerate(template.parts):
            if isinstance(piece, str):
                pieces.append(piece)
                continue
            found, problem = self._found(piece, folder)
            span = place.inner_span(text, piece.offset, piece.length) if place else None
            where = f"{place.source.name}:{span.line}:{span.column}" if place and span else ""
            origin = found.origin if found else None
            self._uses.append(Use(path, where, written(piece), self.values.followed(piece), origin, problem))
            if found is not None:
                pieces.append(credential(found.text) if _is_credential(template, number) else found.text)
                continue
            complete = False
            if problem != TOLD:
                self._report.add(path, problem, part=(text, piece.offset, piece.length))
        return "".join(pieces) if complete else None

    def _found(self, piece: Any, folder: str) -> tuple[Found | None, str]:
        try:
            return self.values.of(piece, folder), ""
        except Unresolved as error:
            return None, error.reason


def credential(text: str) -> str:
    """A user or a password as it stands in an address, in front of the `@`.

    One with characters that cannot stand there cannot have been encoded before, so it is now (RFC 3986, section 3.2.1).

    Example:
        >>> credential("p@ss/word"), credential("p%40ss")
        ('p%40ss%2Fword', 'p%40ss')
    """
    return text if _PLAIN.fullmatch(text) else quote(text, safe="")


def _is_credential(template: Template, number: int) -> bool:
    """Whether a reference stands between `://` and `@` of an address."""
    before = "".join(part if isinstance(part, str) else "" for part in template.parts[:number])
    after = "".join(part if isinstance(part, str) else "" for part in template.parts[number + 1 :])
    _, mark, user = before.partition("://")
    return bool(mark) and "/" not in user and "@" not in user and "@" in after.partition("/")[0]


def _in_order(use: Use) -> tuple[str, int, int]:
    file, line, column = use.place.rsplit(":", 2) if use.place else ("", "0", "0")
    return file, int(line), int(column)


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
