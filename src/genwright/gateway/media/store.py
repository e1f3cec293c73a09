"""Tables of files, batches and videos, and every query on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright.db import REGISTRY, Json, insert_new, scoped
from genwright.gateway.media.types import Batch, BatchItem, FileRow, Video
from genwright.vocab import Scope

files = sa.Table(
    "gateway_files",
    REGISTRY,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("filename", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("expires_ns", sa.BigInteger),
    sa.PrimaryKeyConstraint("workspace", "project", "id"),
    sa.Index("gateway_files_contents", "workspace", "digest"),
)
batches = sa.Table(
    "gateway_batches",
    REGISTRY,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("input_file", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("output_file", sa.Text, nullable=False),
    sa.Column("error_file", sa.Text, nullable=False),
    sa.Column("ended_ns", sa.BigInteger),
    sa.Column("errors", Json, nullable=False),
    sa.Column("metadata", Json, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "id"),
)
items = sa.Table(
    "gateway_batch_items",
    REGISTRY,
    *scoped(),
    sa.Column("batch", sa.Text, nullable=False),
    sa.Column("line", sa.BigInteger, nullable=False),
    sa.Column("custom_id", sa.Text, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "batch", "line"),
)
videos = sa.Table(
    "gateway_videos",
    REGISTRY,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("upstream", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("said", Json, nullable=False),
    sa.Column("trace", sa.Text, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("settled", sa.Boolean, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "id"),
)
R = TypeVar("R", FileRow, Batch, Video)


def insert(connection: Connection, table: sa.Table, row: FileRow | Batch | Video) -> None:
    connection.execute(table.insert().values(**{name: getattr(row, name) for name in row.__struct_fields__}))


def get(connection: Connection, table: sa.Table, kind: type[R], scope: Scope, id: str) -> R | None:
    return next(iter(_records(connection, table, kind, scope, table.c.id == id)), None)


def newest(
    connection: Connection, table: sa.Table, kind: type[R], scope: Scope, after: str, limit: int, where: dict[str, str]
) -> list[R]:
    """Newest first; `after`: the id to go on below. Ids sort by time."""
    conditions = [table.c[name] == value for name, value in where.items() if value]
    if after:
        conditions.append(table.c.id < after)
    return _records(connection, table, kind, scope, *conditions, limit=limit)


def change(connection: Connection, table: sa.Table, scope: Scope, id: str, only_in: Sequence[str], **values: Any) -> bool:
    """Change a row while its status is one of `only_in` (any where empty); whether it was."""
    where = [*_within(table, scope), table.c.id == id]
    if only_in:
        where.append(table.c.status.in_(only_in))
    return connection.execute(table.update().where(*where).values(**values)).rowcount > 0


def delete(connection: Connection, table: sa.Table, scope: Scope, id: str) -> None:
    connection.execute(table.delete().where(*_within(table, scope), table.c.id == id))


def settle_once(connection: Connection, scope: Scope, id: str) -> bool:
    """Whether it is for the caller to book the video: true once."""
    where = (*_within(videos, scope), videos.c.id == id, videos.c.settled.is_(False))
    return connection.execute(videos.update().where(*where).values(settled=True)).rowcount > 0


def delete_file(connection: Connection, scope: Scope, id: str) -> tuple[bool, bool]:
    """(whether it was there, whether its contents are nobody's any more in the workspace)."""
    row = get(connection, files, FileRow, scope, id)
    if row is None:
        return False, False
    connection.execute(files.delete().where(*_within(files, scope), files.c.id == id))
    others = sa.select(sa.func.count()).where(files.c.workspace == scope.workspace, files.c.digest == row.digest)
    return True, connection.execute(others).scalar() == 0


def put_items(connection: Connection, scope: Scope, batch: str, rows: Sequence[BatchItem]) -> None:
    """Answers of lines; one that is there stays."""
    for row in rows:
        values = {name: getattr(row, name) for name in row.__struct_fields__}
        connection.execute(insert_new(connection, items, workspace=scope.workspace, project=scope.project, batch=batch, **values))


def done_lines(connection: Connection, scope: Scope, batch: str) -> set[int]:
    query = sa.select(items.c.line).where(*_within(items, scope), items.c.batch == batch)
    return {row[0] for row in connection.execute(query)}


def counts(connection: Connection, scope: Scope, batch: str) -> tuple[int, int]:
    """(answered well, failed)."""
    good = sa.func.coalesce(sa.func.sum(sa.case((items.c.status < 400, 1), else_=0)), 0)
    bad = sa.func.coalesce(sa.func.sum(sa.case((items.c.status >= 400, 1), else_=0)), 0)
    row = connection.execute(sa.select(good, bad).where(*_within(items, scope), items.c.batch == batch)).one()
    return int(row[0]), int(row[1])


def page_of_items(connection: Connection, scope: Scope, batch: str, after: int, limit: int) -> list[BatchItem]:
    """By line, from the one after `after`."""
    query = (
        sa.select(*(items.c[name] for name in BatchItem.__struct_fields__))
        .where(*_within(items, scope), items.c.batch == batch, items.c.line > after)
        .order_by(items.c.line)
        .limit(limit)
    )
    return [BatchItem(*row) for row in connection.execute(query)]


def _records(
    connection: Connection, table: sa.Table, kind: type[R], scope: Scope, *where: Any, limit: int | None = None
) -> list[R]:
    query = sa.select(*(table.c[name] for name in kind.__struct_fields__)).where(*_within(table, scope), *where)
    rows = connection.execute(query.order_by(table.c.id.desc()).limit(limit))
    return [msgspec.convert(dict(zip(kind.__struct_fields__, row, strict=True)), kind) for row in rows]


def _within(table: sa.Table, scope: Scope) -> tuple[Any, Any]:
    return table.c.workspace == scope.workspace, table.c.project == scope.project
