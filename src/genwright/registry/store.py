"""Tables of the registry and their queries. Versions, moves and edges are only ever inserted.

Knows nothing of what an artifact's content means. A writer locks the artifact's row first, so that numbers have no gap and a
comparison with what the writer saw is safe on PostgreSQL too, where several servers may write.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright import audit, clock
from genwright.db import REGISTRY, Json, insert_new, scoped
from genwright.errors import NEVER, Conflict, Missing, Unavailable
from genwright.registry.types import Artifact, Edge, Label, LabelMove, Version
from genwright.vocab import Ref, Scope, digest, nearest

MAX_EDGES = 10_000
"""Edges returned by one walk."""


def _named() -> list[sa.Column]:
    return [*scoped(), sa.Column("kind", sa.Text, nullable=False), sa.Column("name", sa.Text, nullable=False)]


artifacts = sa.Table(
    "artifacts",
    REGISTRY,
    *_named(),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("tags", Json, nullable=False),
    sa.Column("newest", sa.BigInteger, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("updated_ns", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "kind", "name"),
)
versions = sa.Table(
    "artifact_versions",
    REGISTRY,
    *_named(),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("content", Json, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("tags", Json, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "kind", "name", "number"),
    sa.Index("artifact_versions_by_digest", "workspace", "project", "digest"),
)
labels = sa.Table(
    "artifact_labels",
    REGISTRY,
    *_named(),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("moved_ns", sa.BigInteger, nullable=False),
    sa.Column("moved_by", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "kind", "name", "label"),
)
moves = sa.Table(
    "label_moves",
    REGISTRY,
    *_named(),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("move", sa.BigInteger, nullable=False),
    sa.Column("from_number", sa.BigInteger),
    sa.Column("to_number", sa.BigInteger, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "kind", "name", "label", "move"),
)
tags = sa.Table(
    "artifact_tags",
    REGISTRY,
    *_named(),
    sa.Column("number", sa.BigInteger, nullable=False),  # 0: of the artifact itself
    sa.Column("tag", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "kind", "name", "number", "tag"),
    sa.Index("artifact_tags_by_tag", "workspace", "project", "tag"),
)
edges = sa.Table(
    "artifact_edges",
    REGISTRY,
    *scoped(),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("relation", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("target_ref", sa.Text, nullable=False),
    sa.Column("source_ref", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "source", "relation", "target", "source_ref"),
    sa.Index("artifact_edges_by_target", "workspace", "project", "target"),
)


class NewVersion(msgspec.Struct, frozen=True):
    """What a writer puts. `expected` is the newest number the writer saw; None does not ask."""

    kind: str
    name: str
    content: dict[str, Any]
    digest: str
    note: str
    tags: list[str]
    edges: list[Edge]
    expected: int | None
    by: str


def content_digest(kind: str, content: dict[str, Any]) -> str:
    """A version's digest: over kind and content, not over its name, number, note or time."""
    return digest({"kind": kind, "content": content})


def _in(table: sa.Table, scope: Scope) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.workspace == scope.workspace, table.c.project == scope.project)


def _of(table: sa.Table, scope: Scope, kind: str, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(_in(table, scope), table.c.kind == kind, table.c.name == name)


def _where(scope: Scope, kind: str, name: str) -> dict[str, Any]:
    return {"workspace": scope.workspace, "project": scope.project, "kind": kind, "name": name}


# -- versions


def put(connection: Connection, scope: Scope, new: NewVersion) -> tuple[Version, bool]:
    """The version put, and whether it is new; the newest one again if it has the same content. Raises Conflict."""
    now = clock.now_ns()
    where = _where(scope, new.kind, new.name)
    fresh = {"description": "", "tags": [], "newest": 0, "created_ns": now, "created_by": new.by, "updated_ns": now}
    connection.execute(insert_new(connection, artifacts, **where, **fresh))
    mine = _of(artifacts, scope, new.kind, new.name)
    newest = connection.execute(sa.select(artifacts.c.newest).where(mine).with_for_update()).scalar_one()
    before = _versions(connection, scope, versions.c.number == newest, new.kind, new.name) if newest else []
    same = bool(before) and before[0].digest == new.digest
    if new.expected is not None and new.expected != newest and not same:
        raise _stale(new, newest, before)
    if not same:
        row: dict[str, Any] = {
            "number": newest + 1,
            "digest": new.digest,
            "content": new.content,
            "note": new.note,
            "tags": new.tags,
        }
        connection.execute(versions.insert().values(**where, **row, created_ns=now, created_by=new.by))
        connection.execute(artifacts.update().where(mine).values(newest=newest + 1, updated_ns=now))
        for tag in new.tags:
            connection.execute(insert_new(connection, tags, **where, number=newest + 1, tag=tag))
    ref = str(Ref(new.kind, new.name, digest=new.digest))
    _insert_edges(connection, scope, new, ref)
    if same:
        return before[0], False
    audit.write(connection, scope, new.by, "registry.put", ref, {"number": newest + 1, "note": new.note})
    return Version(**where, **row, created_ns=now, created_by=new.by), True


def _stale(new: NewVersion, newest: int, before: list[Version]) -> Conflict:
    what = f"{new.kind}:{new.name}"
    if not newest:
        text = f"{what} does not exist yet; you saw version {new.expected}."
    else:
        text = f"{what} is at version {newest} by '{before[0].created_by}'; you saw version {new.expected}."
    return Conflict(
        f"{text} Nothing was written, what stands was kept. Read it again and put with expected={newest}.", newest=newest
    )


def _insert_edges(connection: Connection, scope: Scope, new: NewVersion, ref: str) -> None:
    where = {"workspace": scope.workspace, "project": scope.project, "source": new.digest, "source_ref": ref}
    for edge in new.edges:
        row = {"relation": edge.relation, "target": edge.target, "target_ref": edge.target_ref}
        connection.execute(insert_new(connection, edges, **where, **row))


_HEAD = [versions.c[name] for name in Version.__struct_fields__ if name not in ("content", "labels")]


def _versions(
    connection: Connection, scope: Scope, which: sa.ColumnElement[bool], kind: str, name: str, content: bool = True
) -> list[Version]:
    """Versions of one artifact, newest first, with their labels."""
    columns = [*_HEAD, versions.c.content] if content else _HEAD
    query = sa.select(*columns).where(_of(versions, scope, kind, name), which).order_by(versions.c.number.desc())
    rows = connection.execute(query).mappings().all()
    standing: dict[int, list[str]] = {}
    for label in labels_of(connection, scope, kind, name) if rows else []:
        standing.setdefault(label.number, []).append(label.label)
    return [Version(**{"content": {}, **row}, labels=standing.get(row["number"], [])) for row in rows]


def get(connection: Connection, scope: Scope, ref: Ref) -> Version:
    """The version a ref names; without selector the newest. Raises Missing with the nearest names."""
    artifact = get_artifact(connection, scope, ref.kind, ref.name)
    if ref.digest:
        which: sa.ColumnElement[bool] = versions.c.digest == ref.digest
    elif ref.label:
        which = versions.c.number == _labelled(connection, scope, ref, artifact)
    else:
        which = versions.c.number == (artifact.newest if ref.number is None else ref.number)
    found = _versions(connection, scope, which, ref.kind, ref.name)
    if not found:
        raise Missing(f"{ref.kind}:{ref.name} has no such version as '{ref}'. Its newest is number {artifact.newest}.")
    return _sound(found[-1])  # of equal contents the first: what a digest names does not move


def _labelled(connection: Connection, scope: Scope, ref: Ref, artifact: Artifact) -> int:
    assert ref.label is not None
    if ref.label in artifact.labels:
        return artifact.labels[ref.label]
    known = sorted(artifact.labels)
    near = nearest(ref.label, known) or known
    hint = f"It has: {', '.join(near)}." if near else "It has no labels yet."
    raise Missing(f"{ref.kind}:{ref.name} has no label '{ref.label}'. {hint}", nearest=near)


def _sound(version: Version) -> Version:
    """Refuse content that is no longer what its digest says."""
    if content_digest(version.kind, version.content) != version.digest:
        raise Unavailable(
            f"{version.ref} was changed in the database behind our back: its content does not have this digest. "
            "It was left as it is. Restore the database from a backup.",
            code="damaged",
            retry=NEVER,
        )
    return version


def by_digest(connection: Connection, scope: Scope, wanted: str) -> Version:
    """The first version with this digest. Raises Missing."""
    query = sa.select(versions.c.kind, versions.c.name).where(_in(versions, scope), versions.c.digest == wanted)
    row = connection.execute(query.order_by(versions.c.created_ns, versions.c.kind, versions.c.name).limit(1)).first()
    if row is None:
        raise Missing(f"No version here has the digest {wanted}.")
    return get(connection, scope, Ref(row.kind, row.name, digest=wanted))


def versions_of(connection: Connection, scope: Scope, kind: str, name: str, content: bool) -> list[Version]:
    """All versions of an artifact, newest first. Raises Missing with the nearest names."""
    get_artifact(connection, scope, kind, name)
    return _versions(connection, scope, sa.true(), kind, name, content)


# -- artifacts


def get_artifact(connection: Connection, scope: Scope, kind: str, name: str) -> Artifact:
    """Raises Missing with the nearest names of this kind, and other kinds that have the name."""
    row = connection.execute(sa.select(artifacts).where(_of(artifacts, scope, kind, name))).mappings().first()
    if row is None:
        raise _unknown(connection, scope, kind, name)
    return Artifact(**row, labels={label.label: label.number for label in labels_of(connection, scope, kind, name)})


def _unknown(connection: Connection, scope: Scope, kind: str, name: str) -> Missing:
    query = sa.select(artifacts.c.kind, artifacts.c.name).where(_in(artifacts, scope))
    rows = connection.execute(query.where(sa.or_(artifacts.c.kind == kind, artifacts.c.name == name)).limit(10_000)).all()
    names = sorted(row.name for row in rows if row.kind == kind)
    near = [f"{kind}:{found}" for found in nearest(name, names) or names[:3]]
    near += [f"{row.kind}:{name}" for row in rows if row.kind != kind]
    hint = f"Nearest: {', '.join(near)}." if near else f"There is no {kind} here yet."
    return Missing(f"There is no {kind} '{name}'. {hint}", nearest=near)


def page(
    connection: Connection, scope: Scope, kind: str, query: str, tag: str, after: tuple[str, str], limit: int
) -> list[Artifact]:
    """Artifacts by kind and name. `query` is looked for in name and description, `tag` on the artifact and its versions."""
    select = sa.select(artifacts).where(_in(artifacts, scope))
    if kind:
        select = select.where(artifacts.c.kind == kind)
    if query:
        text = sa.func.lower(artifacts.c.name + "\n" + artifacts.c.description)
        select = select.where(text.contains(query.lower(), autoescape=True))
    if tag:
        tagged = sa.select(tags.c.kind, tags.c.name).where(_in(tags, scope), tags.c.tag == tag)
        select = select.where(sa.tuple_(artifacts.c.kind, artifacts.c.name).in_(tagged))
    if after != ("", ""):
        select = select.where(sa.tuple_(artifacts.c.kind, artifacts.c.name) > sa.tuple_(*map(sa.literal, after)))
    rows = connection.execute(select.order_by(artifacts.c.kind, artifacts.c.name).limit(limit)).mappings().all()
    standing: dict[tuple[str, str], dict[str, int]] = {}
    these = sa.tuple_(labels.c.kind, labels.c.name).in_([(row["kind"], row["name"]) for row in rows])
    for found in connection.execute(sa.select(labels).where(_in(labels, scope), these).order_by(labels.c.label)):
        standing.setdefault((found.kind, found.name), {})[found.label] = found.number
    return [Artifact(**row, labels=standing.get((row["kind"], row["name"]), {})) for row in rows]


def describe(
    connection: Connection, scope: Scope, kind: str, name: str, description: str | None, new_tags: list[str] | None, by: str
) -> Artifact:
    """Change what is said about an artifact; None leaves it. Raises Missing."""
    get_artifact(connection, scope, kind, name)
    changes: dict[str, Any] = {}
    if description is not None:
        changes["description"] = description
    if new_tags is not None:
        changes["tags"] = new_tags
        own = sa.and_(_of(tags, scope, kind, name), tags.c.number == 0)
        connection.execute(tags.delete().where(own))
        for tag in new_tags:
            connection.execute(insert_new(connection, tags, **_where(scope, kind, name), number=0, tag=tag))
    if changes:
        connection.execute(artifacts.update().where(_of(artifacts, scope, kind, name)).values(**changes))
        audit.write(connection, scope, by, "registry.describe", f"{kind}:{name}", changes)
    return get_artifact(connection, scope, kind, name)


# -- labels


class Wanted(msgspec.Struct, frozen=True):
    """A move asked for. `expected` is the number the mover saw the label on (0: nowhere); None does not ask."""

    kind: str
    name: str
    label: str
    number: int
    expected: int | None
    note: str
    by: str


def move_label(connection: Connection, scope: Scope, wanted: Wanted) -> tuple[LabelMove, Version, bool]:
    """The move, the version the label stands on now, and whether it moved at all. Raises Conflict, Missing."""
    kind, name = wanted.kind, wanted.name
    connection.execute(sa.select(artifacts.c.newest).where(_of(artifacts, scope, kind, name)).with_for_update())
    version = get(connection, scope, Ref(kind, name, number=wanted.number))
    at = _of(labels, scope, kind, name)
    now = connection.execute(sa.select(labels.c.number).where(at, labels.c.label == wanted.label)).scalar()
    if wanted.expected is not None and wanted.expected != (now or 0):
        stands = f"stands on version {now}" if now else "does not exist"
        raise Conflict(
            f"Label '{wanted.label}' of {kind}:{name} {stands}; you saw it on {wanted.expected or 'none'}. It was not moved. "
            f"Look again and move it with expected={now or 0}.",
            number=now,
        )
    last = _moves(connection, scope, kind, name, wanted.label, 1)
    if now == wanted.number:
        return last[0], version, False
    where, at_ns = _where(scope, kind, name), clock.now_ns()
    row = {"number": wanted.number, "moved_ns": at_ns, "moved_by": wanted.by}
    if now is None:
        connection.execute(labels.insert().values(**where, label=wanted.label, **row))
    else:
        connection.execute(labels.update().where(at, labels.c.label == wanted.label).values(**row))
    move = LabelMove(
        **where,
        label=wanted.label,
        move=last[0].move + 1 if last else 1,
        from_number=now,
        to_number=wanted.number,
        at_ns=at_ns,
        by=wanted.by,
        note=wanted.note,
    )
    connection.execute(moves.insert().values(msgspec.structs.asdict(move)))
    details = {"from": now, "to": wanted.number, "digest": version.digest, "note": wanted.note}
    audit.write(connection, scope, wanted.by, "registry.label", f"{kind}:{name}@{wanted.label}", details)
    standing = sorted({*version.labels, wanted.label})
    return move, msgspec.structs.replace(version, labels=standing), True


def labels_of(connection: Connection, scope: Scope, kind: str, name: str) -> list[Label]:
    """Labels of an artifact by name."""
    rows = connection.execute(sa.select(labels).where(_of(labels, scope, kind, name)).order_by(labels.c.label))
    return [Label(*row) for row in rows]


def history(connection: Connection, scope: Scope, kind: str, name: str, limit: int) -> list[LabelMove]:
    """Moves of all labels of an artifact, newest first. Raises Missing with the nearest names."""
    get_artifact(connection, scope, kind, name)
    return _moves(connection, scope, kind, name, "", limit)


def _moves(connection: Connection, scope: Scope, kind: str, name: str, label: str, limit: int) -> list[LabelMove]:
    query = sa.select(moves).where(_of(moves, scope, kind, name)).limit(limit)
    if label:  # by count, not by time: the wall clock may have jumped back
        query = query.where(moves.c.label == label).order_by(moves.c.move.desc())
    else:
        query = query.order_by(moves.c.at_ns.desc(), moves.c.move.desc(), moves.c.label)
    return [LabelMove(*row) for row in connection.execute(query)]


# -- edges


def walk(connection: Connection, scope: Scope, start: str, forward: bool, depth: int) -> list[Edge]:
    """Edges reached from a digest, nearest first: back to what it depends on, or forward to what depends on it."""
    here, there = (edges.c.target, edges.c.source) if forward else (edges.c.source, edges.c.target)
    found: list[Edge] = []
    seen, layer = {start}, [start]
    while layer and depth > 0 and len(found) < MAX_EDGES:
        rows: list[Edge] = []
        for first in range(0, len(layer), 500):
            some = sa.select(*(edges.c[name] for name in Edge.__struct_fields__))
            some = some.where(_in(edges, scope), here.in_(layer[first : first + 500])).order_by(edges.c.relation, there)
            rows += [Edge(*row) for row in connection.execute(some.limit(MAX_EDGES - len(found)))]
        found += rows
        layer = sorted({edge.source if forward else edge.target for edge in rows} - seen)
        seen.update(layer)
        depth -= 1
    return found[:MAX_EDGES]
