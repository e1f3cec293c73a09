"""The page of jobs: what is at work, how far, what failed and why; stop and start again."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Invalid
from genwright.jobs import UNFINISHED, Job
from genwright.web.forms import address

router = APIRouter(prefix="/w/{workspace}/jobs", include_in_schema=False)

PAGE = 50
STATES = ("queued", "running", "done", "failed", "cancelled")


@router.get("")
async def jobs(request: Request, state: str = "", cursor: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Jobs, newest first; unfinished ones tell their progress by themselves."""
    if state and state not in STATES:
        raise Invalid(f"'{state[:40]}' is no state of a job. States are: {', '.join(STATES)}.", code="bad_filter")
    found = list(await request.app.state.jobs.list(actor.scope, state=state, cursor=cursor or None, limit=PAGE + 1))
    following = found[PAGE - 1].id if len(found) > PAGE else ""
    return request.app.state.pages.render(
        request,
        "jobs.html",
        items=found[:PAGE],
        state=state,
        states=STATES,
        may_write=actor.may("write"),
        next_url=address(request.url.path, {"state": state, "cursor": following}) if following else "",
        first_url=address(request.url.path, {"state": state}) if cursor else "",
    )


@router.get("/{job_id}")
async def one(request: Request, job_id: str, actor: Actor = Depends(needs("read"))) -> Response:
    """One job with what it was given and what came of it."""
    job = await request.app.state.jobs.get(actor.scope, job_id)
    return _page(request, actor, job)


@router.get("/{job_id}/line")
async def line(request: Request, job_id: str, watched: bool = False, actor: Actor = Depends(needs("read"))) -> Response:
    """Progress as a part of any page; it asks again until the job is finished. Who saw it run gets the page anew then."""
    job = await request.app.state.jobs.get(actor.scope, job_id)
    response = _page(request, actor, job, block="line")
    if watched and job.state not in UNFINISHED:
        response.headers["HX-Refresh"] = "true"
    return response


@router.get("/{job_id}/row")
async def row(request: Request, job_id: str, actor: Actor = Depends(needs("read"))) -> Response:
    """The job's row of the list; asks again until the job is finished."""
    return _row(request, actor, await request.app.state.jobs.get(actor.scope, job_id))


@router.post("/{job_id}/cancel")
async def cancel(request: Request, job_id: str, actor: Actor = Depends(needs("write"))) -> Response:
    """Stop it; answers with its row."""
    job = await request.app.state.jobs.cancel(actor.scope, job_id)
    return request.app.state.pages.toast(_row(request, actor, job), "Stopped. What it had finished is kept.")


@router.post("/{job_id}/again")
async def again(request: Request, job_id: str, actor: Actor = Depends(needs("write"))) -> Response:
    """Start it once more; answers with its row."""
    job = await request.app.state.jobs.again(actor.scope, job_id)
    return request.app.state.pages.toast(_row(request, actor, job), "Started again. What was done is not done twice.")


def _page(request: Request, actor: Actor, job: Job, block: str | None = None) -> Response:
    return request.app.state.pages.render(
        request, "job.html", block=block, job=job, busy=job.state in UNFINISHED, may_write=actor.may("write")
    )


def _row(request: Request, actor: Actor, job: Job) -> Response:
    return request.app.state.pages.render(request, "job_row.html", job=job, may_write=actor.may("write"))
