"""Sums of the ledger by hour, so that reports over many calls are quick; filled from what is there."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXTS = ("provider", "model", "operation", "cost_kind", "key", "team", "member", "app", "route")
SUMS = (
    "calls", "failed", "cached", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens",
    "nano_usd", "unpriced", "estimated", "duration_ns",
)  # fmt: skip
KEY = ("workspace", "project", "hour_ns", *TEXTS)


def upgrade() -> None:
    op.create_table(
        "gateway_hours",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("hour_ns", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in TEXTS),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in SUMS),
        sa.PrimaryKeyConstraint(*KEY),
        sqlite_with_rowid=False,
    )
    entry = sa.table(
        "gateway_attempts", *(sa.column(name) for name in ("workspace", "project", "at_ns", "status", *TEXTS, *SUMS[3:]))
    )
    hour = entry.c.at_ns - entry.c.at_ns % sa.literal_column("3600000000000")
    group = [entry.c.workspace, entry.c.project, hour, *(entry.c[name] for name in TEXTS)]
    sums = [
        sa.func.count(),
        sa.func.sum(sa.case((entry.c.status.in_(("ok", "cached")), 0), else_=1)),
        sa.func.sum(sa.case((entry.c.status == "cached", 1), else_=0)),
        *(sa.func.coalesce(sa.func.sum(entry.c[name]), 0) for name in SUMS[3:9]),
        sa.func.sum(sa.case((entry.c.nano_usd.is_(None), 1), else_=0)),
        sa.func.sum(sa.case((sa.cast(entry.c.estimated, sa.Boolean), 1), else_=0)),
        sa.func.sum(entry.c.duration_ns),
    ]
    table = sa.table("gateway_hours", *(sa.column(name) for name in (*KEY, *SUMS)))
    op.execute(table.insert().from_select([*KEY, *SUMS], sa.select(*group, *sums).group_by(*group)))


def downgrade() -> None:
    op.drop_table("gateway_hours")
