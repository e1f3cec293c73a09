"""One attempt at a provider: its span, its tokens and price, its row in the ledger, however it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from genwright import clock, failpoints, prices, tokens
from genwright.access.types import Actor
from genwright.errors import Blocked, Error, StreamCut, Unavailable, UpstreamTimeout
from genwright.gateway.cache.types import Found
from genwright.gateway.money import worst
from genwright.gateway.money.desk import Admission, Desk
from genwright.gateway.money.posting import Item
from genwright.gateway.money.reserve import Bounds, Reservation, choose
from genwright.gateway.money.types import LedgerRow, LimitEvent
from genwright.gateway.providers.base import Embedded
from genwright.gateway.types import Answer, Call, Collected
from genwright.messages import Message
from genwright.prices import Usage
from genwright.vocab import APP, COST, KEY, ROUTE

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
_UNSURE = ("upstream_reset", "upstream_malformed", "upstream_too_large")
"""Failures after which a provider may have generated, and billed, what we did not get to see."""


class Attempt:
    """Made inside the span it fills. Exactly one of `finish` and `fail` is called."""

    __slots__ = (
        "_address",
        "_admission",
        "_began_ns",
        "_book",
        "_call",
        "_cancelled",
        "_desk",
        "_operation",
        "_price_as",
        "_reserved",
        "_start",
        "actor",
        "first_chunk_ns",
        "model",
        "provider",
        "sent",
        "span",
    )

    def __init__(self, desk: Desk, actor: Actor, span: Any, endpoint: Any, model: str, operation: str, admission: Admission):
        self._desk, self.actor, self._operation, self._admission = desk, actor, operation, admission
        self._book: prices.PriceBook | None = None
        self._reserved: Reservation | None = None
        self.sent = False
        """Whether a provider was asked: what follows may cost."""
        self.span, self.provider, self.model = span, endpoint.name, model
        self._price_as = endpoint.price_as
        self._address = endpoint.address
        self._began_ns = clock.now_ns()
        self._start = clock.perf_ns()
        self.first_chunk_ns = 0
        self._call: Call | None = None
        self._cancelled = False

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

    async def reserve(self, call: Call, texts: list[Any] | None = None, most: Usage | None = None) -> Call:
        """Put the worst case aside where a budget covers the caller; the call with its output cap.

        `texts`: to be embedded. `most`: the worst case of what is neither chat nor embedding, units included.
        Raises RateLimited (budget_exceeded, rate_limit_exceeded), Invalid (no_price), Unavailable where the ledger is away.
        """
        self._call, desk, plan = call, self._desk, self._admission.plan
        if desk.prices is not None:
            self._book = await desk.prices.book(self.actor.scope)
        if not (plan.usd or plan.tokens):
            return call
        name, now_ns = f"{self.provider}/{self.model}", desk.time.now_ns()
        reserved = choose(plan, now_ns, name, call.model)
        if reserved is None:
            return call
        if reserved.hard:
            if most is not None:
                bounds = self._bounds_of(most)
            else:
                call, output_tokens = (call, 0) if texts is not None else self._capped(call)
                bounds = Bounds(
                    worst.input_bound(call, texts),
                    output_tokens,
                    lambda: worst.input_counted(call, name, bounds.input_tokens, texts),
                    self._dearest,
                    self._as_lost,
                )
            try:
                await reserved.take(desk.book, bounds, now_ns)
            except Unavailable:
                desk.let_pass(self._admission)
                self.span.set("genwright.unmetered", True)
            if reserved.amount:
                desk.watch()
        self._reserved = reserved
        return call

    def _bounds_of(self, most: Usage) -> Bounds:
        price = self._price(most)
        cost = None if price is None else price.nano_usd
        return Bounds(
            most.input_tokens,
            most.output_tokens,
            lambda: most.input_tokens,
            lambda *_: cost,
            lambda *_: self._row("lost", most, cost or 0, True, "reserved"),
        )

    def _capped(self, call: Call) -> tuple[Call, int]:
        """The call with a cap on its output, its own or the key's, and the output tokens that allows."""
        cap = worst.output_cap(call)
        if not cap:
            cap = self.actor.terms.default_max_output_tokens or self._desk.default_cap
            call = self._call = worst.with_cap(call, cap)
            self.span.set("gen_ai.request.max_tokens", cap)
        return call, cap * worst.choices(call)

    def _dearest(self, input_tokens: int, output_tokens: int) -> int | None:
        found = prices.rates(self._price_as, self.model, self._began_ns, self._book, self.provider)
        if found is None:
            return None
        return 0 if found[1] is None else worst.dearest(found[1], input_tokens, output_tokens)

    def _price(self, usage: Usage) -> prices.Price | None:
        return prices.price(self._price_as, self.model, usage, self._began_ns, self._book, self.provider)

    def _as_lost(self, input_tokens: int, output_tokens: int, nano_usd: int) -> LedgerRow:
        return self._row("lost", Usage(input_tokens, output_tokens), nano_usd, True, "reserved")

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
        if usage is None and self._reserved is not None:
            self._reserved.unknown = True
        return self._settle("ok", usage or Usage(), usage is None, "", model)

    async def fail(self, error: BaseException, collected: Collected | None = None, sent: bool = True) -> None:
        """It ended early: what was received is kept, and counted where the provider did not say. `sent`: to a provider."""
        status = _status(error)
        got = collected or Collected()
        text = got.text()
        usage, estimated = got.usage, False
        if (not got.finish or usage is None) and (text or (sent and _unsure(error))):
            counted, estimated = await self._count(text), True
            # Some providers (Anthropic) say at the beginning what they read: only what they wrote is counted then.
            usage = counted if usage is None else msgspec.structs.replace(usage, output_tokens=counted.output_tokens)
        if text:
            self.span.output = got.messages()
        self.span.set("genwright.outcome", status)
        self._settle(status, usage, estimated, got.response_id, got.model)
        self._pass_on()

    def _settle(self, status: str, used: Usage | None, estimated: bool, response_id: str, model: str) -> int | None:
        """Tokens and cost on the span and into the ledger. `used` None: nothing was used, and nothing is paid."""
        span_set, usage = self.span.set, used or Usage()
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
        price = _FREE if status == "cached" or used is None else self._price(usage)
        cost = None if price is None else price.nano_usd
        if cost is not None and estimated and self._reserved is not None:
            cost = self._reserved.within(cost)  # what nobody knows counts as reserved
        if price is not None:
            span_set(COST, cost)
            span_set("genwright.price_source", price.source)
        estimated = estimated or (price is not None and price.estimated)
        row = self._row(status, usage, cost, estimated, "" if price is None or used is None else price.source)
        failpoints.passing("gateway.before_settle")
        reserved = self._reserved
        if reserved is None:
            self._desk.settle(self._unusual(row, Item(row)))
        else:
            self._desk.settle(self._unusual(row, reserved.settle(row)), reserved.held)
        return cost

    def _row(self, status: str, usage: Usage, nano_usd: int | None, estimated: bool, source: str) -> LedgerRow:
        actor, call, plan = self.actor, self._call or _NO_CALL, self._admission.plan
        attributes = call.attributes
        return LedgerRow(
            actor.scope.workspace,
            actor.scope.project,
            f"att_{self._began_ns:016x}{self.span.span_id}",
            self._began_ns,
            actor.id,
            self.span.trace_id,
            self.span.span_id,
            self.provider,
            self.model,
            self._operation,
            status,
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_tokens,
            nano_usd,
            estimated,
            self.first_chunk_ns,
            clock.perf_ns() - self._start,
            attributes.get("genwright.cost_kind") or ("embedding" if self._operation == "embeddings" else "inference"),
            plan.team,
            plan.member,
            attributes.get(APP, "") if attributes else "",
            call.model if call.model.startswith("route/") else "",
            call.session,
            call.user,
            source,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
            {**call.tags, **actor.terms.tags} or None,
            usage.units or None,
        )

    def _unusual(self, row: LedgerRow, item: Item) -> Item:
        """The item with an event, where the request was far larger than the key's usual ones."""
        times = self._desk.usual.far(row.key, row.input_tokens + row.output_tokens)
        if times is None:
            return item
        self.span.set("genwright.outlier", round(times, 1))
        tokens_used = row.input_tokens + row.output_tokens
        message = f"Attempt {row.id} of {row.key} used {tokens_used:,} tokens, {times:.0f} times what is usual for it."
        name, node = f"outlier:{row.id}", f"key:{row.key}"
        event = LimitEvent(row.workspace, row.project, name, row.at_ns, "outlier", "", node, 0, 0, tokens_used, 0, message)
        return item._replace(event=event)

    def _pass_on(self) -> None:
        if self._cancelled:
            raise asyncio.CancelledError

    async def _count(self, output: str) -> Usage:
        """Tokens counted by us, in a thread: the first count loads the ranks. A cancel that comes meanwhile has to wait."""
        messages = self._call.messages if self._call is not None else []
        name = f"{self.provider}/{self.model}"
        counting = asyncio.ensure_future(
            asyncio.to_thread(lambda: Usage(tokens.count_messages(messages, name), tokens.count(output, name) if output else 0))
        )
        while True:
            try:
                return await asyncio.shield(counting)
            except asyncio.CancelledError:
                self._cancelled = True


def _texts(messages: list[Message]) -> list[str]:
    return [getattr(part, "content", None) or repr(part) for message in messages for part in message.parts]


_NO_CALL = Call("")


def _unsure(error: BaseException) -> bool:
    """Whether the provider may have generated something although no answer came."""
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return True
    if not isinstance(error, Error) or error.details.get("sent") is False or error.details.get("upstream_status"):
        return False
    return isinstance(error, (UpstreamTimeout, StreamCut)) or error.code in _UNSURE


def _status(error: BaseException) -> str:
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return "cancelled"
    if isinstance(error, Blocked):
        return "blocked"
    return error.code if isinstance(error, Error) else "internal"
