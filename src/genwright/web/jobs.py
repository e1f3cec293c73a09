"""REST of jobs: see them, stop them, start failed ones again. Jobs belong to no room, so their routes stand here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.web.api import reply

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

Limit = Annotated[int, Query(ge=1, le=500)]


@router.get("", operation_id="jobs.list")
async def list_jobs(
    request: Request,
    state: str = "",
    kind: str = "",
    cursor: str | None = None,
    limit: Limit = 50,
    actor: Actor = Depends(needs("read")),
) -> Response:
    """Jobs of this project, newest first; `state` is queued, running, done, failed or cancelled."""
    items = await request.app.state.jobs.list(actor.scope, state=state, kind=kind, cursor=cursor, limit=limit)
    return reply({"items": items, "next": items[-1].id if len(items) == limit else None})


@router.get("/{job_id}", operation_id="jobs.get")
async def get_job(
    request: Request, job_id: str, wait_s: Annotated[float, Query(ge=0, le=30)] = 0.0, actor: Actor = Depends(needs("read"))
) -> Response:
    """One job; with `wait_s`, as soon as it is finished or that time is over."""
    jobs = request.app.state.jobs
    return reply(await (jobs.wait(actor.scope, job_id, wait_s) if wait_s else jobs.get(actor.scope, job_id)))


@router.post("/{job_id}/cancel", operation_id="jobs.cancel")
async def cancel_job(request: Request, job_id: str, actor: Actor = Depends(needs("write"))) -> Response:
    """Stop a job; what it had finished stays."""
    return reply(await request.app.state.jobs.cancel(actor.scope, job_id))


@router.post("/{job_id}/again", operation_id="jobs.again")
async def again(request: Request, job_id: str, actor: Actor = Depends(needs("write"))) -> Response:
    """Start a failed or cancelled job once more; what is done already is not done twice."""
    return reply(await request.app.state.jobs.again(actor.scope, job_id))
