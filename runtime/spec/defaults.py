"""Defaults filled in from the JSON Schema, without pydantic.

`runtime show` and the cross-references need a spec with every default and every built-in entry; the models are too slow to
load for that. Only the standard library is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def overlaid(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping laid over another: mappings deeply, everything else replaced; null leaves what the base has.

    Example:
        >>> overlaid({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": None})
        {'a': {'b': 3, 'c': 2}, 'd': None}
    """
    result = dict(base)
    for key, value in top.items():
        known = result.get(key)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            result[key] = overlaid(known, value)
        elif value is not None or key not in result:
            result[key] = value
    return result
