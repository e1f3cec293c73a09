"""REST of the gateway: providers, models, what was used. One service call a route."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.gateway.cache import routes as cache
from genwright.gateway.catalogue import routes as catalogue
from genwright.gateway.learned import routes as learned
from genwright.gateway.media import routes as media
from genwright.gateway.money import routes as money
from genwright.gateway.reports import routes as reports
from genwright.gateway.routing import routes as routing
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/gateway", tags=["gateway"])


class AddProvider(msgspec.Struct, frozen=True):
    """`kind`: a known service or openai-compatible; left out, it is the name's. `api_key` is sealed and never shown again."""

    name: str
    kind: str = ""
    base_url: str = ""
    api_key: str = ""
    region: str = ""
    """Of a cloud whose address holds it (bedrock, vertex), where base_url is left out."""


class TryProvider(msgspec.Struct, frozen=True):
    """`quick`: only the list of models. `model`, `embeddings`: what to call; else the first it is known for."""

    quick: bool = False
    model: str = ""
    embeddings: str = ""


@router.get("/providers", operation_id="gateway.list_providers")
async def list_providers(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Stored providers, those of the server's environment, and local."""
    return reply({"items": await request.app.state.gateway.list_providers(actor), "next": None})


@router.post("/providers", operation_id="gateway.add_provider", openapi_extra={"fields": list(AddProvider.__struct_fields__)})
async def add_provider(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Store a provider, or change one. Another address without a new key voids the stored key."""
    body = await read_body(request, AddProvider)
    added = await request.app.state.gateway.add_provider(actor, body.name, body.kind, body.base_url, body.api_key, body.region)
    return reply(added, 201)


@router.delete("/providers/{name}", operation_id="gateway.remove_provider")
async def remove_provider(request: Request, name: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """Forget a stored provider and its key."""
    await request.app.state.gateway.remove_provider(actor, name)
    return reply({"removed": name})


@router.post(
    "/providers/{name}/test",
    operation_id="gateway.test_provider",
    openapi_extra={"fields": list(TryProvider.__struct_fields__)},
)
async def try_provider(request: Request, name: str, actor: Actor = Depends(needs("write"))) -> Response:
    """What works there: models, chat, stream, tools, JSON, embeddings, each with its time and error; failures are the result."""
    body = await read_body(request, TryProvider)
    gateway = request.app.state.gateway
    return reply(await gateway.test_provider(actor, name, body.quick, body.model, body.embeddings))


@router.get("/kinds", operation_id="gateway.kinds")
async def kinds(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Services known by name, with their addresses."""
    return reply({"items": request.app.state.gateway.kinds(), "next": None})


@router.get("/models", operation_id="gateway.models")
async def models(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Everything that can be called by name."""
    return reply({"items": await request.app.state.gateway.models(actor), "next": None})


@router.get("/usage", operation_id="gateway.usage")
async def usage(request: Request, since_ns: int = 0, until_ns: int = 0, actor: Actor = Depends(needs("read"))) -> Response:
    """Calls, tokens and cost by provider and model, from the ledger."""
    return reply({"items": await request.app.state.gateway.usage(actor, since_ns, until_ns), "next": None})


@router.get("/attempts", operation_id="gateway.attempts")
async def attempts(request: Request, trace_id: str, actor: Actor = Depends(needs("read"))) -> Response:
    """Ledger rows of one trace."""
    return reply({"items": await request.app.state.gateway.attempts(actor, trace_id), "next": None})


router.routes.extend(catalogue.router.routes)
router.routes.extend(reports.router.routes)
router.routes.extend(routing.router.routes)
router.routes.extend(money.router.routes)
router.routes.extend(media.router.routes)
router.routes.extend(learned.router.routes)
router.routes.extend(cache.router.routes)
