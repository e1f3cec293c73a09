"""REST of access: keys, people, the log-in link, the audit log. One service call a route."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from genwright.access.service import KNOWN, needs
from genwright.access.types import Actor, Capture, NewKey
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/access", tags=["access"])

LARGEST = 2**63 - 1
"""Largest integer that the databases take."""


class CreateKey(msgspec.Struct, frozen=True):
    """What may be said about a new key; its project and maker are the caller's."""

    name: str
    role: str = "caller"
    capture: Capture = "full"
    expires_ns: Annotated[int, msgspec.Meta(ge=0, le=LARGEST)] | None = None


@router.get("/me", operation_id="access.me")
async def me(actor: Actor = Depends(needs(KNOWN))) -> Response:
    """Who the caller is, where, and with which role."""
    return reply(actor)


@router.post("/keys", operation_id="access.create_key", openapi_extra={"fields": list(CreateKey.__struct_fields__)})
async def create_key(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Make an API key; its secret is in the answer and never shown again."""
    body = await read_body(request, CreateKey)
    key, secret = await request.app.state.access.create_key(actor, body.name, body.role, body.capture, body.expires_ns)
    return reply(NewKey(key, secret), 201)


@router.get("/keys", operation_id="access.list_keys")
async def list_keys(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """API keys of this project, newest first, revoked ones too."""
    return reply({"items": await request.app.state.access.list_keys(actor), "next": None})


@router.delete("/keys/{key_id}", operation_id="access.revoke_key")
async def revoke_key(request: Request, key_id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """End a key, and sessions opened with it, at once."""
    return reply(await request.app.state.access.revoke_key(actor, key_id))


@router.get("/members", operation_id="access.members")
async def members(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """People of this project."""
    return reply({"items": await request.app.state.access.members(actor), "next": None})


@router.post("/link", operation_id="access.admin_link")
async def admin_link(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """A one-time token for the log-in page, good for an hour."""
    return reply({"token": await request.app.state.access.admin_link(actor)}, 201)


@router.get("/audit", operation_id="access.audit")
async def audit(
    request: Request,
    by: str = "",
    action: str = "",
    target: str = "",
    before: Annotated[int, Query(ge=0, le=LARGEST)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    actor: Actor = Depends(needs("admin")),
) -> Response:
    """Who did what to what, newest first; `before` is the number to go on below."""
    found = await request.app.state.audit.list(actor.scope, by=by, action=action, target=target, before=before, limit=limit)
    return reply({"items": found, "next": str(found[-1].number) if len(found) == limit else None})


@router.get("/audit/verify", operation_id="access.verify_audit")
async def verify_audit(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Whether the audit log is whole: nothing edited, removed, inserted or reordered."""
    return reply(await request.app.state.audit.verify(actor.scope))
