"""Tables of evals and their queries: runs and items. An item's row is what makes a run safe to go on with after a crash."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright.db import REGISTRY, Json, scoped
from genwright.errors import Missing
from genwright.evals.types import Passage, Run, RunItem
from genwright.stats import Estimate
from genwright.vocab import Scope

runs = sa.Table(
    "eval_runs",
    REGISTRY,
    *scoped(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, default=""),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("pinned", sa.Text, nullable=False),
    sa.Column("release", sa.Text, nullable=False, default=""),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("dataset_number", sa.Integer, nullable=False),
    sa.Column("split", sa.Text, nullable=False, default=""),
    sa.Column("metrics", Json, nullable=False),
    sa.Column("concurrency", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("job", sa.Text, nullable=False, default=""),
    sa.Column("total", sa.Integer, nullable=False, default=0),
    sa.Column("summary", Json, nullable=False),
    sa.Column("notes", Json, nullable=False),
    sa.Column("error", sa.Text, nullable=False, default=""),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("finished_ns", sa.BigInteger, nullable=False, default=0),
    sa.Index("eval_runs_by_time", "workspace", "project", "id"),
)

items = sa.Table(
    "eval_items",
    REGISTRY,
    *scoped(),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("item", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("question", sa.Text, nullable=False, default=""),
    sa.Column("reference", sa.Text, nullable=False, default=""),
    sa.Column("topics", Json, nullable=False),
    sa.Column("answer", sa.Text, nullable=False, default=""),
    sa.Column("error", sa.Text, nullable=False, default=""),
    sa.Column("code", sa.Text, nullable=False, default=""),
    sa.Column("trace_id", sa.Text, nullable=False, default=""),
    sa.Column("passages", Json, nullable=False),
    sa.Column("latency_ns", sa.BigInteger, nullable=False, default=0),
    sa.Column("cost_nano_usd", sa.BigInteger),
    sa.Column("tokens_in", sa.BigInteger, nullable=False, default=0),
    sa.Column("tokens_out", sa.BigInteger, nullable=False, default=0),
    sa.Column("scores", Json),
    sa.Column("comments", Json, nullable=False),
    sa.PrimaryKeyConstraint("run", "item"),
    sa.Index("eval_items_by_position", "run", "position"),
)

_RUN = tuple(column.name for column in runs.columns)
_ITEM = tuple(column.name for column in items.columns)


def _in(table: sa.Table, scope: Scope) -> sa.ColumnElement[bool]:
    return (table.c.workspace == scope.workspace) & (table.c.project == scope.project)


# -- runs


def insert_run(connection: Connection, run: Run) -> None:
    connection.execute(runs.insert().values(_row(run, _RUN)))


def update_run(connection: Connection, scope: Scope, run_id: str, changes: dict[str, Any]) -> None:
    connection.execute(runs.update().where(_in(runs, scope), runs.c.id == run_id).values(**changes))


def fetch_run(connection: Connection, scope: Scope, run_id: str) -> Run:
    """Raises Missing."""
    row = connection.execute(sa.select(runs).where(_in(runs, scope), runs.c.id == run_id)).one_or_none()
    if row is None:
        raise Missing(f"There is no evaluation run '{run_id[:100]}' here. `genwright eval list` shows the runs.", code="no_run")
    return _counted(connection, scope, [_run(row)])[0]


def fetch_runs(connection: Connection, scope: Scope, target: str, cursor: str, limit: int) -> list[Run]:
    """Newest first; `target` filters by its beginning."""
    query = sa.select(runs).where(_in(runs, scope))
    if target:
        query = query.where(runs.c.target.startswith(target, autoescape=True))
    if cursor:
        query = query.where(runs.c.id < cursor)
    return _counted(connection, scope, [_run(row) for row in connection.execute(query.order_by(runs.c.id.desc()).limit(limit))])


def _counted(connection: Connection, scope: Scope, found: list[Run]) -> list[Run]:
    """Runs with their counts of items."""
    query = (
        sa.select(items.c.run, items.c.state, sa.func.count(), sa.func.sum(items.c.attempts - 1))
        .where(_in(items, scope), items.c.run.in_([run.id for run in found]))
        .group_by(items.c.run, items.c.state)
    )
    by_id = {run.id: run for run in found}
    for run_id, state, count, again in connection.execute(query):
        run = by_id[run_id]
        run.done += count if state != "asking" else 0
        run.failed += count if state == "failed" else 0
        run.repeated += int(again)
    return found


def _run(row: sa.Row) -> Run:
    values = dict(row._mapping)
    values["summary"] = msgspec.convert(values["summary"], dict[str, Estimate | None])
    return Run(**values)


# -- items


def begin_item(connection: Connection, scope: Scope, item: RunItem) -> int:
    """Note that an item is about to be asked; how many times it has been, this one included."""
    mine = _in(items, scope) & (items.c.run == item.run) & (items.c.item == item.item)
    known = connection.execute(sa.select(items.c.attempts).where(mine)).scalar_one_or_none()
    if known is None:
        connection.execute(items.insert().values(_row(item, _ITEM)))
        return 1
    connection.execute(items.update().where(mine).values(attempts=known + 1, trace_id=item.trace_id))
    return known + 1


def end_item(connection: Connection, scope: Scope, item: RunItem) -> None:
    """Record the answer or the failure. Once recorded it is never replaced."""
    values = {name: value for name, value in _row(item, _ITEM).items() if name not in ("run", "item", "attempts")}
    mine = _in(items, scope) & (items.c.run == item.run) & (items.c.item == item.item) & (items.c.state == "asking")
    connection.execute(items.update().where(mine).values(**values))


def write_scores(connection: Connection, scope: Scope, run_id: str, scored: list[RunItem]) -> None:
    statement = items.update().where(
        _in(items, scope), items.c.run == run_id, items.c.item == sa.bindparam("which")
    )  # fmt: skip
    statement = statement.values(scores=sa.bindparam("new_scores"), comments=sa.bindparam("new_comments"))
    if scored:
        connection.execute(
            statement, [{"which": item.item, "new_scores": item.scores, "new_comments": item.comments} for item in scored]
        )


def recorded(connection: Connection, scope: Scope, run_id: str) -> set[str]:
    """Ids of the items that must not be asked again."""
    query = sa.select(items.c.item).where(_in(items, scope), items.c.run == run_id, items.c.state != "asking")
    return set(connection.execute(query).scalars())


def unscored(connection: Connection, scope: Scope, run_id: str) -> list[RunItem]:
    query = sa.select(items).where(
        _in(items, scope), items.c.run == run_id, items.c.state != "asking", items.c.scores.is_(None)
    )  # fmt: skip
    return [_item(row) for row in connection.execute(query.order_by(items.c.position))]


def fetch_items(connection: Connection, scope: Scope, run_id: str, after: int, limit: int, state: str) -> list[RunItem]:
    """Items behind position `after`, in the order of the dataset."""
    query = sa.select(items).where(_in(items, scope), items.c.run == run_id, items.c.position > after)
    if state:
        query = query.where(items.c.state == state)
    return [_item(row) for row in connection.execute(query.order_by(items.c.position).limit(limit))]


def fetch_scores(connection: Connection, scope: Scope, run_id: str) -> dict[str, dict[str, float | None]]:
    """Scores by item, in the order of the dataset."""
    query = sa.select(items.c.item, items.c.scores).where(_in(items, scope), items.c.run == run_id, items.c.state != "asking")
    return {name: scores or {} for name, scores in connection.execute(query.order_by(items.c.position))}


def fetch_some(connection: Connection, scope: Scope, run_id: str, names: list[str]) -> dict[str, RunItem]:
    query = sa.select(items).where(_in(items, scope), items.c.run == run_id, items.c.item.in_(names))
    return {row.item: _item(row) for row in connection.execute(query)}


def _item(row: sa.Row) -> RunItem:
    values = dict(row._mapping)
    values["passages"] = msgspec.convert(values["passages"], list[Passage])
    return RunItem(**values)


def _row(record: msgspec.Struct, columns: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in columns}
