"""One attempt at a provider: its span, its tokens and price, its row in the ledger, however it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from genwright import clock, prices, tokens
from genwright.access.types import Actor
from genwright.errors import Blocked, Error
from genwright.gateway.cache.types import Found
from genwright.gateway.ledger import Ledger
from genwright.gateway.providers.base import Embedded
from genwright.gateway.types import Answer, Call, Collected, LedgerRow
from genwright.messages import Message
from genwright.prices import Usage
from genwright.vocab import COST, KEY, ROUTE

_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "stop": "gen_ai.request.stop_sequences",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
}


_FREE = prices.Price(0, "cache")


class Attempt:
    """Made inside the span it fills. Exactly one of `finish` and `fail` is called."""

    __slots__ = (
        "_address",
        "_admission",
        "_began_ns",
        "_call",
        "_ledger",
        "_operation",
        "_price_as",
        "_start",
        "actor",
        "first_chunk_ns",
        "model",
        "provider",
        "sent",
        "span",
    )

    def __init__(self, ledger: Ledger, actor: Actor, span: Any, endpoint: Any, model: str, operation: str, admission: Any):
        self._ledger, self.actor, self._operation, self._admission = ledger, actor, operation, admission
        self.sent = False
        """Whether a provider was asked: what follows may cost."""
        self.span, self.provider, self.model = span, endpoint.name, model
        self._price_as = endpoint.price_as
        self._address = endpoint.address
        self._began_ns = clock.now_ns()
        self._start = clock.perf_ns()
        self.first_chunk_ns = 0
        self._call: Call | None = None

    def describe(self, call: Call, stream: bool) -> None:
        """What is asked, on the span, before it is sent."""
        self._call = call
        span_set = self.span.set
        span_set("gen_ai.provider.name", self.provider)
        span_set("gen_ai.request.model", self.model)
        span_set(ROUTE, call.model)
        span_set(KEY, self.actor.id)
        if stream:
            span_set("gen_ai.request.stream", True)
        if self._address:
            span_set("server.address", self._address)
        for name, value in call.parameters.items():
            attribute = _PARAMETERS.get(name)
            if attribute is not None and value is not None:
                span_set(attribute, value)
        if call.session:
            span_set("session.id", call.session)
        if call.user:
            span_set("user.id", call.user)
        if call.tags:
            span_set("genwright.tags", call.tags)
        if call.tools:
            span_set("gen_ai.tool.definitions", call.tools)
        for name, value in call.attributes.items():
            span_set(name, value)
        self.span.input = call.messages

    async def reserve(self, call: Call, texts: list[Any] | None = None) -> Call:
        """Put the worst case aside where a budget covers the caller; the call with its output cap. `texts`: to be embedded."""
        return call

    def cached(self, found: Found) -> Answer:
        """End the attempt with an answer that was kept: nothing was sent, nothing is paid."""
        answer = found.answer
        assert answer is not None
        self._describe_answer(answer)
        self.span.set("genwright.cache", found.header)
        self.span.set("genwright.cache_similarity", found.similarity)
        answer.cost_nano_usd = 0
        self._settle("cached", Usage(), False, "", answer.model)
        return answer

    def _describe_answer(self, answer: Answer) -> None:
        answer.provider = self.provider
        answer.trace_id, answer.span_id = self.span.trace_id, self.span.span_id
        self.span.output = [answer.message, *answer.others]
        self.span.set("gen_ai.response.finish_reasons", [answer.finish_reason])

    def first_chunk(self) -> None:
        self.first_chunk_ns = clock.perf_ns() - self._start
        self.span.set("gen_ai.response.time_to_first_chunk", self.first_chunk_ns / 1e9)

    async def finish(self, answer: Answer) -> Answer:
        """Complete the answer (usage, price, ids), the span and the ledger."""
        if answer.usage is None:
            answer.usage = await self._count("".join(_texts([answer.message, *answer.others])))
            answer.estimated = True
        self._describe_answer(answer)
        answer.cost_nano_usd = self._settle("ok", answer.usage, answer.estimated, answer.response_id, answer.model)
        return answer

    async def embedded(self, embedded: Embedded, texts: list[Any]) -> Embedded:
        """The same for embeddings: vectors are not kept in the span, only how many and how long."""
        if embedded.usage is None:
            counted = await self._count("".join(text for text in texts if isinstance(text, str)))
            embedded.usage, embedded.estimated = Usage(counted.output_tokens), True
        self.span.set("gen_ai.embeddings.dimension.count", int(embedded.vectors.shape[1]))
        embedded.cost_nano_usd = self._settle("ok", embedded.usage, embedded.estimated, "", embedded.model)
        return embedded

    def served(self, usage: Usage | None, model: str, output: list[Message]) -> int | None:
        """It ended well and was no chat: images, audio, a ranking. `usage` None: nobody knows, and the row says so. Its cost."""
        self.span.output = output
        return self._settle("ok", usage or Usage(), usage is None, "", model)

    async def fail(self, error: BaseException, collected: Collected | None = None, sent: bool = True) -> None:
        """It ended early: what was received is kept, and counted where the provider did not say. `sent`: to a provider."""
        status = _status(error)
        got = collected or Collected()
        text = got.text()
        usage, estimated = got.usage, False
        if not got.finish and (text or (sent and status == "cancelled")):
            counted, estimated = await self._count(text), True
            # Some providers (Anthropic) say at the beginning what they read: only what they wrote is counted then.
            usage = counted if usage is None else msgspec.structs.replace(usage, output_tokens=counted.output_tokens)
        if text:
            self.span.output = got.messages()
        self.span.set("genwright.outcome", status)
        self._settle(status, usage or Usage(), estimated, got.response_id, got.model)

    def _settle(self, status: str, usage: Usage, estimated: bool, response_id: str, model: str) -> int | None:
        span_set = self.span.set
        if response_id:
            span_set("gen_ai.response.id", response_id)
        if model:
            span_set("gen_ai.response.model", model)
        span_set("gen_ai.usage.input_tokens", usage.input_tokens)
        span_set("gen_ai.usage.output_tokens", usage.output_tokens)
        if usage.cached_tokens:
            span_set("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens)
        if usage.cache_write_tokens:
            span_set("gen_ai.usage.cache_creation.input_tokens", usage.cache_write_tokens)
        if usage.reasoning_tokens:
            span_set("gen_ai.usage.reasoning.output_tokens", usage.reasoning_tokens)
        if estimated:
            span_set("genwright.estimated", True)
        price = _FREE if status == "cached" else prices.price(self._price_as, self.model, usage, self._began_ns)
        cost = None if price is None else price.nano_usd
        if price is not None:
            span_set(COST, cost)
            span_set("genwright.price_source", price.source)
        scope = self.actor.scope
        self._ledger.settle(
            LedgerRow(
                scope.workspace,
                scope.project,
                f"att_{self._began_ns:016x}{self.span.span_id}",
                self._began_ns,
                self.actor.id,
                self.span.trace_id,
                self.span.span_id,
                self.provider,
                self.model,
                self._operation,
                status,
                usage.input_tokens,
                usage.output_tokens,
                usage.cached_tokens,
                cost,
                estimated or (price is not None and price.estimated),
                self.first_chunk_ns,
                clock.perf_ns() - self._start,
            )
        )
        return cost

    async def _count(self, output: str) -> Usage:
        """Tokens counted by us, in a thread: the first count loads the ranks."""
        messages = self._call.messages if self._call is not None else []
        name = f"{self.provider}/{self.model}"
        try:
            return await asyncio.to_thread(
                lambda: Usage(tokens.count_messages(messages, name), tokens.count(output, name) if output else 0)
            )
        except asyncio.CancelledError:  # cancelled once more while counting: four characters a token is near enough
            return Usage(sum(len(text) for text in _texts(messages)) // 4, len(output) // 4)


def _texts(messages: list[Message]) -> list[str]:
    return [getattr(part, "content", None) or repr(part) for message in messages for part in message.parts]


def _status(error: BaseException) -> str:
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return "cancelled"
    if isinstance(error, Blocked):
        return "blocked"
    return error.code if isinstance(error, Error) else "internal"
