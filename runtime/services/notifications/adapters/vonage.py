"""Vonage's Messages API (https://developer.vonage.com/en/api/messages)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
import warnings
from typing import TYPE_CHECKING, Any, Final

import jwt
from jwt.warnings import InsecureKeyLengthWarning

from runtime.errors import Forbidden, Invalid
from runtime.services.notifications.adapters.sms_gateway import by_status, field, one_line, text_at
from runtime.services.notifications.channels.port import Event, Receipt, Report
from runtime.services.notifications.channels.signature import TOLERANCE, secret_of
from runtime.services.notifications.channels.sms import Request, answered, wish_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.services.notifications.channels.port import Callback
    from runtime.services.notifications.channels.sms import Answer, Text
    from runtime.services.notifications.channels.spec import VonageChannel

STOPPED: Final = frozenset({"1240"})
"""The recipient has answered STOP (https://developer.vonage.com/en/api-errors/messages)."""
NEVER: Final = frozenset({"1050", "1170", "1190"})
"""A number that is barred, that is none, or that is not in use any more."""
BUSY: Final = frozenset({"1000", "1241"})
DOWN: Final = frozenset({"1030", "1100", "1230"})
"""Vonage itself, or its way to the network."""
OF_US: Final = frozenset({"1060", "1070", "1080", "1110", "1120", "1140"})
"""A barred or empty account, a sender that is not allowed."""

EVENTS: Final[Mapping[str, Event]] = {
    "delivered": "delivered",
    "read": "delivered",
    "rejected": "failed",
    "undeliverable": "failed",
}


class Vonage:
    """Speaks as Vonage does; implements `Provider`.

    Args:
        spec: the channel's section.
        callback_url: where Vonage reaches us; None where that is not known.
    """

    def __init__(self, spec: VonageChannel, callback_url: str | None) -> None:
        self._spec = spec
        self._callback_url = callback_url if spec.callback_secret is not None else None

    def request(self, text: Text) -> Request:
        spec = self._spec
        message: dict[str, Any] = {
            "message_type": "text",
            "channel": "sms",
            "to": text.to.removeprefix("+"),
            "from": spec.from_.removeprefix("+"),
            "text": text.body,
            "client_ref": text.id,
        }
        if self._callback_url:
            message |= {"webhook_url": self._callback_url, "webhook_version": "v1"}
        signed_in = f"{spec.key.get_secret_value()}:{spec.secret.get_secret_value()}"
        return Request(
            "POST",
            f"{spec.base_url.rstrip('/')}/v1/messages",
            {
                "Authorization": f"Basic {base64.b64encode(signed_in.encode()).decode()}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
            json.dumps(message).encode(),
        )

    def receipt(self, answer: Answer) -> Receipt:
        code, said = _code(answer.body), _said(answer.body)
        reason = one_line(f"{answer.status} {code} {said}")
        if code in STOPPED:
            return Receipt("stopped", reason=reason)
        if code in BUSY or code in DOWN:
            return Receipt("later", reason=reason, after=by_status(answer, said).after, down=code in DOWN)
        if code in OF_US:
            return Receipt("refused", reason=reason, down=True)
        wrong = {text_at(each, "name") for each in field(answer.body, "invalid_parameters") or ()}
        if code in NEVER or "to" in wrong:
            return Receipt("bounced", reason=reason)
        if "from" in wrong:
            return Receipt("refused", reason=reason, down=True)
        return by_status(answer, f"{code} {said}", text_at(answer.body, "message_uuid") or None)

    def reports(self, callback: Callback) -> Sequence[Report]:
        self._require_signed(callback)
        try:
            given = json.loads(callback.body)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"the report cannot be understood: {error}", remedy="Vonage sends JSON.") from None
        id_ = text_at(given, "message_uuid")
        if not id_:
            raise Invalid("the report names no message", remedy="Vonage sends message_uuid.")
        if status := text_at(given, "status"):
            return _status(given, id_, status)
        said = text_at(given, "text")
        return answered(text_at(given, "from"), said, id_, wish_of(said, self._spec.stop_words))

    def _require_signed(self, callback: Callback) -> None:
        """Refuses what Vonage has not signed: a token of HS256 over a digest of the body
        (https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks)."""
        secret = secret_of(self._spec.callback_secret)
        token = callback.headers.get("authorization", "").removeprefix("Bearer ").strip()
        wanted: Any = {"require": ["iat", "payload_hash"], "verify_aud": False}
        try:
            with warnings.catch_warnings():  # the account's secret is as long as Vonage has made it
                warnings.simplefilter("ignore", InsecureKeyLengthWarning)
                claims = jwt.decode(token, secret, algorithms=["HS256"], leeway=TOLERANCE, options=wanted)
        except jwt.PyJWTError:
            raise Forbidden("the callback is not signed by the provider") from None
        if claims.get("api_key") != self._spec.key.get_secret_value():
            raise Forbidden("the callback is signed for another account")
        if not _fresh(claims["iat"]):
            raise Forbidden("the callback's signature is too old, or the clocks differ")
        digest = hashlib.sha256(callback.body).hexdigest()
        if not hmac.compare_digest(str(claims["payload_hash"]).lower().encode(), digest.encode()):
            raise Forbidden("the callback's content is not what was signed")


def _fresh(issued: Any) -> bool:
    return isinstance(issued, int | float) and abs(time.time() - issued) <= TOLERANCE


def _status(given: Any, id_: str, status: str) -> list[Report]:
    event = EVENTS.get(status)
    if event is None:
        return []
    error = field(given, "error")
    code = _code(error)
    if event == "failed":
        event = "stopped" if code in STOPPED else "bounced" if code in NEVER else "failed"
    reason = "" if event == "delivered" else one_line(f"{status} {code} {_said(error)}")
    return [Report(event, id_, _number(given, "to"), reason, f"{id_}:{status}", text_at(given, "client_ref") or None)]


def _number(given: Any, name: str) -> str | None:
    found = text_at(given, name)
    return f"+{found.removeprefix('+')}" if found else None


def _code(problem: Any) -> str:
    """The number of an error: its title, or what its type ends with (RFC 9457)."""
    title = text_at(problem, "title")
    if title.isdecimal():
        return title
    found = re.search(r"#(\d{4})$", text_at(problem, "type"))
    return found[1] if found else ""


def _said(problem: Any) -> str:
    parts = (text_at(problem, "title"), text_at(problem, "detail"))
    return ": ".join(part for part in parts if part and not part.isdecimal())
