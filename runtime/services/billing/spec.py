"""The `billing` section: credits, and the payments that buy them."""

from __future__ import annotations

from typing import Annotated, Literal

from runtime.spec.fields import Named, Ref, Section, section, setting
from runtime.spec.kinds import Duration, Form, Secret, Text

Currency = Annotated[
    str,
    Form(
        "Currency",
        "A currency by its code (ISO 4217).",
        pattern=r"^[A-Z]{3}$",
        refusal='not a currency: write the three capital letters of its code, such as "USD"',
        examples=["USD"],
    ),
]


class ProcessorSpec(Section):
    """A payment processor whose signed callbacks buy credits."""

    kind: Literal["stripe"] = setting(..., "How its callbacks are signed.", example="stripe")
    signing_secret: Secret = setting(..., "The secret with which it signs them.", example="${STRIPE_SIGNING_SECRET}")
    tolerance: Duration = setting("5m", "How far a callback's time may be from ours.", example="1m")


class BillingSpec(Section):
    """Credits of accounts."""

    currency: Currency = setting("USD", "The currency of all credits.", example="EUR")
    stream: Annotated[Text, Ref("events.streams")] = setting(
        "billing",
        "The stream of its events: `payment.received`, and `credits.overdrawn` where it has that type.",
        example="billing",
    )
    processors: Named[ProcessorSpec] = section("Payment processors by name, as in `/v1/credits/callbacks/{processor}`.")
