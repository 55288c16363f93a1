"""What a user wants to be told, and by what: the settings, as the API takes and shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from runtime.services.notifications.channels.port import Kind

Clock = Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Limit = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Chosen = Annotated[list[Annotated[str, msgspec.Meta(max_length=330)]], msgspec.Meta(max_length=50)]

SWITCHES: Final[Mapping[Kind, str]] = {"email": "to_emails", "push": "to_push", "sms": "to_sms"}
INCLUDED: Final[Mapping[Kind, str]] = {"email": "included_emails", "push": "included_push", "sms": "included_sms"}


class QuietHours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hours of the user's own clock in which only what is urgent disturbs; none where both ends are the same."""

    start: Clock
    end: Clock

    @property
    def minutes(self) -> tuple[int, int]:
        """Both ends, in minutes of the day."""
        return _minutes(self.start), _minutes(self.end)


class CategorySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user wants of one category.

    Args:
        enabled: None for what the category's `default` says.
        daily_limit: how many a day; the category's own limit holds too.
    """

    enabled: bool | None = None
    to_push: bool = True
    to_emails: bool = True
    to_sms: bool = True
    daily_limit: Limit | None = None

    def allows(self, kind: Kind) -> bool:
        """Whether a channel is wanted."""
        return kind == "in_app" or bool(getattr(self, SWITCHES[kind]))


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user's settings for notifications.

    Args:
        enabled: the global switch; without it only mandatory categories come.
        to_push: whether anything is pushed to any device; likewise `to_emails`, `to_sms`.
        included_emails: addresses that get mails; None for the one that the user signs in with, an empty list for none.
        included_push: devices, by the id of their subscription; None for all of them, an empty list for none.
        included_sms: numbers; None for the first one, an empty list for none.
        quiet_hours: None for those of the spec.
    """

    enabled: bool = True
    to_push: bool = True
    to_emails: bool = True
    to_sms: bool = True
    categories: dict[str, CategorySettings] = {}
    included_emails: Chosen | None = None
    included_push: Chosen | None = None
    included_sms: Chosen | None = None
    quiet_hours: QuietHours | None = None

    def of(self, category: str) -> CategorySettings:
        """What is wanted of a category."""
        return self.categories.get(category) or CategorySettings()

    def allows(self, kind: Kind) -> bool:
        """Whether a channel is wanted at all."""
        return kind == "in_app" or bool(getattr(self, SWITCHES[kind]))

    def included(self, kind: Kind) -> list[str] | None:
        """Which addresses of a channel are wanted; None where the user has not chosen."""
        found: list[str] | None = getattr(self, INCLUDED[kind])
        return found

    def without(self, category: str, kind: Kind) -> Settings:
        """The settings, with one channel of one category switched off."""
        off = msgspec.structs.replace(self.of(category), **{SWITCHES[kind]: False})
        return msgspec.structs.replace(self, categories={**self.categories, category: off})


def _minutes(clock: str) -> int:
    match = re.fullmatch(r"(\d\d):(\d\d)", clock)
    return int(match[1]) * 60 + int(match[2]) if match else 0
