"""Page of live traffic: calls as they end at this server, by server-sent events; of very many, few are sent, the rest counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import StreamingResponse

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Unavailable
from genwright.gateway.reports.live import Live
from genwright.web.forms import address

router = APIRouter(prefix="/w/{workspace}/gateway/live", include_in_schema=False)

FILTERS = ("model", "key", "app", "route", "user", "status")
EVERY_S = 0.3
"""Calls that end within this time go out together …"""
AT_ONCE = 40
"""… but no more than these, the newest; the rest is only counted."""
SILENCE_S = 15.0
MAX_ONLOOKERS = 200


class Shown(msgspec.Struct):
    """A call as the page shows it."""

    at_ns: int
    key: str
    what: str
    """App or route, where one was called."""
    model: str
    status: str
    tokens: str
    nano_usd: int | None
    ms: float
    trace: str


@router.get("")
async def page(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """The last calls, and the address that new ones come from."""
    gateway = request.app.state.gateway
    fields = _fields(request)
    names = await gateway.reports.names(actor)
    rows = [show(row, names) for row in gateway.live.last(actor.scope) if fits(row, fields, names)]
    return request.app.state.pages.render(
        request,
        "gateway/live.html",
        rows=rows[:100],
        fields=fields,
        filtered=any(fields.values()),
        events=address(request.url.path + "/events", fields),
    )


@router.get("/events")
async def events(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Server-sent events {rows, seen, unlisted}: calls that end from now on, how many, and how many of them are left out."""
    gateway = request.app.state.gateway
    if len(gateway.live) >= MAX_ONLOOKERS:
        raise Unavailable(f"{MAX_ONLOOKERS} pages look on already. Close one, or ask for costs instead.")
    names = await gateway.reports.names(actor)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"}
    return StreamingResponse(
        _events(gateway.live, actor, _fields(request), names), media_type="text/event-stream", headers=headers
    )


async def _events(live: Live, actor: Actor, fields: dict[str, str], names: dict[str, str]) -> AsyncIterator[bytes]:
    encode = msgspec.json.Encoder().encode
    with live.watching(actor.scope) as onlooker:
        yield b"retry: 2000\n\n"
        while not live.stopping:
            try:
                await asyncio.wait_for(onlooker.wake.wait(), SILENCE_S)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            rows, seen = onlooker.take()
            found = [show(row, names) for row in reversed(rows) if fits(row, fields, names)]
            unlisted = seen - len(rows) + max(0, len(found) - AT_ONCE)
            yield b"data: " + encode({"rows": found[:AT_ONCE], "seen": seen, "unlisted": unlisted}) + b"\n\n"
            await asyncio.sleep(EVERY_S)


def _fields(request: Request) -> dict[str, str]:
    return {name: request.query_params.get(name, "").strip()[:200] for name in FILTERS}


def fits(row: Any, fields: dict[str, str], names: dict[str, str]) -> bool:
    """Whether a row is one of those asked for; `*` stands for any letters, `failed` for every state that is not fine."""
    for name, wanted in fields.items():
        if not wanted:
            continue
        if name == "status":
            fine = row.status in ("ok", "cached")
            if not (row.status == wanted or (wanted == "failed" and not fine)):
                return False
            continue
        value = f"{row.provider}/{row.model}" if name == "model" else getattr(row, name)
        own = {value, row.model if name == "model" else names.get(value, value)}
        if not any(fnmatchcase(each.lower(), wanted.lower()) for each in own):
            return False
    return True


def show(row: Any, names: dict[str, str]) -> Shown:
    """A ledger row as the page shows it."""
    what = (
        f"app/{row.app}"
        if row.app
        else row.route
        if row.route.startswith("route/")
        else f"route/{row.route}"
        if row.route
        else ""
    )
    return Shown(
        row.at_ns, names.get(row.key) or row.key, what, f"{row.provider}/{row.model}", row.status,
        f"{row.input_tokens:,} → {row.output_tokens:,}", row.nano_usd, row.duration_ns / 1e6, row.trace,
    )  # fmt: skip
