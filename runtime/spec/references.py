"""References in text: `${NAME}`, `${NAME:-default}`, `${NAME:?message}`, `${file:…}`, `${vault:…}`, and `$$` for a
dollar sign.

They are found and parsed here; `runtime.spec.resolve` gives them their values. A dollar sign before anything else is
itself.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from runtime.spec.diagnostics import quoted

Kind = Literal["environment", "file", "vault"]

MAX_DEPTH = 8
"""How deep defaults may hold references of their own."""

_DOLLAR = re.compile(r"\$")
_DOLLAR_OR_BRACE = re.compile(r"[$}]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VAULT = re.compile(r"(?P<path>[^#?]+)#(?P<field>[^#?]+)(?:\?version=(?P<version>[1-9][0-9]*))?")


class Reference(NamedTuple):
    """One reference.

    Args:
        kind: where the value comes from.
        name: the variable, the file's path or Vault's path.
        offset: where it begins in the text.
        length: how many characters it has there.
        default: what stands in when the variable is unset or empty.
        message: why the variable is needed, for the error when it is unset or empty; None where it may be empty.
        field: the field of a Vault secret.
        version: the version of a Vault secret; None is the newest.
    """

    kind: Kind
    name: str
    offset: int
    length: int
    default: Template | None = None
    message: str | None = None
    field: str = ""
    version: int | None = None


class Malformed(NamedTuple):
    """A reference that is none.

    Args:
        offset: where it begins in the text.
        length: how many characters are meant.
        message: what is wrong and what to write.
        suggestion: the corrected text, where there is one.
    """

    offset: int
    length: int
    message: str
    suggestion: str | None = None


class Template(NamedTuple):
    """A text taken apart: literal pieces (with `$$` already made `$`) and references, and what is wrong with it."""

    parts: tuple[str | Reference, ...]
    malformed: tuple[Malformed, ...] = ()

    @property
    def references(self) -> tuple[Reference, ...]:
        return tuple(part for part in self.parts if isinstance(part, Reference))

    @property
    def whole(self) -> bool:
        """Whether the text is one reference and nothing else."""
        return len(self.parts) == 1 and isinstance(self.parts[0], Reference)


def parse(text: str) -> Template:
    """Takes a text apart.

    Example:
        >>> parse("http://${HOST:-localhost}/").references[0].name
        'HOST'
        >>> parse("5 $$").parts
        ('5 $',)
    """
    parser = _Parser(text)
    parts, _ = parser.parts(0, nested=False)
    return Template(tuple(parts), tuple(parser.malformed))


def escaped(text: str) -> str:
    """A text that `parse` reads as the literal given.

    Example:
        >>> escaped("${HOME}")
        '$${HOME}'
    """
    return text.replace("$", "$$")


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.malformed: list[Malformed] = []
        self.depth = 0

    def parts(self, position: int, *, nested: bool) -> tuple[list[str | Reference], int]:
        """The pieces from a position on, up to the end or, inside a default, the brace that closes it."""
        text, literal = self.text, ""
        pieces: list[str | Reference] = []
        special = _DOLLAR_OR_BRACE if nested else _DOLLAR
        while position < len(text):
            if nested and text[position] == "}":
                break
            if text.startswith("$$", position):
                literal += "$"
                position += 2
            elif text.startswith("${", position):
                reference, end = self._reference(position)
                if reference is not None:
                    if literal:
                        pieces.append(literal)
                    pieces.append(reference)
                    literal = ""
                position = end
            else:
                following = special.search(text, position + 1)
                stop = following.start() if following else len(text)
                literal += text[position:stop]
                position = stop
        if literal:
            pieces.append(literal)
        return pieces, position

    def _reference(self, start: int) -> tuple[Reference | None, int]:
        text = self.text
        if self.depth >= MAX_DEPTH:
            self._wrong(start, len(text), f"references inside references, more than {MAX_DEPTH} deep")
            return None, len(text)
        for kind in ("file", "vault"):
            if text.startswith(f"{kind}:", start + 2) and not text.startswith((f"{kind}:-", f"{kind}:?"), start + 2):
                return self._outside(start, "file" if kind == "file" else "vault")
        name = _NAME.match(text, start + 2)
        position = name.end() if name else start + 2
        if name and text.startswith("}", position):
            return Reference("environment", name[0], start, position + 1 - start), position + 1
        if name and text.startswith(":-", position):
            self.depth += 1
            parts, position = self.parts(position + 2, nested=True)
            self.depth -= 1
            if position < len(text):
                default = Template(tuple(parts))
                return Reference("environment", name[0], start, position + 1 - start, default), position + 1
        end = text.find("}", position)
        if end < 0:
            if not self.malformed or self._last_end() < len(text):
                self._wrong(start, len(text), "this reference is never closed; write ${NAME}, or $$ for a dollar sign")
            return None, len(text)
        if name and text.startswith(":?", position):
            message = text[position + 2 : end]
            return Reference("environment", name[0], start, end + 1 - start, None, message), end + 1
        self._wrong(start, end + 1, *self._advice(text[start + 2 : end], name[0] if name else ""))
        return None, end + 1

    def _outside(self, start: int, kind: Literal["file", "vault"]) -> tuple[Reference | None, int]:
        end = self.text.find("}", start)
        if end < 0:
            self._wrong(start, len(self.text), "this reference is never closed; a } is missing")
            return None, len(self.text)
        name = self.text[start + len(kind) + 3 : end]
        length = end + 1 - start
        if kind == "file":
            if name.strip():
                return Reference(kind, name, start, length), end + 1
            self._wrong(start, end + 1, "this names no file; write ${file:/run/secrets/name}")
            return None, end + 1
        match = _VAULT.fullmatch(name)
        if match is None:
            self._wrong(
                start,
                end + 1,
                "this names no secret; write ${vault:path#field} or ${vault:path#field?version=3}",
            )
            return None, end + 1
        version = int(match["version"][:9]) if match["version"] else None
        return Reference(kind, match["path"], start, length, field=match["field"], version=version), end + 1

    def _advice(self, inside: str, name: str) -> tuple[str, str | None]:
        if not inside.strip():
            return "this reference names nothing; write ${NAME}, or $$ for a dollar sign", None
        if not name:
            trimmed = inside.strip()
            if _NAME.fullmatch(trimmed):
                return f"no spaces inside a reference; write ${{{trimmed}}}", f"${{{trimmed}}}"
            return (
                f"{quoted(inside)} is no name of a variable; write ${{NAME}}, or $$ for a dollar sign",
                None,
            )
        rest = inside[len(name) :]
        if not rest.strip():
            return f"no spaces inside a reference; write ${{{name}}}", f"${{{name}}}"
        if rest[0] in "-?":
            better = f"${{{name}:{rest}}}"
            return f"a colon is missing; write {better}", better
        better = f"${{{name}:-{rest.lstrip(':+=')}}}"
        return (
            f'after the name comes ":-" and a default, or ":?" and a message; write {better}',
            better,
        )

    def _last_end(self) -> int:
        return self.malformed[-1].offset + self.malformed[-1].length

    def _wrong(self, start: int, end: int, message: str, suggestion: str | None = None) -> None:
        self.malformed.append(Malformed(start, end - start, message, suggestion))
