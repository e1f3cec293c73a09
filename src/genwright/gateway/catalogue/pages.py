"""Pages of the catalogue: all models with their health, one model's card and canary runs, rules. One service call a page."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Error, Invalid
from genwright.gateway.catalogue import cards
from genwright.gateway.catalogue.service import Catalogue
from genwright.gateway.routing.facts import words
from genwright.web.forms import read_form

router = APIRouter(prefix="/w/{workspace}/gateway", include_in_schema=False)
SHOWN = 300


def _catalogue(request: Request) -> Catalogue:
    return request.app.state.gateway.catalogue


@router.get("/models")
async def models(request: Request, q: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Everything that can be called by name: apps, routes, and models with their cards and health."""
    gateway = request.app.state.gateway
    wanted = q.lower().split()
    named = [model for model in await gateway.models(actor) if all(word in model.id.lower() for word in wanted)]
    shown = {f"{card.provider}/{card.model}": card for card in await _catalogue(request).all(actor, q)}
    others = [model for model in named if model.id not in shown]
    health = {f"{one.provider}/{one.model}": one for one in gateway.health.show(actor.scope)}
    changed = _changed(await _catalogue(request).runs(actor, limit=200))
    names = [*(model.id for model in others), *shown]
    return request.app.state.pages.render(
        request, "gateway/models.html", q=q, others=others[:SHOWN], cards=dict(list(shown.items())[:SHOWN]), health=health,
        changed=changed, total=len(names), rules=await _catalogue(request).rules(actor), words=words,
        admin=actor.may("admin"), form={}, error="",
    )  # fmt: skip


def _changed(runs: list[Any]) -> dict[str, Any]:
    """Model → its newest run, where that says it changed."""
    newest: dict[str, Any] = {}
    for run in runs:
        newest.setdefault(f"{run.provider}/{run.model}", run)
    return {name: run for name, run in newest.items() if run.verdict == "changed"}


@router.get("/models/card")
async def card(request: Request, model: str, actor: Actor = Depends(needs("read"))) -> Response:
    """One model: what is known and from where, its health, its canary runs."""
    return await _card(request, actor, model)


@router.post("/models/card")
async def set_card(request: Request, model: str, actor: Actor = Depends(needs("write"))) -> Response:
    """Set one field; empty takes the project's own value away."""
    form = await read_form(request)
    name, text = form.get("field", ""), form.get("value", "").strip()
    try:
        await _catalogue(request).set(actor, model, {name: _value(name, text)})
    except Error as problem:
        return await _card(request, actor, model, block="known", form=form, error=problem.message)
    response = await _card(request, actor, model, block="known")
    return request.app.state.pages.toast(response, f"Stored: {name}." if text else f"{name}: own value removed.")


@router.post("/models/canary")
async def run_canary(request: Request, model: str, actor: Actor = Depends(needs("write"))) -> Response:
    """Ask the fixed prompts now, as a job."""
    gateway = request.app.state.gateway
    if gateway.canaries is None:
        raise Invalid("This server runs no jobs. Nothing was asked.")
    job = await gateway.canaries.start(actor, [model])
    response = await _card(request, actor, model, block="runs")
    return request.app.state.pages.toast(response, f"Asking {model}: job {job.id}. Reload in a moment to see the outcome.")


@router.post("/models/rules")
async def put_rule(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Store a rule on models; the list of rules again."""
    form = await read_form(request)
    try:
        condition = msgspec.json.decode(form.get("condition", ""))
        await _catalogue(request).put_rule(actor, form.get("name", "").strip(), condition, form.get("models", ""))
    except msgspec.DecodeError as problem:
        return await _rules(request, actor, form, f"The condition is no JSON: {problem}. Nothing was stored.")
    except Error as problem:
        return await _rules(request, actor, form, problem.message)
    return request.app.state.pages.toast(await _rules(request, actor), "Stored. Calls to other models are refused from now on.")


@router.post("/models/rules/{name}/remove")
async def remove_rule(request: Request, name: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """Take a rule away."""
    await _catalogue(request).remove_rule(actor, name)
    return request.app.state.pages.toast(await _rules(request, actor), f"Removed: {name}.")


async def _rules(request: Request, actor: Actor, form: dict[str, str] | None = None, error: str = "") -> Response:
    return request.app.state.pages.render(
        request, "gateway/model_rules.html", status=422 if error else 200, rules=await _catalogue(request).rules(actor),
        words=words, form=form or {}, error=error, admin=actor.may("admin"),
    )  # fmt: skip


async def _card(
    request: Request, actor: Actor, model: str, block: str | None = None, form: dict[str, str] | None = None, error: str = ""
) -> Response:
    shown = await _catalogue(request).show(actor, model)
    health = request.app.state.gateway.health.show(actor.scope, shown.provider, shown.model)
    return request.app.state.pages.render(
        request, "gateway/model.html", block=block, status=422 if error else 200, card=shown, name=model,
        health=health[0] if health else None, runs=await _catalogue(request).runs(actor, model, 20), fields=cards.OWN_FIELDS,
        form=form or {}, error=error, may_write=actor.may("write"),
    )  # fmt: skip


def _value(name: str, text: str) -> Any:
    """A form's text as the field takes it: lists by commas, numbers and yes/no as such."""
    if not text:
        return None
    if name in ("input", "output"):
        return [part.strip() for part in text.split(",") if part.strip()]
    if name == "trains":
        return text.lower() in ("yes", "true", "1")
    if name in ("context", "max_output", "retention_days", "usd_in", "usd_out"):
        try:
            return msgspec.json.decode(text.replace(",", "").replace(" ", ""))
        except msgspec.DecodeError:
            return text
    return text
