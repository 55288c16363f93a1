"""The `ai` section as it is now: much of it changes while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.services.ai.spec import AiSpec

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settings:
    """Holds the section for all who look into it.

    Args:
        section: as plain data.
    """

    def __init__(self, section: Mapping[str, Any]) -> None:
        self._data = section
        self.spec = AiSpec.model_validate(section)

    def update(self, fields: Mapping[str, Any]) -> None:
        """Takes what has changed, whole or not at all."""
        data = {**self._data, **fields}
        self.spec = AiSpec.model_validate(data)
        self._data = data
