"""Tables of the cache and every query on them: entries and hits beside the spans (they hold texts of calls, as those do), rules
and labels in the registry database."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright import audit
from genwright.access.types import Actor
from genwright.db import REGISTRY, SPANS, Json, scoped
from genwright.gateway.cache.types import Entry, Hit, Label, Rule
from genwright.vocab import Scope

rules = sa.Table(
    "gateway_cache_rules",
    REGISTRY,
    *scoped(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("content", Json, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "name", "number"),
)
labels = sa.Table(
    "gateway_cache_labels",
    REGISTRY,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("asked", sa.Text, nullable=False),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("same", sa.Boolean, nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "id"),
)
entries = sa.Table(
    "gateway_cache_entries",
    SPANS,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("trace", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("used_ns", sa.BigInteger, nullable=False),
    sa.Column("hits", sa.BigInteger, nullable=False),
    sa.Column("nano_usd", sa.BigInteger, nullable=False),
    sa.Column("duration_ns", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("vector", sa.LargeBinary),
    sa.Column("pieces", sa.LargeBinary),
    sa.Column("rows", sa.LargeBinary),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "id"),
    sa.Index("gateway_cache_entries_trace", "workspace", "project", "trace"),
    sa.Index("gateway_cache_entries_age", "workspace", "project", "created_ns"),
)
hits = sa.Table(
    "gateway_cache_hits",
    SPANS,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("entry", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("how", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("trace", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("asked", sa.Text, nullable=False),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("similarity", sa.Float, nullable=False),
    sa.Column("saved_nano_usd", sa.BigInteger, nullable=False),
    sa.Column("saved_ns", sa.BigInteger, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("judged_by", sa.Text, nullable=False),
    sa.Column("judged_ns", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "id"),
    sa.Index("gateway_cache_hits_time", "workspace", "project", "at_ns"),
)
_ABOUT = [entries.c[name] for name in Entry.__struct_fields__]


_HERE = (
    entries.c.workspace == sa.bindparam("workspace"),
    entries.c.project == sa.bindparam("project"),
    entries.c.expires_ns > sa.bindparam("now_ns"),
)
# Made once: these two stand on every look-up's way.
_GET = sa.select(*_ABOUT, entries.c.content).where(*_HERE, entries.c.id == sa.bindparam("id"))
_CANDIDATES = sa.select(entries.c.id, entries.c.question, entries.c.vector, entries.c.pieces, entries.c.rows).where(
    *_HERE, entries.c.scope == sa.bindparam("hard"), entries.c.id.in_(sa.bindparam("ids", expanding=True))
)


class Read(msgspec.Struct, frozen=True):
    """What a semantic look-up needs of a candidate."""

    id: str
    question: str
    vector: bytes
    """float16 (384,)."""
    pieces: bytes
    """uint16 (n,)."""
    rows: bytes
    """int8 (n, 384)."""


# -- rules and labels (registry database)


def newest_rules(connection: Connection, scope: Scope) -> list[Rule]:
    """The rules in force and those switched off, by name; removed ones not."""
    table = rules.c
    newest = (
        sa.select(table.name, sa.func.max(table.number).label("number")).where(*_in(rules, scope)).group_by(table.name).subquery()
    )
    query = (
        sa.select(rules)
        .join(newest, sa.and_(table.name == newest.c.name, table.number == newest.c.number))
        .where(*_in(rules, scope))
        .order_by(table.name)
    )
    return [_rule(row) for row in connection.execute(query) if row.content is not None and not row.content.get("removed")]


def history(connection: Connection, scope: Scope, name: str) -> list[Rule]:
    """All versions of a rule, newest first."""
    query = sa.select(rules).where(*_in(rules, scope), rules.c.name == name).order_by(rules.c.number.desc())
    return [_rule(row) for row in connection.execute(query)]


def put_rule(connection: Connection, actor: Actor, rule: Rule, removed: bool = False) -> Rule:
    """The next version of a rule; writes the audit event, too."""
    scope = Scope(rule.workspace, rule.project)
    query = sa.select(sa.func.max(rules.c.number)).where(*_in(rules, scope), rules.c.name == rule.name)
    number = (connection.execute(query).scalar() or 0) + 1
    rule = msgspec.structs.replace(rule, number=number)
    content = {name: value for name, value in msgspec.structs.asdict(rule).items() if name not in _COLUMNS}
    if removed:
        content["removed"] = True
    columns = {name: getattr(rule, name) for name in _COLUMNS}
    connection.execute(rules.insert().values(content=content, **columns))
    action = "gateway.remove_cache_rule" if removed else "gateway.put_cache_rule"
    audit.write(connection, actor.scope, actor.id, action, f"cache:{rule.name}", content)
    return rule


_COLUMNS = ("workspace", "project", "name", "number", "created_ns", "created_by")


def _rule(row: Any) -> Rule:
    content = {name: value for name, value in row.content.items() if name in Rule.__struct_fields__}
    return Rule(row.workspace, row.project, row.name, row.number, created_ns=row.created_ns, created_by=row.created_by, **content)


def add_label(connection: Connection, label: Label) -> None:
    connection.execute(labels.insert().values(**msgspec.structs.asdict(label)))


def all_labels(connection: Connection, scope: Scope, limit: int = 20_000) -> list[Label]:
    """Newest first."""
    query = sa.select(labels).where(*_in(labels, scope)).order_by(labels.c.at_ns.desc()).limit(limit)
    return [Label(*row) for row in connection.execute(query)]


# -- entries (spans database)


def put_entry(connection: Connection, entry: Entry, read: Read | None, content: bytes) -> None:
    """Insert, or replace the one of the same key."""
    scope = Scope(entry.workspace, entry.project)
    connection.execute(entries.delete().where(*_in(entries, scope), entries.c.id == entry.id))
    made = {"vector": read.vector, "pieces": read.pieces, "rows": read.rows} if read is not None else {}
    connection.execute(entries.insert().values(**msgspec.structs.asdict(entry), content=content, **made))


def get_entry(connection: Connection, scope: Scope, id: str, now_ns: int) -> tuple[Entry, bytes] | None:
    """The entry with its content, unless it has expired."""
    asked = {"workspace": scope.workspace, "project": scope.project, "id": id, "now_ns": now_ns}
    row = connection.execute(_GET, asked).first()
    return None if row is None else (Entry(*row[:-1]), bytes(row[-1]))


def vectors(connection: Connection, scope: Scope, since_ns: int, now_ns: int) -> list[tuple[str, str, bytes, int]]:
    """(scope, id, vector, created) of entries with a vector made at or after `since_ns`, oldest first."""
    table = entries.c
    query = (
        sa.select(table.scope, table.id, table.vector, table.created_ns)
        .where(*_in(entries, scope), table.created_ns >= since_ns, table.vector.is_not(None), table.expires_ns > now_ns)
        .order_by(table.created_ns)
    )
    return [(row[0], row[1], bytes(row[2]), row[3]) for row in connection.execute(query)]


def candidates(connection: Connection, scope: Scope, hard: str, ids: list[str], now_ns: int) -> list[Read]:
    """Those still there, in any order; the hard scope is asked for once more."""
    asked = {"workspace": scope.workspace, "project": scope.project, "ids": ids, "hard": hard, "now_ns": now_ns}
    return [Read(row[0], row[1], bytes(row[2]), bytes(row[3]), bytes(row[4])) for row in connection.execute(_CANDIDATES, asked)]


def prune(connection: Connection, scope: Scope, limits: dict[str, int], now_ns: int) -> list[str]:
    """Delete what has expired, and over a rule's limit what was used longest ago. Ids of what went."""
    table, gone = entries.c, []
    where = [*_in(entries, scope)]
    chosen = [sa.select(table.id).where(*where, table.expires_ns <= now_ns)]
    for rule, limit in limits.items():
        chosen.append(
            sa.select(table.id)
            .where(*where, table.rule == rule)
            .order_by(table.used_ns.desc(), table.id)
            .limit(2**31)
            .offset(limit)
        )
    for query in chosen:
        ids = [row[0] for row in connection.execute(query)]
        for start in range(0, len(ids), 500):
            connection.execute(entries.delete().where(*where, table.id.in_(ids[start : start + 500])))
        gone += ids
    return gone


def delete(connection: Connection, scope: Scope, trace: str = "", rule: str = "", id: str = "") -> list[str]:
    """Delete entries of a trace, a rule, one, or all. Ids of what went, and hits' texts with them."""
    table = entries.c
    where = [*_in(entries, scope)]
    where += [column == value for column, value in ((table.trace, trace), (table.rule, rule), (table.id, id)) if value]
    ids = [row[0] for row in connection.execute(sa.select(table.id).where(*where))]
    connection.execute(entries.delete().where(*where))
    blank = {"asked": "", "question": ""}
    within = [*_in(hits, scope)]
    if not (trace or rule or id):
        connection.execute(hits.update().where(*within).values(**blank))
    else:
        if trace:
            connection.execute(hits.update().where(*within, hits.c.trace == trace).values(**blank))
        for start in range(0, len(ids), 500):
            connection.execute(hits.update().where(*within, hits.c.entry.in_(ids[start : start + 500])).values(**blank))
    return ids


def sizes(connection: Connection, scope: Scope, now_ns: int) -> dict[str, tuple[int, int]]:
    """rule → (entries, bytes)."""
    table = entries.c
    query = (
        sa.select(table.rule, sa.func.count(), sa.func.coalesce(sa.func.sum(table.bytes), 0))
        .where(*_in(entries, scope), table.expires_ns > now_ns)
        .group_by(table.rule)
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(query)}


# -- hits (spans database)


def add_hit(connection: Connection, hit: Hit) -> None:
    """The hit, and the entry as used."""
    connection.execute(hits.insert().values(**msgspec.structs.asdict(hit)))
    where = [*_in(entries, Scope(hit.workspace, hit.project)), entries.c.id == hit.entry]
    connection.execute(entries.update().where(*where).values(hits=entries.c.hits + 1, used_ns=hit.at_ns))


def latest_hits(connection: Connection, scope: Scope, how: str, rule: str, limit: int, before_ns: int = 2**63 - 1) -> list[Hit]:
    """Newest first; `how` and `rule` empty: any."""
    where = [*_in(hits, scope), hits.c.at_ns < before_ns]
    where += [column == value for column, value in ((hits.c.how, how), (hits.c.rule, rule)) if value]
    query = sa.select(hits).where(*where).order_by(hits.c.at_ns.desc()).limit(limit)
    return [Hit(*row) for row in connection.execute(query)]


def get_hit(connection: Connection, scope: Scope, id: str) -> Hit | None:
    row = connection.execute(sa.select(hits).where(*_in(hits, scope), hits.c.id == id)).first()
    return None if row is None else Hit(*row)


def judge(connection: Connection, scope: Scope, id: str, verdict: str, by: str, at_ns: int) -> Hit | None:
    """Write a verdict; a person's stands over a model's."""
    where = [*_in(hits, scope), hits.c.id == id]
    connection.execute(hits.update().where(*where).values(verdict=verdict, judged_by=by, judged_ns=at_ns))
    return get_hit(connection, scope, id)


def sums(connection: Connection, scope: Scope, since_ns: int) -> dict[str, tuple[int, int, int, int]]:
    """rule → (exact hits, semantic hits, nano-dollars saved, nanoseconds saved)."""
    table = hits.c
    exact = sa.func.sum(sa.case((table.how == "exact", 1), else_=0))
    query = (
        sa.select(table.rule, exact, sa.func.count(), sa.func.sum(table.saved_nano_usd), sa.func.sum(table.saved_ns))
        .where(*_in(hits, scope), table.at_ns >= since_ns)
        .group_by(table.rule)
    )
    return {row[0]: (int(row[1]), int(row[2] - row[1]), int(row[3]), int(row[4])) for row in connection.execute(query)}


def verdicts(connection: Connection, scope: Scope, rule: str, number: int) -> tuple[int, int]:
    """(judged, wrong) semantic hits under one version of a rule."""
    table = hits.c
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(sa.case((table.verdict == "wrong", 1), else_=0)), 0)).where(
        *_in(hits, scope), table.rule == rule, table.number == number, table.how == "semantic", table.verdict != ""
    )
    row = connection.execute(query).one()
    return int(row[0]), int(row[1])


def prune_hits(connection: Connection, scope: Scope, before_ns: int) -> None:
    connection.execute(hits.delete().where(*_in(hits, scope), hits.c.at_ns < before_ns))


def _in(table: sa.Table, scope: Scope) -> tuple[Any, Any]:
    return table.c.workspace == scope.workspace, table.c.project == scope.project
