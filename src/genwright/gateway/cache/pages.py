"""Page of the cache's quality: rules with their measured false hits, what they saved, hits to judge by a click, a pair to try."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from genwright import clock
from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Error, Invalid
from genwright.gateway.cache.rules import OWN_LABELS, PutRule
from genwright.gateway.cache.types import Quality, Rule
from genwright.web.forms import read_form

router = APIRouter(prefix="/w/{workspace}/gateway/cache", include_in_schema=False)

SHOWN = 20
"""Hits to judge at once."""
DAY_NS = 86_400_000_000_000
SPANS = {"24h": 1, "7d": 7, "30d": 30, "90d": 90}
MODES = [("exact", "the same call only"), ("semantic", "also by meaning")]
SHARES = [("key", "each key its own"), ("user", "each key's users their own"), ("team", "a team"), ("project", "the project")]
_NUMBERS = {"ttl_s": int, "target": float, "threshold": float, "sample": float, "max_entries": int}


@router.get("")
async def cache(request: Request, since: str = "7d", edit: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Rules and how they do."""
    return await _page(request, actor, since=since, edit=edit)


@router.post("/rules")
async def put_rule(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Make a rule or change one."""
    form = await read_form(request)
    try:
        rule = await request.app.state.gateway.cache.put_rule(actor, _asked(form))
    except Error as problem:
        return await _page(request, actor, block="cache", form=form, error=problem.message)
    response = await _page(request, actor, block="cache")
    return request.app.state.pages.toast(response, f"Rule '{rule.name}' holds from the next call on.")


@router.post("/rules/{name}/switch")
async def switch(request: Request, name: str, actor: Actor = Depends(needs("write"))) -> Response:
    """On or off."""
    cache = request.app.state.gateway.cache
    on = (await read_form(request)).get("enabled") == "yes"
    await cache.put_rule(actor, PutRule(name, enabled=on, note=f"switched {'on' if on else 'off'} on the page"))
    response = await _page(request, actor, block="cache")
    return request.app.state.pages.toast(response, f"Rule '{name}' is {'on' if on else 'off'}.")


@router.post("/rules/{name}/remove")
async def remove(request: Request, name: str, actor: Actor = Depends(needs("write"))) -> Response:
    """End a rule and delete what it kept."""
    await request.app.state.gateway.cache.remove_rule(actor, name)
    response = await _page(request, actor, block="cache")
    return request.app.state.pages.toast(response, f"Removed: {name}. Its answers are deleted.")


@router.post("/rules/{name}/clear")
async def clear(request: Request, name: str, actor: Actor = Depends(needs("write"))) -> Response:
    """Delete what a rule kept."""
    gone = await request.app.state.gateway.cache.clear(actor, rule=name)
    response = await _page(request, actor, block="cache")
    return request.app.state.pages.toast(response, f"{gone:,} answers of '{name}' deleted.")


@router.post("/hits/{hit}/{verdict}")
async def judge(request: Request, hit: str, verdict: str, actor: Actor = Depends(needs("score"))) -> Response:
    """A person's verdict on a hit."""
    await request.app.state.gateway.cache.judge_hit(actor, hit, verdict)
    return await _page(request, actor, block="cache")


@router.post("/try")
async def try_pair(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """What the verifier says about two questions; nothing is kept."""
    form, trial, error = await read_form(request), None, ""
    try:
        if not form.get("asked", "").strip() or not form.get("question", "").strip():
            raise Invalid("Write both questions.")
        trial = await request.app.state.gateway.cache.try_pair(actor, form["asked"], form["question"])
    except Error as problem:
        error = problem.message
    return request.app.state.pages.render(
        request, "gateway/cache_trial.html", trial=trial, error=error, status=422 if error else 200
    )


def _asked(form: dict[str, str]) -> PutRule:
    fields: dict[str, Any] = {name: form[name].strip() for name in ("models", "mode", "share", "judge") if name in form}
    for name, kind in _NUMBERS.items():
        text = form.get(name, "").strip().replace(",", "")
        percent = text.endswith("%")
        if text:
            try:
                fields[name] = kind(text.rstrip("% ")) / 100 if percent else kind(text)
            except ValueError:
                raise Invalid(f"{name} is '{text[:40]}', which is no number. Nothing was kept.", field=name) from None
    fields |= {name: form.get(name) == "yes" for name in ("sampled", "tools")}
    return PutRule(form.get("name", "").strip(), **fields)


async def _page(
    request: Request,
    actor: Actor,
    block: str | None = None,
    since: str = "7d",
    edit: str = "",
    form: dict[str, str] | None = None,
    error: str = "",
) -> Response:
    cache = request.app.state.gateway.cache
    since = since if since in SPANS else "7d"
    rows: list[Quality] = await cache.quality(actor, clock.now_ns() - SPANS[since] * DAY_NS)
    hits = await cache.hits(actor, "semantic", limit=SHOWN)
    chosen = next((row.rule for row in rows if row.rule.name == edit), None)
    return request.app.state.pages.render(
        request,
        "gateway/cache.html",
        block=block,
        status=422 if error else 200,
        rows=rows,
        stopped=[row.rule for row in rows if not row.rule.enabled and row.rule.created_by == "system"],
        hits=[(hit, await cache.answer(actor, hit.entry)) for hit in hits],
        since=since,
        spans=list(SPANS),
        own_labels=len(await cache.labels(actor)),
        enough_labels=OWN_LABELS,
        modes=MODES,
        shares=SHARES,
        may_write=actor.may("write"),
        may_score=actor.may("score"),
        form=form or (_form(chosen) if chosen else {}),
        error=error,
    )


def _form(rule: Rule) -> dict[str, str]:
    return {
        "name": rule.name, "models": rule.models, "mode": rule.mode, "share": rule.share, "ttl_s": str(rule.ttl_s),
        "target": f"{rule.target * 100:g} %", "threshold": f"{rule.threshold:g}", "sample": f"{rule.sample * 100:g} %",
        "judge": rule.judge, "sampled": "yes" if rule.sampled else "no", "tools": "yes" if rule.tools else "no",
        "max_entries": str(rule.max_entries),
    }  # fmt: skip
