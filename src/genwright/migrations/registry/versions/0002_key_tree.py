"""Workspaces, teams and service accounts; what keys and members are bound to; rotated secrets."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def json_bytes(text: str) -> sa.TextClause:
    """A default for a JSON column, which holds bytes: the two engines write them differently."""
    digits = text.encode().hex()
    return sa.text(f"'\\x{digits}'" if op.get_bind().dialect.name == "postgresql" else f"X'{digits}'")


def upgrade() -> None:
    none, no_tags = json_bytes("[]"), json_bytes("{}")
    op.create_table(
        "workspaces",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace"),
    )
    op.execute(
        "INSERT INTO workspaces (workspace, created_ns, created_by) "
        "SELECT workspace, MIN(created_ns), 'settings' FROM projects GROUP BY workspace"
    )
    op.create_table(
        "key_nodes",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("models", sa.LargeBinary(), nullable=False),
        sa.Column("operations", sa.LargeBinary(), nullable=False),
        sa.Column("tags", sa.LargeBinary(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("workspace", "project", "id"),
    )
    op.add_column("members", sa.Column("team", sa.Text(), nullable=False, server_default=""))
    op.add_column("members", sa.Column("models", sa.LargeBinary(), nullable=False, server_default=none))
    op.add_column("members", sa.Column("operations", sa.LargeBinary(), nullable=False, server_default=none))
    op.add_column("members", sa.Column("tags", sa.LargeBinary(), nullable=False, server_default=no_tags))
    op.add_column("api_keys", sa.Column("team", sa.Text(), nullable=False, server_default=""))
    op.add_column("api_keys", sa.Column("holder", sa.Text(), nullable=False, server_default=""))
    op.add_column("api_keys", sa.Column("models", sa.LargeBinary(), nullable=False, server_default=none))
    op.add_column("api_keys", sa.Column("operations", sa.LargeBinary(), nullable=False, server_default=none))
    op.add_column("api_keys", sa.Column("default_max_output_tokens", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("api_keys", sa.Column("on_disconnect", sa.Text(), nullable=False, server_default="cancel"))
    op.add_column("api_keys", sa.Column("tags", sa.LargeBinary(), nullable=False, server_default=no_tags))
    op.add_column("api_keys", sa.Column("used_ns", sa.BigInteger(), nullable=True))
    op.add_column("api_keys", sa.Column("old_code", sa.Text(), nullable=True))
    op.add_column("api_keys", sa.Column("old_hint", sa.Text(), nullable=False, server_default=""))
    op.add_column("api_keys", sa.Column("old_until_ns", sa.BigInteger(), nullable=True))
    op.create_index("api_keys_by_old_code", "api_keys", ["old_code"], unique=True)
    # so far every way in was opened by an administrator of the one workspace's first project
    op.add_column("login_sessions", sa.Column("wide", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("login_links", sa.Column("wide", sa.Boolean(), nullable=False, server_default=sa.true()))
