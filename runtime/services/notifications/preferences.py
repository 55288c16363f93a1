"""Which addresses of a recipient a notification goes to: the settings, the category and what is known of addresses.

Pure functions: the same question gives the same answer, at enqueue and at send.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from runtime.services.notifications.channels.port import Kind
    from runtime.services.notifications.settings import Settings
    from runtime.services.notifications.spec import CategorySpec

OFF: Final = "notifications are switched off"
CATEGORY_OFF: Final = "the category is switched off"
CHANNEL_OFF: Final = "the channel is switched off"
CATEGORY_CHANNEL_OFF: Final = "the channel is switched off for the category"
EXCLUDED: Final = "not among the included addresses"
UNVERIFIED: Final = "the address is not verified"
NOWHERE: Final = "no address"
SUPPRESSED: Final = "the address is suppressed"
OVER_LIMIT: Final = "over the daily limit: inbox only"
ONLINE: Final = "the user is online"
TAKEN: Final = "the user's open connection took it"
PUSH_AND_MAIL: Final[frozenset[Kind]] = frozenset({"push", "email"})


@dataclass(frozen=True, slots=True)
class Reachable:
    """Where a recipient can be reached: by kind, each address with whether it is verified, the preferred one first."""

    addresses: Mapping[Kind, Sequence[tuple[str, bool]]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one address of a recipient gets a notification.

    Args:
        address: empty for the inbox, and where there is no address or no matter which.
        reason: why not; empty where it does.
    """

    kind: Kind
    address: str
    reason: str = ""

    @property
    def sends(self) -> bool:
        return not self.reason


def verdicts(
    name: str,
    category: CategorySpec,
    kinds: Iterable[Kind],
    settings: Settings,
    reachable: Reachable,
    suppressed: Collection[tuple[Kind, str]],
) -> list[Verdict]:
    """A verdict for each address of each kind, in the order of the kinds; at least one for each kind.

    Args:
        name: of the category.
        kinds: of the category's channels.
        suppressed: addresses that get nothing more, whoever wants what.

    Example:
        >>> verdicts("run", category, ["in_app"], Settings(enabled=False), Reachable({}), ())     # doctest: +SKIP
        [Verdict(kind='in_app', address='', reason='notifications are switched off')]
    """
    found: list[Verdict] = []
    for kind in kinds:
        off = "" if category.mandatory else switched_off(name, category, kind, settings)
        if off or kind == "in_app":
            found.append(Verdict(kind, "", off))
        else:
            found += _by_address(category, kind, settings, reachable, suppressed)
    return found


def switched_off(name: str, category: CategorySpec, kind: Kind, settings: Settings) -> str:
    """Why a user does not want a category on a channel; empty where they do."""
    if not settings.enabled:
        return OFF
    own = settings.of(name)
    wanted = own.enabled if own.enabled is not None else category.default == "in"
    if not wanted:
        return CATEGORY_OFF
    if not settings.allows(kind):
        return CHANNEL_OFF
    return "" if own.allows(kind) else CATEGORY_CHANNEL_OFF


def _by_address(
    category: CategorySpec,
    kind: Kind,
    settings: Settings,
    reachable: Reachable,
    suppressed: Collection[tuple[Kind, str]],
) -> list[Verdict]:
    known = list(reachable.addresses.get(kind, ()))
    chosen = settings.included(kind)
    if category.mandatory and not any(address in (chosen or ()) for address, _ in known):
        chosen = None  # what must come comes to the address that they sign in with
    if chosen is None:
        wanted = known if kind == "push" else known[:1]
    else:
        wanted = [(address, verified) for address, verified in known if address in chosen]
    if not wanted:
        return [Verdict(kind, "", EXCLUDED if known else NOWHERE)]
    return [Verdict(kind, address, _against(kind, address, verified, suppressed)) for address, verified in wanted]


def _against(kind: Kind, address: str, verified: bool, suppressed: Collection[tuple[Kind, str]]) -> str:
    if not verified:
        return UNVERIFIED
    return SUPPRESSED if (kind, address) in suppressed else ""


def limit_of(name: str, category: CategorySpec, settings: Settings) -> int | None:
    """How many of a category may disturb a user in a day; None for any number."""
    if category.mandatory:
        return None
    limits = [limit for limit in (category.daily_limit, settings.of(name).daily_limit) if limit is not None]
    return min(limits, default=None)
