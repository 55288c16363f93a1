"""The `storage` section: where the state lives."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from runtime.spec.fields import Section, StatePath, setting

RedisAddress = Annotated[
    str, StringConstraints(strict=True, pattern=r"^(embedded|rediss?://\S+|unix:///\S+)$")
]
DatabaseAddress = Annotated[
    str, StringConstraints(strict=True, pattern=r"^(sqlite|sqlite:///\S+|postgres(ql)?://\S+)$")
]


class StorageSpec(Section):
    """Where the state of the environment lives."""

    path: StatePath = setting(
        ".runtime",
        "The state folder: database, embedded Redis, keys and caught mails; relative to the folder of the root spec.",
        example="/var/lib/core-services",
    )
    redis: RedisAddress = setting(
        "embedded",
        "`embedded` (a real Valkey server, started and owned by the runtime) or the address of a Redis server.",
        example="rediss://:${REDIS_PASSWORD}@redis.internal:6380/0",
    )
    database: DatabaseAddress = setting(
        "sqlite",
        "`sqlite` (a file in the state folder), `sqlite:///` with a path relative to the folder of the root spec, or the "
        "address of a PostgreSQL server.",
        example="postgresql://core:${POSTGRES_PASSWORD}@postgres.internal/core",
    )
