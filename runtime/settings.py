"""What the process itself takes from its surroundings, apart from the spec.

Read at `apply` only: `RUNTIME_…` variables, then `.env` in the working directory.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The process's own settings; each overrides what the spec says, for one run.

    Example:
        `RUNTIME_LOG_LEVEL=debug runtime apply spec.yaml`
    """

    model_config = SettingsConfigDict(env_prefix="RUNTIME_", env_file=".env", extra="ignore")

    log_level: Literal["debug", "info", "warning", "error"] | None = Field(
        default=None, description="Overrides `observability.logs.level`."
    )
    log_format: Literal["console", "json"] | None = Field(
        default=None, description="Overrides `observability.logs.format`."
    )
    stop_timeout: float = Field(
        default=60.0, gt=0, description="Seconds that a whole stop may take before it is hurried."
    )
