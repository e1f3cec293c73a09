"""Pages of tracing: the list, one trace, why, impact. Each is one or two service calls and one render."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from genwright import clock
from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Invalid, Missing
from genwright.tracing import show
from genwright.tracing.types import Span, Trace, TraceFilter, Why, WhyNode
from genwright.web.forms import address, read_form

router = APIRouter(prefix="/w/{workspace}/tracing", include_in_schema=False)

PAGE = 50
SPANS_OF_TIME = {"1h": 3_600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
SAID = {"cites": "cited", "was_given": "given", "dropped": "dropped", "pins": "pins", "replays": "replays"}
"""Relations that stand on the graph's arrows; the others are plain from the kinds they join."""
FILTERS = ("q", "app", "model", "status", "since", "session", "user", "release", "run", "score", "min_cost")


def _filter(fields: dict[str, str]) -> TraceFilter:
    """What the address asks for; times relative to now, cost in dollars."""
    since = fields["since"]
    if since and since not in SPANS_OF_TIME:
        raise Invalid(f"'{since[:40]}' is no span of time here. Use one of: {', '.join(SPANS_OF_TIME)}.", code="bad_filter")
    try:
        cost = round(float(fields["min_cost"] or 0) * 1e9)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"'{fields['min_cost'][:40]}' is no amount in dollars.", code="bad_filter") from error
    return TraceFilter(
        text=fields["q"], app=fields["app"], model=fields["model"], status=fields["status"], session=fields["session"],
        user=fields["user"], release=fields["release"], run=fields["run"], score=fields["score"], min_cost_nano_usd=cost,
        since_ns=clock.now_ns() - SPANS_OF_TIME[since] * 1_000_000_000 if since else 0,
    )  # fmt: skip


@router.get("")
async def list_(request: Request, cursor: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Traces, newest first; the whole state of the page is in its address."""
    state, query = request.app.state, request.query_params
    fields = {name: query.get(name, "").strip() for name in FILTERS}
    error = ""
    items: list[Any] = []
    following = None
    try:
        page = await state.tracing.list(actor.scope, _filter(fields), cursor or None, PAGE)
        items, following = page.items, page.next
    except Invalid as problem:
        error = problem.message
    scores = await state.tracing.scores_of(actor.scope, [row.trace_id for row in items])
    known = await state.registry.list(actor.scope, "app", limit=100)
    return state.pages.render(
        request,
        "tracing/list.html",
        status=422 if error else 200,
        items=items,
        scores=scores,
        error=error,
        fields=fields,
        filtered=any(fields.values()),
        apps=sorted({artifact.name for artifact in known.items} | {row.app for row in items if row.app}),
        models=sorted({row.model for row in items if row.model}),
        more=any(fields[name] for name in ("session", "user", "release", "run", "score", "min_cost")),
        next_url=address(request.url.path, {**fields, "cursor": following}) if following else "",
        first_url=address(request.url.path, fields) if cursor else "",
    )


@router.get("/impact")
async def impact(request: Request, ref: str = "", cursor: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """What a document, prompt, model … has touched: versions, releases, answers."""
    state = request.app.state
    found, error = None, ""
    if ref.strip():
        try:
            found = await state.tracing.impact(actor.scope, ref.strip(), cursor or None, PAGE)
        except (Invalid, Missing) as problem:
            error = problem.message
    next_url = address(request.url.path, {"ref": ref, "cursor": found.next}) if found and found.next else ""
    first_url = address(request.url.path, {"ref": ref}) if cursor else ""
    return state.pages.render(
        request, "tracing/impact.html", ref=ref, found=found, error=error, next_url=next_url, first_url=first_url,
        status=422 if error else 200,
    )  # fmt: skip


@router.get("/{trace_id}")
async def trace(request: Request, trace_id: str, span: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """One trace: facts, steps, conversation, scores, feedback, replay."""
    found = await request.app.state.tracing.trace(actor.scope, trace_id)
    base = f"/w/{actor.scope.workspace}/tracing/{found.row.trace_id}"
    steps = show.steps(found)
    for step in steps:
        step.url, step.fragment = f"{base}?span={step.id}#span", f"{base}/spans/{step.id}"
    return request.app.state.pages.render(
        request,
        "tracing/trace.html",
        **_about(found, actor),
        steps=steps,
        total_ms=max((step.start_ms + step.duration_ms for step in steps), default=0),
        conversation=show.conversation(found),
        passages=show.answered_from(found),
        span=_span_view(_one(found, span)) if span else None,
        replayable=show.replayable(found),
    )


@router.get("/{trace_id}/spans/{span_id}")
async def span(request: Request, trace_id: str, span_id: str, actor: Actor = Depends(needs("read"))) -> Response:
    """One span, for the drawer."""
    found = await request.app.state.tracing.trace(actor.scope, trace_id)
    return request.app.state.pages.render(request, "tracing/span.html", span=_span_view(_one(found, span_id)), inside=True)


@router.get("/{trace_id}/passages/{n}")
async def passage(request: Request, trace_id: str, n: int, actor: Actor = Depends(needs("read"))) -> Response:
    """One passage the answer was made from, for the drawer."""
    found = await request.app.state.tracing.trace(actor.scope, trace_id)
    passage = next((item for item in show.answered_from(found) if item["n"] == n), None)
    if passage is None:
        raise Missing(f"Trace {trace_id} has no passage {n}.", code="no_passage")
    return request.app.state.pages.render(request, "tracing/passage.html", passage=passage)


@router.get("/{trace_id}/raw")
async def raw(request: Request, trace_id: str, actor: Actor = Depends(needs("read"))) -> Response:
    """The trace as indented JSON."""
    found = await request.app.state.tracing.trace(actor.scope, trace_id)
    data = msgspec.json.format(msgspec.json.encode(found), indent=2)
    return Response(data, media_type="application/json", headers={"x-content-type-options": "nosniff"})


@router.post("/{trace_id}/score")
async def score(request: Request, trace_id: str, actor: Actor = Depends(needs("score"))) -> Response:
    """A person's judgement; answers with the scores as they are now."""
    state, form = request.app.state, await read_form(request)
    name, given = form.get("name", "feedback").strip(), form.get("value", "").strip()
    error = ""
    try:
        await state.tracing.score(actor, trace_id, name, _value(given), source="person", comment=form.get("comment", "").strip())
    except Invalid as problem:
        error = problem.message
    found = await state.tracing.trace(actor.scope, trace_id)
    response = state.pages.render(
        request, "tracing/trace.html", block="scores", status=422 if error else 200, **_about(found, actor, error)
    )
    return response if error else state.pages.toast(response, f"Kept: {name}.")


@router.get("/{trace_id}/why")
async def why(request: Request, trace_id: str, actor: Actor = Depends(needs("read"))) -> Response:
    """Everything that led to the answer."""
    found = await request.app.state.tracing.why(actor.scope, trace_id)
    return request.app.state.pages.render(request, "tracing/why.html", **show_why(found, actor.scope.workspace))


def show_why(found: Why, workspace: str) -> dict[str, Any]:
    """Context of the why page: the graph's nodes and edges, what was asked and answered."""
    from genwright.web.graph import Edge, Node

    base = f"/w/{workspace}"
    nodes = []
    for node in found.nodes:
        kind = {"answer": "trace", "passage": "chunk", "embedding_model": "model"}.get(node.kind, node.kind)
        href = node.href or _href(node)
        nodes.append(Node(node.id, node.title, kind, url=base + href if href else "", focus=node.kind == "answer"))
    return {
        "why": found,
        "nodes": nodes,
        "edges": [Edge(edge.target, edge.source, SAID.get(edge.relation, "")) for edge in found.edges],
        "asked": show.said(found.input, "user"),
        "answered": show.said(found.output, "assistant"),
        "readable": show.readable,
    }


def _href(node: WhyNode) -> str:
    """Pages of things that other rooms keep."""
    if node.kind == "document":
        return f"/documents/text/{node.facts.get('digest', '')}"
    if node.kind == "run":
        return f"/evals/{node.title}" if node.title.startswith("run_") else f"/tracing?run={node.title}"
    return ""


def _about(found: Trace, actor: Actor, error: str = "") -> dict[str, Any]:
    return {"trace": found.row, "scores": found.scores, "error": error, "may_score": actor.may("score"), "actor": actor}


def _one(found: Trace, span_id: str) -> Span:
    for each in found.spans:
        if each.span_id == span_id:
            return each
    raise Missing(f"Trace {found.row.trace_id} has no span {span_id[:64]!r}.", code="no_span")


def _span_view(found: Span) -> dict[str, Any]:
    """A span as its template reads it."""
    sides = []
    for title, value in (("Input", found.input), ("Output", found.output)):
        if value is not None:
            sides.append((title, show.messages(value), show.readable(value)))
    hidden = {"genwright.findings", "gen_ai.retrieval.documents", "gen_ai.input.messages", "gen_ai.output.messages"}
    return {
        "it": found,
        "sides": sides,
        "passages": show.passages(found),
        "findings": show.findings(found),
        "attributes": sorted((name, show.readable(value)) for name, value in found.attributes.items() if name not in hidden),
        "events": [(event, [(name, show.readable(value)) for name, value in event.attributes.items()]) for event in found.events],
    }


def _value(given: str) -> float | str | None:
    """A number where it is one, else a label."""
    if not given:
        return None
    try:
        return float(given)
    except ValueError:
        return given
