"""REST of prompts: one service call a route."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.prompts.types import PutPrompt, RenderPrompt
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/prompts", tags=["prompts"])


@router.post("", operation_id="prompts.put", openapi_extra={"fields": list(PutPrompt.__struct_fields__)})
async def put(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Save a new version of a prompt."""
    body = await read_body(request, PutPrompt)
    content = msgspec.to_builtins(body.content)
    service = request.app.state.prompts
    return reply(await service.put(actor, body.name, content, note=body.note, expected=body.expected, tags=tuple(body.tags)), 201)


@router.get("", operation_id="prompts.list")
async def list_(
    request: Request, query: str = "", cursor: str | None = None, limit: int = 50, actor: Actor = Depends(needs("read"))
) -> Response:
    """The prompts of this project."""
    return reply(await request.app.state.registry.list(actor.scope, "prompt", query, cursor=cursor, limit=limit))


@router.get("/get", operation_id="prompts.get")
async def get(request: Request, name: str, selector: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """A version by label, number or digest."""
    return reply(await request.app.state.prompts.get(actor.scope, name, selector))


@router.get("/versions", operation_id="prompts.versions")
async def versions(request: Request, name: str, actor: Actor = Depends(needs("read"))) -> Response:
    """All versions of a prompt, newest first."""
    return reply({"items": await request.app.state.registry.versions(actor.scope, "prompt", name)})


@router.get("/diff", operation_id="prompts.diff")
async def diff(request: Request, name: str, before: str, after: str, actor: Actor = Depends(needs("read"))) -> Response:
    """What changed between two versions, by word."""
    return reply({"items": await request.app.state.prompts.diff(actor.scope, name, before, after)})


@router.post("/render", operation_id="prompts.render", openapi_extra={"fields": list(RenderPrompt.__struct_fields__)})
async def render(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """A version with variables put in."""
    body = await read_body(request, RenderPrompt)
    return reply(await request.app.state.prompts.render(actor.scope, body.name, body.selector, body.variables))
