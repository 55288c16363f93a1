"""How long the calls of accounts take over HTTP tells nobody whether an address has an account."""

from __future__ import annotations

import json
import random
import statistics
import time
from http.client import HTTPConnection
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.soak

ROUNDS = 200
ACCOUNTS = 40
PASSWORD = "correct horse battery"
SPEC = {
    "version": 1,
    "name": "times",
    "api": {"rate_limit": "1000000/m"},
    "auth": {"signup": "open", "passwords": {"rounds": 6}},
    "notifications": {"channels": {"email": {"kind": "smtp", "host": "embedded", "from": "Site <site@example.com>"}}},
}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEnvironment]:
    folder = tmp_path_factory.mktemp("times")
    (folder / "spec.yaml").write_text(json.dumps(SPEC))
    with running(folder / "spec.yaml") as environment:
        for number in range(ACCOUNTS):
            made = environment.post("/v1/users", {"email": f"known{number}@example.com", "password": PASSWORD})
            assert made.status == 201
            assert environment.post("/v1/users", {"email": f"invited{number}@example.com"}).status == 201
        yield environment


class Caller:
    """Somebody who asks from an address of their own, so that no limit stands in between."""

    numbers = count(2)

    def __init__(self, at: RunningEnvironment) -> None:
        place, number = urlsplit(at.url), next(self.numbers)
        own = f"127.{number // 62_500 + 1}.{number // 250 % 250}.{number % 250 + 2}"
        self._connection = HTTPConnection(str(place.hostname), place.port, source_address=(own, 0), timeout=30)
        self.ask("GET", "/livez")  # the connection is open, and its way is warm

    def ask(self, method: str, path: str, body: Any = None) -> tuple[float, int, Any]:
        """Milliseconds, status, and what is answered."""
        sent = None if body is None else json.dumps(body)
        begun = time.perf_counter()
        self._connection.request(method, path, sent, {"Content-Type": "application/json"} if sent else {})
        answer = self._connection.getresponse()
        said = answer.read()
        taken = (time.perf_counter() - begun) * 1000
        problem = json.loads(said) if said else {}
        problem.pop("request_id", None)
        return taken, answer.status, problem

    def close(self) -> None:
        self._connection.close()


def compared(
    at: RunningEnvironment, path: str, cases: dict[str, Callable[[int], dict[str, Any]]], status: int
) -> dict[str, list[float]]:
    """The times of each case, taken in turn and in a new order each round; all are answered alike."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(ROUNDS):
        answers = []
        for name in random.sample(list(cases), len(cases)):
            caller = Caller(at)
            milliseconds, seen, said = caller.ask("POST", path, cases[name](number))
            caller.close()
            assert seen == status, (name, said)
            taken[name].append(milliseconds)
            answers.append(said)
        assert all(answer == answers[0] for answer in answers), answers
    return taken


def alike(what: str, taken: dict[str, list[float]]) -> None:
    """The medians differ by no more than a median of so many calls differs from one taken of the same calls."""
    medians = {name: statistics.median(values) for name, values in taken.items()}
    print(f"\n{what}: " + ", ".join(f"{name} {median:.2f} ms" for name, median in medians.items()))
    names = list(taken)
    for name in names[1:]:
        chance = random.Random(4711)
        both = taken[names[0]] + taken[name]
        differences = []
        for _ in range(500):  # as large as it would be if the names were dealt out by chance
            chance.shuffle(both)
            differences.append(abs(statistics.median(both[:ROUNDS]) - statistics.median(both[ROUNDS:])))
        noise = statistics.quantiles(differences, n=1000)[-1]
        seen = abs(medians[name] - medians[names[0]])
        print(f"  {names[0]} and {name} differ by {seen:.3f} ms, chance by {noise:.3f}")
        assert seen <= max(noise, 0.05 * medians[names[0]]), f"{what}: {names[0]} and {name} are told apart"


def known(number: int) -> str:
    return f"known{number % ACCOUNTS}@example.com"


def invited(number: int) -> str:
    return f"invited{number % ACCOUNTS}@example.com"


def unknown(number: int) -> str:
    return f"nobody{number % ACCOUNTS}@example.com"


PEOPLE = {"known": known, "invited": invited, "unknown": unknown}


def test_signing_in_with_a_wrong_password(at: RunningEnvironment) -> None:
    def of(who: Callable[[int], str]) -> Callable[[int], dict[str, Any]]:
        return lambda number: {"email": who(number), "password": "wrong horse battery"}

    alike("sign-in", compared(at, "/v1/auth/login", {name: of(who) for name, who in PEOPLE.items()}, 401))


def test_signing_in_where_it_is_locked(at: RunningEnvironment) -> None:
    taken: dict[str, list[float]] = {name: [] for name in PEOPLE}
    callers = {name: Caller(at) for name in PEOPLE}
    wrong = {name: {"email": who(0), "password": "wrong horse battery"} for name, who in PEOPLE.items()}
    for name, caller in callers.items():
        while caller.ask("POST", "/v1/auth/login", wrong[name])[1] != 429:
            pass
    for _ in range(ROUNDS):
        for name in random.sample(list(callers), len(callers)):
            milliseconds, status, _ = callers[name].ask("POST", "/v1/auth/login", wrong[name])
            assert status == 429
            taken[name].append(milliseconds)
    for caller in callers.values():
        caller.close()
    alike("sign-in, locked", taken)


def test_signing_up(at: RunningEnvironment) -> None:
    def of(who: Callable[[int], str]) -> Callable[[int], dict[str, Any]]:
        return lambda number: {"email": who(number), "password": PASSWORD}

    alike("sign-up", compared(at, "/v1/auth/signup", {name: of(who) for name, who in PEOPLE.items()}, 202))


def test_asking_for_a_new_password(at: RunningEnvironment) -> None:
    def of(who: Callable[[int], str]) -> Callable[[int], dict[str, Any]]:
        return lambda number: {"email": who(number)}

    alike(
        "password reset", compared(at, "/v1/auth/password/reset", {name: of(who) for name, who in PEOPLE.items()}, 202)
    )


@pytest.mark.parametrize("path", ["/v1/auth/password/verify", "/v1/auth/verify"])
def test_trying_a_code(at: RunningEnvironment, path: str) -> None:
    def of(who: Callable[[int], str]) -> Callable[[int], dict[str, Any]]:
        more = {"password": PASSWORD} if "password" in path else {}
        return lambda number: {"email": who(number), "code": "22222-22222", **more}

    alike(f"a wrong code, {path}", compared(at, path, {name: of(who) for name, who in PEOPLE.items()}, 400))
