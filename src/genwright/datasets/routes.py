"""REST of datasets: one service call a route."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.datasets.types import AddTrace, PutDataset
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/datasets", tags=["datasets"])


@router.post("", operation_id="datasets.put", openapi_extra={"fields": list(PutDataset.__struct_fields__)})
async def put(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Save a new version of a dataset."""
    body = await read_body(request, PutDataset)
    service = request.app.state.datasets
    return reply(await service.put(actor, body.name, body.items, body.note, expected=body.expected), 201)


@router.get("", operation_id="datasets.list")
async def list_(
    request: Request, query: str = "", cursor: str | None = None, limit: int = 50, actor: Actor = Depends(needs("read"))
) -> Response:
    """The datasets of this project."""
    return reply(await request.app.state.datasets.list(actor.scope, query, cursor, limit))


@router.get("/get", operation_id="datasets.get")
async def get(request: Request, ref: str, actor: Actor = Depends(needs("read"))) -> Response:
    """A version: number of rows, fields, splits, digests."""
    return reply(await request.app.state.datasets.get(actor.scope, ref))


@router.get("/items", operation_id="datasets.items")
async def items(
    request: Request,
    ref: str,
    split: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
    actor: Actor = Depends(needs("read")),
) -> Response:
    """Rows of a version, in parts."""
    service = request.app.state.datasets
    return reply(await service.page(actor.scope, ref, split=split, cursor=cursor, limit=limit))


@router.post("/traces", operation_id="datasets.add_trace", openapi_extra={"fields": list(AddTrace.__struct_fields__)})
async def add_trace(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Keep a trace's question as a row of a dataset."""
    actor.need("read")
    return reply(await request.app.state.datasets.add_trace(actor, await read_body(request, AddTrace)), 201)
