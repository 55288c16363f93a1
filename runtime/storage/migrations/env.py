"""What Alembic runs: the connection comes from `runtime.storage.schema`, in a transaction of its own."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
