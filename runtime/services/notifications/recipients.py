"""What is known of recipients: who they are, what they want, where they can be reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runtime.services.notifications.ports import Person
from runtime.services.notifications.preferences import Reachable
from runtime.services.notifications.settings import Settings
from runtime.services.notifications.store import addresses, preferences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime.services.notifications.channels.port import Kind
    from runtime.services.notifications.ports import People

STRANGER: Final = "email:"
"""What the name of a recipient begins with who has no account but an address."""
PHONE: Final = "phone:"
"""The same of one who has but a number."""


@dataclass(frozen=True, slots=True)
class Known:
    """A recipient.

    Args:
        suppressed: those of the addresses that get nothing more.
    """

    person: Person
    settings: Settings
    reachable: Reachable
    suppressed: frozenset[tuple[Kind, str]]


def has_account(name: str) -> bool:
    """Whether a recipient is a user."""
    return not name.startswith((STRANGER, PHONE))


async def people_of(people: People | None, recipients: Sequence[str]) -> dict[str, Person]:
    """The recipients that there are, by name. Asked before a transaction begins: it takes a connection of its own."""
    users = [name for name in recipients if has_account(name)]
    found: dict[str, Person] = {}
    if users and people is not None:
        found.update(await people.find(users))
    for name in recipients:
        if name.startswith(STRANGER):
            found[name] = Person(name, None, None, (), ((name.removeprefix(STRANGER), True),))
        elif name.startswith(PHONE):
            found[name] = Person(name, None, None, (), (), ((name.removeprefix(PHONE), True),))
    return found


async def known(connection: AsyncConnection, found: Mapping[str, Person]) -> dict[str, Known]:
    """What the tables say of recipients."""
    names = list(found)
    settings = await preferences.several(connection, names)
    devices = await addresses.devices(connection, [name for name in names if has_account(name)])
    reachable = {name: _reachable(person, devices.get(name, ())) for name, person in found.items()}
    every = {address for each in reachable.values() for kind in ("email", "sms") for address, _ in _of(each, kind)}
    against = await addresses.suppressed(connection, sorted(every))
    return {
        name: Known(
            person,
            settings.get(name) or Settings(),
            reachable[name],
            frozenset(
                pair for pair in against if any(pair[1] == address for address, _ in _of(reachable[name], pair[0]))
            ),
        )
        for name, person in found.items()
    }


def _of(reachable: Reachable, kind: Any) -> Sequence[tuple[str, bool]]:
    return reachable.addresses.get(kind, ())


def _reachable(person: Person, devices: Sequence[str]) -> Reachable:
    return Reachable(
        {"email": tuple(person.emails), "sms": tuple(person.phones), "push": tuple((id_, True) for id_ in devices)}
    )
