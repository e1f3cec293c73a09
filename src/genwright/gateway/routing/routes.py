"""REST of routes, aliases and health. One service call a route."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.gateway.routing.router import Router
from genwright.gateway.routing.sample import Sample
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/gateway", tags=["gateway"])


class PutRoute(msgspec.Struct, frozen=True):
    """`content`: {"root": node, "description": …} or a node itself."""

    name: str
    content: dict[str, Any]
    note: str = ""
    expected: int | None = None
    """Newest number the writer saw; somebody else's version in between gives 409."""


class CheckRoute(msgspec.Struct, frozen=True):
    content: dict[str, Any]
    name: str = ""
    """To see whether it would lead back to itself."""


class ExplainRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A sample call; `content` instead of `name` for a route that is not kept yet."""

    name: str = ""
    content: dict[str, Any] | None = None
    call: Sample = Sample()


class TestRoute(msgspec.Struct, frozen=True):
    name: str
    text: str
    tags: dict[str, str] = {}


class PutAlias(msgspec.Struct, frozen=True):
    name: str
    target: str


def _router(request: Request) -> Router:
    return request.app.state.gateway.router


def _fields(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"fields": list(kind.__struct_fields__)}


@router.get("/routes", operation_id="gateway.routes")
async def routes(
    request: Request, query: str = "", cursor: str | None = None, limit: int = 50, actor: Actor = Depends(needs("read"))
) -> Response:
    """The routes of this project."""
    return reply(await _router(request).list(actor.scope, query, cursor, limit))


@router.post("/routes", operation_id="gateway.put_route", openapi_extra=_fields(PutRoute))
async def put(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Save a new version of a route; an error names the place in the tree."""
    body = await read_body(request, PutRoute)
    return reply(await _router(request).put(actor, body.name, body.content, note=body.note, expected=body.expected), 201)


@router.post("/routes/check", operation_id="gateway.check_route", openapi_extra=_fields(CheckRoute))
async def check(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """The tree that a content makes, or what is wrong with it; nothing is kept."""
    body = await read_body(request, CheckRoute)
    return reply({"items": await _router(request).check(actor, body.name, body.content)})


@router.post("/routes/explain", operation_id="gateway.explain_route", openapi_extra=_fields(ExplainRoute))
async def explain(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Which way a sample call would go and why, without asking anybody."""
    body = await read_body(request, ExplainRoute)
    return reply(await _router(request).explain(actor, body.call.call(body.name), body.name, body.content))


@router.post("/routes/test", operation_id="gateway.test_route", openapi_extra=_fields(TestRoute))
async def try_route(request: Request, actor: Actor = Depends(needs("call"))) -> Response:
    """One real call through a route."""
    body = await read_body(request, TestRoute)
    return reply(await _router(request).test(actor, body.name, body.text, body.tags))


@router.get("/routes/get", operation_id="gateway.route")
async def get(request: Request, name: str, selector: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """A version by label, number or digest; without, the one that is called."""
    return reply(await _router(request).get(actor.scope, name, selector))


@router.get("/routes/versions", operation_id="gateway.route_versions")
async def versions(request: Request, name: str, actor: Actor = Depends(needs("read"))) -> Response:
    """All versions of a route, newest first."""
    return reply({"items": await _router(request).versions(actor.scope, name)})


@router.get("/routes/drawn", operation_id="gateway.drawn_route")
async def drawn(request: Request, name: str, selector: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """A route's nodes, parents first, with the health of its models."""
    return reply({"items": await _router(request).drawn(actor.scope, name, selector)})


@router.get("/health", operation_id="gateway.health")
async def health(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """How each model asked of late does: breaker, latency, in flight, share of traffic, as this server process sees it."""
    return reply({"items": _router(request).healths(actor), "next": None})


@router.get("/aliases", operation_id="gateway.aliases")
async def aliases(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Bare model names and what they stand for."""
    return reply({"items": await _router(request).aliases(actor.scope), "next": None})


@router.put("/aliases", operation_id="gateway.put_alias", openapi_extra=_fields(PutAlias))
async def put_alias(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Make or change an alias."""
    body = await read_body(request, PutAlias)
    return reply(await _router(request).put_alias(actor, body.name, body.target))


@router.delete("/aliases/{name}", operation_id="gateway.remove_alias")
async def remove_alias(request: Request, name: str, actor: Actor = Depends(needs("write"))) -> Response:
    """Forget an alias."""
    await _router(request).remove_alias(actor, name)
    return reply({"removed": name})
