"""REST of learned routing. One service call a route."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Invalid
from genwright.gateway.learned.service import MAX_BYTES, FitRouter, Learned
from genwright.gateway.learned.traces import FromTraces
from genwright.gateway.learned.types import Use
from genwright.web.api import read_body, read_bytes, reply

router = APIRouter(prefix="/api/gateway", tags=["gateway"])
NONE: list[str] = []


class FitFromTraces(msgspec.Struct, frozen=True):
    """Traces with the score `score` (0 … 1) become rows; the rest as for rows that are uploaded."""

    name: str
    score: str
    app: str = ""
    since_ns: int = 0
    until_ns: int = 0
    costs: dict[str, float] = {}
    models: dict[str, str] = {}
    point: dict[str, float] = {}


class AskPoint(msgspec.Struct, frozen=True):
    """One of `keep` (of the strongest model's quality, 0.95), `gap` (of the way to it, 0.8) or `usd` (a call)."""

    name: str
    keep: float | None = None
    gap: float | None = None
    usd: float | None = None
    per_second: float = 0.0
    """Score that a second is worth; needs rows with latencies."""
    selector: str = ""
    """Label or number of the version; left out, the one that is called."""

    def asked(self) -> dict[str, float]:
        """The point as the service takes it."""
        return _one({"keep": self.keep, "gap": self.gap, "usd": self.usd})


class UseRouter(AskPoint, frozen=True):
    """The same, kept as a new version."""

    unsure: str = ""
    """Model asked where the router cannot judge; left out, it stays."""
    far: float | None = None
    """Similarity below which a prompt counts as unlike all that was fitted; −1 never."""


def _learned(request: Request) -> Learned:
    return request.app.state.gateway.learned


def _one(given: dict[str, float | None]) -> dict[str, float]:
    return {word: value for word, value in given.items() if value is not None}


def _pairs(texts: list[str], what: str) -> dict[str, str]:
    """NAME=VALUE; names may hold '=' no more than models do."""
    for text in texts:
        if "=" not in text:
            raise Invalid(f"{what} '{text[:100]}' is no NAME=VALUE. Nothing was fitted.", field=what)
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _numbers(pairs: dict[str, str]) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in pairs.items()}
    except ValueError as error:
        raise Invalid(f"A cost is dollars a call: {error}. Nothing was fitted.", field="cost") from error


@router.get("/routers", operation_id="gateway.routers")
async def routers(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Learned routes, without their cards."""
    return reply({"items": await _learned(request).list(actor.scope), "next": None})


@router.post("/routers/fit", operation_id="gateway.fit_router")
async def fit(
    request: Request,
    name: str,
    source: str = "",
    cost: list[str] = Query(NONE),
    model: list[str] = Query(NONE),
    keep: float | None = None,
    gap: float | None = None,
    usd: float | None = None,
    actor: Actor = Depends(needs("write")),
) -> Response:
    """Fit a router to rows (JSONL) and write a route, as a job. `cost`: MODEL=USD, `model`: NAME=PROVIDER/MODEL."""
    costs = _numbers(_pairs(cost, "cost"))
    asked = FitRouter(name, source, costs, _pairs(model, "model"), _one({"keep": keep, "gap": gap, "usd": usd}))
    return reply(await _learned(request).fit(actor, asked, await read_bytes(request, MAX_BYTES)), 202)


@router.post(
    "/routers/fit-traces",
    operation_id="gateway.fit_router_from_traces",
    openapi_extra={"fields": list(FitFromTraces.__struct_fields__)},
)
async def fit_traces(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """The same with rows made of traces that have a score."""
    body = await read_body(request, FitFromTraces)
    asked = FitRouter(body.name, "", body.costs, body.models, body.point)
    want = FromTraces(body.score, body.app, body.since_ns, body.until_ns)
    return reply(await _learned(request).fit_from_traces(actor, asked, want), 202)


@router.get("/routers/get", operation_id="gateway.router")
async def get(request: Request, name: str, selector: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """A learned route with its card: data, figures with intervals, frontier, calibration, when it lies."""
    return reply(await _learned(request).show(actor.scope, name, selector))


@router.post("/routers/point", operation_id="gateway.router_point", openapi_extra={"fields": list(AskPoint.__struct_fields__)})
async def point(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """What a point of the frontier is worth, with intervals; nothing is changed."""
    body = await read_body(request, AskPoint)
    return reply(await _learned(request).point(actor.scope, body.name, body.asked(), body.per_second, body.selector))


@router.post("/routers/use", operation_id="gateway.use_router", openapi_extra={"fields": list(UseRouter.__struct_fields__)})
async def use(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Write a version of the route with another point."""
    body = await read_body(request, UseRouter)
    want = Use(body.asked(), body.per_second, body.unsure, body.far, body.selector)
    version = await _learned(request).use(actor, body.name, want)
    return reply(version, 201)


@router.get("/routers/saving", operation_id="gateway.router_saving")
async def saving(request: Request, name: str, since_ns: int = 0, actor: Actor = Depends(needs("read"))) -> Response:
    """What the route cost, beside its strongest model alone (an estimate)."""
    return reply(await _learned(request).saving(actor, name, since_ns))


@router.get("/routers/drift", operation_id="gateway.router_drift")
async def drift(request: Request, name: str, since_ns: int = 0, actor: Actor = Depends(needs("read"))) -> Response:
    """Whether live prompts are still like those fitted."""
    return reply(await _learned(request).drift(actor.scope, name, since_ns))
