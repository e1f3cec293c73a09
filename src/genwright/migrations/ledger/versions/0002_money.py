"""Who and what an attempt was for; what budgets and limits work with."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXTS = {
    "cost_kind": "inference", "team": "", "member": "", "app": "", "route": "", "session": "", "user": "", "price_source": "",
}  # fmt: skip


def upgrade() -> None:
    with op.batch_alter_table("gateway_attempts") as table:
        for name, value in TEXTS.items():
            table.add_column(sa.Column(name, sa.Text(), nullable=False, server_default=value))
        for name in ("cache_write_tokens", "reasoning_tokens"):
            table.add_column(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
        for name in ("tags", "units"):
            table.add_column(sa.Column(name, sa.LargeBinary(), nullable=True))
    op.create_table(
        "gateway_counters",
        *_scoped(),
        sa.Column("limit_id", sa.Text(), nullable=False),
        sa.Column("window_ns", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("leased", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "limit_id", "window_ns"),
    )
    op.create_table(
        "gateway_holds",
        *_scoped(),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.LargeBinary(), nullable=False),
        sa.Column("attempt", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "id"),
    )
    op.create_index("gateway_holds_server", "gateway_holds", ["server"], unique=False)
    op.create_table(
        "gateway_servers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "gateway_limit_events",
        *_scoped(),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("limit_id", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("window_ns", sa.BigInteger(), nullable=False),
        sa.Column("percent", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "id"),
    )
    op.create_index("gateway_limit_events_time", "gateway_limit_events", ["workspace", "project", "at_ns"], unique=False)
    op.create_table(
        "gateway_answers",
        *_scoped(),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("workspace", "actor", "key"),
    )
    op.create_index("gateway_answers_time", "gateway_answers", ["at_ns"], unique=False)


def downgrade() -> None:
    for table in ("gateway_answers", "gateway_limit_events", "gateway_servers", "gateway_holds", "gateway_counters"):
        op.drop_table(table)
    with op.batch_alter_table("gateway_attempts") as attempts:
        for name in (*TEXTS, "cache_write_tokens", "reasoning_tokens", "tags", "units"):
            attempts.drop_column(name)


def _scoped() -> list[sa.Column]:
    return [sa.Column("workspace", sa.Text(), nullable=False), sa.Column("project", sa.Text(), nullable=False)]
