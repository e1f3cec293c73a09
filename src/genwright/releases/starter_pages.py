"""The page on which a first app over documents is made; what it makes is `releases/starter.py`'s."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Error
from genwright.releases.starter import LOCAL
from genwright.releases.types import NewApp
from genwright.web.forms import go, read_form

router = APIRouter(prefix="/-/new")
"""`-` cannot begin a name, so that no app is hidden by this page."""

INDEXES = 200


@router.get("")
async def form(request: Request, index: str = "", actor: Actor = Depends(needs("write"))) -> Response:
    """What a new app needs: a name, an index, a model."""
    return await _show(request, actor, {"index": index, "name": index})


@router.post("")
async def start(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Make it and go talk to it; what cannot be made is said above the form, which keeps what was typed."""
    fields = await read_form(request)
    name, index, model, description = (fields.get(field, "").strip() for field in ("name", "index", "model", "description"))
    try:
        made = await request.app.state.releases.start(actor, NewApp(name, index, model, description=description))
    except Error as problem:
        return await _show(request, actor, fields, error=problem.message, status=problem.status)
    return go(f"/w/{actor.scope.workspace}/chat/{quote(made.name)}")


async def _show(request: Request, actor: Actor, fields: dict[str, Any], *, error: str = "", status: int = 200) -> Response:
    state = request.app.state
    indexes = await state.registry.list(actor.scope, "index", limit=INDEXES)
    models = [model.id for model in await state.gateway.models(actor) if model.operation == "chat" and model.provider != "app"]
    return state.pages.render(
        request,
        "releases/new.html",
        status=status,
        fields=fields,
        error=error,
        indexes=[artifact.name for artifact in indexes.items],
        models=models,
        model=fields.get("model") or state.settings.default_model or LOCAL,
        may_promote=actor.may("promote"),
    )
