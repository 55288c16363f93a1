"""User and password of a Redis, asked for at each new connection: another password holds from the next one on."""

from __future__ import annotations

from redis.credentials import CredentialProvider


class Credentials(CredentialProvider):
    """What a server is signed in with; all clients of one server share it."""

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()

    def set(self, user: str | None, password: str | None) -> None:
        self._known = (user, password or "") if user else (password or "",)

    def get_credentials(self) -> tuple[str, ...]:  # type: ignore[override]
        return self._known

    async def get_credentials_async(self) -> tuple[str, ...]:  # type: ignore[override]
        return self._known
