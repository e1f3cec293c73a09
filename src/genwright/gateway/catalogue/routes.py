"""REST of the catalogue: cards, rules, canary runs. One service call a route."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.gateway.catalogue.service import Catalogue
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/gateway", tags=["gateway"])


class SetModel(msgspec.Struct, frozen=True):
    """`model`: PROVIDER/MODEL. `fields`: of its card; null takes the project's own value away."""

    model: str
    fields: dict[str, Any]


class PutModelRule(msgspec.Struct, frozen=True):
    """Only models (of those that `models` names, with `*`) whose card meets the condition may be called."""

    name: str
    condition: dict[str, Any]
    models: str = "*"


class RunCanaries(msgspec.Struct, frozen=True):
    """`models`: PROVIDER/MODEL, each asked the fixed prompts once."""

    models: list[str]


def _catalogue(request: Request) -> Catalogue:
    return request.app.state.gateway.catalogue


@router.get("/catalogue", operation_id="gateway.catalogue")
async def cards(request: Request, query: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Cards of all models that can be called by name: modalities, context, price, licence, region, retention, retirement."""
    return reply({"items": await _catalogue(request).all(actor, query), "next": None})


@router.get("/catalogue/card", operation_id="gateway.model_card")
async def card(request: Request, model: str, actor: Actor = Depends(needs("read"))) -> Response:
    """One model's card; what nobody says is empty."""
    return reply(await _catalogue(request).show(actor, model))


@router.post("/catalogue/card", operation_id="gateway.set_model", openapi_extra={"fields": list(SetModel.__struct_fields__)})
async def set_model(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Set fields of a model's card for this project; they go before what is known otherwise."""
    body = await read_body(request, SetModel)
    return reply(await _catalogue(request).set(actor, body.model, body.fields))


@router.get("/model-rules", operation_id="gateway.model_rules")
async def rules(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """What models of this project must be like."""
    return reply({"items": await _catalogue(request).rules(actor), "next": None})


@router.post(
    "/model-rules", operation_id="gateway.put_model_rule", openapi_extra={"fields": list(PutModelRule.__struct_fields__)}
)
async def put_rule(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """From now on calls to other models are refused, naming the field of the card."""
    body = await read_body(request, PutModelRule)
    return reply(await _catalogue(request).put_rule(actor, body.name, body.condition, body.models), 201)


@router.delete("/model-rules/{name}", operation_id="gateway.remove_model_rule")
async def remove_rule(request: Request, name: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """Take a rule away."""
    await _catalogue(request).remove_rule(actor, name)
    return reply({"removed": name})


@router.post("/canaries", operation_id="gateway.run_canaries", openapi_extra={"fields": list(RunCanaries.__struct_fields__)})
async def run_canaries(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Ask models the fixed prompts at temperature 0 and compare with their last run, as a job."""
    body = await read_body(request, RunCanaries)
    return reply(await request.app.state.gateway.canaries.start(actor, body.models), 202)


@router.get("/canaries", operation_id="gateway.canary_runs")
async def runs(request: Request, model: str = "", limit: int = 50, actor: Actor = Depends(needs("read"))) -> Response:
    """Runs, the newest first; of one model with `model`."""
    return reply({"items": await _catalogue(request).runs(actor, model, limit), "next": None})
