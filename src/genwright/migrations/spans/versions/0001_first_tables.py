"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scores",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), server_default="", nullable=False),
        sa.Column("span_id", sa.Text(), server_default="", nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("by", sa.Text(), server_default="", nullable=False),
        sa.Column("run", sa.Text(), server_default="", nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.Column("comment", sa.Text(), server_default="", nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "project", "trace_id", "span_id", "name", "source", "by", "run"),
    )
    op.create_table(
        "span_payloads",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "span_refs",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "project", "ref", "start_ns", "trace_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "spans",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), server_default="", nullable=False),
        sa.Column("span_id", sa.Text(), server_default="", nullable=False),
        sa.Column("parent_id", sa.Text(), server_default="", nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("operation", sa.Text(), server_default="", nullable=False),
        sa.Column("status", sa.Text(), server_default="", nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("duration_ns", sa.BigInteger(), nullable=False),
        sa.Column("app", sa.Text(), server_default="", nullable=False),
        sa.Column("release", sa.Text(), server_default="", nullable=False),
        sa.Column("model", sa.Text(), server_default="", nullable=False),
        sa.Column("provider", sa.Text(), server_default="", nullable=False),
        sa.Column("session", sa.Text(), server_default="", nullable=False),
        sa.Column("user", sa.Text(), server_default="", nullable=False),
        sa.Column("run", sa.Text(), server_default="", nullable=False),
        sa.Column("tokens_in", sa.BigInteger(), nullable=True),
        sa.Column("tokens_out", sa.BigInteger(), nullable=True),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("fingerprint", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.BigInteger(), nullable=False),
    )
    op.create_index("spans_key", "spans", ["workspace", "project", "trace_id", "span_id"], unique=True)
    op.create_table(
        "traces",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), server_default="", nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("status", sa.Text(), server_default="", nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("duration_ns", sa.BigInteger(), nullable=False),
        sa.Column("spans", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("tokens_in", sa.BigInteger(), nullable=False),
        sa.Column("tokens_out", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("app", sa.Text(), server_default="", nullable=False),
        sa.Column("release", sa.Text(), server_default="", nullable=False),
        sa.Column("model", sa.Text(), server_default="", nullable=False),
        sa.Column("session", sa.Text(), server_default="", nullable=False),
        sa.Column("user", sa.Text(), server_default="", nullable=False),
        sa.Column("run", sa.Text(), server_default="", nullable=False),
        sa.Column("search", sa.Text(), server_default="", nullable=False),
    )
    op.create_index("traces_by_app", "traces", ["workspace", "project", "app", "start_ns", "trace_id"], unique=False)
    op.create_index(
        "traces_by_run",
        "traces",
        ["workspace", "project", "run", "start_ns", "trace_id"],
        unique=False,
        sqlite_where=sa.text("run != ''"),
        postgresql_where=sa.text("run != ''"),
    )
    op.create_index(
        "traces_by_session",
        "traces",
        ["workspace", "project", "session", "start_ns", "trace_id"],
        unique=False,
        sqlite_where=sa.text("session != ''"),
        postgresql_where=sa.text("session != ''"),
    )
    op.create_index("traces_by_time", "traces", ["workspace", "project", "start_ns", "trace_id"], unique=False)
    op.create_index(
        "traces_by_user",
        "traces",
        ["workspace", "project", "user", "start_ns", "trace_id"],
        unique=False,
        sqlite_where=sa.text("\"user\" != ''"),
        postgresql_where=sa.text("\"user\" != ''"),
    )
    op.create_index(
        "traces_failed",
        "traces",
        ["workspace", "project", "start_ns", "trace_id"],
        unique=False,
        sqlite_where=sa.text("status = 'error'"),
        postgresql_where=sa.text("status = 'error'"),
    )
    op.create_index("traces_key", "traces", ["workspace", "project", "trace_id"], unique=True)


def downgrade() -> None:
    op.drop_index("traces_key", table_name="traces")
    op.drop_index(
        "traces_failed",
        table_name="traces",
        sqlite_where=sa.text("status = 'error'"),
        postgresql_where=sa.text("status = 'error'"),
    )
    op.drop_index(
        "traces_by_user", table_name="traces", sqlite_where=sa.text("\"user\" != ''"), postgresql_where=sa.text("\"user\" != ''")
    )
    op.drop_index("traces_by_time", table_name="traces")
    op.drop_index(
        "traces_by_session", table_name="traces", sqlite_where=sa.text("session != ''"), postgresql_where=sa.text("session != ''")
    )
    op.drop_index("traces_by_run", table_name="traces", sqlite_where=sa.text("run != ''"), postgresql_where=sa.text("run != ''"))
    op.drop_index("traces_by_app", table_name="traces")
    op.drop_table("traces")
    op.drop_index("spans_key", table_name="spans")
    op.drop_table("spans")
    op.drop_table("span_refs")
    op.drop_table("span_payloads")
    op.drop_table("scores")
