"""Answers that may be used again, and each time one was."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gateway_cache_entries",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("trace", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.Column("used_ns", sa.BigInteger(), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("duration_ns", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=True),
        sa.Column("pieces", sa.LargeBinary(), nullable=True),
        sa.Column("rows", sa.LargeBinary(), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "project", "id"),
    )
    op.create_index("gateway_cache_entries_trace", "gateway_cache_entries", ["workspace", "project", "trace"], unique=False)
    op.create_index("gateway_cache_entries_age", "gateway_cache_entries", ["workspace", "project", "created_ns"], unique=False)
    op.create_table(
        "gateway_cache_hits",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("trace", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("similarity", sa.Float(), nullable=False),
        sa.Column("saved_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("saved_ns", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("judged_by", sa.Text(), nullable=False),
        sa.Column("judged_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "project", "id"),
    )
    op.create_index("gateway_cache_hits_time", "gateway_cache_hits", ["workspace", "project", "at_ns"], unique=False)


def downgrade() -> None:
    op.drop_index("gateway_cache_hits_time", table_name="gateway_cache_hits")
    op.drop_table("gateway_cache_hits")
    op.drop_index("gateway_cache_entries_trace", table_name="gateway_cache_entries")
    op.drop_index("gateway_cache_entries_age", table_name="gateway_cache_entries")
    op.drop_table("gateway_cache_entries")
