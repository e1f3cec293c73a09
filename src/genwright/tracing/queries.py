"""Reading: one trace, the list with its filters, scores, refs, traffic. SQLAlchemy Core only; the writing half is `store.py`.

Lists go newest first by the key (start_ns, trace_id). Filters without an index are looked through in windows, so that a page
never scans without bound: it ends after a second with what it found and a cursor to go on.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy as sa

from genwright import clock
from genwright.errors import Invalid, Missing
from genwright.tracing import encode
from genwright.tracing.store import Narrow, scores, span_payloads, span_refs, spans, traces
from genwright.tracing.types import Hour, Score, Span, Trace, TraceFilter, TracePage, TraceRow, Traffic
from genwright.vocab import Scope

WINDOW = 5_000
SCAN_S = 1.0
MAX_LIMIT = 500
HOUR_NS = 3_600_000_000_000
COUNT_TO = 100_000

_ROW = [traces.c[name] for name in TraceRow.__struct_fields__]
_SCORE = [scores.c[name] for name in Score.__struct_fields__]
_INDEXED = ("app", "session", "user", "run")
_SCORE_FILTER = re.compile(r"^\s*(.{1,200}?)\s*(?:(<=|>=|<|>|=)\s*(-?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*)?$")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, "=": operator.eq, ">=": operator.ge, ">": operator.gt,
}  # fmt: skip


def mine(table: sa.Table, scope: Scope) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.workspace == scope.workspace, table.c.project == scope.project)


def read_trace(connection: sa.Connection, scope: Scope, trace_id: str) -> Trace:
    """Raises Missing."""
    row = read_row(connection, scope, trace_id)
    found = connection.execute(sa.select(spans).where(mine(spans, scope), spans.c.trace_id == trace_id)).all()
    placed = [(Narrow._make(each[:-1]), each[-1]) for each in found]
    return Trace(row=row, spans=_with_payloads(connection, scope, placed), scores=read_scores(connection, scope, trace_id))


def read_row(connection: sa.Connection, scope: Scope, trace_id: str) -> TraceRow:
    found = connection.execute(sa.select(*_ROW).where(mine(traces, scope), traces.c.trace_id == trace_id)).first()
    if found is None:
        raise Missing(f"There is no trace {trace_id[:64]!r} here. Own spans appear within 0.1 s of their end.", code="no_trace")
    return _row(found)


def _row(values: Any) -> TraceRow:
    return TraceRow(**dict(zip(TraceRow.__struct_fields__, values, strict=True)))


def _with_payloads(connection: sa.Connection, scope: Scope, placed: list[tuple[Narrow, int]]) -> list[Span]:
    """Spans by start; where two start together, the longer (the parent) first."""
    ids = sorted({number for _, number in placed})
    payloads: dict[int, dict[str, msgspec.Raw]] = {}
    for at in range(0, len(ids), 500):
        where = sa.and_(mine(span_payloads, scope), span_payloads.c.id.in_(ids[at : at + 500]))
        for number, data in connection.execute(sa.select(span_payloads.c.id, span_payloads.c.data).where(where)):
            payloads[number] = encode.read_payloads(data)
    placed.sort(key=lambda each: (each[0].start_ns, -each[0].duration_ns, each[0].span_id))
    return [encode.span_of(row, payloads[number][row.trace_id + row.span_id]) for row, number in placed]


def read_scores(connection: sa.Connection, scope: Scope, trace_id: str) -> list[Score]:
    where = sa.and_(mine(scores, scope), scores.c.trace_id == trace_id)
    found = connection.execute(sa.select(*_SCORE).where(where).order_by(scores.c.at_ns, scores.c.name))
    return [Score(**dict(zip(Score.__struct_fields__, values, strict=True))) for values in found]


def read_scores_of(connection: sa.Connection, scope: Scope, trace_ids: list[str]) -> dict[str, list[Score]]:
    """Scores of several traces, for a page of a list."""
    found: dict[str, list[Score]] = {}
    where = sa.and_(mine(scores, scope), scores.c.trace_id.in_(trace_ids[:MAX_LIMIT]))
    for values in connection.execute(sa.select(*_SCORE).where(where).order_by(scores.c.name, scores.c.at_ns)):
        score = Score(**dict(zip(Score.__struct_fields__, values, strict=True)))
        found.setdefault(score.trace_id, []).append(score)
    return found


def write_score(connection: sa.Connection, scope: Scope, score: Score) -> Score:
    """Store a score; the same name by the same author on the same thing replaces the earlier one."""
    key = {name: getattr(score, name) for name in ("trace_id", "span_id", "name", "source", "by", "run")}
    connection.execute(sa.delete(scores).where(mine(scores, scope), *(scores.c[name] == value for name, value in key.items())))
    connection.execute(sa.insert(scores).values(**msgspec.structs.asdict(scope), **msgspec.structs.asdict(score)))
    return score


def has_trace(connection: sa.Connection, scope: Scope, trace_id: str, span_id: str = "") -> bool:
    where = [mine(spans, scope), spans.c.trace_id == trace_id]
    if span_id:
        where.append(spans.c.span_id == span_id)
    return connection.execute(sa.select(sa.literal(1)).where(*where).limit(1)).first() is not None


# -- lists


def cursor_of(start_ns: int, trace_id: str) -> str:
    return f"{start_ns}-{trace_id}"


def read_cursor(cursor: str | None) -> tuple[int, str] | None:
    if not cursor:
        return None
    number, _, trace_id = cursor.partition("-")
    if not (number.isascii() and number.isdigit() and len(number) < 20 and trace_id.isalnum()):
        raise Invalid(f"{cursor[:80]!r} is not a cursor of this list. Leave it out to begin with the newest.", code="bad_cursor")
    return min(int(number), encode.MAX_INT), trace_id


def list_traces(connection: sa.Connection, scope: Scope, want: TraceFilter, cursor: str | None, limit: int) -> TracePage:
    """One page, newest first."""
    limit = max(1, min(limit, MAX_LIMIT))
    after = read_cursor(cursor)
    indexed, scanned = _conditions(scope, want)
    deadline = clock.monotonic() + SCAN_S
    items: list[TraceRow] = []
    while True:
        where = [*indexed, _before(traces.c.start_ns, traces.c.trace_id, after)] if after else indexed
        window = sa.select(traces).where(*where).order_by(traces.c.start_ns.desc(), traces.c.trace_id.desc())
        if not scanned:
            found = connection.execute(window.with_only_columns(*_ROW).limit(limit + 1)).all()
            items = [_row(values) for values in found]
            return TracePage(items[:limit], _next(items, limit))
        inner = window.limit(WINDOW).subquery()
        last = connection.execute(
            window.with_only_columns(traces.c.start_ns, traces.c.trace_id).offset(WINDOW - 1).limit(1)
        ).first()
        query = sa.select(*(inner.c[name] for name in TraceRow.__struct_fields__)).where(*(make(inner.c) for make in scanned))
        query = query.order_by(inner.c.start_ns.desc(), inner.c.trace_id.desc()).limit(limit + 1 - len(items))
        items += [_row(values) for values in connection.execute(query)]
        if len(items) > limit or last is None:
            return TracePage(items[:limit], _next(items, limit))
        after = (last[0], last[1])
        if clock.monotonic() > deadline:
            return TracePage(items, cursor_of(*after))


def _next(items: list[TraceRow], limit: int) -> str | None:
    return cursor_of(items[limit - 1].start_ns, items[limit - 1].trace_id) if len(items) > limit else None


def _before(start: Any, trace_id: Any, after: tuple[int, str]) -> Any:
    return sa.or_(start < after[0], sa.and_(start == after[0], trace_id < after[1]))


def _conditions(scope: Scope, want: TraceFilter) -> tuple[list[Any], list[Callable[[Any], Any]]]:
    """(conditions an index serves, conditions that rows in a window are tested by)."""
    indexed: list[Any] = [mine(traces, scope)]
    indexed += [traces.c[name] == getattr(want, name) for name in _INDEXED if getattr(want, name)]
    # Said literally, because a partial index is used only where its condition stands in the query.
    indexed += [traces.c[name] != sa.literal_column("''") for name in ("session", "user", "run") if getattr(want, name)]
    if want.since_ns:
        indexed.append(traces.c.start_ns >= want.since_ns)
    if want.until_ns:
        indexed.append(traces.c.start_ns < want.until_ns)
    if want.status == "error":
        indexed.append(traces.c.status == sa.literal_column("'error'"))
    scanned: list[Callable[[Any], Any]] = []
    if want.status and want.status != "error":
        scanned.append(lambda c: c.status == want.status)
    if want.release:
        digest = want.release.rpartition("@")[2]
        scanned.append(lambda c: c.release.endswith(digest, autoescape=True))
    if want.min_cost_nano_usd:
        scanned.append(lambda c: c.cost_nano_usd >= want.min_cost_nano_usd)
    if want.text:
        scanned.append(lambda c: _contains(c.search, want.text))
    if want.model:
        scanned.append(lambda c: _any(spans, scope, c, spans.c.model == want.model))
    if want.score:
        scanned.append(_score_condition(scope, want.score))
    return indexed, scanned


def _contains(column: Any, text: str) -> Any:
    """Also as it was written, because SQLite's lower() knows only ASCII letters."""
    folded = sa.func.lower(column).contains(text.lower(), autoescape=True)
    return folded if text.isascii() else sa.or_(folded, column.contains(text, autoescape=True))


def _any(table: sa.Table, scope: Scope, c: Any, *conditions: Any) -> Any:
    return sa.exists(sa.select(sa.literal(1)).where(mine(table, scope), table.c.trace_id == c.trace_id, *conditions))


def _score_condition(scope: Scope, text: str) -> Callable[[Any], Any]:
    found = _SCORE_FILTER.match(text.strip()) if len(text) < 300 else None
    try:
        value = float(found[3]) if found and found[3] else None
    except ValueError:
        found = None
    if found is None:
        raise Invalid(f"'{text[:80]}' is no score filter. Write a name, or e.g.: groundedness < 0.5", code="bad_filter")
    conditions = [scores.c.name == found[1]]
    if value is not None:
        conditions.append(_OPERATORS[found[2]](scores.c.value, value))
    return lambda c: _any(scores, scope, c, *conditions)


def traces_with(connection: sa.Connection, scope: Scope, ref: str, cursor: str | None, limit: int) -> tuple[int, TracePage]:
    """(how many traces have used it, counted to COUNT_TO; one page of them, newest first)."""
    limit = max(1, min(limit, MAX_LIMIT))
    uses = sa.and_(mine(span_refs, scope), span_refs.c.ref == ref)
    some = sa.select(span_refs.c.trace_id).where(uses).distinct().limit(COUNT_TO).subquery()
    count = connection.execute(sa.select(sa.func.count()).select_from(some)).scalar() or 0
    after = read_cursor(cursor)
    where = [uses, _before(span_refs.c.start_ns, span_refs.c.trace_id, after)] if after else [uses]
    pairs = sa.select(span_refs.c.start_ns, span_refs.c.trace_id).where(*where)
    pairs = pairs.order_by(span_refs.c.start_ns.desc(), span_refs.c.trace_id.desc()).limit(limit + 1)
    keys = [(values[0], values[1]) for values in connection.execute(pairs)]
    found = connection.execute(
        sa.select(*_ROW).where(mine(traces, scope), traces.c.trace_id.in_([key[1] for key in keys[:limit]]))
    )
    rows = sorted((_row(values) for values in found), key=lambda row: (-row.start_ns, row.trace_id))
    return count, TracePage(rows, cursor_of(*keys[limit - 1]) if len(keys) > limit else None)


# -- traffic


def read_hours(connection: sa.Connection, scope: Scope, since_ns: int) -> list[Hour]:
    """Hours since a moment, oldest first, with exact quantiles (nearest rank)."""
    c = traces.c
    recent = sa.and_(mine(traces, scope), c.start_ns >= since_ns)
    hour = (c.start_ns - c.start_ns % HOUR_NS).label("hour")
    sums = [sa.func.sum(c[name]) for name in ("tokens_in", "tokens_out", "cost_nano_usd")]
    failed = sa.func.sum(sa.case((c.status == "error", 1), else_=0))
    plain = sa.select(hour, sa.func.count(), failed, *sums).where(recent).group_by(hour).order_by(hour)
    hours = {
        int(values[0]): Hour(
            start_ns=int(values[0]), calls=values[1], errors=int(values[2] or 0), tokens_in=int(values[3] or 0),
            tokens_out=int(values[4] or 0), cost_nano_usd=int(values[5] or 0),
        )
        for values in connection.execute(plain)
    }  # fmt: skip
    done = sa.and_(recent, c.status != "pending")
    rank = sa.func.row_number().over(partition_by=hour, order_by=c.duration_ns).label("rank")
    size = sa.func.count().over(partition_by=hour).label("size")
    ranked = sa.select(hour, c.duration_ns, rank, size).where(done).subquery()
    at50, at95 = (ranked.c.size * 50 + 99) // 100, (ranked.c.size * 95 + 99) // 100
    chosen = sa.select(ranked.c.hour, ranked.c.duration_ns, ranked.c.rank == at50, ranked.c.rank == at95)
    for start, duration, is50, is95 in connection.execute(chosen.where(sa.or_(ranked.c.rank == at50, ranked.c.rank == at95))):
        if is50:
            hours[int(start)].p50_ns = duration
        if is95:
            hours[int(start)].p95_ns = duration
    return list(hours.values())


def read_total(connection: sa.Connection, scope: Scope, since_ns: int, hours: list[Hour]) -> Hour:
    """All hours together; quantiles over all finished traces."""
    total = Hour(start_ns=since_ns)
    for hour in hours:
        for name in ("calls", "errors", "tokens_in", "tokens_out", "cost_nano_usd"):
            setattr(total, name, getattr(total, name) + getattr(hour, name))
    c = traces.c
    done = sa.and_(mine(traces, scope), c.start_ns >= since_ns, c.status != "pending")
    count = connection.execute(sa.select(sa.func.count()).select_from(traces).where(done)).scalar() or 0
    for field, percent in (("p50_ns", 50), ("p95_ns", 95)):
        if count:
            place = (count * percent + 99) // 100 - 1
            query = sa.select(c.duration_ns).where(done).order_by(c.duration_ns).offset(place).limit(1)
            setattr(total, field, connection.execute(query).scalar() or 0)
    return total


def read_traffic(connection: sa.Connection, scope: Scope, since_ns: int, column: str, limit: int = 20) -> list[Traffic]:
    """The busiest apps or models of traces."""
    c = traces.c
    calls = sa.func.count()
    failed = sa.func.sum(sa.case((c.status == "error", 1), else_=0))
    query = sa.select(c[column], calls, failed, sa.func.sum(c.tokens_in + c.tokens_out), sa.func.sum(c.cost_nano_usd))
    query = query.where(mine(traces, scope), c.start_ns >= since_ns, c[column] != "").group_by(c[column])
    found = connection.execute(query.order_by(calls.desc(), c[column]).limit(limit))
    return [
        Traffic(name=v[0], calls=v[1], errors=int(v[2] or 0), tokens=int(v[3] or 0), cost_nano_usd=int(v[4] or 0)) for v in found
    ]
