"""The first page of a workspace: what is going on, and on an empty one what to do. Only services, no room's inside."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from genwright import clock
from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Missing
from genwright.web import formats

router = APIRouter(prefix="/w/{workspace}", include_in_schema=False)

HOUR_NS = 3_600_000_000_000
SPANS = {"24h": (24, 1), "7d": (7 * 24, 6), "30d": (30 * 24, 24)}
"""Name → (hours back, hours in one bar)."""
APPS, TRACES, RUNS, JOBS = 8, 8, 5, 5


@router.get("")
async def overview(request: Request, since: str = "24h", actor: Actor = Depends(needs("read"))) -> Response:
    """Traffic, apps, newest traces and runs, work in progress."""
    state, scope = request.app.state, actor.scope
    since = since if since in SPANS else "24h"
    hours, bar = SPANS[since]
    now = clock.now_ns()
    first = (now // HOUR_NS - hours + 1) * HOUR_NS
    stats = await state.tracing.stats(scope, first)
    traces = (await state.tracing.list(scope, None, None, TRACES)).items
    apps = [await _app(request, actor, artifact) for artifact in (await state.registry.list(scope, "app", limit=APPS)).items]
    corpora = await state.retrieval.corpora(scope)
    jobs = [job for want in ("running", "queued") for job in await state.jobs.list(scope, state=want, limit=JOBS)][:JOBS]
    return state.pages.render(
        request,
        "overview.html",
        since=since,
        spans=list(SPANS),
        total=stats.total,
        chart=chart(stats.hours, first, hours, bar),
        models=stats.models[:6],
        traces=traces,
        apps=apps,
        runs=(await state.evals.runs(scope, limit=RUNS)).items,
        jobs=jobs,
        empty=not (traces or apps or corpora or jobs),
        corpora=corpora,
        api=(state.settings.public_url or str(request.base_url)).rstrip("/") + "/v1",
    )


async def _app(request: Request, actor: Actor, artifact: Any) -> dict[str, Any]:
    """An app's row: its name and the release that answers, if there is one."""
    try:
        releases = await request.app.state.registry.versions(actor.scope, "release", artifact.name)
    except Missing:
        releases = []
    live = next((version for version in releases if "production" in version.labels), None)
    return {"name": artifact.name, "live": live, "releases": len(releases), "updated_ns": artifact.updated_ns}


def chart(found: list[Any], first: int, hours: int, bar: int) -> dict[str, Any]:
    """Calls that went well and that failed, by bars of `bar` hours, oldest first; hours without traffic count as zero."""
    fine, failed = [0] * (hours // bar), [0] * (hours // bar)
    for hour in found:
        at = (hour.start_ns - first) // (bar * HOUR_NS)
        if 0 <= at < len(fine):
            fine[at] += hour.calls - hour.errors
            failed[at] += hour.errors
    shape = "%H:%M" if bar == 1 else "%b %d %H:%M" if bar < 24 else "%b %d"
    starts = [formats.moment(first + at * bar * HOUR_NS).strftime(shape) for at in range(len(fine))]
    series = [{"name": "answered", "values": fine}, {"name": "failed", "values": failed, "tone": "bad"}]
    return {"kind": "bar", "x": starts, "series": series, "stacked": True, "xname": "UTC", "unit": ""}
