"""What callers ask for, checked: everything that is wrong with a notification is said before anything is stored."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Invalid, Pointer
from runtime.services.phones import e164

if TYPE_CHECKING:
    from runtime.services.notifications.ports import Audience, Notice, People

LARGEST_DATA: Final = 64 * 1024
MOST_USERS: Final = 20_000
FURTHEST: Final = timedelta(days=366)
MOST_DELAYS: Final = 10
LOOKUP: Final = 500
_EMAIL: Final = re.compile(r"[^@\s<>(),;:\\\"\x00-\x1f]{1,64}@[^@\s<>(),;:\\\"\x00-\x1f]{1,250}")
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""In JSON, a NUL and not the text of one."""
_LINK: Final = re.compile(r"(https?://|/)[^\s\x00-\x1f]*")


async def require_good(notice: Notice, to: Audience, people: People | None) -> None:
    """Refuses a notification that cannot be sent as it is.

    Raises:
        Invalid: names each wrong place.
    """
    wrong = [*_wrong_audience(to, people), *_wrong_options(notice), *_unfit(notice, to)]
    if not wrong and to.users and people is not None:
        wrong = await _unknown(to, people)
    if wrong:
        raise Invalid(f"the notification was not taken: {wrong[0].detail}", errors=wrong[:50])


def fingerprint(notice: Notice, to: Audience) -> str:
    """A digest of what was asked for."""
    audience = asdict(to)
    if not to.phones:  # keys that were used before there were phones stay good
        del audience["phones"]
    asked = {"notice": asdict(notice), "to": audience}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()


def operation(by: str, key: str) -> str:
    """The name under which a caller's key is kept: keys of two callers are two."""
    return hashlib.sha256(f"{by}\0{key}".encode()).hexdigest()


def normal(email: str) -> str:
    """An address as it is compared."""
    return email.strip().lower()


def _wrong_audience(to: Audience, people: People | None) -> list[Pointer]:
    wrong = []
    if not (to.users or to.emails or to.phones or to.topic or to.everyone):
        wrong.append(Pointer("/to", "name users, emails, phones, a topic or all"))
    if (to.users or to.everyone or to.topic) and people is None:
        wrong.append(Pointer("/to", "the spec declares no accounts (`auth`), so that there are only emails and phones"))
    if len(to.users) + len(to.emails) + len(to.phones) > MOST_USERS:
        wrong.append(Pointer("/to", f"at most {MOST_USERS:,} by name; larger audiences are topics"))
    for place, email in enumerate(to.emails):
        if not _EMAIL.fullmatch(normal(email)):
            wrong.append(Pointer(f"/to/emails/{place}", "this is no e-mail address"))
    for place, phone in enumerate(to.phones):
        try:
            e164(phone)
        except ValueError as error:
            wrong.append(Pointer(f"/to/phones/{place}", f"{error}: write it as +43 660 1234567"))
    return wrong


def _wrong_options(notice: Notice) -> list[Pointer]:
    wrong = []
    try:
        size = len(json.dumps(notice.data, allow_nan=False))
        if size > LARGEST_DATA:
            wrong.append(Pointer("/data", f"at most {LARGEST_DATA:,} bytes as JSON, these are {size:,}"))
    except (TypeError, ValueError, RecursionError) as error:
        wrong.append(Pointer("/data", f"no JSON values: {error}"[:200]))
    if notice.at is not None and notice.at.tzinfo is None:
        wrong.append(Pointer("/at", "a time needs its offset from UTC, such as 2026-01-05T08:00:00Z"))
    elif notice.at is not None and notice.at > datetime.now(UTC) + FURTHEST:
        wrong.append(Pointer("/at", "at most a year ahead"))
    delays = notice.delays or ()
    if len(delays) > MOST_DELAYS or not all(1 <= each <= FURTHEST.total_seconds() for each in delays):
        wrong.append(Pointer("/delays", f"at most {MOST_DELAYS}, each from a second to a year"))
    if notice.link is not None and (len(notice.link) > 2000 or not _LINK.fullmatch(notice.link)):
        wrong.append(Pointer("/link", "an http address, or a path that begins with /"))
    if notice.key is not None and not 1 <= len(notice.key) <= 255:
        wrong.append(Pointer("/key", "from 1 to 255 characters"))
    return wrong


def _unfit(notice: Notice, to: Audience) -> list[Pointer]:
    """Texts that no database keeps."""
    wrong = []
    for where, value in (("/data", notice.data), ("/to", asdict(to)), ("/link", notice.link), ("/key", notice.key)):
        try:
            shown = json.dumps(value, ensure_ascii=False)
            shown.encode()
        except UnicodeEncodeError:
            wrong.append(Pointer(where, "a text has half a character (a lone surrogate)"))
        except (TypeError, ValueError, RecursionError):  # `_wrong_options` says so
            continue
        else:
            if _NUL.search(shown):
                wrong.append(Pointer(where, "a text has NUL (U+0000)"))
    return wrong


async def _unknown(to: Audience, people: People) -> list[Pointer]:
    users: list[Any] = list(dict.fromkeys(to.users))
    wrong = []
    for first in range(0, len(users), LOOKUP):
        some = users[first : first + LOOKUP]
        found = await people.find(some)
        wrong += [
            Pointer(f"/to/users/{to.users.index(each)}", "there is no such user") for each in some if each not in found
        ]
    return wrong
