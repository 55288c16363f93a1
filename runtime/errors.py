"""Every error that the runtime raises on purpose, as one tree.

    Fault                        what went wrong, and what to do about it
    ├── SpecFault                the file is wrong; carries its diagnostics
    ├── UsageFault               the command line is wrong
    ├── AlreadyRunning           another process owns this state folder
    ├── StartFailed              a component could not start
    ├── Unreachable              a dependency does not answer
    ├── NotRunning               no environment runs where one is asked for
    ├── NotBuilt                 declared in the spec, not built in this version
    └── RequestFault             the caller's request is at fault
        ├── Invalid              400  wrong body or parameter, with JSON pointers
        ├── Unauthenticated      401
        ├── InsufficientCredit   402
        ├── Forbidden            403
        ├── NotFound             404  with the nearest name
        ├── Conflict             409
        ├── Outdated             412  what the request was made for has changed since
        ├── TooLarge             413
        ├── Undone               422  an apply failed, and what ran before runs on; 503 where it was for a dependency
        └── TooMany              429  with the seconds to wait

`exit_code` is what the command line ends with (0 done, 1 the spec or the request, 2 usage, 3 a dependency), `status`
what the HTTP API answers. A message says what, where and why; `remedy` says what to do. Neither ever holds a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.spec.diagnostics import Diagnostic


class Fault(Exception):  # noqa: N818 - the word of this project for an error that explains itself
    """The root of the tree.

    Args:
        message: what went wrong, where and why, in one sentence.
        remedy: what the reader can do about it, in one sentence.
    """

    exit_code: int = 1
    status: int = 500
    title: str = "Internal error"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


class SpecFault(Fault):
    """The spec is wrong. All its errors are in `diagnostics`, never only the first.

    Where nothing is wrong but that what it names does not answer, this is the fault of a dependency.
    """

    status = 400
    title = "The spec is wrong"

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        count = len(diagnostics)
        super().__init__(f"{count} error{'s' if count != 1 else ''} in the spec")
        self.diagnostics = tuple(diagnostics)
        if diagnostics and all(each.away for each in diagnostics):
            self.exit_code, self.status, self.title = Unreachable.exit_code, Unreachable.status, Unreachable.title


class UsageFault(Fault):
    exit_code = 2
    status = 400
    title = "Wrong usage"


class AlreadyRunning(Fault):
    status = 409
    title = "Already running"


class StartFailed(Fault):
    """A component could not start; what had been started for it was stopped again."""

    title = "A component could not start"

    def __init__(self, component: str, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{component}: {message}", remedy=remedy)
        self.component = component


class Unreachable(Fault):
    """A dependency does not answer.

    Args:
        name: the component's id, `storage.redis`.
        address: where it was looked for, without a password.
        reason: what the connection said.
    """

    exit_code = 3
    status = 503
    title = "A dependency is out of reach"

    def __init__(self, name: str, address: str, reason: str, *, remedy: str = "") -> None:
        super().__init__(f"{name}: cannot reach {address}: {reason}", remedy=remedy)
        self.name = name
        self.address = address
        self.reason = reason


class NotRunning(Fault):
    """No environment runs on the state folder that a command asks for."""

    exit_code = 3
    status = 503
    title = "Not running"


class NotBuilt(Fault):
    """The spec declares it, this version does not run it yet. Never pretend otherwise."""

    status = 501
    title = "Not built"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not built in this version", remedy="See CHANGELOG.md for what is.")


class Pointer(NamedTuple):
    """One wrong place in a request body: a JSON pointer (RFC 6901) and what is wrong there."""

    pointer: str
    detail: str


class RequestFault(Fault):
    status = 400
    title = "Bad request"


class Invalid(RequestFault):
    title = "Invalid request"

    def __init__(self, message: str, *, errors: Sequence[Pointer] = (), remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.errors = tuple(errors)


class Unauthenticated(RequestFault):
    status = 401
    title = "Not signed in"


class InsufficientCredit(RequestFault):
    """It costs more than the account has."""

    status = 402
    title = "Not enough credit"


class Forbidden(RequestFault):
    status = 403
    title = "Not allowed"


class NotFound(RequestFault):
    status = 404
    title = "Not found"


class Conflict(RequestFault):
    status = 409
    title = "Conflict"


class Outdated(RequestFault):
    """What the request was made for has changed since: `If-Match` does not hold."""

    status = 412
    title = "Changed meanwhile"


class Undone(RequestFault):
    """An apply failed and was undone; what ran before runs on.

    Args:
        cause: the first failure.
        mask: hides secrets in its words.
    """

    status = 422
    title = "The apply was undone"

    def __init__(self, cause: Fault, *, mask: Callable[[str], str] = str) -> None:
        super().__init__(mask(f"the apply was undone, what ran before runs on: {cause.message}"), remedy=cause.remedy)
        if cause.exit_code == Unreachable.exit_code:
            self.exit_code, self.status = Unreachable.exit_code, Unreachable.status


class TooLarge(RequestFault):
    status = 413
    title = "Too large"


class TooMany(RequestFault):
    """A limit is reached.

    Args:
        retry_after: seconds until it makes sense to ask again.
    """

    status = 429
    title = "Too many requests"

    def __init__(self, message: str, *, retry_after: float, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after
