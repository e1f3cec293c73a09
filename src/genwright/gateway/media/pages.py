"""Page of batches: how far each is, what came of it, and a form that begins one from a file's text."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Error
from genwright.gateway.media.batches import ENDPOINTS, FINISHED, Batches
from genwright.gateway.media.commands import as_lines
from genwright.gateway.media.types import Batch
from genwright.web.forms import address, go, read_form

router = APIRouter(prefix="/w/{workspace}/gateway/batches", include_in_schema=False)

PAGE = 50
ITEMS = 50


@router.get("")
async def batches(request: Request, after: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Newest first."""
    return await _list(request, actor, after)


@router.post("")
async def begin(request: Request, actor: Actor = Depends(needs("call"))) -> Response:
    """From pasted or chosen lines; the form again, with what is wrong, where it does not fit."""
    form, media = await read_form(request), request.app.state.gateway.media
    try:
        lines = as_lines(form.get("lines", ""), form.get("model", "").strip())
        file = await media.files.put(actor, form.get("name", "") or "batch.jsonl", "batch", lines.encode())
        made = await media.batches.create(actor, file.id, form.get("endpoint", ENDPOINTS[0]))
    except Error as problem:
        return await _list(request, actor, "", form, problem.message)
    return go(f"/w/{actor.scope.workspace}/gateway/batches/{made.id}")


@router.get("/{batch_id}")
async def one(request: Request, batch_id: str, after: int = 0, actor: Actor = Depends(needs("read"))) -> Response:
    """One batch and its answers, a page at a time."""
    found = _batches(request)
    row = await found.get(actor.scope, batch_id)
    items = await found.items(actor.scope, batch_id, max(after, 0), ITEMS)
    here = f"/w/{actor.scope.workspace}/gateway/batches/{batch_id}"
    return request.app.state.pages.render(
        request, "gateway/batch.html", batch=await _counted(found, actor, row), items=[_shown(item) for item in items],
        next_url=address(here, {"after": items[-1].line}) if len(items) == ITEMS else "", first_url=here if after else "",
        busy=row.status not in FINISHED, may_call=actor.may("call"),
    )  # fmt: skip


@router.get("/{batch_id}/row")
async def row(request: Request, batch_id: str, actor: Actor = Depends(needs("read"))) -> Response:
    """Its row of the list; it asks again until the batch has ended."""
    found = _batches(request)
    counted = await _counted(found, actor, await found.get(actor.scope, batch_id))
    return request.app.state.pages.render(
        request, "gateway/batch_row.html", batch=counted, busy=counted["status"] not in FINISHED
    )


@router.post("/{batch_id}/cancel")
async def cancel(request: Request, batch_id: str, actor: Actor = Depends(needs("call"))) -> Response:
    """Ask no further line."""
    await _batches(request).cancel(actor, batch_id)
    return go(f"/w/{actor.scope.workspace}/gateway/batches/{batch_id}")


def _batches(request: Request) -> Batches:
    return request.app.state.gateway.media.batches


async def _list(request: Request, actor: Actor, after: str, form: dict[str, str] | None = None, error: str = "") -> Response:
    found = _batches(request)
    rows = await found.newest(actor.scope, after, PAGE + 1)
    here = f"/w/{actor.scope.workspace}/gateway/batches"
    return request.app.state.pages.render(
        request, "gateway/batches.html", status=422 if error else 200,
        items=[await _counted(found, actor, row) for row in rows[:PAGE]], finished=FINISHED,
        next_url=address(here, {"after": rows[PAGE - 1].id}) if len(rows) > PAGE else "", first_url=here if after else "",
        endpoints=ENDPOINTS, form=form or {}, error=error, may_call=actor.may("call"),
    )  # fmt: skip


async def _counted(found: Batches, actor: Actor, row: Batch) -> dict[str, Any]:
    good, failed = await found.counts(actor.scope, row.id)
    return {**msgspec.structs.asdict(row), "answered": good, "failed": failed}


def _shown(item: Any) -> dict[str, Any]:
    """A line's answer for people: the text of a chat, else the beginning of the body."""
    text = item.body.decode("utf-8", "replace")
    try:
        body = msgspec.json.decode(item.body)
        said = body["error"]["message"] if item.status >= 400 else body["choices"][0]["message"]["content"]
        text = said if isinstance(said, str) else text
    except (msgspec.DecodeError, KeyError, IndexError, TypeError):
        pass
    return {"line": item.line, "custom_id": item.custom_id, "status": item.status, "text": text}
