"""The audit trail: entries are never changed, and are removed from the old end only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

FORBIDDEN = "the audit trail is append-only"
GENESIS = "0" * 64


def upgrade() -> None:
    number = sa.BigInteger()
    op.create_table(
        "audit",
        sa.Column("seq", number.with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("time", number, nullable=False, index=True),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(100), nullable=False),
        sa.Column("target", sa.String(255), nullable=True),
        sa.Column("outcome", sa.String(10), nullable=False),
        sa.Column("request", sa.String(128), nullable=True),
        sa.Column("address", sa.String(64), nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("key", sa.String(16), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    for column in ("actor", "action", "target"):
        op.create_index(f"audit_{column}", "audit", [column, "seq"])
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
        sa.Column("seq", number, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("anchor_seq", number, nullable=False),
        sa.Column("anchor_hash", sa.String(64), nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "seq": 0, "hash": GENESIS, "anchor_seq": 0, "anchor_hash": GENESIS}])
    _append_only()


def _append_only() -> None:
    if op.get_bind().dialect.name == "sqlite":
        raises = f"BEGIN SELECT RAISE(ABORT, '{FORBIDDEN}'); END"
        op.execute(f"CREATE TRIGGER audit_update BEFORE UPDATE ON audit {raises}")
        kept = "WHEN OLD.seq > (SELECT anchor_seq FROM audit_head)"
        op.execute(f"CREATE TRIGGER audit_delete BEFORE DELETE ON audit {kept} {raises}")
        return
    removed = "IF OLD.seq <= (SELECT anchor_seq FROM audit_head) THEN RETURN OLD; END IF"
    op.execute(
        "CREATE FUNCTION audit_keep() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF TG_OP = 'DELETE' THEN {removed}; END IF; RAISE EXCEPTION '{FORBIDDEN}'; END $$"
    )
    op.execute("CREATE TRIGGER audit_keep BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_keep()")
    op.execute("CREATE TRIGGER audit_stay BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_keep()")


def downgrade() -> None:
    op.drop_table("audit")
    op.drop_table("audit_head")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_keep()")
