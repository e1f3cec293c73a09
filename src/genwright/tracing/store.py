"""Tables of tracing and everything that writes them: narrow span rows, compressed payloads, roll-ups, refs, scores.

Spans arrive `prepared` (encoded and compressed outside the writer); here is only SQL on a raw cursor. Spans
that came together share compressed payload rows: half the size of one by one, and an earlier revision of a replaced span
stays in its old row. Does not know where spans come from nor what their attributes mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa

from genwright.db import SPANS, Database, scoped
from genwright.vocab import Scope

_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _texts(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Text, nullable=False, server_default="") for name in names]


def _part_index(name: str, where: Any, *columns: str) -> sa.Index:
    """An index of traces by time over the rows that `where` chooses."""
    key = ("workspace", "project", *columns, "start_ns", "trace_id")
    return sa.Index(name, *key, sqlite_where=where, postgresql_where=where)


spans = sa.Table(
    "spans",
    SPANS,
    *scoped(),
    *_texts("trace_id", "span_id", "parent_id", "name", "operation", "status"),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("duration_ns", sa.BigInteger, nullable=False),
    *_texts("app", "release", "model", "provider", "session", "user", "run"),
    sa.Column("tokens_in", sa.BigInteger),
    sa.Column("tokens_out", sa.BigInteger),
    sa.Column("cost_nano_usd", sa.BigInteger),
    *_texts("error"),
    sa.Column("fingerprint", sa.BigInteger, nullable=False),
    sa.Column("payload", sa.BigInteger, nullable=False),
    sa.Index("spans_key", "workspace", "project", "trace_id", "span_id", unique=True),
)
"""One narrow row a span. `payload`: the row of span_payloads that holds the rest; `fingerprint`: 64 bits over all of it."""

span_payloads = sa.Table(
    "span_payloads",
    SPANS,
    *scoped(),
    sa.Column("id", _id, primary_key=True, autoincrement=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
"""zstd over the JSON object {trace id + span id: Payload} of spans that came together."""

traces = sa.Table(
    "traces",
    SPANS,
    *scoped(),
    *_texts("trace_id", "name", "status"),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("duration_ns", sa.BigInteger, nullable=False),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("spans", "errors", "tokens_in", "tokens_out", "cost_nano_usd")),
    *_texts("app", "release", "model", "session", "user", "run", "search"),
    sa.Index("traces_key", "workspace", "project", "trace_id", unique=True),
    sa.Index("traces_by_time", "workspace", "project", "start_ns", "trace_id"),
    sa.Index("traces_by_app", "workspace", "project", "app", "start_ns", "trace_id"),
    _part_index("traces_by_session", sa.column("session") != "", "session"),
    _part_index("traces_by_user", sa.column("user") != "", "user"),
    _part_index("traces_by_run", sa.column("run") != "", "run"),
    _part_index("traces_failed", sa.text("status = 'error'")),
)
"""One roll-up row a trace, recomputed from its span rows whenever spans of it arrive."""

span_refs = sa.Table(
    "span_refs",
    SPANS,
    *scoped(),
    sa.Column("ref", sa.Text, nullable=False),
    sa.Column("start_ns", sa.BigInteger, nullable=False),
    sa.Column("trace_id", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "ref", "start_ns", "trace_id"),
    sqlite_with_rowid=False,
)
"""What a trace has used: version digests, `document:sha256:…`, `model:NAME`. start_ns is the trace's as known at that time."""

scores = sa.Table(
    "scores",
    SPANS,
    *scoped(),
    *_texts("trace_id", "span_id", "name", "source", "by", "run"),
    sa.Column("value", sa.Double),
    *_texts("text", "comment"),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "trace_id", "span_id", "name", "source", "by", "run"),
)


class Narrow(NamedTuple):
    """A row of `spans` without its last column (`payload`), in the order of its columns."""

    workspace: str
    project: str
    trace_id: str
    span_id: str
    parent_id: str
    name: str
    operation: str
    status: str
    start_ns: int
    duration_ns: int
    app: str
    release: str
    model: str
    provider: str
    session: str
    user: str
    run: str
    tokens_in: int | None
    tokens_out: int | None
    cost_nano_usd: int | None
    error: str
    fingerprint: int


class Bundle:
    """Compressed payloads of some traces that came together. `row` is its id once it is stored."""

    def __init__(self) -> None:
        self.data = b""
        self.row: int | None = None


class Prepared(NamedTuple):
    """Spans of one trace that came together, ready to be written."""

    trace_id: str
    rows: list[Narrow]
    bundle: Bundle
    refs: set[str]
    search: dict[str, str]
    """span_id → beginning of its input and output as text."""


_dialect = sa.engine.default.DefaultDialect(paramstyle="qmark")


def _compiled(statement: Any) -> str:
    return str(statement.compile(dialect=_dialect))


_INSERT_SPAN = _compiled(spans.insert())
_INSERT_TRACE = _compiled(traces.insert())
_SELECT_SPANS = _compiled(sa.select(spans)).replace("\n", " ")
_INSERT_PAYLOAD = "INSERT INTO span_payloads (workspace, project, data) VALUES (?, ?, ?) RETURNING id"
_INSERT_REF = "INSERT INTO span_refs (workspace, project, ref, start_ns, trace_id) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_OLD_SEARCH = "SELECT search FROM traces WHERE workspace = ? AND project = ? AND trace_id = ?"
_DROP_TRACE = "DELETE FROM traces WHERE workspace = ? AND project = ? AND trace_id = ?"
_DROP_SPAN = "DELETE FROM spans WHERE workspace = ? AND project = ? AND trace_id = ? AND span_id = ?"


def write_spans(cursor: Any, postgres: bool, scope: Scope, batch: list[Prepared]) -> int:
    """Store a batch (each trace once in it); returns how many spans were new or replaced. Equal repeats change nothing.

    "Read, then write" is exact here because the database lets one group write at a time, on both engines.
    """
    say = _Sayings(cursor, postgres)
    known = _known(say, scope, [item.trace_id for item in batch])
    fresh: list[tuple] = []
    for item in batch:
        item.bundle.row = None  # the batch may be written again after a failure
    changed: list[tuple[Prepared, list[Narrow], bool]] = []
    for item in batch:
        there = known.get(item.trace_id, {})
        accepted = [row for row in _latest(item.rows) if _accepts(there.get(row.span_id), row)]
        if not accepted:
            continue
        if item.bundle.row is None:
            item.bundle.row = say.one(_INSERT_PAYLOAD, (scope.workspace, scope.project, item.bundle.data))[0]
        for row in accepted:
            if row.span_id in there:
                say(_DROP_SPAN, (scope.workspace, scope.project, row.trace_id, row.span_id))
        fresh += [(*row, item.bundle.row) for row in accepted]
        members = there | {row.span_id: row for row in accepted}
        changed.append((item, list(members.values()), bool(there)))
    say.many(_INSERT_SPAN, fresh)
    _roll_up_all(say, scope, changed)
    return len(fresh)


def outages(database: Database) -> type[Exception]:
    """What the driver raises when it cannot write at all (disk full, locked, gone), in contrast to a row it cannot take."""
    return database.engine.dialect.dbapi.OperationalError  # type: ignore[union-attr]


class _Sayings:
    """A cursor that takes statements with `?` on both engines."""

    def __init__(self, cursor: Any, postgres: bool):
        self.cursor = cursor
        self.postgres = postgres

    def __call__(self, sql: str, values: Iterable[Any]) -> list[tuple]:
        self.cursor.execute(sql.replace("?", "%s") if self.postgres else sql, tuple(values))
        return self.cursor.fetchall() if self.cursor.description else []

    def one(self, sql: str, values: Iterable[Any]) -> tuple:
        return self(sql, values)[0]

    def many(self, sql: str, rows: list[Any]) -> None:
        if rows:
            self.cursor.executemany(sql.replace("?", "%s") if self.postgres else sql, rows)


def _known(say: _Sayings, scope: Scope, ids: list[str]) -> dict[str, dict[str, Narrow]]:
    """Span rows already stored of these traces: trace_id → span_id → row."""
    known: dict[str, dict[str, Narrow]] = {}
    for at in range(0, len(ids), 500):
        part = ids[at : at + 500]
        marks = ", ".join("?" * len(part))
        where = f" WHERE workspace = ? AND project = ? AND trace_id IN ({marks})"  # only question marks are put in
        for values in say(_SELECT_SPANS + where, (scope.workspace, scope.project, *part)):
            row = Narrow._make(values[:-1])
            known.setdefault(row.trace_id, {})[row.span_id] = row
    return known


def _latest(rows: list[Narrow]) -> list[Narrow]:
    """Rows of one message, the last of each span (a finished one before a pending one)."""
    if len({row.span_id for row in rows}) == len(rows):
        return rows
    kept: dict[str, Narrow] = {}
    for row in rows:
        if _accepts(kept.get(row.span_id), row):
            kept[row.span_id] = row
    return list(kept.values())


def _accepts(old: Narrow | None, new: Narrow) -> bool:
    """Whether `new` is stored over `old`: not an equal repeat, and not a pending span over a finished one."""
    if old is None:
        return True
    return old.fingerprint != new.fingerprint and not (new.status == "pending" and old.status != "pending")


def _roll_up_all(say: _Sayings, scope: Scope, changed: list[tuple[Prepared, list[Narrow], bool]]) -> None:
    rows, refs = [], []
    for item, members, was_there in changed:
        key = (scope.workspace, scope.project, item.trace_id)
        root = root_of(members)
        search = item.search.get(root.span_id, "")
        if was_there:
            search = search or "".join(old for (old,) in say(_OLD_SEARCH, key))
            say(_DROP_TRACE, key)
        search = search or next((item.search[row.span_id] for row in item.rows if item.search.get(row.span_id)), "")
        line = roll_up(members, root)
        rows.append((*line, search))
        refs += [(scope.workspace, scope.project, ref, line[5], item.trace_id) for ref in sorted(item.refs)]
    say.many(_INSERT_TRACE, rows)
    say.many(_INSERT_REF, refs)


def _order(row: Narrow) -> tuple[int, str]:
    return row.start_ns, row.span_id


def root_of(rows: list[Narrow]) -> Narrow:
    """The span without parent; else the earliest whose parent has not come; else (a cycle) the earliest."""
    ids = {row.span_id for row in rows}
    roots = [row for row in rows if not row.parent_id] or [row for row in rows if row.parent_id not in ids] or rows
    return min(roots, key=_order)


def roll_up(rows: list[Narrow], root: Narrow) -> tuple:
    """The `traces` row (all columns but `search`) of these spans."""
    start = min(row.start_ns for row in rows)
    end = max(row.start_ns + row.duration_ns for row in rows)
    usage = used(rows)
    names = _names(root)
    if len(rows) > 1:
        for row in sorted(rows, key=_order):
            names = [mine or other for mine, other in zip(names, _names(row), strict=True)]
    return (
        root.workspace, root.project, root.trace_id, root.name, root.status, start, end - start,
        len(rows), sum(row.status == "error" for row in rows), *usage,
        *names,
    )  # fmt: skip


def _names(row: Narrow) -> list[str]:
    """What a trace takes from its root, or else from the earliest span that has it."""
    return [row.app, row.release, row.model, row.session, row.user, row.run]


def used(rows: list[Narrow]) -> tuple[int, int, int]:
    """Tokens in, tokens out and cost of a trace. A span counts the larger of its own and the sum of those below it, so an
    agent span that repeats its model calls' usage, or a client span around our own gateway span, is counted once."""
    own = {row.span_id: (row.tokens_in or 0, row.tokens_out or 0, row.cost_nano_usd or 0) for row in rows}
    if sum(any(usage) for usage in own.values()) <= 1:
        return _sum(own.values())
    children: dict[str, list[Narrow]] = {}
    for row in rows:
        children.setdefault(row.parent_id if row.parent_id in own else "", []).append(row)
    order: list[Narrow] = []
    waiting = children.get("", [])
    while waiting:
        row = waiting.pop()
        order.append(row)
        waiting.extend(children.get(row.span_id, []))
    totals: dict[str, tuple[int, int, int]] = dict(own)
    for row in reversed(order):
        below = _sum(totals[child.span_id] for child in children.get(row.span_id, []))
        mine = own[row.span_id]
        totals[row.span_id] = max(mine[0], below[0]), max(mine[1], below[1]), max(mine[2], below[2])
    reached = {row.span_id for row in order}
    tops = [row for row in order if row.parent_id not in own]
    return _sum(totals[row.span_id] for row in (*tops, *(row for row in rows if row.span_id not in reached)))


def _sum(usages: Iterable[tuple[int, int, int]]) -> tuple[int, int, int]:
    a = b = c = 0
    for x, y, z in usages:
        a, b, c = a + x, b + y, c + z
    return a, b, c
