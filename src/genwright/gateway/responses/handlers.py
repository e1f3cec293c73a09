"""What answers the paths of /v1/responses. Each is a row's handler (asgi.ROUTES)."""

from __future__ import annotations

from typing import Any

import msgspec

from genwright.errors import Invalid
from genwright.gateway.counting import count_tokens
from genwright.gateway.exchange import Exchange, about
from genwright.gateway.faces import responses as face
from genwright.gateway.faces.responses import AskedResponse
from genwright.gateway.faces.responses_stream import StreamWriter

_encode = msgspec.json.encode


async def create(exchange: Exchange) -> None:
    asked = face.read_request(await exchange.body(), exchange.headers)
    asked = msgspec.structs.replace(asked, call=exchange.annotate(asked.call))
    verbs = exchange.gateway.responses
    asked = await verbs.ready(exchange.actor, asked)
    if asked.background:
        await exchange.reply(200, _encode(await verbs.start(exchange.actor, asked)))
    else:
        await exchange.watched(_answer(exchange, asked))


async def _answer(exchange: Exchange, asked: AskedResponse) -> None:
    verbs = exchange.gateway.responses
    if asked.stream:
        writer = StreamWriter(asked)
        await exchange.send_stream(verbs.stream(exchange.actor, asked, writer), writer)
    else:
        answer, body = await verbs.complete(exchange.actor, asked)
        await exchange.reply(200, body, about(answer))


async def get(exchange: Exchange) -> None:
    if exchange.query("stream") == "true":
        raise Invalid("A stored response is not streamed again. Get it without stream.", param="stream", code="invalid_field")
    kept = await exchange.gateway.responses.get(exchange.actor, exchange.params["id"])
    await exchange.reply(200, _encode(kept.body))


async def cancel(exchange: Exchange) -> None:
    kept = await exchange.gateway.responses.cancel(exchange.actor, exchange.params["id"])
    await exchange.reply(200, _encode(kept.body))


async def delete(exchange: Exchange) -> None:
    id_ = exchange.params["id"]
    await exchange.gateway.responses.delete(exchange.actor, id_)
    await exchange.reply(200, _encode({"id": id_, "object": "response", "deleted": True}))


async def input_items(exchange: Exchange) -> None:
    """The items of its own turn; newest first unless `order=asc`; `limit` and `after` page through them."""
    kept = await exchange.gateway.responses.get(exchange.actor, exchange.params["id"])
    items: list[dict[str, Any]] = [_listed(item) for item in kept.input]
    if exchange.query("order") != "asc":
        items = items[::-1]
    if after := exchange.query("after"):
        places = [place for place, item in enumerate(items) if item["id"] == after]
        items = items[places[0] + 1 :] if places else []
    limit = exchange.query("limit") or "20"
    if not limit.isdigit() or not 1 <= int(limit) <= 100:
        raise Invalid("limit must be a number from 1 to 100.", param="limit", code="invalid_field")
    page = items[: int(limit)]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    await exchange.reply(200, _encode({"object": "list", "data": page, "has_more": len(items) > len(page), **ends}))


def _listed(item: dict[str, Any]) -> dict[str, Any]:
    """As lists show it: with its type, and text as a part."""
    item = {"type": "message", **item}
    if item["type"] == "message" and isinstance(item.get("content"), str):
        kind = "output_text" if item.get("role") == "assistant" else "input_text"
        item["content"] = [{"type": kind, "text": item["content"]}]
    return item


async def input_tokens(exchange: Exchange) -> None:
    """How many tokens a request would read."""
    asked = face.read_request(await exchange.body(), exchange.headers)
    counted = await count_tokens(exchange.gateway, exchange.actor, exchange.annotate(asked.call))
    await exchange.reply(200, _encode({"object": "response.input_tokens", "input_tokens": counted}))
