"""Checks plain data against the generated schema, and says in human words what does not fit.

It knows exactly the vocabulary that `runtime.spec.schema` writes. Each field is compiled on first use into a function
that answers None as fast as it can; words, paths and suggestions are made only for what is wrong. A test holds it to
the verdict of the `jsonschema` library, whose import alone takes longer than this whole command.

One difference is meant: `5.0` is no whole number here, as it is none for the models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from runtime.spec.diagnostics import LIMIT, dotted, quoted
from runtime.spec.shapes import REFERENCE, Schema, Shapes, constants
from runtime.spec.suggest import Speller
from runtime.spec.words import alternatives, found, shown, wrong_form, wrong_type

if TYPE_CHECKING:
    from runtime.spec.places import Path


class Problem:
    """One thing that does not fit, at a path of the data.

    Args:
        path: where; it grows towards the root while the problem is handed up.
        message: what is wrong and what to write.
        suggestion: the bare replacement.
        on_key: whether the key is meant, not the value.
    """

    __slots__ = ("_reversed", "message", "on_key", "suggestion")

    def __init__(
        self,
        message: str,
        suggestion: str | None = None,
        *,
        at: str | int | None = None,
        on_key: bool = False,
    ) -> None:
        self._reversed: list[str | int] = [] if at is None else [at]
        self.message = message
        self.suggestion = suggestion
        self.on_key = on_key

    @property
    def path(self) -> Path:
        return tuple(reversed(self._reversed))

    def below(self, part: str | int) -> Problem:
        """The same problem, seen from one level up."""
        self._reversed.append(part)
        return self

    def __repr__(self) -> str:
        return f"Problem({dotted(self.path)}: {self.message})"


Problems = list[Problem] | None
Check = Callable[[Any], Problems]


def _fits(_value: Any) -> Problems:
    return None


class Validator:
    """The compiled schema.

    Args:
        shapes: the schema.
        references: whether a text with `${` may stand where another type is wanted; not once they are resolved.
        partial: whether required keys may be missing, as in a part of a spec.
    """

    def __init__(self, shapes: Shapes, *, references: bool = True, partial: bool = False) -> None:
        self._shapes = shapes
        self._references = references
        self._partial = partial
        self._checks: dict[int, Check] = {}
        self._leaf_checks: dict[int, Check] = {}
        self._speller = Speller()

    def problems(self, data: Any) -> list[Problem]:
        """Everything that does not fit, at most `LIMIT` of it."""
        return (self._field(self._shapes.schema)(data) or [])[:LIMIT]

    def fits(self, value: Any, node: Schema) -> bool:
        """Whether one value fits one field."""
        return not self._field(node)(value)

    def _field(self, node: Schema) -> Check:
        check = self._checks.get(id(node))
        if check is None:
            check = self._checks[id(node)] = self._union(node)
        return check

    def _union(self, node: Schema) -> Check:
        """A field: its leaves by the type of value that each takes."""
        leaves = [leaf for leaf in self._shapes.leaves(node) if self._references or leaf.get("$name") != REFERENCE]
        if any("type" not in leaf for leaf in leaves):
            return _fits
        by_type: dict[type, Check] = {}
        texts = [leaf for leaf in leaves if leaf["type"] == "string"]
        if texts:
            by_type[str] = self._texts(texts, node)
        objects = [leaf for leaf in leaves if leaf["type"] == "object"]
        if objects:
            by_type[dict] = self._leaf(objects[0], node) if len(objects) == 1 else self._objects(objects, node)
        for leaf in leaves:
            kind = leaf["type"]
            if kind == "integer":
                by_type[int] = _number(leaf)
            elif kind == "number":
                by_type.setdefault(int, _number(leaf))
                by_type[float] = _number(leaf)
            elif kind == "array":
                by_type[list] = self._leaf(leaf, node)
            elif kind == "boolean":
                by_type[bool] = _constant(leaf) if "const" in leaf or "enum" in leaf else _fits
            elif kind == "null":
                by_type[type(None)] = _fits

        def check(value: Any) -> Problems:
            known = by_type.get(type(value))
            if known is not None:
                return known(value)
            return [Problem(*wrong_type(value, leaves, node))]

        return check

    def _texts(self, leaves: Sequence[Schema], node: Schema) -> Check:
        checks = [self._text(leaf, node) for leaf in leaves]
        if len(checks) == 1:
            return checks[0]

        def check(value: Any) -> Problems:
            first: Problems = None
            for one in checks:
                problems = one(value)
                if problems is None:
                    return None
                first = first or problems
            return first if leaves[0].get("$name") != REFERENCE else [Problem(*wrong_type(value, types, node))]

        types = [leaf for leaf in self._shapes.leaves(node) if leaf.get("$name") != REFERENCE]
        return check

    def _text(self, leaf: Schema, node: Schema) -> Check:
        if leaf.get("$name") == REFERENCE:
            others = [other for other in self._shapes.leaves(node) if other.get("$name") != REFERENCE]
            return lambda value: None if "${" in value else [Problem(*wrong_type(value, others, node))]
        if "const" in leaf or "enum" in leaf:
            return self._enumeration(leaf)
        search = re.compile(leaf["pattern"]).search if "pattern" in leaf else None
        least, most = leaf.get("minLength", 0), leaf.get("maxLength")

        def check(value: str) -> Problems:
            if len(value) < least:
                return [Problem("this must not be empty" if least == 1 else f"needs at least {least} characters")]
            if most is not None and len(value) > most:
                return [Problem(f"is longer than {most} characters")]
            if search is not None and not search(value):
                return [Problem(*wrong_form(value, leaf, node))]
            return None

        return check

    def _enumeration(self, leaf: Schema) -> Check:
        allowed: list[str] = leaf["enum"] if "enum" in leaf else [leaf["const"]]

        def check(value: str) -> Problems:
            if value in allowed:
                return None
            near = self._speller.nearest(value, allowed)
            hint = f", did you mean {quoted(near)}?" if near else ""
            return [Problem(f"expected {_one_of(allowed)}, found {found(value)}{hint}", near)]

        return check

    def _leaf(self, leaf: Schema, node: Schema) -> Check:
        """A mapping or a list; compiled once for all fields that share it."""
        known = self._leaf_checks.get(id(leaf))
        if known is None:
            made = self._mapping(leaf) if leaf["type"] == "object" else self._array(leaf)
            known = self._leaf_checks[id(leaf)] = made
        return known

    def _array(self, leaf: Schema) -> Check:
        items = self._field(leaf["items"]) if "items" in leaf else _fits
        least, most = leaf.get("minItems", 0), leaf.get("maxItems")
        unique = leaf.get("uniqueItems", False)

        def check(value: list[Any]) -> Problems:
            problems: list[Problem] = []
            for index, item in enumerate(value):
                wrong = items(item)
                if wrong:
                    problems += [problem.below(index) for problem in wrong]
            if len(value) < least:
                problems.append(
                    Problem("this list must not be empty" if least == 1 else f"needs at least {least} items")
                )
            if most is not None and len(value) > most:
                problems.append(Problem(f"has more than {most} items"))
            if unique:
                problems += _repeated(value)
            return problems or None

        return check

    def _mapping(self, leaf: Schema) -> Check:
        fixed: dict[str, Check] = {}
        properties: dict[str, Schema] = leaf.get("properties", {})
        required: list[str] = [] if self._partial else leaf.get("required", [])
        entries = leaf.get("additionalProperties", True)
        own = "patternProperties" in leaf
        names = leaf.get("propertyNames", {}).get("pattern")
        well_named = re.compile(names).search if names else None
        least = leaf.get("minProperties", 0)

        def check(value: dict[str, Any]) -> Problems:
            problems: list[Problem] = []
            for key, below in value.items():
                known = fixed.get(key)
                if known is None:
                    known = self._key_check(key, properties, entries, own, fixed)
                    if known is None:
                        problems.append(self._unknown(key, value, properties))
                        continue
                if well_named is not None and not well_named(key):
                    problems.append(self._misnamed(key))
                wrong = known(below)
                if wrong:
                    problems += [problem.below(key) for problem in wrong]
                if len(problems) > LIMIT:
                    break
            for key in required:
                if key not in value:
                    problems.append(_missing(key, properties.get(key, {})))
            if len(value) < least:
                problems.append(Problem("this must not be empty"))
            return problems or None

        return check

    def _key_check(
        self, key: str, properties: dict[str, Schema], entries: Any, own: bool, fixed: dict[str, Check]
    ) -> Check | None:
        """How one key of a mapping is checked; None where it is unknown. Fixed keys are remembered."""
        if key in properties:
            check = fixed[key] = self._field(properties[key])
            return check
        if own and key.startswith("x-"):
            return _fits
        if entries is False:
            return None
        return self._field(entries) if isinstance(entries, dict) else _fits

    def _unknown(self, key: str, value: dict[str, Any], properties: dict[str, Schema]) -> Problem:
        free = [name for name in properties if name not in value]
        near = self._speller.nearest(key, free)
        if near:
            return Problem(f"unknown key, did you mean {quoted(near)}?", near, at=key, on_key=True)
        near = self._speller.nearest(key, list(properties))
        if near:
            return Problem(f"unknown key; {quoted(near)} is set already", None, at=key, on_key=True)
        known = f"; the keys here are {alternatives(list(properties))}" if len(properties) <= 25 else ""
        return Problem(f"unknown key{known}", at=key, on_key=True)

    def _misnamed(self, key: str) -> Problem:
        plain = re.sub(r"[^a-z0-9_.-]+", "-", key.lower()).strip("-.0123456789_")
        better = plain if plain and plain != key and len(plain) < 60 else None
        rule = "lower-case letters, digits, - and _, beginning with a letter"
        hint = f'; write "{better}"' if better else f": {rule}"
        return Problem(f"{quoted(key)} cannot be a name here{hint}", better, at=key, on_key=True)

    def _objects(self, leaves: Sequence[Schema], node: Schema) -> Check:
        """Alternatives for a mapping: told apart by a constant, or, without one, the one with the fewest problems."""
        checks = {id(leaf): self._leaf(leaf, node) for leaf in leaves}

        def check(value: dict[str, Any]) -> Problems:
            candidates = list(leaves)
            while len(candidates) > 1:
                tag = _tag(candidates)
                if tag is None:
                    tries = [checks[id(leaf)](value) for leaf in candidates]
                    return min(tries, key=lambda problems: len(problems or ()))
                fitting = [leaf for leaf in candidates if constants(leaf)[tag] == value.get(tag)]
                if not fitting:
                    return self._untagged(tag, value, candidates)
                candidates = fitting
            return checks[id(candidates[0])](value)

        return check

    def _untagged(self, tag: str, value: dict[str, Any], leaves: Sequence[Schema]) -> Problems:
        """The key that tells the alternatives apart is missing or has an unknown value."""
        allowed = list(dict.fromkeys(constants(leaf)[tag] for leaf in leaves))
        if tag not in value:
            if self._partial:
                return None
            return [Problem(f"this key is missing; write {tag}: {alternatives(allowed)}", at=tag, on_key=True)]
        seen = value[tag]
        near = self._speller.nearest(seen, allowed) if isinstance(seen, str) else None
        hint = f", did you mean {quoted(near)}?" if near else ""
        return [Problem(f"expected {_one_of(allowed)}, found {found(seen)}{hint}", near, at=tag)]


def _tag(leaves: Sequence[Schema]) -> str | None:
    """The key whose constant differs between the leaves."""
    for tag in constants(leaves[0]):
        if all(tag in constants(leaf) for leaf in leaves) and len({constants(leaf)[tag] for leaf in leaves}) > 1:
            return tag
    return None


def _missing(key: str, field: Schema) -> Problem:
    examples = field.get("examples")
    hint = f"; for example {key}: {shown(examples[0])}" if examples else ""
    return Problem(f"this key is missing{hint}", at=key, on_key=True)


def _repeated(items: list[Any]) -> list[Problem]:
    seen: list[Any] = []
    problems: list[Problem] = []
    for index, item in enumerate(items):
        if any(item == other and type(item) is type(other) for other in seen):
            problems.append(Problem(f"{found(item)} stands twice in this list").below(index))
        seen.append(item)
    return problems


def _number(leaf: Schema) -> Check:
    if "const" in leaf or "enum" in leaf:
        return _constant(leaf)
    least, most = leaf.get("minimum"), leaf.get("maximum")

    def check(value: float) -> Problems:
        if least is not None and value < least:
            return [Problem(f"must be at least {least}, found {value}", str(least))]
        if most is not None and value > most:
            return [Problem(f"must be at most {most}, found {value}", str(most))]
        return None

    return check


def _constant(leaf: Schema) -> Check:
    allowed: list[Any] = leaf["enum"] if "enum" in leaf else [leaf["const"]]

    def check(value: Any) -> Problems:
        if any(value == one and type(value) is type(one) for one in allowed):
            return None
        return [Problem(f"expected {_one_of(allowed)}, found {found(value)}", shown(allowed[0]))]

    return check


def _one_of(allowed: Sequence[Any]) -> str:
    return alternatives(allowed) if len(allowed) == 1 else f"one of {alternatives(allowed)}"
