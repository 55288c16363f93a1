"""How a handler asks for a port by its keyword name: `jobs: Port[Jobs]`."""

from typing import Annotated, TypeVar

from litestar.di import NamedDependency
from litestar.params import SkipValidation

T = TypeVar("T")

Port = Annotated[T, *NamedDependency[T].__metadata__, *SkipValidation[T].__metadata__]
"""A dependency that the environment provides under the parameter's name, handed over as it is.

Example:
    >>> @get("/v1/queues", opt=scope("jobs:read"))                                    # doctest: +SKIP
    ... async def queues(jobs: Port[Jobs]) -> dict[str, Any]: ...
"""
