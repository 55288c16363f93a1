"""Stripe's callbacks: https://docs.stripe.com/webhooks#verify-manually."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Invalid, Pointer
from runtime.services.billing.processor import Payment, Received

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("runtime.billing")

HEADER: Final = "Stripe-Signature"
MOST_SIGNATURES: Final = 20

# https://docs.stripe.com/currencies#minor-units. ISK and UGX have no minor unit, and are sent with two places.
NO_PLACES: Final = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)
THREE_PLACES: Final = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])

SESSIONS: Final = frozenset({"checkout.session.completed", "checkout.session.async_payment_succeeded"})
INTENT: Final = "payment_intent.succeeded"


class Stripe:
    """Reads what is signed with an endpoint's secret.

    A payment is known by its payment intent, so that a checkout session and the intent within it are one payment. Its
    account is `metadata.account`, or a session's `client_reference_id`; a payment without one is not ours.

    Args:
        secret: the endpoint's, `whsec_…`.
        tolerance: seconds by which the time of a signature may differ from ours.
    """

    def __init__(self, secret: str, tolerance: float) -> None:
        self._secret = secret.encode()
        self._tolerance = tolerance

    def read(self, signature: str | None, body: bytes) -> Received:
        self._verify(signature or "", body)
        try:
            event = json.loads(body)
            return Received(str(event["id"]), _payment(str(event["type"]), event["data"]["object"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Invalid(f"the callback is no event of Stripe's: {type(error).__name__}") from error

    def _verify(self, header: str, body: bytes) -> None:
        moment, signatures = _parts(header)
        if not moment or not signatures:
            raise _refused(f"it needs `t` and `v1`, as in {HEADER}: t=1492774577,v1=…")
        expected = hmac.new(self._secret, moment.encode() + b"." + body, hashlib.sha256).hexdigest().encode()
        if not any(hmac.compare_digest(expected, each.encode()) for each in signatures):
            raise _refused("no signature fits: the body was changed, or the secret is another")
        if abs(time.time() - int(moment)) > self._tolerance:
            raise _refused(f"its time is not within {self._tolerance:g} s of ours")


def _parts(header: str) -> tuple[str, list[str]]:
    """The time and the signatures of scheme `v1`; while a secret is rolled there are several."""
    moment, signatures = "", []
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t" and re.fullmatch(r"[0-9]{1,12}", value):
            moment = value
        elif name == "v1" and value.isascii():
            signatures.append(value)
    return moment, signatures[:MOST_SIGNATURES]


def _payment(kind: str, told: Mapping[str, Any]) -> Payment | None:
    if kind == INTENT:
        payment, minor = told["id"], told["amount_received"]
    elif kind in SESSIONS and told["payment_status"] == "paid" and told.get("payment_intent"):
        payment, minor = told["payment_intent"], told["amount_total"]
    else:
        return None
    account = (told.get("metadata") or {}).get("account") or told.get("client_reference_id")
    if not account:
        logger.info("the payment %s names no account and is left alone", payment)
        return None
    if isinstance(minor, bool) or not isinstance(minor, int):
        raise TypeError("an amount that is no whole number")
    currency = str(told["currency"]).upper()
    places = 0 if currency in NO_PLACES else 3 if currency in THREE_PLACES else 2
    return Payment(str(payment), str(account), Decimal(minor).scaleb(-places), currency)


def _refused(why: str) -> Invalid:
    return Invalid(
        f"the callback's signature is not accepted: {why}",
        errors=[Pointer(f"#{HEADER}", why)],
        remedy="Check the endpoint's signing secret in `billing.processors`, and the clocks.",
    )
