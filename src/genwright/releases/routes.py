"""REST of releases: start, create, list, get, promote, roll back."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.releases.types import CreateRelease, NewApp, PromoteRelease, RollBack
from genwright.vocab import Ref
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/releases", tags=["releases"])


@router.post("", operation_id="releases.create", openapi_extra={"fields": list(CreateRelease.__struct_fields__)})
async def create(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Pin an app as it stands now."""
    return reply(await request.app.state.releases.create(actor, await read_body(request, CreateRelease)), 201)


@router.post("/start", operation_id="releases.start", openapi_extra={"fields": list(NewApp.__struct_fields__)})
async def start(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """A first app over documents: prompt, policy, app and release at once."""
    return reply(await request.app.state.releases.start(actor, await read_body(request, NewApp)), 201)


@router.get("", operation_id="releases.list")
async def list_(
    request: Request, query: str = "", cursor: str | None = None, limit: int = 50, actor: Actor = Depends(needs("read"))
) -> Response:
    """Apps that have releases, with their labels."""
    return reply(await request.app.state.registry.list(actor.scope, "release", query, cursor=cursor, limit=limit))


@router.get("/versions", operation_id="releases.versions")
async def versions(request: Request, app: str, actor: Actor = Depends(needs("read"))) -> Response:
    """All releases of an app, newest first."""
    return reply({"items": await request.app.state.registry.versions(actor.scope, "release", app)})


@router.get("/get", operation_id="releases.get")
async def get(request: Request, app: str, selector: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """One release with everything it pins."""
    ref = Ref.parse(f"{app}@{selector}" if selector else app, "release")
    return reply(await request.app.state.registry.get(actor.scope, ref))


@router.get("/history", operation_id="releases.history")
async def history(request: Request, app: str, actor: Actor = Depends(needs("read"))) -> Response:
    """Every move of every label: who promoted what, when and why."""
    return reply({"items": await request.app.state.registry.history(actor.scope, "release", app)})


@router.post("/promote", operation_id="releases.promote", openapi_extra={"fields": list(PromoteRelease.__struct_fields__)})
async def promote(request: Request, actor: Actor = Depends(needs("promote"))) -> Response:
    """Move a label to a release, if its gate lets it pass."""
    body = await read_body(request, PromoteRelease)
    service = request.app.state.releases
    return reply(await service.promote(actor, body.app, body.number, label=body.label, note=body.note, evidence=body.evidence))


@router.post("/rollback", operation_id="releases.rollback", openapi_extra={"fields": list(RollBack.__struct_fields__)})
async def rollback(request: Request, actor: Actor = Depends(needs("promote"))) -> Response:
    """Put a label back on the release it stood on before."""
    body = await read_body(request, RollBack)
    return reply(await request.app.state.releases.rollback(actor, body.app, label=body.label, note=body.note))
