"""What belongs to the work at hand, and goes into each of its log records."""

from __future__ import annotations

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered; None outside of one."""

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""The span that is under way, as W3C Trace Context writes it; None where nothing is traced."""
