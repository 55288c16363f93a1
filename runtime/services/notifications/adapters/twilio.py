"""Twilio's Programmable Messaging (https://www.twilio.com/docs/messaging/api/message-resource)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from runtime.errors import Forbidden, Invalid
from runtime.services.notifications.adapters.sms_gateway import by_status, one_line, text_at
from runtime.services.notifications.channels.port import Event, Receipt, Report
from runtime.services.notifications.channels.signature import secret_of
from runtime.services.notifications.channels.sms import Request, Wish, answered, wish_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.services.notifications.channels.port import Callback
    from runtime.services.notifications.channels.sms import Answer, Text
    from runtime.services.notifications.channels.spec import TwilioChannel

STOPPED: Final = frozenset({"21610"})
"""The recipient has answered STOP."""
NEVER: Final = frozenset({"21211", "21214", "21217", "21265", "21401", "21614", "21635", "30005", "30006"})
"""No number, none that there is, a landline, a short code (https://www.twilio.com/docs/api/errors)."""
OF_US: Final = frozenset(
    {"20003", "20005", "20006", "20404", "21212", "21603", "21606", "21659", "21660", "21661", "21703", "21705"}
)
"""Wrong credentials, a closed account, a sender that is not ours or cannot send."""
BUSY: Final = frozenset({"20429", "21611", "14107"})
"""Too many at once, or too many that wait."""

EVENTS: Final[Mapping[str, Event]] = {
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "failed",
    "failed": "failed",
    "canceled": "failed",
}
"""Of a message's states those that are told; the others are on the way to them."""
OPTED: Final[Mapping[str, Wish]] = {"STOP": "stopped", "START": "started"}
"""What Twilio itself has made of an answer, with the words that the operator has set there."""


class Twilio:
    """Speaks as Twilio does; implements `Provider`.

    Args:
        spec: the channel's section.
        callback_url: where Twilio reaches us; None where that is not known, so that it reports nothing.
    """

    def __init__(self, spec: TwilioChannel, callback_url: str | None) -> None:
        self._spec = spec
        self._secret = spec.callback_secret or (None if spec.api_key else spec.token)
        self._callback_url = callback_url if self._secret is not None else None

    def request(self, text: Text) -> Request:
        spec = self._spec
        account = spec.account.get_secret_value()
        sender = "MessagingServiceSid" if spec.from_.startswith("MG") and len(spec.from_) == 34 else "From"
        form = {"To": text.to, sender: spec.from_, "Body": text.body}
        if self._callback_url:
            form["StatusCallback"] = f"{self._callback_url}?{urlencode({'delivery': text.id})}"
        signed_in = f"{spec.api_key or account}:{spec.token.get_secret_value()}"
        return Request(
            "POST",
            f"{spec.base_url.rstrip('/')}/2010-04-01/Accounts/{account}/Messages.json",
            {
                "Authorization": f"Basic {base64.b64encode(signed_in.encode()).decode()}",
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            urlencode(form).encode(),
        )

    def receipt(self, answer: Answer) -> Receipt:
        code, said = text_at(answer.body, "code"), text_at(answer.body, "message")
        reason = one_line(f"{answer.status} {code} {said}")
        if code in STOPPED:
            return Receipt("stopped", reason=reason)
        if code in NEVER:
            return Receipt("bounced", reason=reason)
        if code in BUSY:
            return Receipt("later", reason=reason, after=by_status(answer, said).after)
        if code in OF_US:
            return Receipt("refused", reason=reason, down=True)
        return by_status(answer, f"{code} {said}", text_at(answer.body, "sid") or None)

    def reports(self, callback: Callback) -> Sequence[Report]:
        pairs = _form(callback)
        self._require_signed(callback, pairs)
        given = dict(pairs)
        id_ = given.get("MessageSid") or given.get("SmsSid", "")
        if not id_:
            raise Invalid("the report names no message", remedy="Twilio sends MessageSid.")
        if "MessageStatus" in given:
            return _status(given, id_, callback.url)
        body = given.get("Body", "")
        wish = OPTED.get(given.get("OptOutType", "").upper()) or wish_of(body, self._spec.stop_words)
        return answered(given.get("From", ""), body, id_, wish)

    def _require_signed(self, callback: Callback, pairs: Sequence[tuple[str, str]]) -> None:
        """Refuses what Twilio has not signed (https://www.twilio.com/docs/usage/security#validating-requests)."""
        given = callback.headers.get("x-twilio-signature", "")
        secret = secret_of(self._secret).encode()
        strong = "hmac_sha256" in callback.headers.get("x-twilio-webhooks-signature-settings", "").lower()
        content = "".join(name + value for name, value in sorted(set(pairs)))
        for url in self._addresses(callback.url):
            digest = hmac.digest(secret, f"{url}{content}".encode(), hashlib.sha256 if strong else hashlib.sha1)
            if hmac.compare_digest(base64.b64encode(digest), given.encode()):
                return
        raise Forbidden(
            "the callback is not signed by the provider",
            remedy="Twilio must call the address that `api.public_url` begins, and sign with the account's token.",
        )

    def _addresses(self, url: str) -> list[str]:
        """The address as it was called, and as it is from outside, each with and without the port that goes without
        saying: which of them Twilio signs has changed over time."""
        parts = urlsplit(url)
        found = [url]
        if self._callback_url:
            found.append(f"{self._callback_url}?{parts.query}" if parts.query else self._callback_url)
        return [shown for each in found for shown in _ports(each)]


def _ports(url: str) -> list[str]:
    parts = urlsplit(url)
    usual = 443 if parts.scheme == "https" else 80
    bare = parts.netloc.removesuffix(f":{parts.port}") if parts.port else parts.netloc
    return [parts._replace(netloc=netloc).geturl() for netloc in (bare, f"{bare}:{parts.port or usual}")]


def _form(callback: Callback) -> list[tuple[str, str]]:
    try:
        return parse_qsl(callback.body.decode(), keep_blank_values=True, max_num_fields=200)
    except ValueError as error:
        raise Invalid(f"the report cannot be understood: {error}", remedy="Twilio sends a form.") from None


def _status(given: Mapping[str, str], id_: str, url: str) -> list[Report]:
    status, code = given["MessageStatus"].lower(), given.get("ErrorCode", "")
    event = EVENTS.get(status)
    if event is None:
        return []
    if event == "failed":
        event = "stopped" if code in STOPPED else "bounced" if code in NEVER else "failed"
    reason = "" if event == "delivered" else one_line(f"{status} {code} {given.get('ErrorMessage', '')}")
    delivery = dict(parse_qsl(urlsplit(url).query)).get("delivery")
    return [Report(event, id_, given.get("To"), reason, f"{id_}:{status}", delivery)]
