"""What answers the paths of chats, embeddings and models: read, run, write. Each is a row's handler (asgi.ROUTES)."""

from __future__ import annotations

import msgspec

from genwright.errors import Missing
from genwright.gateway.counting import count_tokens as count
from genwright.gateway.exchange import Exchange, cost
from genwright.gateway.faces import anthropic, gemini_handlers, openai
from genwright.gateway.faces import completions as legacy
from genwright.gateway.faces import embeddings as vectors
from genwright.gateway.types import Call, Model
from genwright.prices import Usage
from genwright.vocab import nearest


async def chat(exchange: Exchange) -> None:
    asked = openai.read_request(await exchange.body())
    call = exchange.annotate(asked.call)
    await exchange.answer(call, asked.stream, openai.write_answer, lambda: openai.StreamWriter(asked))


async def messages(exchange: Exchange) -> None:
    asked = anthropic.read_request(await exchange.body(), exchange.headers)
    call = exchange.annotate(asked.call)
    await exchange.answer(call, asked.stream, anthropic.write_answer, lambda: anthropic.StreamWriter(asked))


async def count_tokens(exchange: Exchange) -> None:
    """Anthropic's count: by the provider where it has such a thing, else by us."""
    asked = anthropic.read_request(await exchange.body(), exchange.headers, count=True)
    counted = await count(exchange.gateway, exchange.actor, exchange.annotate(asked.call))
    await exchange.reply(200, msgspec.json.encode({"input_tokens": counted}))


async def embeddings(exchange: Exchange) -> None:
    asked = vectors.read_request(await exchange.body())
    call = exchange.annotate(Call(asked.model, parameters=asked.options, user=asked.user))
    made = await exchange.gateway.embedded(exchange.actor, call, asked.texts)
    plain = made.raw and not asked.as_base64
    body = (
        made.raw
        if plain
        else vectors.write_answer(made.model or asked.model, made.vectors, made.usage or Usage(), asked.as_base64)
    )
    await exchange.reply(200, body, cost(made.cost_nano_usd))


async def completions(exchange: Exchange) -> None:
    asked = legacy.read_request(await exchange.body())
    call = exchange.annotate(asked.call)
    await exchange.answer(call, asked.stream, legacy.write_answer, lambda: legacy.StreamWriter(asked))


async def moderations(exchange: Exchange) -> None:
    """By the provider named in `model`, or by our list of words (local/moderation)."""
    asked = {"model": "local/moderation", **openai.read_json(await exchange.body())}
    if exchange.gateway.media is None:
        raise Missing("Moderations are not served by this process.", code="unknown_url")
    result = await exchange.gateway.media.serve(exchange.actor, "moderations", asked, exchange.annotate(Call("")))
    await exchange.reply_as(200, result.content_type, result.body, result.cost_nano_usd)


async def models(exchange: Exchange) -> None:
    if _is_google(exchange):
        return await gemini_handlers.models(exchange)
    exchange.actor.need("call")
    found = await exchange.gateway.models(exchange.actor)
    if _is_anthropic(exchange):
        await exchange.reply(200, anthropic.write_models(found))
    else:
        await exchange.reply(200, msgspec.json.encode({"object": "list", "data": [_shown(model) for model in found]}))


async def model(exchange: Exchange) -> None:
    """One model by its name, whose slashes may be escaped."""
    if _is_google(exchange):
        return await gemini_handlers.model(exchange)
    exchange.actor.need("call")
    name = exchange.params["model"]
    found = {model.id: model for model in await exchange.gateway.models(exchange.actor)}
    if name not in found:
        near = ", ".join(nearest(name, list(found))) or "see GET /v1/models"
        raise Missing(f"There is no model '{name[:200]}' here. Nearest: {near}.", code="model_not_found", param="model")
    if _is_anthropic(exchange):
        await exchange.reply(200, msgspec.json.encode(anthropic.shown_model(found[name])))
    else:
        await exchange.reply(200, msgspec.json.encode(_shown(found[name])))


def _is_google(exchange: Exchange) -> bool:
    """Google's newer clients ask the same path as OpenAI's, and say who they are."""
    return b"x-goog-api-client" in exchange.headers


def _is_anthropic(exchange: Exchange) -> bool:
    return b"anthropic-version" in exchange.headers


def _shown(model: Model) -> dict[str, object]:
    return {"id": model.id, "object": "model", "created": model.created_ns // 1_000_000_000, "owned_by": model.provider}
