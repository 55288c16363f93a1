"""The `storage` section: where the state lives."""

from __future__ import annotations

from typing import Annotated

from runtime.spec.fields import Section, setting
from runtime.spec.kinds import Form, StatePath

RedisAddress = Annotated[
    str,
    Form(
        "RedisAddress",
        "`embedded`, or a redis://, rediss:// or unix:// address.",
        pattern=r"^(embedded|rediss?://\S+|unix:///\S+)$",
        refusal='not a Redis: write "embedded", or an address such as "redis://localhost:6379/0"',
        examples=["embedded", "redis://localhost:6379/0", "unix:///run/redis.sock"],
    ),
]

DatabaseAddress = Annotated[
    str,
    Form(
        "DatabaseAddress",
        "`sqlite`, or a sqlite:/// or postgresql:// address.",
        pattern=r"^(sqlite|sqlite:///\S+|postgres(ql)?://\S+)$",
        refusal='not a database: write "sqlite", or an address such as "postgresql://user@host/name"',
        examples=["sqlite", "sqlite:///state/core.db", "postgresql://core@localhost/core"],
    ),
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
        "`sqlite` (a file in the state folder), `sqlite:///` with a path relative to the folder of the "
        "root spec, or the "
        "address of a PostgreSQL server.",
        example="postgresql://core:${POSTGRES_PASSWORD}@postgres.internal/core",
    )
