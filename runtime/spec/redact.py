"""A spec that may be shown: secrets that stand in it become stars, references stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.spec.diagnostics import PASSWORD_IN_URL
from runtime.spec.references import Reference, Template, parse
from runtime.spec.shapes import is_secret

if TYPE_CHECKING:
    from runtime.spec.shapes import Shapes

STARS = "***"


def redacted(data: dict[str, Any], shapes: Shapes) -> dict[str, Any]:
    """A copy of a spec without its literal secrets.

    Args:
        data: plain data, references as they were written.
        shapes: the schema, which knows the secret fields.

    Example:
        `api_key: sk-123` becomes `***`, `api_key: ${KEY:-sk-123}` becomes `${KEY:-***}`, and in `redis://:secret@host`
        only the password is hidden.
    """
    copy: dict[str, Any] = _without_passwords(data)
    for mark in shapes.marked(copy, is_secret):
        holder: Any = copy
        for part in mark.path[:-1]:
            holder = holder[part]
        if not mark.on_key:
            holder[mark.path[-1]] = _starred(parse(mark.value))
    return copy


def _starred(template: Template) -> str:
    if template.malformed:
        return STARS
    return "".join(STARS if isinstance(part, str) else written(part) for part in template.parts) or STARS


def written(reference: Reference) -> str:
    """A reference as it was written, without the literal text of its default."""
    if reference.kind == "file":
        return f"${{file:{reference.name}}}"
    if reference.kind == "vault":
        version = f"?version={reference.version}" if reference.version else ""
        return f"${{vault:{reference.name}#{reference.field}{version}}}"
    if reference.default is not None:
        return f"${{{reference.name}:-{_starred(reference.default) if reference.default.parts else ''}}}"
    return f"${{{reference.name}}}" if reference.message is None else f"${{{reference.name}:?{reference.message}}}"


def _without_passwords(value: Any) -> Any:
    if isinstance(value, str):
        return PASSWORD_IN_URL.sub(lambda m: m[0] if "${" in m[2] else f"{m[1]}{STARS}{m[3]}", value)
    if isinstance(value, dict):
        return {key: _without_passwords(below) for key, below in value.items()}
    return [_without_passwords(below) for below in value] if isinstance(value, list) else value
