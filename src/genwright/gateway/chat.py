"""One chat at one provider: the prompt rendered, rails before and after, the cache, the reservation, the answer.

Runs inside an attempt's span and completes the attempt. Knows no route: who is asked was decided before (flow.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, NamedTuple

import msgspec

from genwright.access.types import Actor
from genwright.errors import UpstreamTimeout
from genwright.gateway.attempt import Attempt
from genwright.gateway.cache.types import About, Found
from genwright.gateway.directory import Directory
from genwright.gateway.money.desk import Desk
from genwright.gateway.providers.base import Endpoint
from genwright.gateway.rails import Rails, StreamRails
from genwright.gateway.types import Answer, Call, Chunk, Collected
from genwright.vocab import PROMPT


class Parts(NamedTuple):
    """What a call meets on its way."""

    directory: Directory
    tracing: Any
    guardrails: Any
    money: Desk
    cache: Any
    router: Any
    health: Any
    catalogue: Any


class Chat:
    """`parts` are the gateway's."""

    def __init__(self, parts: Parts):
        self._parts = parts
        self._tracing = parts.tracing

    async def whole(self, attempt: Attempt, endpoint: Endpoint, call: Call) -> Answer:
        """The answer in one piece."""
        call, rails, about = await self._prepare(attempt, call, stream=False)
        found = await self._find(attempt, call, about)
        if found is not None and found.answer is not None:
            return attempt.cached(found)
        call = await attempt.reserve(call)
        attempt.sent = True
        answer = await endpoint.complete(call, attempt.model)
        _note_dropped(attempt, call)
        if rails is not None:
            answer = rails.after(answer)
        answer = await attempt.finish(answer)
        if found is not None:
            self._parts.cache.keep(found, answer)
        return answer

    async def streamed(self, attempt: Attempt, endpoint: Endpoint, call: Call) -> AsyncGenerator[Chunk | Answer]:
        """Pieces as they come, then the answer. The attempt ends here, also where nobody reads on."""
        got = _Got()
        try:
            call, rails, about = await self._prepare(attempt, call, stream=True)
            found = await self._find(attempt, call, about)
            if found is not None and found.answer is not None:
                for piece in found.chunks():
                    yield piece
                answer = attempt.cached(found)
            else:
                call = await attempt.reserve(call)
                got.held = rails.stream() if rails is not None else None
                got.kept = [] if found is not None else None
                attempt.sent = True
                async with aclosing(self._pieces(attempt, endpoint, call, got)) as pieces:
                    async for piece in pieces:
                        yield piece
                answer = await attempt.finish(_whole(got.collected))
                if found is not None:
                    self._parts.cache.keep(found, answer, got.kept)
        except BaseException as error:
            if got.held is not None:
                got.held.report(error)
            await attempt.fail(error, got.collected, attempt.sent)
            raise
        yield answer

    async def _pieces(self, attempt: Attempt, endpoint: Endpoint, call: Call, got: _Got) -> AsyncGenerator[Chunk]:
        """What the provider says, as the rails let it pass."""
        async with aclosing(endpoint.stream(call, attempt.model)) as chunks:  # type: ignore[type-var]
            async for received in _begun_in_time(chunks, call.first_chunk_s):
                if not attempt.first_chunk_ns:
                    attempt.first_chunk()
                    _note_dropped(attempt, call)
                chunk = received if got.held is None else got.held.feed(received)
                if chunk is not None:
                    yield got.take(chunk)
        if got.held is not None:
            if (last := got.held.close()) is not None:
                yield got.take(last)
            got.held.report()

    async def _find(self, attempt: Attempt, call: Call, policy: str) -> Found | None:
        if call.cache == "off":
            return None
        about = About(f"{attempt.provider}/{attempt.model}", policy, attempt.span.trace_id)
        found = await self._parts.cache.find(attempt.actor, call, about)
        if found is not None and call.told is not None:
            call.told.cache = found.header
        return found

    async def _prepare(self, attempt: Attempt, call: Call, stream: bool) -> tuple[Call, Rails | None, str]:
        """Render the prompt, note on the span what is asked, run the rails that come before; with the policy's ref."""
        actor = attempt.actor
        if call.prompt is not None:
            call = self._render(actor, call)
            attempt.span.set(PROMPT, call.prompt.version.ref)  # type: ignore[union-attr]
        if call.context is not None:
            call = await self._parts.router.fit(actor, call, f"{attempt.provider}/{attempt.model}")
        attempt.describe(call, stream)
        ref, policy = await self._parts.guardrails.default(actor.scope) if call.rails else (None, None)
        if ref is None or policy is None:
            return call, None, ""
        rails = Rails(self._parts.guardrails, self._tracing, actor, ref, policy)
        allowed = rails.before(call)
        if allowed is not call:
            attempt.describe(allowed, stream)
        return allowed, rails, ref

    def _render(self, actor: Actor, call: Call) -> Call:
        from genwright.prompts.service import render

        use = call.prompt
        assert use is not None
        with self._tracing.span(actor, f"render {use.version.name}", operation="render_prompt") as span:
            span.set(PROMPT, use.version.ref)
            for name in ("genwright.step",):
                if name in call.attributes:
                    span.set(name, call.attributes[name])
            span.input = {"genwright.variables": use.variables}
            rendered = render(use.version.content, use.variables)
            span.output = rendered.messages
        return msgspec.structs.replace(
            call, messages=[*rendered.messages, *call.messages], parameters={**rendered.parameters, **call.parameters}, wire=None
        )


class _Got:
    """What a stream gave so far."""

    __slots__ = ("collected", "held", "kept")

    def __init__(self) -> None:
        self.collected = Collected()
        self.held: StreamRails | None = None
        """What the output rails hold back."""
        self.kept: list[Chunk] | None = None
        """For the cache."""

    def take(self, piece: Chunk) -> Chunk:
        self.collected.add(piece)
        if self.kept is not None:
            self.kept.append(piece)
        return piece


async def _begun_in_time(chunks: AsyncIterator[Chunk], seconds: float) -> AsyncGenerator[Chunk]:
    """The chunks, if the first comes within so many seconds (0: however long it takes). Raises UpstreamTimeout."""
    if seconds:
        try:
            async with asyncio.timeout(seconds):
                first = await anext(chunks, None)
        except TimeoutError:
            raise UpstreamTimeout(f"The first piece of the answer did not come within {seconds:g} s.", phase="first") from None
        if first is None:
            return
        yield first
    async for chunk in chunks:
        yield chunk


def _note_dropped(attempt: Attempt, call: Call) -> None:
    """Fields that were left out with the caller's leave."""
    if call.told is not None and call.told.dropped:
        attempt.span.set("genwright.dropped", call.told.dropped)


def _whole(collected: Collected) -> Answer:
    messages = collected.messages()
    return Answer(
        messages[0],
        finish_reason=collected.finish or "stop",
        usage=collected.usage,
        model=collected.model,
        response_id=collected.response_id,
        others=messages[1:],
    )
