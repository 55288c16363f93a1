"""Signed callbacks as Standard Webhooks has them (https://www.standardwebhooks.com): three headers, HMAC-SHA256."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Final

from runtime.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from pydantic import SecretStr

    from runtime.services.notifications.channels.port import Callback

TOLERANCE: Final = 300.0
"""Seconds by which a signature may be old, or ahead."""


def secret_of(given: SecretStr | None) -> str:
    """The secret that callbacks are signed with.

    Raises:
        NotFound: there is none, so that nobody can report anything.
    """
    if given is None:
        raise NotFound(
            "this channel takes no reports",
            remedy="Set `callback_secret` of the channel to what the provider signs its reports with.",
        )
    return given.get_secret_value()


def require_signed(callback: Callback, secret: str, *, now: float | None = None) -> str:
    """Refuses a callback that was not signed with a secret.

    Args:
        secret: `whsec_…` in base 64, or any other text.
        now: Unix time.

    Returns:
        The id of the callback, which a repeated one has too.

    Raises:
        Forbidden: a header is missing, the time is off, or no signature fits.
    """
    id_, moment, given = (callback.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not id_ or not given or not moment.isdecimal():
        raise Forbidden(
            "the callback is not signed", remedy="Send webhook-id, webhook-timestamp and webhook-signature."
        )
    if abs((time.time() if now is None else now) - int(moment)) > TOLERANCE:
        raise Forbidden("the callback's signature is too old, or the clocks differ")
    signed = f"{id_}.{moment}.".encode() + callback.body
    wanted = base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()
    for part in given.split():
        version, _, signature = part.partition(",")
        if version == "v1" and hmac.compare_digest(signature.encode(), wanted.encode()):
            return id_
    raise Forbidden("the callback is not signed by the provider")


def signed(secret: str, id_: str, body: bytes, *, now: float | None = None) -> dict[str, str]:
    """The headers of a signed callback."""
    moment = str(int(time.time() if now is None else now))
    digest = hmac.digest(_key(secret), f"{id_}.{moment}.".encode() + body, hashlib.sha256)
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": id_, "webhook-timestamp": moment, "webhook-signature": signature}


def _key(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            pass
    return secret.encode()
