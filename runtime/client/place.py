"""Where an environment answers, and with which key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from runtime.client.refusals import Away
from runtime.errors import Fault, UsageFault
from runtime.running import find_on, state_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.state import StateFolder

SPEC: Final = "RUNTIME_SPEC"
URL: Final = "RUNTIME_URL"
KEY: Final = "RUNTIME_API_KEY"
_REMEDY: Final = (
    f'Give the spec that runs on this machine, Client("spec.yaml"), or Client(url=…, api_key=…); '
    f"the environment variables {SPEC}, or {URL} and {KEY}, say the same."
)


class Address(NamedTuple):
    """Args:
    url: without a slash at its end.
    key: the operator's, or an API key.
    """

    url: str
    key: str


class Place(Protocol):
    """What finds an environment."""

    def look(self) -> Address:
        """Where it answers now.

        Raises:
            Fault: it does not run.
        """
        ...


class Elsewhere:
    """An environment that is known by its address.

    Args:
        address: where, and the key.
    """

    def __init__(self, address: Address) -> None:
        self._address = address

    def look(self) -> Address:
        return self._address


class Here:
    """The environment that runs a spec on this machine; after a restart it may answer elsewhere.

    Args:
        spec: the file.
    """

    def __init__(self, spec: Path) -> None:
        self._spec = spec
        self._state: StateFolder | None = None

    def look(self) -> Address:
        if self._state is None:
            self._state = state_of(self._spec)
        found = find_on(self._state, str(self._spec))
        return Address(found.holder.address, found.key())


def lost(place: Place, address: Address, reason: str) -> Fault:
    """The error for a connection that could not be opened, or broke: where nothing runs any more, it says so."""
    try:
        place.look()
    except Fault as fault:
        return fault
    return Away(address.url, reason)


def place_of(
    spec: str | os.PathLike[str] | None,
    url: str | None,
    api_key: str | None,
    environ: Mapping[str, str] = os.environ,
) -> Place:
    """What finds the environment that somebody means.

    Args:
        spec: a spec that runs on this machine.
        url: where an environment answers.
        api_key: the key for that address.
        environ: names it where nothing else does.

    Raises:
        UsageFault: nobody says which environment, or half of it.
    """
    if spec is None and url is None:
        spec, url = environ.get(SPEC), environ.get(URL)
        spec = None if url else spec
    if spec is not None and url is not None:
        raise UsageFault("a spec and an address are two environments", remedy=_REMEDY)
    if url is not None:
        key = api_key or environ.get(KEY)
        if not key:
            raise UsageFault("the key for the environment is missing", remedy=_REMEDY)
        if urlsplit(url).scheme not in ("http", "https"):
            raise UsageFault(f"no address of an environment: {url[:100]}", remedy="Write it as https://example.com.")
        return Elsewhere(Address(url.rstrip("/"), key))
    if not spec:
        raise UsageFault("nothing says which environment is meant", remedy=_REMEDY)
    return Here(Path(spec))
