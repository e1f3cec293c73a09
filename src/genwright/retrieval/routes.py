"""REST of retrieval. One service call a route. A document is sent as the raw body, its name in the query."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import TooLarge
from genwright.retrieval.types import DEFAULT_MODEL, Chunker, IndexSpec
from genwright.web.api import read_body, read_bytes, reply

router = APIRouter(prefix="/api/retrieval", tags=["retrieval"])

Limit = Annotated[int, Query(ge=1, le=500)]


class Build(msgspec.Struct, frozen=True):
    corpus: str
    index: str = ""
    """Name of the index; the corpus's where empty."""
    label: str = ""
    size: int = Chunker().size
    overlap: int = Chunker().overlap
    embedding_model: str = DEFAULT_MODEL


class Search(msgspec.Struct, frozen=True):
    index: str
    query: str
    mode: str = "hybrid"
    k: int = 5


def _fields(shape: type[msgspec.Struct]) -> dict[str, Any]:
    return {"fields": list(shape.__struct_fields__)}


@router.get("/corpora", operation_id="retrieval.corpora")
async def corpora(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Corpora of this project, with how many documents each has."""
    return reply({"items": await request.app.state.retrieval.corpora(actor.scope), "next": None})


@router.post("/corpora/{corpus:path}/documents", operation_id="retrieval.add_document")
async def add_document(
    request: Request, corpus: str, name: str, media_type: str = "", actor: Actor = Depends(needs("write"))
) -> Response:
    """Put a document (the raw body) into a corpus; the same bytes again change nothing. `state` says whether it was read."""
    service = request.app.state.retrieval
    limit = request.app.state.settings.max_document_bytes
    try:
        data = await read_bytes(request, limit)
    except TooLarge:
        size = int(request.headers.get("content-length") or 0)
        reason = f"It has more than {limit:,} bytes, which is the most (max_document_bytes)."
        return reply(await service.skip_document(actor, corpus, name, size, "too_large", reason))
    return reply(await service.add_document(actor, corpus, name, data, media_type))


@router.delete("/corpora/{corpus:path}/documents", operation_id="retrieval.remove_document")
async def remove_document(request: Request, corpus: str, name: str, actor: Actor = Depends(needs("write"))) -> Response:
    """Take a document out of a corpus; index versions stay as they are."""
    await request.app.state.retrieval.remove_document(actor, corpus, name)
    return reply({"removed": name})


@router.get("/corpora/{corpus:path}/documents", operation_id="retrieval.documents")
async def documents(
    request: Request,
    corpus: str,
    state: str = "",
    cursor: str = "",
    limit: Limit = 100,
    actor: Actor = Depends(needs("read")),
) -> Response:
    """Documents of a corpus by name, skipped ones with the reason."""
    items = await request.app.state.retrieval.documents(actor.scope, corpus, state=state, cursor=cursor, limit=limit)
    return reply({"items": items, "next": items[-1].name if len(items) == limit else None})


@router.get("/document", operation_id="retrieval.document")
async def document(request: Request, digest: str, name: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """A document's text, title and headings by the digest of its bytes; passages' offsets count in this text."""
    found, parsed = await request.app.state.retrieval.parsed(actor.scope, digest, name)
    return reply({"name": found, "digest": digest, **msgspec.to_builtins(parsed)})


@router.post("/indexes", operation_id="retrieval.build", openapi_extra=_fields(Build))
async def build(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Start building an index version from what a corpus holds now; answers with the job."""
    body = await read_body(request, Build)
    spec = IndexSpec(Chunker(body.size, body.overlap), body.embedding_model)
    job = await request.app.state.retrieval.build(actor, body.corpus, body.index or body.corpus, spec, body.label)
    return reply(job, 202)


@router.get("/indexes", operation_id="retrieval.indexes")
async def indexes(request: Request, name: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Index versions of one name or of all, newest first."""
    return reply({"items": await request.app.state.retrieval.indexes(actor.scope, name), "next": None})


@router.post("/search", operation_id="retrieval.search", openapi_extra=_fields(Search))
async def search(request: Request, actor: Actor = Depends(needs("call"))) -> Response:
    """The passages of an index version that answer a query best."""
    body = await read_body(request, Search)
    items = await request.app.state.retrieval.search(actor, body.index, body.query, mode=body.mode, k=body.k)
    return reply({"items": items})
