"""REST of guardrails: one service call a route."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.guardrails.types import CheckText, PutPolicy
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/guardrails", tags=["guardrails"])


@router.post("/check", operation_id="guardrails.check", openapi_extra={"fields": list(CheckText.__struct_fields__)})
async def check(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Try a policy on a text: what it would say, and why. Nothing is kept. A signal, no security boundary."""
    body = await read_body(request, CheckText)
    return reply(await request.app.state.guardrails.try_out(actor.scope, body.policy, body.rail, body.text))


@router.post("", operation_id="guardrails.put", openapi_extra={"fields": list(PutPolicy.__struct_fields__)})
async def put(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Save a new version of a policy; it holds where a label names it."""
    body = await read_body(request, PutPolicy)
    service = request.app.state.guardrails
    return reply(await service.put(actor, body.name, body.content, note=body.note, expected=body.expected), 201)


@router.get("", operation_id="guardrails.list")
async def list_(
    request: Request, query: str = "", cursor: str | None = None, limit: int = 50, actor: Actor = Depends(needs("read"))
) -> Response:
    """The policies of this project."""
    return reply(await request.app.state.registry.list(actor.scope, "policy", query, cursor=cursor, limit=limit))


@router.get("/get", operation_id="guardrails.get")
async def get(request: Request, name: str, selector: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """A policy version by label, number or digest; the newest without."""
    return reply(await request.app.state.guardrails.get(actor.scope, name, selector))
