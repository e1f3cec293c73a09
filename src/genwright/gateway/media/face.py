"""Handlers of the paths of images, audio, rerank, files, batches and videos: OpenAI's objects, or a provider's answer, out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from genwright.errors import Missing
from genwright.gateway.faces.openai import read_json, read_metadata
from genwright.gateway.media.form import Form, read_form
from genwright.gateway.media.objects import batch_object, file_object, listed, video_object
from genwright.gateway.media.operations import OPERATIONS, PATHS, Asked
from genwright.gateway.types import Call
from genwright.gateway.wire.openai import bad

if TYPE_CHECKING:
    from genwright.gateway.exchange import Exchange
    from genwright.gateway.media.service import Media
    from genwright.gateway.media.types import Batch

MAX_PAGE = 1000


async def operation(exchange: Exchange) -> None:
    """Images, audio, rerank: the provider's answer as it came."""
    verb = PATHS[exchange.scope["path"]]
    form = OPERATIONS[verb].form and not (verb == "image_edits" and _kind(exchange).startswith("application/json"))
    asked = await _asked(exchange, form)
    result = await _media(exchange).serve(exchange.actor, verb, asked, exchange.annotate(_about(asked)))
    await exchange.reply_as(200, result.content_type, result.body, result.cost_nano_usd)


def _media(exchange: Exchange) -> Media:
    media = exchange.gateway.media
    if media is None:
        raise Missing("Files and media are not served by this process.", code="unknown_url")
    exchange.actor.need("call")
    return media


def _kind(exchange: Exchange) -> str:
    return exchange.headers.get(b"content-type", b"").decode("latin-1")


async def _asked(exchange: Exchange, form: bool) -> Asked:
    body = await exchange.body()
    return read_form(body, _kind(exchange)) if form else read_json(body)


def _about(asked: Asked) -> Call:
    """Session, user and tags, where the body says them."""
    if isinstance(asked, Form):
        return Call("", user=asked.text("user"))
    metadata = asked.get("metadata")
    session, user, tags = read_metadata(metadata if isinstance(metadata, dict) else None)
    said = asked.get("user")
    return Call("", session=session, user=user or (said if isinstance(said, str) else ""), tags=tags)


def _page(exchange: Exchange, usual: int) -> tuple[str, int]:
    """(after, limit) of the query."""
    text = exchange.query("limit") or str(usual)
    if not text.isdigit() or not 1 <= int(text) <= 10_000:
        raise bad("limit", "limit must lie between 1 and 10000.")
    return exchange.query("after")[:200], min(int(text), MAX_PAGE)


async def _json(exchange: Exchange, value: Any, cost_nano_usd: int | None = None) -> None:
    await exchange.reply_as(200, "application/json", msgspec.json.encode(value), cost_nano_usd)


# -- files


async def put_file(exchange: Exchange) -> None:
    form = read_form(await exchange.body(), _kind(exchange))
    upload = form.file("file")
    if upload is None:
        raise bad("file", "file is needed. Nothing was kept.")
    seconds = form.text("expires_after[seconds]")
    if seconds and not seconds.isdigit():
        raise bad("expires_after", "expires_after[seconds] must be a whole number. Nothing was kept.")
    row = await _media(exchange).files.put(
        exchange.actor, upload.filename, form.text("purpose"), upload.data, int(seconds) if seconds else None
    )
    await _json(exchange, file_object(row))


async def files(exchange: Exchange) -> None:
    after, limit = _page(exchange, MAX_PAGE)
    rows = await _media(exchange).files.newest(exchange.actor, exchange.query("purpose"), after, limit + 1)
    await _json(exchange, listed([file_object(row) for row in rows[:limit]], len(rows) > limit))


async def file(exchange: Exchange) -> None:
    await _json(exchange, file_object(await _media(exchange).files.get(exchange.actor, exchange.params["id"])))


async def file_content(exchange: Exchange) -> None:
    data = await _media(exchange).files.content(exchange.actor, exchange.params["id"])
    await exchange.reply_as(200, "application/octet-stream", data)


async def delete_file(exchange: Exchange) -> None:
    files, id = _media(exchange).files, exchange.params["id"]
    await files.get(exchange.actor, id)
    await _json(exchange, {"id": id, "object": "file", "deleted": await files.delete(exchange.actor, id)})


# -- batches


async def put_batch(exchange: Exchange) -> None:
    asked = read_json(await exchange.body())
    metadata = asked.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise bad("metadata", "metadata must be an object. Nothing was begun.")
    if asked.get("completion_window", "24h") != "24h":
        raise bad("completion_window", "completion_window must be 24h. Nothing was begun.")
    row = await _media(exchange).batches.create(
        exchange.actor, str(asked.get("input_file_id") or ""), str(asked.get("endpoint") or ""),
        {str(name): str(value) for name, value in metadata.items()},
    )  # fmt: skip
    await _json(exchange, batch_object(row, 0, 0))


async def _batch_json(exchange: Exchange, row: Batch) -> dict[str, Any]:
    return batch_object(row, *await _media(exchange).batches.counts(exchange.actor.scope, row.id))


async def batches(exchange: Exchange) -> None:
    after, limit = _page(exchange, 20)
    rows = await _media(exchange).batches.newest(exchange.actor.scope, after, limit + 1)
    await _json(exchange, listed([await _batch_json(exchange, row) for row in rows[:limit]], len(rows) > limit))


async def batch(exchange: Exchange) -> None:
    row = await _media(exchange).batches.get(exchange.actor.scope, exchange.params["id"])
    await _json(exchange, await _batch_json(exchange, row))


async def cancel_batch(exchange: Exchange) -> None:
    row = await _media(exchange).batches.cancel(exchange.actor, exchange.params["id"])
    await _json(exchange, await _batch_json(exchange, row))


# -- videos


async def put_video(exchange: Exchange) -> None:
    asked = await _asked(exchange, _kind(exchange).lower().startswith("multipart/"))
    video, cost = await _media(exchange).videos.create(exchange.actor, asked, exchange.annotate(_about(asked)))
    await _json(exchange, video_object(video), cost)


async def videos(exchange: Exchange) -> None:
    after, limit = _page(exchange, 20)
    rows = await _media(exchange).videos.newest(exchange.actor, after, limit + 1)
    await _json(exchange, listed([video_object(row) for row in rows[:limit]], len(rows) > limit))


async def video(exchange: Exchange) -> None:
    await _json(exchange, video_object(await _media(exchange).videos.get(exchange.actor, exchange.params["id"])))


async def video_content(exchange: Exchange) -> None:
    kind, data = await _media(exchange).videos.content(exchange.actor, exchange.params["id"], exchange.query("variant"))
    await exchange.reply_as(200, kind, data)


async def delete_video(exchange: Exchange) -> None:
    await _media(exchange).videos.delete(exchange.actor, exchange.params["id"])
    await _json(exchange, {"id": exchange.params["id"], "object": "video.deleted", "deleted": True})
