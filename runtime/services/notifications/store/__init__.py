"""The tables of notifications, and what is asked of them."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from runtime.errors import Unreachable

AWAY: Final = (Unreachable, SQLAlchemyError, OSError)
"""What a query raises while the database is out of reach or refuses."""
