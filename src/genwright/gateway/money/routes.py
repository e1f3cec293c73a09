"""REST of limits and budgets. One service call a route."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.gateway.money.limits import SetLimit
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/gateway", tags=["gateway"])


@router.get("/limits", operation_id="gateway.limits")
async def limits(request: Request, metric: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Limits and budgets of the workspace and the project; `metric`: usd, requests, tokens or concurrent."""
    return reply({"items": await request.app.state.gateway.limits.all(actor, metric), "next": None})


@router.post("/limits", operation_id="gateway.set_limit", openapi_extra={"fields": list(SetLimit.__struct_fields__)})
async def set_limit(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Set a limit or budget on a node; the same node, metric, window and models change the one that is there."""
    return reply(await request.app.state.gateway.limits.set(actor, await read_body(request, SetLimit)), 201)


@router.delete("/limits/{id}", operation_id="gateway.remove_limit")
async def remove_limit(request: Request, id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """End a limit or budget; what was used under it stays in the ledger."""
    return reply(await request.app.state.gateway.limits.remove(actor, id))


@router.get("/limits/used", operation_id="gateway.limits_used")
async def limits_used(request: Request, metric: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """What is used of each limit in its window now, what is reserved, and when it will be used up at this pace."""
    return reply({"items": await request.app.state.gateway.limits.used(actor, metric), "next": None})


@router.get("/ledger", operation_id="gateway.ledger")
async def ledger(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Whether what is used reaches the ledger, at the server that answers: waiting, lost and unmetered calls."""
    return reply(await request.app.state.gateway.limits.health(actor))


@router.get("/limits/events", operation_id="gateway.limit_events")
async def limit_events(
    request: Request,
    before_ns: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    actor: Actor = Depends(needs("read")),
) -> Response:
    """Percentages passed, limits reached, outliers, attempts lost with their server; newest first."""
    found = await request.app.state.gateway.limits.events(actor, before_ns, limit)
    return reply({"items": found, "next": str(found[-1].at_ns) if len(found) == limit else None})
