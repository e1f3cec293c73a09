"""What answers Gemini's paths: read, run, write. Each is a row's handler (asgi.ROUTES)."""

from __future__ import annotations

import msgspec

from genwright.errors import Missing
from genwright.gateway.counting import count_tokens as count
from genwright.gateway.exchange import Exchange, cost
from genwright.gateway.faces import gemini
from genwright.gateway.types import Call
from genwright.vocab import nearest


async def generate(exchange: Exchange) -> None:
    asked = gemini.read_request(exchange.params["model"], await exchange.body(), False)
    await exchange.answer(exchange.annotate(asked.call), False, gemini.write_answer, lambda: gemini.StreamWriter(asked))


async def stream(exchange: Exchange) -> None:
    """Server-sent events with `alt=sse`, else a JSON array."""
    asked = gemini.read_request(exchange.params["model"], await exchange.body(), True)
    writer = gemini.StreamWriter if exchange.query("alt") == "sse" else gemini.ArrayWriter
    await exchange.answer(exchange.annotate(asked.call), True, gemini.write_answer, lambda: writer(asked))


async def count_tokens(exchange: Exchange) -> None:
    """By the provider where it has such a thing, else by us."""
    asked = gemini.read_count(exchange.params["model"], await exchange.body())
    counted = await count(exchange.gateway, exchange.actor, exchange.annotate(asked.call))
    await exchange.reply(200, msgspec.json.encode({"totalTokens": counted}))


async def embed(exchange: Exchange) -> None:
    await _embed(exchange, batch=False)


async def embed_batch(exchange: Exchange) -> None:
    await _embed(exchange, batch=True)


async def _embed(exchange: Exchange, batch: bool) -> None:
    asked = gemini.read_embeddings(await exchange.body(), batch)
    call = exchange.annotate(Call(exchange.params["model"], parameters=asked.options))
    made = await exchange.gateway.embedded(exchange.actor, call, asked.texts)
    await exchange.reply(200, gemini.write_embeddings(asked, made.vectors), cost(made.cost_nano_usd))


async def models(exchange: Exchange) -> None:
    exchange.actor.need("call")
    await exchange.reply(200, gemini.write_models(await exchange.gateway.models(exchange.actor)))


async def model(exchange: Exchange) -> None:
    """One model by its name."""
    exchange.actor.need("call")
    name = exchange.params["model"]
    found = {model.id: model for model in await exchange.gateway.models(exchange.actor)}
    if name not in found:
        near = ", ".join(nearest(name, list(found))) or "see GET /v1beta/models"
        raise Missing(f"There is no model '{name[:200]}' here. Nearest: {near}.", code="model_not_found", param="model")
    await exchange.reply(200, msgspec.json.encode(gemini.shown_model(found[name])))
