"""REST of access: keys, log-in links, the tree (workspaces, projects, members, teams, service accounts), the audit log.

One service call a route. Lists come whole: a project has tens of them, at most some thousands.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from genwright.access.service import KNOWN, needs
from genwright.access.types import Actor, Capture, Changes, NewKey, NewMember, NewNode, Under
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/access", tags=["access"])

LARGEST = 2**63 - 1
"""Largest integer that the databases take."""


class CreateKey(Under, frozen=True, kw_only=True):
    """What may be said about a new key; its workspace and maker are the caller's."""

    name: str
    role: str = "caller"
    capture: Capture = "full"
    expires_ns: Annotated[int, msgspec.Meta(ge=0, le=LARGEST)] | None = None


class RotateKey(msgspec.Struct, frozen=True):
    overlap_s: Annotated[float, msgspec.Meta(ge=0)] = 0
    """How long the secret before stays valid; 0: it ends at once."""
    project: str = ""


class CreatePlace(msgspec.Struct, frozen=True):
    name: str


class OfProject(msgspec.Struct, frozen=True):
    project: str = ""


def takes(body: type[msgspec.Struct]) -> dict[str, Any]:
    """What a route says about its body, for the client and the docs."""
    return {"fields": list(body.__struct_fields__)}


@router.get("/me", operation_id="access.me")
async def me(actor: Actor = Depends(needs(KNOWN))) -> Response:
    """Who the caller is, where, with which role, and bound to what."""
    return reply(actor)


# -- keys


@router.post("/keys", operation_id="access.create_key", openapi_extra=takes(CreateKey))
async def create_key(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Make an API key; its secret is in the answer and never shown again."""
    body = await read_body(request, CreateKey)
    own = (body.name, body.role, body.capture, body.expires_ns)
    key, secret = await request.app.state.access.create_key(actor, *own, under=body)
    return reply(NewKey(key, secret), 201)


@router.get("/keys", operation_id="access.list_keys")
async def list_keys(request: Request, project: str = "", actor: Actor = Depends(needs("admin"))) -> Response:
    """API keys of a project, newest first, revoked ones too."""
    return _items(await request.app.state.access.list_keys(actor, project))


@router.post("/keys/{key_id}/rotate", operation_id="access.rotate_key", openapi_extra=takes(RotateKey))
async def rotate_key(request: Request, key_id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """Give a key another secret, shown once; the one before stays valid for `overlap_s` seconds."""
    body = await read_body(request, RotateKey)
    key, secret = await request.app.state.access.rotate_key(actor, key_id, body.overlap_s, body.project)
    return reply(NewKey(key, secret), 201)


@router.delete("/keys/{key_id}", operation_id="access.revoke_key")
async def revoke_key(request: Request, key_id: str, project: str = "", actor: Actor = Depends(needs("admin"))) -> Response:
    """End a key, and sessions opened with it, at once."""
    return reply(await request.app.state.access.revoke_key(actor, key_id, project))


@router.post("/link", operation_id="access.admin_link")
async def admin_link(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """A one-time token for the log-in page, good for an hour: for the member who asks, else the workspace's administrator."""
    return reply({"token": await request.app.state.access.admin_link(actor)}, 201)


# -- workspaces and projects


@router.get("/workspaces", operation_id="access.workspaces")
async def workspaces(request: Request, actor: Actor = Depends(needs(KNOWN))) -> Response:
    """The caller's workspace; all of them for who runs the server."""
    return _items(await request.app.state.access.tree.workspaces(actor))


@router.post("/workspaces", operation_id="access.create_workspace", openapi_extra=takes(CreatePlace))
async def create_workspace(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Make a workspace; its first key and a one-time log-in token are in the answer and never shown again."""
    body = await read_body(request, CreatePlace)
    return reply(await request.app.state.access.create_workspace(actor, body.name), 201)


@router.post("/workspaces/{name}/link", operation_id="access.workspace_link")
async def workspace_link(request: Request, name: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """A one-time log-in token for a workspace's administrator, for when nobody of it can get in."""
    return reply({"token": await request.app.state.access.workspace_link(actor, name)}, 201)


@router.get("/projects", operation_id="access.projects")
async def projects(request: Request, actor: Actor = Depends(needs(KNOWN))) -> Response:
    """Projects of the workspace that the caller can be in."""
    return _items(await request.app.state.access.tree.projects(actor))


@router.post("/projects", operation_id="access.create_project", openapi_extra=takes(CreatePlace))
async def create_project(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Make a project; its first key is in the answer and never shown again."""
    body = await read_body(request, CreatePlace)
    return reply(await request.app.state.access.create_project(actor, body.name), 201)


# -- members


@router.get("/members", operation_id="access.members")
async def members(request: Request, project: str = "", actor: Actor = Depends(needs("admin"))) -> Response:
    """People of a project, by name."""
    return _items(await request.app.state.access.tree.members(actor, project))


@router.post("/members", operation_id="access.add_member", openapi_extra=takes(NewMember))
async def add_member(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """A person joins a project; one whom the workspace knows by this name keeps his id."""
    return reply(await request.app.state.access.tree.add_member(actor, await read_body(request, NewMember)), 201)


@router.post("/members/{member_id}", operation_id="access.change_member", openapi_extra=takes(Changes))
async def change_member(request: Request, member_id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """Another role, team or bounds for a member; fields left out stay."""
    return reply(await request.app.state.access.tree.change_member(actor, member_id, await read_body(request, Changes)))


@router.delete("/members/{member_id}", operation_id="access.remove_member")
async def remove_member(request: Request, member_id: str, project: str = "", actor: Actor = Depends(needs("admin"))) -> Response:
    """A person leaves a project; his keys and sessions in it end."""
    return reply(await request.app.state.access.tree.remove_member(actor, member_id, project))


@router.post("/members/{member_id}/link", operation_id="access.member_link", openapi_extra=takes(OfProject))
async def member_link(request: Request, member_id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """A one-time log-in token for a member, good for an hour."""
    body = await read_body(request, OfProject)
    return reply({"token": await request.app.state.access.member_link(actor, member_id, body.project)}, 201)


# -- teams and service accounts


@router.get("/teams", operation_id="access.teams")
async def teams(request: Request, project: str = "", actor: Actor = Depends(needs("admin"))) -> Response:
    """Teams of a project, by name."""
    return _items(await request.app.state.access.tree.nodes(actor, "team", project))


@router.post("/teams", operation_id="access.create_team", openapi_extra=takes(NewNode))
async def create_team(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Make a team: its members and keys can do at most what it may."""
    return reply(await request.app.state.access.tree.add_node(actor, "team", await read_body(request, NewNode)), 201)


@router.post("/teams/{team_id}", operation_id="access.change_team", openapi_extra=takes(Changes))
async def change_team(request: Request, team_id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """Other bounds for a team; fields left out stay."""
    return reply(await request.app.state.access.tree.change_node(actor, "team", team_id, await read_body(request, Changes)))


@router.delete("/teams/{team_id}", operation_id="access.remove_team")
async def remove_team(request: Request, team_id: str, project: str = "", actor: Actor = Depends(needs("admin"))) -> Response:
    """End a team that nobody belongs to any more, and the keys on it."""
    return reply(await request.app.state.access.tree.remove_node(actor, "team", team_id, project))


@router.get("/services", operation_id="access.services")
async def services(request: Request, project: str = "", actor: Actor = Depends(needs("admin"))) -> Response:
    """Service accounts of a project, by name."""
    return _items(await request.app.state.access.tree.nodes(actor, "service", project))


@router.post("/services", operation_id="access.create_service", openapi_extra=takes(NewNode))
async def create_service(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Make a service account: a caller that is no person."""
    return reply(await request.app.state.access.tree.add_node(actor, "service", await read_body(request, NewNode)), 201)


@router.post("/services/{service_id}", operation_id="access.change_service", openapi_extra=takes(Changes))
async def change_service(request: Request, service_id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """Another team or other bounds for a service account; fields left out stay."""
    return reply(await request.app.state.access.tree.change_node(actor, "service", service_id, await read_body(request, Changes)))


@router.delete("/services/{service_id}", operation_id="access.remove_service")
async def remove_service(
    request: Request, service_id: str, project: str = "", actor: Actor = Depends(needs("admin"))
) -> Response:
    """End a service account and its keys."""
    return reply(await request.app.state.access.tree.remove_node(actor, "service", service_id, project))


def _items(found: list[Any]) -> Response:
    return reply({"items": found, "next": None})


# -- the audit log


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
