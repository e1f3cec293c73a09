"""Tables of retrieval: documents of each corpus, their parsed texts, and where the vector of each embedded text lies.

All SQL of the room is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright.db import REGISTRY, scoped
from genwright.retrieval.types import Document
from genwright.vocab import Scope

documents = sa.Table(
    "documents",
    REGISTRY,
    *scoped(),
    sa.Column("corpus", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("text_digest", sa.Text, nullable=False),
    sa.Column("media_type", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("chars", sa.BigInteger, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "corpus", "name"),
    sa.Index("documents_by_digest", "workspace", "project", "digest"),
)

embedded = sa.Table(
    "embedded_texts",
    REGISTRY,
    *scoped(),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("text_digest", sa.Text, nullable=False),
    sa.Column("blob", sa.Text, nullable=False),  # see building._pack
    sa.Column("position", sa.Integer, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "model", "text_digest"),
)

parsed_texts = sa.Table(
    "parsed_texts",
    REGISTRY,
    *scoped(),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),  # how bytes are read depends on the name's ending
    sa.Column("text_digest", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "digest", "name"),
)
"""Every document text that was ever indexed can be read: rows here stay when a document is changed or removed."""

_SLICE = 400  # parameters in one IN (…)


def put_document(connection: Connection, scope: Scope, row: Document) -> None:
    """Write a document's row, in place of the one of that name."""
    values = msgspec.structs.asdict(row)
    statement = documents.update().where(*_is(scope, row.corpus, row.name)).values(values)
    if connection.execute(statement).rowcount == 0:
        connection.execute(documents.insert().values(values))
    if row.state == "ok":
        put_parsed(connection, scope, row)


def remove_document(connection: Connection, scope: Scope, corpus: str, name: str) -> bool:
    return connection.execute(documents.delete().where(*_is(scope, corpus, name))).rowcount > 0


def document(connection: Connection, scope: Scope, corpus: str, name: str) -> Document | None:
    row = connection.execute(sa.select(documents).where(*_is(scope, corpus, name))).one_or_none()
    return None if row is None else Document(**row._mapping)


def put_parsed(connection: Connection, scope: Scope, row: Document) -> None:
    """Note where the text of these bytes under this name is."""
    where = (
        parsed_texts.c.workspace == scope.workspace,
        parsed_texts.c.project == scope.project,
        parsed_texts.c.digest == row.digest,
        parsed_texts.c.name == row.name,
    )
    values = {"text_digest": row.text_digest, "title": row.title}
    if connection.execute(parsed_texts.update().where(*where).values(values)).rowcount == 0:
        place = {"workspace": scope.workspace, "project": scope.project, "digest": row.digest, "name": row.name}
        connection.execute(parsed_texts.insert().values(**place, **values))


def parsed_text(connection: Connection, scope: Scope, digest: str, name: str) -> tuple[str, str] | None:
    """(name, blob of the parsed text) of these bytes; under the given name, else under any."""
    query = sa.select(parsed_texts.c.name, parsed_texts.c.text_digest).where(
        parsed_texts.c.workspace == scope.workspace, parsed_texts.c.project == scope.project, parsed_texts.c.digest == digest
    )
    rows = {found: text for found, text in connection.execute(query.order_by(parsed_texts.c.name))}  # noqa: C416
    if not rows:
        return None
    chosen = name if name in rows else next(iter(rows))
    return chosen, rows[chosen]


def page(connection: Connection, scope: Scope, corpus: str, state: str, after: str, limit: int) -> list[Document]:
    """Documents of a corpus by name, after the name `after`."""
    query = sa.select(documents).where(*_in(scope), documents.c.corpus == corpus, documents.c.name > after)
    if state:
        query = query.where(documents.c.state == state)
    return [Document(**row._mapping) for row in connection.execute(query.order_by(documents.c.name).limit(limit))]


def readable(connection: Connection, scope: Scope, corpus: str) -> list[Document]:
    """All documents of a corpus that go into an index, by name."""
    query = sa.select(documents).where(*_in(scope), documents.c.corpus == corpus, documents.c.state == "ok")
    return [Document(**row._mapping) for row in connection.execute(query.order_by(documents.c.name))]


def corpora(connection: Connection, scope: Scope) -> list[dict[str, object]]:
    """[{"name", "documents", "skipped", "bytes"}] of every corpus."""
    ok = sa.func.sum(sa.case((documents.c.state == "ok", 1), else_=0))
    query = sa.select(documents.c.corpus, ok, sa.func.count(), sa.func.sum(documents.c.bytes)).where(*_in(scope))
    rows = connection.execute(query.group_by(documents.c.corpus).order_by(documents.c.corpus))
    return [
        {"name": name, "documents": int(good), "skipped": total - int(good), "bytes": int(size)}
        for name, good, total, size in rows
    ]


def places(connection: Connection, scope: Scope, model: str, digests: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Of the texts that have been embedded by this model: text digest → (blob, row in it)."""
    columns = (embedded.c.text_digest, embedded.c.blob, embedded.c.position)
    found: dict[str, tuple[str, int]] = {}
    for start in range(0, len(digests), _SLICE):
        where = (
            embedded.c.workspace == scope.workspace,
            embedded.c.project == scope.project,
            embedded.c.model == model,
            embedded.c.text_digest.in_(digests[start : start + _SLICE]),
        )
        found.update(
            {digest: (blob, position) for digest, blob, position in connection.execute(sa.select(*columns).where(*where))}
        )
    return found


def put_places(connection: Connection, scope: Scope, model: str, digests: Iterable[str], blob: str) -> None:
    """Note that the rows of `blob` are the vectors of these texts, in this order; texts known already are left as they are."""
    wanted = list(dict.fromkeys(digests))
    known = places(connection, scope, model, wanted)
    rows = [
        {
            "workspace": scope.workspace,
            "project": scope.project,
            "model": model,
            "text_digest": digest,
            "blob": blob,
            "position": n,
        }
        for n, digest in enumerate(wanted)
        if digest not in known
    ]
    if rows:
        connection.execute(embedded.insert(), rows)


def _in(scope: Scope) -> tuple[sa.ColumnElement[bool], ...]:
    return documents.c.workspace == scope.workspace, documents.c.project == scope.project


def _is(scope: Scope, corpus: str, name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (*_in(scope), documents.c.corpus == corpus, documents.c.name == name)
