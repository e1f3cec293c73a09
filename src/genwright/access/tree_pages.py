"""Pages of the tree: teams and service accounts, people, projects and workspaces. A log-in link is shown once."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import OPERATIONS, ROLES, Actor, Changes, NewMember, NewNode, NodeKind
from genwright.errors import Error, Invalid
from genwright.web.forms import read_form

router = APIRouter(include_in_schema=False)

MEANING = {
    "caller": "calls models and apps; sees nothing",
    "viewer": "reads everything; calls nothing",
    "reviewer": "reads and scores answers",
    "editor": "reads, calls, scores, changes",
    "releaser": "editor, and puts releases into production",
    "admin": "everything, keys and providers too",
}


def named_role(role: str) -> str:
    return f"{role}: {MEANING.get(role, '')}"


def words(text: str) -> tuple[str, ...]:
    """What was typed with commas, blanks or lines between."""
    return tuple(text.replace(",", " ").split())


def pairs(text: str) -> dict[str, str]:
    """`name=value`, with commas or lines between. Raises Invalid for anything else."""
    found = {}
    for part in filter(None, (part.strip() for part in text.replace("\n", ",").split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise Invalid(f"'{part[:60]}' is no tag. Nothing was changed. Write name=value.", field="tags")
        found[name.strip()] = value.strip()
    return found


# -- teams and service accounts


@router.get("/teams")
async def teams(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Teams and service accounts with their bounds."""
    return await _teams(request, actor)


@router.post("/teams")
async def save_team(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Make a team or service account, or change the one that the form names."""
    form = await read_form(request)
    kind = _kind(form.get("kind", "team"))
    tree = request.app.state.access.tree
    try:
        bounds: dict[str, Any] = {
            "role": form.get("role", ""), "models": words(form.get("models", "")),
            "operations": words(form.get("operations", "")), "tags": pairs(form.get("tags", "")),
        }  # fmt: skip
        if kind == "service":
            bounds["team"] = form.get("team", "")
        if form.get("id"):
            node = await tree.change_node(actor, kind, form["id"], Changes(**bounds))
        else:
            node = await tree.add_node(actor, kind, NewNode(form.get("name", ""), **bounds))
    except Error as problem:
        return await _teams(request, actor, block="list", form=form, error=problem.message)
    response = await _teams(request, actor, block="list")
    return request.app.state.pages.toast(response, f"Saved: {node.name}. Its keys are bound by it from their next call on.")


@router.post("/teams/{node_id}/remove")
async def remove_team(request: Request, node_id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """End a team or service account and its keys."""
    kind: NodeKind = "service" if node_id.startswith("svc_") else "team"
    node = await request.app.state.access.tree.remove_node(actor, kind, node_id)
    response = await _teams(request, actor, block="list")
    return request.app.state.pages.toast(response, f"Ended: {node.name}. Its keys are refused from now on.")


def _kind(text: str) -> NodeKind:
    if text not in ("team", "service"):
        raise Invalid(f"'{text[:40]}' is no team and no service account. Nothing was changed.", field="kind")
    return "service" if text == "service" else "team"


async def _teams(request: Request, actor: Actor, block: str | None = None, **shown: Any) -> Response:
    access, edited = request.app.state.access, request.query_params.get("edit", "")
    nodes = await access.tree.nodes(actor)
    node = next((one for one in nodes if one.id == edited), None)
    form = {
        "kind": node.kind, "id": node.id, "name": node.name, "role": node.role, "team": node.team,
        "models": ", ".join(node.models), "operations": ", ".join(node.operations),
        "tags": ", ".join(f"{name}={value}" for name, value in node.tags.items()),
    } if node else {"kind": request.query_params.get("new", "team")}  # fmt: skip
    return request.app.state.pages.render(
        request,
        "access/teams.html",
        block=block,
        status=422 if shown.get("error") else 200,
        nodes=nodes,
        names={one.id: one.name for one in nodes},
        counts=_counts(await access.list_keys(actor), await access.tree.members(actor), nodes),
        roles=[(role, named_role(role)) for role in ROLES],
        teams=[("", "none"), *((one.id, one.name) for one in nodes if one.kind == "team")],
        operations=OPERATIONS,
        **{"form": form if block is None else {"kind": "team"}, "error": "", **shown},
    )


def _counts(keys: list[Any], members: list[Any], nodes: list[Any]) -> dict[str, dict[str, int]]:
    """Per node: members, service accounts and keys under it that were not revoked."""
    team_of = {one.id: one.team for one in [*members, *nodes]}
    valid = [key for key in keys if key.revoked_ns is None]
    return {
        node.id: {
            "members": sum(one.team == node.id for one in members),
            "services": sum(one.team == node.id for one in nodes),
            "keys": sum(node.id in (key.team, key.holder, team_of.get(key.holder)) for key in valid),
        }
        for node in nodes
    }


# -- people


@router.get("/people")
async def people(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Members of the project."""
    return await _people(request, actor)


@router.post("/people")
async def add_person(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """A person joins the project; the answer holds a log-in link, the only time."""
    form = await read_form(request)
    access = request.app.state.access
    try:
        new = NewMember(form.get("name", ""), form.get("role", ""), form.get("team", ""))
        member = await access.tree.add_member(actor, new)
    except Error as problem:
        return await _people(request, actor, form=form, error=problem.message)
    return await _people(request, actor, token=await access.member_link(actor, member.id), about=member)


@router.post("/people/{member_id}/change")
async def change_person(request: Request, member_id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """Another role or team."""
    form = await read_form(request)
    changes = Changes(role=form.get("role"), team=form.get("team"))
    member = await request.app.state.access.tree.change_member(actor, member_id, changes)
    response = await _people(request, actor)
    return request.app.state.pages.toast(response, f"{member.name} is {member.role} now, in every open session, too.")


@router.post("/people/{member_id}/remove")
async def remove_person(request: Request, member_id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """A person leaves the project."""
    member = await request.app.state.access.tree.remove_member(actor, member_id)
    response = await _people(request, actor)
    return request.app.state.pages.toast(response, f"{member.name} left. Keys and sessions here have ended.")


@router.post("/people/{member_id}/link")
async def person_link(request: Request, member_id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """A new one-time log-in link; the answer holds it, the only time."""
    token = await request.app.state.access.member_link(actor, member_id)
    found = await request.app.state.access.tree.members(actor)
    return await _people(request, actor, token=token, about=next((one for one in found if one.id == member_id), None))


async def _people(request: Request, actor: Actor, **shown: Any) -> Response:
    tree = request.app.state.access.tree
    nodes = await tree.nodes(actor, "team")
    return request.app.state.pages.render(
        request,
        "access/people.html",
        block="list" if request.method == "POST" else None,
        status=422 if shown.get("error") else 200,
        people=await tree.members(actor),
        roles=list(ROLES),
        choices=[(role, named_role(role)) for role in ROLES],
        teams=[("", "none"), *((one.id, one.name) for one in nodes)],
        first=actor.scope.project == "default",
        me=actor.id,
        origin=_origin(request),
        **{"form": {}, "error": "", "token": "", "about": None, **shown},
    )


def _origin(request: Request) -> str:
    """The address that people use, for links to be handed on."""
    return request.app.state.settings.public_url or f"{request.url.scheme}://{request.url.netloc}"


# -- projects and workspaces


@router.get("/places")
async def places(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Projects of the workspace; all workspaces for who runs the server."""
    return await _places(request, actor)


@router.post("/places")
async def make_place(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Make a project or a workspace; the answer holds its key and link, the only time."""
    form = await read_form(request)
    access, name = request.app.state.access, form.get("name", "").strip()
    try:
        made = await (access.create_workspace if form.get("kind") == "workspace" else access.create_project)(actor, name)
    except Error as problem:
        return await _places(request, actor, form=form, error=problem.message)
    return await _places(request, actor, made=made)


async def _places(request: Request, actor: Actor, **shown: Any) -> Response:
    tree = request.app.state.access.tree
    return request.app.state.pages.render(
        request,
        "access/places.html",
        block="list" if request.method == "POST" else None,
        status=422 if shown.get("error") else 200,
        found=await tree.projects(actor),
        tenants=await tree.workspaces(actor) if actor.operates else [],
        manages=actor.manages_workspace,
        operates=actor.operates,
        admin=actor.may("admin"),
        here=actor.scope,
        reach=actor.projects,
        origin=_origin(request),
        **{"form": {}, "error": "", "made": None, **shown},
    )
