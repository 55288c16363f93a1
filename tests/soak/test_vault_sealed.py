"""Vault is sealed for a minute, again and again: the environment serves all the time, its token outlives the gap."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.production import Traffic, await_event, production

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.soak

MINUTE = 60.0


def test_a_minute_without_vault(tmp_path: Path) -> None:
    with production(tmp_path) as (place, environment):
        traffic = Traffic(environment, "sk-own-key-of-the-user-0001")
        with traffic.flowing():
            for number in (2, 3):
                place.vault.seal()
                end = time.monotonic() + MINUTE
                while time.monotonic() < end:
                    traffic.await_flow()
                    assert environment.get("/readyz").status == 200
                place.vault.unseal()
                place.rotate_database(f"pg-password-{number}")
                await_event(environment, "secret.rotated", name="postgres", version=str(number))
        assert traffic.failures == []
        print(f"\n{traffic.done} calls, none failed; Vault was sealed for 2 minutes")
