"""What learned routers saw of live prompts: counts by hour, for drift."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gateway_router_hours",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("weights", sa.Text(), nullable=False),
        sa.Column("hour_ns", sa.BigInteger(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("far", sa.BigInteger(), nullable=False),
        sa.Column("gains", sa.LargeBinary(), nullable=False),
        sa.Column("near", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "project", "weights", "hour_ns", "server"),
    )


def downgrade() -> None:
    op.drop_table("gateway_router_hours")
