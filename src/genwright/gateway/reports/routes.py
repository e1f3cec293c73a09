"""REST of the reports: costs by any dimension, as JSON or CSV; the price book; old calls under other prices."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.gateway.reports import asked
from genwright.gateway.reports.table import row, write_csv
from genwright.web.api import NOSNIFF, read_body, reply

router = APIRouter(prefix="/api/gateway", tags=["gateway"])

Limit = Annotated[int, Query(ge=1, le=100_000)]
Number = Annotated[int, Query(ge=0, le=999_999_999)]
Tags = Annotated[list[str], Query()]


class SetPrices(msgspec.Struct, frozen=True):
    """`prices`: PROVIDER/MODEL → {"input": "1.25", "output": "10", …}, US dollars per million tokens; null takes one away."""

    prices: dict[str, Any]
    replace: bool = False
    expected: Annotated[int, msgspec.Meta(ge=0, le=999_999_999)] | None = None
    note: str = ""


def fields(
    by: str = "model",
    since: str = "",
    until: str = "",
    provider: str = "",
    model: str = "",
    operation: str = "",
    cost_kind: str = "",
    key: str = "",
    team: str = "",
    member: str = "",
    app: str = "",
    route: str = "",
    user: str = "",
    session: str = "",
    status: str = "",
    price_source: str = "",
) -> dict[str, str]:
    """What a report is asked for; see `asked.query`."""
    return dict(locals())


@router.get("/costs", operation_id="gateway.costs")
async def costs(
    request: Request,
    asked_for: dict[str, str] = Depends(fields),
    tag: Tags = [],  # noqa: B006 (FastAPI copies it)
    limit: Limit = 1_000,
    actor: Actor = Depends(needs("read")),
) -> Response:
    """Calls, tokens and cost by up to four dimensions (`by=app,model`), with filters; `total` is over all lines."""
    report = await request.app.state.gateway.reports.costs(actor, asked.query(asked_for, tag, limit))
    return reply(
        {
            "items": [row(line) for line in report.lines],
            "total": report.total,
            "by": report.by,
            "since_ns": report.since_ns,
            "until_ns": report.until_ns,
            "left_out": report.left_out,
            "next": None,
        }
    )


@router.get("/costs.csv", operation_id="gateway.costs_csv")
async def costs_csv(
    request: Request,
    asked_for: dict[str, str] = Depends(fields),
    tag: Tags = [],  # noqa: B006
    limit: Limit = 100_000,
    actor: Actor = Depends(needs("read")),
) -> Response:
    """The same as CSV, amounts exact to the nano-dollar."""
    report = await request.app.state.gateway.reports.costs(actor, asked.query(asked_for, tag, limit))
    headers = {**NOSNIFF, "content-disposition": 'attachment; filename="costs.csv"'}
    return Response(write_csv(report), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/prices", operation_id="gateway.prices")
async def prices(request: Request, version: Number = 0, actor: Actor = Depends(needs("read"))) -> Response:
    """The project's own price book: the version in force, or another; number 0 where there is none yet."""
    return reply(await request.app.state.gateway.prices.show(actor, version))


@router.get("/prices/history", operation_id="gateway.price_history")
async def history(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """All versions of the price book, newest first, without their prices."""
    return reply({"items": await request.app.state.gateway.prices.history(actor), "next": None})


@router.get("/prices/model", operation_id="gateway.price_of")
async def price_of(request: Request, model: str, actor: Actor = Depends(needs("read"))) -> Response:
    """What PROVIDER/MODEL costs now, and where that price stands."""
    gateway = request.app.state.gateway
    name, _, rest = model.partition("/")
    service = await gateway.reports.service_of(actor.scope, name)
    return reply(await gateway.prices.price_of(actor.scope, name, service, rest))


@router.post("/prices", operation_id="gateway.set_prices", openapi_extra={"fields": list(SetPrices.__struct_fields__)})
async def set_prices(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """A new version of the price book; it is in force at once, for calls that begin after it."""
    body = await read_body(request, SetPrices)
    gateway = request.app.state.gateway
    made = await gateway.prices.set(actor, body.prices, replace=body.replace, expected=body.expected, note=body.note)
    return reply(made, 201)


@router.get("/costs/reprice", operation_id="gateway.reprice")
async def reprice(
    request: Request, since: str = "30d", until: str = "", book: Number = 0, actor: Actor = Depends(needs("read"))
) -> Response:
    """What old calls would have cost under a version of the price book (0: the bundled list alone). The ledger stays as it is."""
    span = asked.moment(since, 0), asked.moment(until, asked.FOREVER, "until")
    return reply(await request.app.state.gateway.reports.reprice(actor, book, *span))
