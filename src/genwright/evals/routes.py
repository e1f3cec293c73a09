"""REST of evals: one service call a route."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.evals.types import SafetyRequest, StartRun
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/evals", tags=["evals"])


@router.post("/runs", operation_id="evals.start", openapi_extra={"fields": list(StartRun.__struct_fields__)})
async def start(request: Request, actor: Actor = Depends(needs("score"))) -> Response:
    """Run a target over a dataset version and score its answers."""
    body = await read_body(request, StartRun)
    run = await request.app.state.evals.start_run(
        actor,
        body.target,
        body.dataset,
        split=body.split,
        metrics=body.metrics,
        name=body.name,
        concurrency=body.concurrency,
    )
    return reply(run, 202)


@router.get("/runs", operation_id="evals.runs")
async def runs(
    request: Request, target: str = "", cursor: str | None = None, limit: int = 50, actor: Actor = Depends(needs("read"))
) -> Response:
    """Evaluation runs, newest first."""
    return reply(await request.app.state.evals.runs(actor.scope, target=target, cursor=cursor, limit=limit))


@router.get("/runs/{run_id}", operation_id="evals.get")
async def get(request: Request, run_id: str, wait_s: float = 0, actor: Actor = Depends(needs("read"))) -> Response:
    """One run: state, progress, means with intervals. `wait_s` waits for its end, at most so long (30 s)."""
    service = request.app.state.evals
    if wait_s > 0:
        return reply(await service.wait(actor.scope, run_id, min(wait_s, 30.0)))
    return reply(await service.run(actor.scope, run_id))


@router.get("/runs/{run_id}/items", operation_id="evals.items")
async def items(
    request: Request,
    run_id: str,
    state: str = "",
    cursor: str | None = None,
    limit: int = 50,
    actor: Actor = Depends(needs("read")),
) -> Response:
    """Items of a run with answers, passages, scores and traces."""
    service = request.app.state.evals
    return reply(await service.items(actor.scope, run_id, state=state, cursor=cursor, limit=limit))


@router.get("/compare", operation_id="evals.compare")
async def compare(request: Request, a: str, b: str, actor: Actor = Depends(needs("read"))) -> Response:
    """Run `b` (candidate) beside run `a` (baseline): paired differences with intervals and verdicts."""
    return reply(await request.app.state.evals.compare(actor.scope, a, b))


@router.post("/safety", operation_id="evals.safety", openapi_extra={"fields": list(SafetyRequest.__struct_fields__)})
async def safety(request: Request, actor: Actor = Depends(needs("call"))) -> Response:
    """Planted attacks, harmless look-alikes, toxic words and counterfactual pairs against a target."""
    actor.need("read")
    body = await read_body(request, SafetyRequest)
    return reply(await request.app.state.evals.safety(actor, body.target, limits=body.limits))


@router.get("/metrics", operation_id="evals.metrics")
async def metrics(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """All metrics with their cards: what each measures, when it lies, where it comes from."""
    return reply({"items": request.app.state.evals.metrics()})
