"""The tables of attempts and budgets, and what is asked of them. Amounts are nano-dollars, moments Unix time in ms."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from runtime.errors import Unreachable

AWAY: Final = (Unreachable, SQLAlchemyError, OSError)
"""What a query raises while the database is out of reach or refuses."""
