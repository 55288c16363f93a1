"""How a handler asks for a port by its keyword name: `jobs: Port[Jobs]`, and how it is given it.

Litestar resolves dependencies as if each might wait for something: two or more of them become tasks in a task group,
which costs more than the rest of a request. Ours are there when the application is made, so they are put among the
arguments at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation
from litestar.routes import HTTPRoute

from runtime.errors import Fault
from runtime.http.access import caller_of

T = TypeVar("T")

Port = Annotated[T, *NamedDependency[T].__metadata__, *SkipValidation[T].__metadata__]
"""A dependency that the environment provides under the parameter's name, handed over as it is.

Example:
    >>> @get("/v1/queues", opt=scope("jobs:read"))                                    # doctest: +SKIP
    ... async def queues(jobs: Port[Jobs]) -> dict[str, Any]: ...
"""

CALLER: Final = "caller"

_Extractor = Callable[[dict[str, Any], ASGIConnection[Any, Any, Any, Any]], Awaitable[None]]


def provided(ports: Mapping[str, object]) -> dict[str, Provide]:
    """The ports, and the request's `caller`, as Litestar knows dependencies; `hand_over` puts the values in."""
    return {name: Provide(_missing(name), sync_to_thread=False) for name in (CALLER, *ports)}


def hand_over(app: Litestar, ports: Mapping[str, object]) -> None:
    """Gives every handler its ports from memory, instead of resolving them at each request.

    What else a handler takes is read and checked as ever; one that takes nothing but ports is given them as they are.

    Args:
        app: made with `dependencies=provided(ports)`.

    Raises:
        Fault: a route has dependencies of its own.
    """
    for route in app.routes:
        for handler, model in route.route_handler_map.values() if isinstance(route, HTTPRoute) else ():
            wanted = {dependency.key for batch in model.dependency_batches for dependency in batch}
            if foreign := wanted - {CALLER, *ports}:
                raise Fault(f"{route.path_format} has dependencies that are no ports: {', '.join(sorted(foreign))}")
            if wanted:
                model.dependency_batches = []
                model.extractors.append(_extractor({name: ports[name] for name in wanted - {CALLER}}, CALLER in wanted))
                if wanted == set(handler.signature_model._fields):
                    handler.signature_model.parse_values_from_connection_kwargs = _as_they_are  # type: ignore[method-assign]


def _extractor(values: Mapping[str, object], with_caller: bool) -> _Extractor:
    async def extract(arguments: dict[str, Any], connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        arguments.update(values)
        if with_caller:
            arguments[CALLER] = caller_of(connection.scope)

    return extract


def _as_they_are(connection: object, kwargs: dict[str, Any]) -> dict[str, Any]:
    return kwargs


def _missing(name: str) -> Callable[[], Any]:
    def provide() -> Any:
        raise Fault(f'the port "{name}" was not handed over')

    return provide
