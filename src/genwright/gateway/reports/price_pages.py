"""Pages of the price book: what is in force, set and take away, versions, old calls under another version."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Error, Invalid
from genwright.gateway.reports import asked
from genwright.gateway.reports.types import BookVersion
from genwright.price_book import PER
from genwright.web.forms import read_form

router = APIRouter(prefix="/w/{workspace}/gateway/prices", include_in_schema=False)

PLAIN = ("input", "output", "cached")
OTHERS = {
    "cache_write": "Written to the cache, $ per million tokens", "reasoning": "Reasoning, $ per million tokens",
    "request": "$ per thousand requests", "image": "$ per image", "audio_second": "$ per second of audio",
    "video_second": "$ per second of video", "character": "$ per million characters", "page": "$ per page",
    "search": "$ per thousand searches",
}  # fmt: skip


@router.get("")
async def book(request: Request, version: int = 0, actor: Actor = Depends(needs("read"))) -> Response:
    """The version in force, or another."""
    return await _page(request, actor, version=max(version, 0))


@router.post("")
async def set_price(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """One model's price; answers with the book, and with the form again where it does not fit."""
    form = await read_form(request)
    row = {name: form[name].strip() for name in (*PER, "from", "until") if form.get(name, "").strip()}
    model = form.get("model", "").strip()
    try:
        made = await request.app.state.gateway.prices.set(actor, {model: row}, note=form.get("note", "").strip())
    except Error as problem:
        form["more"] = "yes" if any(row.get(name) for name in OTHERS) else ""
        return await _page(request, actor, block="book", form=form, error=problem.message)
    response = await _page(request, actor, block="book")
    return request.app.state.pages.toast(response, f"Version {made.number} is in force: {model}.")


@router.post("/take-away")
async def remove(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Take a model's own price away."""
    model = (await read_form(request)).get("model", "")
    made = await request.app.state.gateway.prices.set(actor, {model: None}, note=f"without {model}")
    response = await _page(request, actor, block="book")
    return request.app.state.pages.toast(response, f"Version {made.number} is in force, without {model}.")


@router.get("/model")
async def price_of(request: Request, model: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """What one model costs; a part of the page."""
    gateway, found, error = request.app.state.gateway, None, ""
    name, _, rest = model.strip().partition("/")
    try:
        found = await gateway.prices.price_of(actor.scope, name, await gateway.reports.service_of(actor.scope, name), rest)
    except Invalid as problem:
        error = problem.message
    pairs = [(field.replace("_", " "), f"${amount}") for field, amount in found.usd.items()] if found else []
    return request.app.state.pages.render(request, "gateway/price.html", found=found, pairs=pairs, error=error)


@router.get("/reprice")
async def reprice(request: Request, book: int = 0, since: str = "30d", actor: Actor = Depends(needs("read"))) -> Response:
    """Old calls under another version, by model."""
    found = await request.app.state.gateway.reports.reprice(actor, max(book, 0), asked.moment(since, 0))
    return request.app.state.pages.render(request, "gateway/reprice.html", found=found)


async def _page(
    request: Request,
    actor: Actor,
    block: str | None = None,
    version: int = 0,
    form: dict[str, str] | None = None,
    error: str = "",
) -> Response:
    prices = request.app.state.gateway.prices
    history = await prices.history(actor)
    shown = await prices.show(actor, version)
    newest = history[0].number if history else 0
    return request.app.state.pages.render(
        request,
        "gateway/prices.html",
        block=block,
        status=422 if error else 200,
        book=shown,
        newest=newest,
        shown=shown.number != newest,
        rows=_rows(shown),
        history=history,
        versions=[(str(each.number), f"version {each.number}") for each in history[:100]],
        others=list(OTHERS.items()),
        admin=actor.may("admin"),
        form=form or {},
        error=error,
    )


def _rows(book: BookVersion) -> list[SimpleNamespace]:
    """Rows as the table shows them; a model with several has one for each time."""
    found = []
    for model, given in book.prices.items():
        for place, row in enumerate(given if isinstance(given, list) else [given]):
            other = ", ".join(
                f"{_amount(row[name])} {OTHERS[name].removeprefix('$ ').replace(', $', '')}" for name in OTHERS if name in row
            )
            time = " ".join(f"{name} {row[name]}" for name in ("from", "until") if name in row)
            note = " · ".join(part for part in (time, row.get("note", "")) if part)
            plain = {name: _amount(row.get(name)) for name in PLAIN}
            found.append(SimpleNamespace(model=model, other=other, time=note, first=place == 0, **plain))
    return found


def _amount(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"${usd}" if size == "0" else f"${usd} above {int(size):,}" for size, usd in value.items())
    return f"${value}" if value is not None else ""
