"""What a routine is started with: whether it fits, and its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Invalid, Pointer
from runtime.services.document import pointer
from runtime.services.names import unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.services.routines.spec import InputSpec

AT: Final = "/payload/input"
"""Where it stands in a job, as a JSON pointer."""

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


def checked(routine: str, declared: Mapping[str, InputSpec], given: Any) -> dict[str, Any]:
    """The input of a run, with what was not given.

    Args:
        routine: its name, for messages.
        declared: its `input`.
        given: what came with the job.

    Raises:
        Invalid: it does not fit, with a pointer to each wrong place.
    """
    if not isinstance(given, Mapping):
        raise Invalid("the input of a run is an object", errors=[Pointer(AT, "must be an object")])
    wrong = list(_wrong(declared, given))
    if wrong:
        strange = next((name for name in given if name not in declared), None)
        raise Invalid(
            f'the routine "{routine}" cannot be started with this: {wrong[0].detail}',
            errors=wrong,
            remedy=unknown("input", strange, declared).remedy if strange is not None else "",
        )
    return {name: given.get(name, spec.default) for name, spec in declared.items()}


def json_schema(declared: Mapping[str, InputSpec]) -> dict[str, Any]:
    """The input of a routine as a JSON Schema."""
    properties: dict[str, dict[str, Any]] = {}
    for name, spec in declared.items():
        said = {"description": spec.description, "default": spec.default}
        properties[name] = {"type": spec.type} | {word: value for word, value in said.items() if value is not None}
    required = [name for name, spec in declared.items() if _is_required(spec)]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _wrong(declared: Mapping[str, InputSpec], given: Mapping[str, Any]) -> Iterator[Pointer]:
    for name, value in given.items():
        spec = declared.get(name)
        if spec is None:
            yield Pointer(pointer(AT, [name]), f'there is no input "{name[:100]}"')
        elif not _fits(value, spec):
            article = "an" if spec.type[0] in "aio" else "a"
            yield Pointer(pointer(AT, [name]), f"must be {article} {spec.type}")
    for name, spec in declared.items():
        if name not in given and _is_required(spec):
            yield Pointer(pointer(AT, [name]), f'"{name}" is missing')


def _fits(value: Any, spec: InputSpec) -> bool:
    if value is None:
        return not spec.required
    return isinstance(value, _TYPES[spec.type]) and (spec.type == "boolean" or not isinstance(value, bool))


def _is_required(spec: InputSpec) -> bool:
    return spec.required and spec.default is None
