"""Reservations of one commit share a row; there are few rows, and no index pays."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("gateway_holds_server", table_name="gateway_holds")


def downgrade() -> None:
    op.create_index("gateway_holds_server", "gateway_holds", ["server"], unique=False)
