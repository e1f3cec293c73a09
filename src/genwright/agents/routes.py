"""REST of apps: put, list, get, replay."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.agents.types import PutApp, ReplayRequest
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/agents", tags=["agents"])


@router.post("/apps", operation_id="agents.put", openapi_extra={"fields": list(PutApp.__struct_fields__)})
async def put(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Save a new version of an app."""
    body = await read_body(request, PutApp)
    content = msgspec.to_builtins(body.content)
    return reply(await request.app.state.agents.put_app(actor, body.name, content, note=body.note, expected=body.expected), 201)


@router.get("/apps", operation_id="agents.list")
async def list_(
    request: Request, query: str = "", cursor: str | None = None, limit: int = 50, actor: Actor = Depends(needs("read"))
) -> Response:
    """The apps of this project."""
    return reply(await request.app.state.registry.list(actor.scope, "app", query, cursor=cursor, limit=limit))


@router.get("/draft", operation_id="agents.draft")
async def draft(request: Request, name: str, actor: Actor = Depends(needs("read"))) -> Response:
    """An app as it stands now, its refs resolved."""
    return reply(await request.app.state.agents.draft(actor.scope, name))


@router.post("/replay/{trace_id}", operation_id="agents.replay", openapi_extra={"fields": list(ReplayRequest.__struct_fields__)})
async def replay(request: Request, trace_id: str, actor: Actor = Depends(needs("call"))) -> Response:
    """Run a recorded answer again: as recorded, with changes, or live."""
    body = await read_body(request, ReplayRequest)
    return reply(await request.app.state.agents.replay(actor, trace_id, mode=body.mode, n=body.n, changes=body.set))
