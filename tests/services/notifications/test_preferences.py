"""Preferences against a model that asks one plain question of each address."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from runtime.services.notifications.preferences import Reachable, limit_of, verdicts
from runtime.services.notifications.settings import INCLUDED, SWITCHES, CategorySettings, Settings
from runtime.services.notifications.spec import CategorySpec

KINDS: list[Any] = ["email", "push", "sms"]
ADDRESSES = {"email": ["a@x", "b@x", "c@x"], "push": ["d1", "d2"], "sms": ["+1", "+2"]}


def category(**more: Any) -> CategorySpec:
    return CategorySpec.model_validate({"channels": ["in_app"], "template": "t", **more})


on = st.sampled_from([True, True, True, True, False])
"""What is mostly on, so that one thing that is off is often the only one, and decides."""
chosen = st.none() | st.lists(st.sampled_from([each for some in ADDRESSES.values() for each in some]), max_size=4)
own = st.builds(
    CategorySettings,
    enabled=st.none() | on,
    to_push=on,
    to_emails=on,
    to_sms=on,
    daily_limit=st.none() | st.integers(0, 5),
)
settings = st.builds(
    Settings,
    enabled=on,
    to_push=on,
    to_emails=on,
    to_sms=on,
    categories=st.dictionaries(st.sampled_from(["news", "other"]), own),
    included_emails=chosen,
    included_push=chosen,
    included_sms=chosen,
)
reachable = st.fixed_dictionaries(
    {kind: st.lists(st.tuples(st.sampled_from(ADDRESSES[kind]), on), unique_by=lambda pair: pair[0]) for kind in KINDS}
)
suppressed = st.sets(st.sampled_from([(kind, each) for kind in KINDS for each in ADDRESSES[kind]]), max_size=3)
categories = st.builds(
    lambda free, default: category(mandatory=not free, default=default),
    on,
    st.sampled_from(["in", "in", "out"]),
)


def wanted(kind: Any, spec: CategorySpec, user: Settings) -> bool:
    """Whether the user has left everything on that leads to a channel."""
    mine = user.categories.get("news")
    on = mine.enabled if mine and mine.enabled is not None else spec.default == "in"
    if kind == "in_app":
        return user.enabled and on
    return bool(
        user.enabled and on and getattr(user, SWITCHES[kind]) and (mine is None or getattr(mine, SWITCHES[kind]))
    )


def addresses(kind: Any, spec: CategorySpec, user: Settings, known: list[tuple[str, bool]]) -> set[str]:
    """The addresses that the user has chosen, as far as they are the user's."""
    names = [address for address, _ in known]
    listed = getattr(user, INCLUDED[kind])
    if listed is not None and not (spec.mandatory and not set(listed) & set(names)):
        return set(listed) & set(names)
    return set(names if kind == "push" else names[:1])


@property_settings(max_examples=300)
@given(categories, settings, reachable, suppressed)
def test_the_model_agrees(spec: CategorySpec, user: Settings, known: Any, against: set[Any]) -> None:
    found = verdicts("news", spec, ["in_app", *KINDS], user, Reachable(known), against)
    for kind in KINDS:
        sent = {each.address for each in found if each.kind == kind and each.sends}
        expected = {
            address
            for address, verified in known[kind]
            if (spec.mandatory or wanted(kind, spec, user))
            and address in addresses(kind, spec, user, known[kind])
            and verified
            and (kind, address) not in against
        }
        assert sent == expected
        assert all(each.reason for each in found if not each.sends)
        assert any(each.kind == kind for each in found)  # what is not sent is recorded
    (inbox,) = [each for each in found if each.kind == "in_app"]
    assert inbox.sends == (spec.mandatory or wanted("in_app", spec, user))


@given(settings, reachable, st.sampled_from(KINDS))
def test_reference_fault_4_a_channel_that_is_off_reaches_nothing(user: Settings, known: Any, kind: Any) -> None:
    """The fourth fault of the reference: an empty choice was taken for no choice."""
    off = msgspec.structs.replace(user, **{SWITCHES[kind]: False})
    none = msgspec.structs.replace(user, **{INCLUDED[kind]: []})
    for choice in (off, none):
        assert not any(each.sends for each in verdicts("news", category(), [kind], choice, Reachable(known), ()))


@given(settings)
def test_settings_are_kept_as_they_are(user: Settings) -> None:
    assert msgspec.json.decode(msgspec.json.encode(user), type=Settings) == user


@given(settings)
def test_an_unsubscription_ends_one_thing_alone(user: Settings) -> None:
    after = user.without("news", "email")
    assert not after.of("news").allows("email")
    assert after.without("news", "email") == after
    back = {**user.categories, "news": msgspec.structs.replace(after.of("news"), to_emails=user.of("news").to_emails)}
    assert msgspec.structs.replace(after, categories=back) == msgspec.structs.replace(
        user, categories={**user.categories, "news": user.of("news")}
    )


@pytest.mark.parametrize(
    ("spec", "user", "limit"),
    [
        ({}, {}, None),
        ({"daily_limit": 5}, {}, 5),
        ({}, {"daily_limit": 2}, 2),
        ({"daily_limit": 5}, {"daily_limit": 9}, 5),
        ({"daily_limit": 5}, {"daily_limit": 0}, 0),
        ({"daily_limit": 5, "mandatory": True}, {}, None),
    ],
)
def test_the_tighter_limit_holds(spec: dict[str, Any], user: dict[str, Any], limit: int | None) -> None:
    mine = Settings(categories={"news": CategorySettings(**user)})
    assert limit_of("news", category(**spec), mine) == limit


@pytest.mark.parametrize(
    "wrong",
    [
        {"enabled": "yes"},
        {"categories": {"news": {"to_fax": True}}},
        {"quiet_hours": {"start": "24:00", "end": "07:00"}},
        {"quiet_hours": {"start": "22:00"}},
        {"included_emails": "a@x"},
        {"categories": {"news": {"daily_limit": -1}}},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Settings)
