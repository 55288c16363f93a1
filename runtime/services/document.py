"""JSON Schema documents that a spec names or holds, compiled once and applied to what callers send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault, Invalid, Pointer
from runtime.services.fitting import quick_look

if TYPE_CHECKING:
    from pathlib import Path

    from jsonschema.protocols import Validator

MOST_ERRORS: Final = 20


class Document:
    """A JSON Schema (draft 2020-12 where it does not say otherwise) from a file, or as plain data.

    Args:
        source: the file, or the schema itself.
        at: the pointer under which the checked value stands in a request, `/data`.

    Raises:
        Fault: the file is missing, is no JSON or is no JSON Schema.
    """

    def __init__(self, source: Path | Mapping[str, Any], at: str) -> None:
        self._validator = _compiled(source)
        self._fits = quick_look(self._validator.schema)
        self._at = at

    def check(self, value: Any, what: str) -> None:
        """Refuses a value that does not fit.

        Args:
            value: JSON values.
            what: what the value is, for the message: `the data of "credits.used"`.

        Raises:
            Invalid: names each wrong place, twenty at most.
        """
        if self._fits is not None and self._fits(value):
            return
        errors: list[Pointer] = []
        for error in self._validator.iter_errors(value):
            errors.append(Pointer(pointer(self._at, error.absolute_path), error.message[:300]))
            if len(errors) == MOST_ERRORS:
                break
        if errors:
            raise Invalid(f"{what} does not fit its schema: {errors[0].detail}", errors=sorted(errors))


def pointer(at: str, path: Any) -> str:
    """A JSON pointer (RFC 6901).

    Example:
        >>> pointer("/payload", ["a/b", 0])
        '/payload/a~1b/0'
    """
    return at + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _compiled(source: Path | Mapping[str, Any]) -> Validator:
    # Imported here: it costs 90 ms, and most environments have no schemas.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    schema = dict(source) if isinstance(source, Mapping) else _read(source)
    name = "this" if isinstance(source, Mapping) else str(source)
    try:
        kind = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema)
    except SchemaError as error:
        where = pointer("", error.absolute_path) or "/"
        raise Fault(
            f"{name} is no JSON Schema: at {where}: {error.message[:300]}", remedy="Correct the file."
        ) from error
    compiled: Validator = kind(schema, format_checker=kind.FORMAT_CHECKER)
    return compiled


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise Fault(f"cannot read the schema {path}: {error.strerror}", remedy="Check the path in the spec.") from error
    except ValueError as error:
        raise Fault(f"the schema {path} is no JSON: {error}", remedy="Correct the file.") from error
