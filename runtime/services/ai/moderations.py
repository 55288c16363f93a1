"""Which model moderates where none is named."""

from __future__ import annotations

from typing import Final

MODERATIONS: Final = {
    "openai": "omni-moderation-latest",
    "openai-compatible": "omni-moderation-latest",
    "mistral": "mistral-moderation-latest",
}
"""By kind of provider; a kind that is not here has no moderation."""
