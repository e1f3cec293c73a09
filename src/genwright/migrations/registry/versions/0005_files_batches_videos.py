"""Files, batches and videos."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _text(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _whole(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "gateway_files",
        *_text("workspace", "project", "id", "filename", "purpose"),
        *_whole("bytes"),
        *_text("digest"),
        *_whole("created_ns"),
        *_text("created_by"),
        sa.Column("expires_ns", sa.BigInteger()),
        sa.PrimaryKeyConstraint("workspace", "project", "id"),
    )
    op.create_index("gateway_files_contents", "gateway_files", ["workspace", "digest"])
    op.create_table(
        "gateway_batches",
        *_text("workspace", "project", "id", "job", "endpoint", "input_file", "status"),
        *_whole("total", "created_ns"),
        *_text("created_by"),
        *_whole("expires_ns"),
        *_text("output_file", "error_file"),
        sa.Column("ended_ns", sa.BigInteger()),
        sa.Column("errors", sa.LargeBinary(), nullable=False),
        sa.Column("metadata", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "project", "id"),
    )
    op.create_table(
        "gateway_batch_items",
        *_text("workspace", "project", "batch"),
        *_whole("line"),
        *_text("custom_id"),
        sa.Column("status", sa.Integer(), nullable=False),
        *_text("request_id"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "project", "batch", "line"),
    )
    op.create_table(
        "gateway_videos",
        *_text("workspace", "project", "id", "provider", "model", "upstream", "status"),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("said", sa.LargeBinary(), nullable=False),
        *_text("trace"),
        *_whole("created_ns"),
        *_text("created_by"),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "project", "id"),
    )


def downgrade() -> None:
    for table in ("gateway_videos", "gateway_batch_items", "gateway_batches", "gateway_files"):
        op.drop_table(table)
