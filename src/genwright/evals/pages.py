"""Pages of evals: runs, one run with its items, two runs compared, the safety stage."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Error
from genwright.evals import show
from genwright.evals.types import Run, RunItem
from genwright.web.forms import address, go, read_form

router = APIRouter(prefix="/w/{workspace}/evals", include_in_schema=False)

PAGE = 50
MAX_SORTED = 2_000
"""Items that are read to sort a run's items; of a longer run only so many are."""


@router.get("")
async def list_(request: Request, q: str = "", cursor: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Runs, newest first; two of them can be chosen and compared."""
    state = request.app.state
    page = await state.evals.runs(actor.scope, target=q.strip(), cursor=cursor or None, limit=PAGE)
    path = request.url.path
    datasets = await state.registry.list(actor.scope, "dataset", limit=100)
    apps = await state.registry.list(actor.scope, "app", limit=100)
    return state.pages.render(
        request,
        "evals/list.html",
        items=page.items,
        q=q,
        datasets=[item.name for item in datasets.items],
        targets=[f"app/{item.name}" for item in apps.items],
        may_start=actor.may("call") and actor.may("score"),
        next_url=address(path, {"q": q, "cursor": page.next}) if page.next else "",
        first_url=address(path, {"q": q}) if cursor else "",
        error="",
    )


@router.post("")
async def start(request: Request, actor: Actor = Depends(needs("score"))) -> Response:
    """Queue a run and show it."""
    form = await read_form(request)
    run = await request.app.state.evals.start_run(
        actor, form.get("target", "").strip(), form.get("dataset", "").strip(), split=form.get("split", "").strip() or None,
        name=form.get("name", "").strip(),
    )  # fmt: skip
    return go(f"/w/{actor.scope.workspace}/evals/{run.id}")


@router.get("/compare")
async def compare(request: Request, a: str = "", b: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Run b beside run a: paired differences with intervals."""
    state = request.app.state
    page = await state.evals.runs(actor.scope, limit=100)
    done = [run for run in page.items if run.state == "done"]
    found, runs, error = None, [], ""
    if a and b:
        try:
            runs = [await state.evals.run(actor.scope, run_id) for run_id in (a, b)]
            found = await state.evals.compare(actor.scope, a, b)
        except Error as problem:
            error = problem.message
    return state.pages.render(
        request, "evals/compare.html", found=found, runs=runs, done=done, a=a, b=b, error=error, name=_name,
        axes=show.differences(found) if found else [], status=422 if error else 200,
    )  # fmt: skip


@router.get("/safety")
async def safety(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """What the safety stage tries, and a form to run it."""
    apps = await request.app.state.registry.list(actor.scope, "app", limit=100)
    targets = [f"app/{item.name}" for item in apps.items]
    return request.app.state.pages.render(
        request, "evals/safety.html", targets=targets, report=None, error="", may_run=actor.may("call")
    )


@router.post("/safety")
async def safety_run(request: Request, actor: Actor = Depends(needs("call"))) -> Response:
    """Run the safety stage now; its report is the answer."""
    actor.need("read")
    form = await read_form(request)
    report, error = None, ""
    try:
        report = await request.app.state.evals.safety(actor, form.get("target", "").strip())
    except Error as problem:
        error = problem.message
    return request.app.state.pages.render(
        request, "evals/safety.html", block="report", report=report, error=error, status=422 if error else 200
    )


@router.get("/{run_id}")
async def run(
    request: Request, run_id: str, order: str = "worst", state: str = "", cursor: str = "", actor: Actor = Depends(needs("read"))
) -> Response:
    """One run: progress while it goes on, means with intervals, items from the worst up."""
    evals = request.app.state.evals
    found = await evals.run(actor.scope, run_id)
    items, following, cut = await _items(evals, actor, run_id, (order, state, cursor))
    fields = {"order": order if order != "worst" else "", "state": state}
    others = await evals.runs(actor.scope, limit=100)
    path = request.url.path
    return request.app.state.pages.render(
        request,
        "evals/run.html",
        **_about(found),
        items=items,
        cut=cut,
        order=order,
        state=state,
        shown_scores=show.shown_scores,
        comparable=[other for other in others.items if other.id != run_id and _data(other) == _data(found)],
        name=_name,
        actor=actor,
        next_url=address(path, {**fields, "cursor": following}) if following else "",
        first_url=address(path, fields) if cursor else "",
    )


@router.get("/{run_id}/progress")
async def progress(request: Request, run_id: str, actor: Actor = Depends(needs("read"))) -> Response:
    """How far the run is, for the part of the page that asks again; when it has ended, the whole page is asked for."""
    found = await request.app.state.evals.run(actor.scope, run_id)
    response = request.app.state.pages.render(request, "evals/run.html", block="progress", **_about(found))
    if found.state not in ("queued", "running"):
        response.headers["HX-Refresh"] = "true"
    return response


async def _items(evals: Any, actor: Actor, run_id: str, wanted: tuple[str, str, str]) -> tuple[list[RunItem], str, bool]:
    """(items of this page, cursor of the next, whether there are more than can be sorted)."""
    order, state, cursor = wanted
    if order != "worst":
        page = await evals.items(actor.scope, run_id, state=state, cursor=cursor or None, limit=PAGE)
        return page.items, page.next or "", False
    read: list[RunItem] = []
    after = None
    while len(read) < MAX_SORTED:
        page = await evals.items(actor.scope, run_id, state=state, cursor=after, limit=500)
        read += page.items
        after = page.next
        if after is None:
            break
    begin = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 8 else 0
    ordered = show.worst_first(read)
    end = begin + PAGE
    return ordered[begin:end], str(end) if end < len(ordered) else "", after is not None


def _about(found: Run) -> dict[str, Any]:
    return {
        "run": found,
        "means": show.means(found),
        "empty_metrics": [name for name, estimate in found.summary.items() if estimate is None],
    }


def _name(found: Run) -> str:
    """What a run is called in lists."""
    return found.name or f"{found.target} on {found.dataset.partition('@')[0].removeprefix('dataset:')}"


def _data(found: Run) -> tuple[str, str]:
    """What two runs must have in common to be compared."""
    return found.dataset, found.split
