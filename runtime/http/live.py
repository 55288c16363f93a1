"""The settings of the API that change while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.spec.units import Rate, rate, size


class Live:
    """What a running application looks up at each request.

    Args:
        rate_limit: requests of one caller.
        max_body: bytes of the largest request body.
    """

    def __init__(self, rate_limit: Rate, max_body: int) -> None:
        self.rate_limit = rate_limit
        self.max_body = max_body

    def update(self, fields: Mapping[str, Any]) -> None:
        """Takes new values, all or none; fields that are not live are passed over.

        Args:
            fields: `rate_limit` and `max_body`, parsed or as the spec writes them (`600/m`, `1MB`).

        Raises:
            ValueError: one of them is no rate or no size.
        """
        wanted_rate = fields.get("rate_limit", self.rate_limit)
        wanted_body = fields.get("max_body", self.max_body)
        new_rate = rate(wanted_rate) if isinstance(wanted_rate, str) else Rate(*wanted_rate)
        new_body = size(wanted_body) if isinstance(wanted_body, str) else int(wanted_body)
        self.rate_limit, self.max_body = new_rate, new_body
