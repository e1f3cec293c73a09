"""REST of batches beside OpenAI's paths: counts, and the answers so far while the batch is still at work."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.gateway.media.batches import Batches
from genwright.gateway.media.types import BatchItem
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/gateway", tags=["gateway"])


class CreateBatch(msgspec.Struct, frozen=True):
    """`lines`: the file's text, in OpenAI's form; or `input_file`, the id of an uploaded one."""

    endpoint: str = "/v1/chat/completions"
    lines: str = ""
    input_file: str = ""
    name: str = "batch.jsonl"
    metadata: dict[str, str] = {}


@router.post("/batches", operation_id="gateway.create_batch", openapi_extra={"fields": list(CreateBatch.__struct_fields__)})
async def create(request: Request, actor: Actor = Depends(needs("call"))) -> Response:
    """Begin a batch; one with wrong lines has failed and names them."""
    body, media = await read_body(request, CreateBatch), request.app.state.gateway.media
    file = body.input_file or (await media.files.put(actor, body.name, "batch", body.lines.encode())).id
    return reply(await media.batches.create(actor, file, body.endpoint, body.metadata), 201)


@router.get("/batches", operation_id="gateway.batches")
async def batches(
    request: Request, after: str = "", limit: Annotated[int, Query(ge=1, le=500)] = 50, actor: Actor = Depends(needs("call"))
) -> Response:
    """Batches of this project, newest first, with what is done."""
    found, rows = _batches(request), []
    page = await found.newest(actor.scope, after, limit + 1)
    for row in page[:limit]:
        rows.append(await _counted(found, actor, row.id))
    return reply({"items": rows, "next": page[limit - 1].id if len(page) > limit else None})


@router.get("/batches/{batch_id}", operation_id="gateway.batch")
async def batch(request: Request, batch_id: str, actor: Actor = Depends(needs("call"))) -> Response:
    """One batch, with what is done."""
    return reply(await _counted(_batches(request), actor, batch_id))


@router.get("/batches/{batch_id}/items", operation_id="gateway.batch_items")
async def items(
    request: Request,
    batch_id: str,
    after: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    actor: Actor = Depends(needs("call")),
) -> Response:
    """Answers so far, by line; `after` is the line to go on behind."""
    rows = await _batches(request).items(actor.scope, batch_id, after, limit)
    return reply({"items": [_shown(row) for row in rows], "next": str(rows[-1].line) if len(rows) == limit else None})


@router.post("/batches/{batch_id}/cancel", operation_id="gateway.cancel_batch")
async def cancel(request: Request, batch_id: str, actor: Actor = Depends(needs("call"))) -> Response:
    """Ask no further line; what was answered is kept."""
    return reply(await _batches(request).cancel(actor, batch_id))


def _batches(request: Request) -> Batches:
    return request.app.state.gateway.media.batches


async def _counted(found: Batches, actor: Actor, batch_id: str) -> dict[str, Any]:
    row = await found.get(actor.scope, batch_id)
    good, failed = await found.counts(actor.scope, batch_id)
    return {**msgspec.structs.asdict(row), "answered": good, "failed": failed}


def _shown(row: BatchItem) -> dict[str, Any]:
    try:
        body: Any = msgspec.Raw(row.body) if msgspec.json.decode(row.body) is not None else None
    except msgspec.DecodeError:
        body = row.body.decode("utf-8", "replace")
    return {"line": row.line, "custom_id": row.custom_id, "status": row.status, "request_id": row.request_id, "body": body}
