"""REST of tracing. OTLP's POST /v1/traces is not here: it is plain ASGI ahead of the framework (`intake.py`)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.tracing.types import Source, TraceFilter
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/tracing", tags=["tracing"])

Limit = Annotated[int, Query(ge=1, le=500)]
Moment = Annotated[int, Query(ge=0, le=2**63 - 1)]


class NewScore(msgspec.Struct, frozen=True):
    """`value`: a number, true, false, or a label."""

    name: str
    value: float | bool | str | None = None
    span_id: str = ""
    source: Source = "user"
    comment: str = ""
    run: str = ""


@router.get("/traces", operation_id="tracing.list")
async def list_(
    request: Request,
    app: str = "",
    model: str = "",
    status: str = "",
    release: str = "",
    session: str = "",
    user: str = "",
    run: str = "",
    text: str = "",
    score: str = "",
    since_ns: Moment = 0,
    until_ns: Moment = 0,
    min_cost_nano_usd: Moment = 0,
    cursor: str | None = None,
    limit: Limit = 50,
    actor: Actor = Depends(needs("read")),
) -> Response:
    """Traces, newest first. A page may be short and still have a `next`: each looks through traces for at most a second."""
    want = TraceFilter(
        app=app, model=model, status=status, release=release, session=session, user=user, run=run, text=text, score=score,
        since_ns=since_ns, until_ns=until_ns, min_cost_nano_usd=min_cost_nano_usd,
    )  # fmt: skip
    return reply(await request.app.state.tracing.list(actor.scope, want, cursor, limit))


@router.get("/traces/{trace_id}", operation_id="tracing.get")
async def get(request: Request, trace_id: str, actor: Actor = Depends(needs("read"))) -> Response:
    """One trace: roll-up, spans, scores."""
    return reply(await request.app.state.tracing.trace(actor.scope, trace_id))


@router.post(
    "/traces/{trace_id}/scores",
    operation_id="tracing.score",
    openapi_extra={"fields": list(NewScore.__struct_fields__)},
)
async def score(request: Request, trace_id: str, actor: Actor = Depends(needs("score"))) -> Response:
    """Judge a trace or one of its spans; the same name again replaces your earlier judgement."""
    body = await read_body(request, NewScore)
    given = await request.app.state.tracing.score(
        actor,
        trace_id,
        body.name,
        body.value,
        span_id=body.span_id,
        source=body.source,
        comment=body.comment,
        run=body.run,
    )
    return reply(given, 201)


@router.get("/traces/{trace_id}/why", operation_id="tracing.why")
async def why(request: Request, trace_id: str, actor: Actor = Depends(needs("read"))) -> Response:
    """Everything that led to an answer: release, prompt, passages, models, guards, scores; as sections and as a graph."""
    return reply(await request.app.state.tracing.why(actor.scope, trace_id))


@router.get("/impact", operation_id="tracing.impact")
async def impact(
    request: Request, ref: str, cursor: str | None = None, limit: Limit = 50, actor: Actor = Depends(needs("read"))
) -> Response:
    """What a version, `document:sha256:…` or `model:NAME` has touched: versions, releases and answers."""
    return reply(await request.app.state.tracing.impact(actor.scope, ref, cursor, limit))


@router.get("/stats", operation_id="tracing.stats")
async def stats(request: Request, since_ns: Moment = 0, actor: Actor = Depends(needs("read"))) -> Response:
    """Traffic since a moment: by hour, app and model."""
    return reply(await request.app.state.tracing.stats(actor.scope, since_ns))
