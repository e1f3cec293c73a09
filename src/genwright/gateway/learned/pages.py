"""Pages of learned routing: the routers, and one with its frontier, its card, what it saved and whether prompts have moved."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Error, Invalid
from genwright.gateway.learned.service import FitRouter, Learned
from genwright.gateway.learned.traces import FromTraces
from genwright.gateway.learned.types import Card, Chosen, Drift, Router, Use
from genwright.web.forms import go, read_form

router = APIRouter(prefix="/w/{workspace}/gateway", include_in_schema=False)

SHOWN_MODELS = 12
"""Models drawn as points of their own."""


def _learned(request: Request) -> Learned:
    return request.app.state.gateway.learned


def _page(actor: Actor, name: str = "") -> str:
    return f"/w/{actor.scope.workspace}/gateway/routers" + (f"/{quote(name)}" if name else "")


@router.get("/routers")
async def list_(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """The learned routes, and a form to fit one from traces."""
    return await _list(request, actor)


@router.post("/routers")
async def fit(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Fit from traces; the job's page is shown."""
    form = {name: value.strip() for name, value in (await read_form(request)).items()}
    try:
        asked, want = FitRouter(form.get("name", "")), FromTraces(form.get("score", ""), form.get("app", ""))
        job = await _learned(request).fit_from_traces(actor, asked, want)
    except Error as error:
        return await _list(request, actor, form, error.message)
    return go(f"/w/{actor.scope.workspace}/jobs/{job.id}")


@router.get("/routers/{name:path}")
async def show(
    request: Request, name: str, v: str = "", keep: str = "", part: str = "", actor: Actor = Depends(needs("read"))
) -> Response:
    """One router. `v`: a version; `keep`: a point in per cent that is looked at, not kept; `part`: only that point."""
    learned = _learned(request)
    found = await learned.show(actor.scope, name, v)
    chosen, error = await _looked_at(learned, actor, found, keep)
    shown: dict[str, Any] = {
        "found": found, "card": found.card, "chosen": chosen, "error": error, "chart": _frontier(found.card, chosen),
        "base": _page(actor, found.name), "may_write": actor.may("write"), "v": v,
        "keep": keep or f"{100 * chosen.kept.value:.1f}", "in_use": not keep,
    }  # fmt: skip
    if part == "point":
        return request.app.state.pages.render(request, "gateway/router.html", block="point", **shown)
    drift = await learned.drift(actor.scope, found.name)
    return request.app.state.pages.render(
        request,
        "gateway/router.html",
        **shown,
        all_url=_page(actor),
        route_url=f"/w/{actor.scope.workspace}/gateway/routes/{quote(found.name)}",
        saving=await learned.saving(actor, found.name),
        drift=drift,
        drifting=_drifting(drift),
        calibration=_calibration(found.card),
    )


@router.post("/routers/-/use")
async def use(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Write a version with the point that was looked at."""
    form = await read_form(request)
    name = form.get("name", "")
    version = await _learned(request).use(actor, name, Use({"keep": _share(form.get("keep", ""))}, selector=form.get("v", "")))
    return go(f"{_page(actor, version.name)}?v={version.number}")


async def _list(request: Request, actor: Actor, form: dict[str, str] | None = None, error: str = "") -> Response:
    return request.app.state.pages.render(
        request,
        "gateway/routers.html",
        status=422 if error else 200,
        items=await _learned(request).list(actor.scope),
        base=_page(actor),
        form=form or {},
        error=error,
        may_write=actor.may("write"),
    )


async def _looked_at(learned: Learned, actor: Actor, found: Router, keep: str) -> tuple[Chosen, str]:
    """(the point asked for, or the one in use; what was wrong with what was asked)."""
    error = ""
    if keep:
        try:
            return await learned.point(actor.scope, found.name, {"keep": _share(keep)}, selector=str(found.number)), ""
        except Error as problem:
            error = problem.message
    return learned.in_use(found), error


def _share(per_cent: str) -> float:
    try:
        return float(per_cent.replace(",", ".").rstrip("% ")) / 100
    except ValueError as error:
        raise Invalid(f"'{per_cent[:40]}' is no number of per cent. Nothing was changed.", field="keep") from error


def _frontier(card: Card | None, chosen: Chosen) -> dict[str, Any]:
    """Saving to the right, quality kept upwards."""
    assert card is not None
    strong = next(cost for cost in card.models if cost.model == card.strong)
    alone = (
        [[1 - cost.usd / strong.usd, cost.quality / strong.quality] for cost in card.models[:SHOWN_MODELS]] if strong.usd else []
    )
    cheap = next(cost for cost in card.models if cost.model == card.cheap)
    ends = [[0.0, 1.0], [1 - cheap.usd / strong.usd, cheap.quality / strong.quality]] if strong.usd else []
    return {
        "kind": "scatter", "xname": "saving", "xunit": "%", "unit": "%", "x": [],
        "series": [
            {"name": "router", "values": [[point.saving, point.kept] for point in card.frontier], "line": True},
            {"name": "choosing at random", "values": ends, "line": True, "faint": True},
            {"name": "one model alone", "values": alone, "size": 11},
            {"name": "this point", "values": [[chosen.point.saving, chosen.point.kept]], "size": 15},
        ],
    }  # fmt: skip


def _calibration(card: Card | None) -> dict[str, Any]:
    assert card is not None
    return {
        "kind": "line", "xname": "tenth of the prompts", "x": [str(number) for number in range(1, len(card.calibration) + 1)],
        "series": [
            {"name": "predicted gain", "values": [one.predicted for one in card.calibration]},
            {
                "name": "actual gain", "values": [one.actual for one in card.calibration],
                "low": [one.low for one in card.calibration], "high": [one.high for one in card.calibration],
            },
        ],
    }  # fmt: skip


def _drifting(drift: Drift) -> dict[str, Any] | None:
    if not drift.calls:
        return None
    share = [[count / drift.calls for count in counts] for counts in (drift.gains, drift.near)]
    return {
        "kind": "bar", "unit": "%", "xname": "tenth of the prompts fitted", "x": [str(number) for number in range(1, 11)],
        "series": [{"name": "by predicted gain", "values": share[0]}, {"name": "by likeness", "values": share[1]}],
    }  # fmt: skip
