"""Pages of the gateway: providers and models. Credentials go in and are never shown. Its other pages stand in their folders."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Error
from genwright.gateway.cache import pages as cache
from genwright.gateway.catalogue import pages as catalogue
from genwright.gateway.learned import pages as learned
from genwright.gateway.media import pages as batches
from genwright.gateway.money import pages as limits
from genwright.gateway.reports import live_pages, price_pages
from genwright.gateway.reports import pages as reports
from genwright.gateway.routing import pages as routing
from genwright.web.forms import address, go, read_form

router = APIRouter(prefix="/w/{workspace}/gateway", include_in_schema=False)


@router.get("")
async def providers(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Where models come from."""
    return await _providers(request, actor)


@router.post("")
async def add(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Store a provider or change one; answers with the list, and with the form again where it does not fit."""
    form = await read_form(request)
    key = form.pop("api_key", "")
    try:
        added = await request.app.state.gateway.add_provider(
            actor,
            form.get("name", "").strip(),
            form.get("kind", ""),
            form.get("base_url", "").strip(),
            key.strip(),
            form.get("region", "").strip(),
        )
    except Error as problem:
        return await _providers(request, actor, block="list", form=form, error=problem.message)
    response = await _providers(request, actor, block="list")
    return request.app.state.pages.toast(response, added.note or f"Stored: {added.name}.", "warn" if added.note else "good")


@router.post("/{name}/test")
async def try_provider(request: Request, name: str, whole: bool = False, actor: Actor = Depends(needs("write"))) -> Response:
    """Ask the provider for its models, or try everything; the outcome as a part of the list."""
    outcome = await request.app.state.gateway.test_provider(actor, name, quick=not whole)
    return request.app.state.pages.render(request, "gateway/test.html", outcome=outcome)


@router.post("/{name}/remove")
async def remove(request: Request, name: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """Forget a provider and its key."""
    await request.app.state.gateway.remove_provider(actor, name)
    response = await _providers(request, actor, block="list")
    return request.app.state.pages.toast(response, f"Removed: {name}. Its key is erased.")


@router.get("/usage")
async def usage(request: Request, since: str = "7d", actor: Actor = Depends(needs("read"))) -> Response:
    """Where costs used to stand."""
    return go(address(f"/w/{actor.scope.workspace}/gateway/costs", {"since": since}))


async def _providers(
    request: Request, actor: Actor, block: str | None = None, form: dict[str, str] | None = None, error: str = ""
) -> Response:
    state = request.app.state
    kinds: list[Any] = state.gateway.kinds()
    return state.pages.render(
        request,
        "gateway/providers.html",
        block=block,
        status=422 if error else 200,
        items=await state.gateway.list_providers(actor),
        kinds=kinds,
        form=form or {},
        error=error,
        admin=actor.may("admin"),
        may_test=actor.may("write"),
    )


for part in (batches, catalogue, routing, learned, reports, limits, price_pages, live_pages, cache):
    router.routes.extend(part.router.routes)
