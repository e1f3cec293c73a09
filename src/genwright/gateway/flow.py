"""The life of one call to a model: admission, cache, the walk along a route, attempts with their rails and money, the answer.

Every attempt at a provider is a span of its own and a ledger row, however it ends; a route's attempts lie under one span. Knows
no wire format (faces/, providers/), no rule of a route (routing/), no limit (money/) and no threshold (cache/): it is the order
in which they are asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NamedTuple, TypeVar

import msgspec

from genwright import clock
from genwright.access.types import Actor
from genwright.errors import Error, Missing, UpstreamTimeout
from genwright.gateway.attempt import Attempt
from genwright.gateway.cache.types import About, Found
from genwright.gateway.directory import Directory
from genwright.gateway.money.desk import Desk
from genwright.gateway.providers.base import Endpoint
from genwright.gateway.rails import Rails
from genwright.gateway.routing.types import Candidate, Outcome, Walk
from genwright.gateway.types import Answer, Call, Chunk, Collected
from genwright.vocab import PROMPT

R = TypeVar("R")
Once = Callable[[Attempt, Endpoint, Call], Awaitable[R]]
"""Sends one request to a provider and completes the attempt."""


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


class _Way(NamedTuple):
    """One call on its way along one walk. `call.parent` is the route's span where there is one."""

    actor: Actor
    call: Call
    operation: str
    admission: Any
    walk: Walk


class Flow:
    """One per gateway; `parts` are the gateway's."""

    def __init__(self, parts: Parts):
        self._parts = parts
        self._tracing = parts.tracing
        self._shadows: set[asyncio.Task] = set()

    # -- whole answers

    async def complete(self, actor: Actor, call: Call) -> Answer:
        """The whole answer of a chat."""
        return await self.run(actor, call, "chat", self._chat)

    async def run(self, actor: Actor, call: Call, operation: str, once: Once[R]) -> R:
        """`once` at one provider after the other, as the call's route says, until one answers."""
        admission = await self._parts.money.admit(actor, call, operation)
        _tell(call, admission)
        try:
            if not call.model.startswith("route/"):
                walk: Walk = _Single(*names(call.model))
                return await self._along(_Way(actor, call, operation, admission, walk), once)
            await self._parts.catalogue.load(actor.scope)
            walk = await self._parts.router.walk(actor, call.model, call)
            with self._route_span(actor, call) as span:
                try:
                    inner = msgspec.structs.replace(call, parent=None)
                    return await self._along(_Way(actor, inner, operation, admission, walk), once)
                finally:
                    _close(walk, span)
        finally:
            admission.close()

    async def _along(self, way: _Way, once: Once[R]) -> R:
        outcome: Outcome | None = None
        while (candidate := await way.walk.next(outcome)) is not None:
            self._before(way, candidate)
            if candidate.hedge is not None:
                outcome = await self._hedged(way, once, candidate)
            else:
                outcome = await self._attempt(way, once, candidate)
        return _result(way.walk).answer  # type: ignore[return-value]

    async def _attempt(self, way: _Way, once: Once[Any], candidate: Candidate) -> Outcome:
        """One request to one provider; its failure is the outcome, a cancel passes through."""
        outcome, began = Outcome(candidate), clock.monotonic()
        beat = self._parts.health.begin(way.actor.scope, candidate.provider, candidate.model)
        try:
            call = _for(way.call, candidate)
            await self._parts.catalogue.admit(way.actor.scope, candidate.provider, candidate.model)
            endpoint = await self._parts.directory.endpoint(way.actor.scope, candidate.provider)
            with self._span(way, call, candidate) as span:
                attempt = self._begin(way, span, endpoint, candidate)
                try:
                    outcome.answer = await once(attempt, endpoint, call)
                    outcome.cached = way.operation == "chat" and not attempt.sent
                except BaseException as error:
                    await attempt.fail(error, sent=attempt.sent)
                    raise
        except BaseException as error:
            outcome.error = _blamed(error, way.call)
            if not isinstance(error, Error):
                raise
        finally:
            outcome.duration_s = clock.monotonic() - began
            self._parts.health.end(beat, outcome)
        return outcome

    async def _chat(self, attempt: Attempt, endpoint: Endpoint, call: Call) -> Answer:
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

    async def _hedged(self, way: _Way, once: Once[Any], candidate: Candidate) -> Outcome:
        """The candidate, and its hedge where it gives nothing in time: the first good answer counts, the other is cancelled."""
        assert candidate.hedge is not None
        tasks = {asyncio.create_task(self._attempt(way, once, candidate))}
        waiting, outcome = set(tasks), None
        try:
            done, _ = await asyncio.wait(waiting, timeout=candidate.hedge_after_s)
            if not done and way.walk.may_hedge(candidate):
                hedge = asyncio.create_task(self._attempt(way, once, candidate.hedge))
                tasks.add(hedge)
                waiting.add(hedge)
            while waiting and (outcome is None or outcome.error is not None):
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                outcome = min((task.result() for task in done), key=lambda ended: ended.error is not None)
            assert outcome is not None
            return outcome
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- streams

    async def stream(self, actor: Actor, call: Call) -> AsyncGenerator[Chunk | Answer]:
        """Pieces as they come, then the Answer. Iterate it inside `aclosing`."""
        admission = await self._parts.money.admit(actor, call, "chat")
        _tell(call, admission)
        try:
            if not call.model.startswith("route/"):
                walk: Walk = _Single(*names(call.model))
                async with aclosing(self._along_streaming(_Way(actor, call, "chat", admission, walk))) as items:
                    async for item in items:
                        yield item
                return
            await self._parts.catalogue.load(actor.scope)
            walk = await self._parts.router.walk(actor, call.model, call)
            with self._route_span(actor, call) as span:
                try:
                    inner = msgspec.structs.replace(call, parent=None)
                    async with aclosing(self._along_streaming(_Way(actor, inner, "chat", admission, walk))) as items:
                        async for item in items:
                            yield item
                finally:
                    _close(walk, span)
        finally:
            admission.close()

    async def _along_streaming(self, way: _Way) -> AsyncGenerator[Chunk | Answer]:
        """The next candidate is asked only while nothing went out; what a step wants judged first is held back."""
        outcome: Outcome | None = None
        while (candidate := await way.walk.next(outcome)) is not None:
            self._before(way, candidate)
            outcome = Outcome(candidate)
            async with aclosing(self._attempt_streaming(way, outcome)) as chunks:
                async for chunk in chunks:
                    if candidate.hold_back:
                        outcome.chunks.append(chunk)
                    else:
                        outcome.committed = True
                        yield chunk
        result = _result(way.walk)
        for chunk in result.chunks:
            yield chunk
        assert result.answer is not None
        yield result.answer

    async def _attempt_streaming(self, way: _Way, outcome: Outcome) -> AsyncGenerator[Chunk]:
        """Chunks of one attempt; its answer or error is put into `outcome`."""
        candidate, began = outcome.candidate, clock.monotonic()
        beat = self._parts.health.begin(way.actor.scope, candidate.provider, candidate.model)
        try:
            call = _for(way.call, candidate)
            await self._parts.catalogue.admit(way.actor.scope, candidate.provider, candidate.model)
            endpoint = await self._parts.directory.endpoint(way.actor.scope, candidate.provider)
            with self._span(way, call, candidate) as span:
                attempt = self._begin(way, span, endpoint, candidate)
                async with aclosing(self._chat_streaming(attempt, endpoint, call)) as items:
                    async for item in items:
                        if isinstance(item, Answer):
                            outcome.answer = item
                        else:
                            yield item
                outcome.first_chunk_s, outcome.cached = attempt.first_chunk_ns / 1e9, not attempt.sent
        except BaseException as error:
            outcome.error = _blamed(error, way.call)
            if not isinstance(error, Error):
                raise
        finally:
            outcome.duration_s = clock.monotonic() - began
            self._parts.health.end(beat, outcome)

    async def _chat_streaming(self, attempt: Attempt, endpoint: Endpoint, call: Call) -> AsyncGenerator[Chunk | Answer]:
        collected, held = Collected(), None
        try:
            call, rails, about = await self._prepare(attempt, call, stream=True)
            found = await self._find(attempt, call, about)
            if found is not None and found.answer is not None:
                answer = attempt.cached(found)
                for piece in found.chunks():
                    yield piece
                yield answer
                return
            call = await attempt.reserve(call)
            held = rails.stream() if rails is not None else None
            kept: list[Chunk] | None = [] if found is not None else None

            def out(piece: Chunk) -> Chunk:
                collected.add(piece)
                if kept is not None:
                    kept.append(piece)
                return piece

            attempt.sent = True
            async with aclosing(endpoint.stream(call, attempt.model)) as chunks:  # type: ignore[type-var]
                async for received in _begun_in_time(chunks, call.first_chunk_s):
                    if not attempt.first_chunk_ns:
                        attempt.first_chunk()
                        _note_dropped(attempt, call)
                    chunk = received if held is None else held.feed(received)
                    if chunk is None:
                        continue
                    yield out(chunk)
            if held is not None and (last := held.close()) is not None:
                yield out(last)
            if held is not None:
                held.report()
            answer = await attempt.finish(_whole(collected))
            if found is not None:
                self._parts.cache.keep(found, answer, kept)
        except BaseException as error:
            if held is not None:
                held.report(error)
            await attempt.fail(error, collected, attempt.sent)
            raise
        yield answer

    # -- what both share

    def _before(self, way: _Way, candidate: Candidate) -> None:
        """What the caller is told of the step, and mirrored traffic: nobody waits for it, its answers are kept as spans."""
        if way.call.told is not None and candidate.step:
            way.call.told.route = candidate.step
        for shadow in candidate.shadows:
            mirrored = msgspec.structs.replace(
                way.call, told=None, deadline=0.0, attributes={**way.call.attributes, "genwright.shadow": candidate.step}
            )
            aside = _Way(way.actor, mirrored, "chat", way.admission, way.walk)
            task = asyncio.create_task(self._attempt(aside, self._chat, shadow))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)

    async def drain(self) -> None:
        """Return when no mirrored call is under way."""
        while self._shadows:
            await asyncio.gather(*self._shadows, return_exceptions=True)

    def _begin(self, way: _Way, span: Any, endpoint: Endpoint, candidate: Candidate) -> Attempt:
        return Attempt(self._parts.money, way.actor, span, endpoint, candidate.model, way.operation, way.admission)

    def _span(self, way: _Way, call: Call, candidate: Candidate) -> Any:
        span = self._tracing.span(way.actor, f"{way.operation} {candidate.model}", operation=way.operation, parent=call.parent)
        if candidate.step:
            span.set("genwright.route_step", candidate.step)
        return span

    def _route_span(self, actor: Actor, call: Call) -> Any:
        return self._tracing.span(actor, call.model, operation="route", parent=call.parent)

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


class _Single:
    """The walk of a call that names its model: one attempt, no second one (the caller's client knows better when)."""

    __slots__ = ("_candidate", "error", "result")

    def __init__(self, provider: str, model: str):
        self._candidate: Candidate | None = Candidate(provider, model, step="")
        self.result: Outcome | None = None
        self.error: BaseException | None = None

    async def next(self, outcome: Outcome | None) -> Candidate | None:
        if outcome is not None:
            self.result, self.error = (outcome, None) if outcome.error is None else (None, outcome.error)
        candidate, self._candidate = self._candidate, None
        return candidate

    def attributes(self) -> dict[str, Any]:
        return {}

    def may_hedge(self, candidate: Candidate) -> bool:
        return False

    def close(self) -> None:
        pass


def names(model: str) -> tuple[str, str]:
    """(first part, rest) of a model's name. Raises Missing for one without."""
    first, slash, rest = model.partition("/")
    if not slash or not first or not rest:
        raise Missing(
            f"'{model[:200]}' is no model here: write app/NAME, route/NAME or PROVIDER/MODEL. GET /v1/models lists them.",
            code="model_not_found",
            param="model",
        )
    return first, rest


def _for(call: Call, candidate: Candidate) -> Call:
    """The call as this candidate is asked: its parameters over the caller's, no more time than is left."""
    plain = not candidate.parameters and candidate.timeout_s is None and candidate.first_chunk_s is None
    if plain and candidate.context is None and not call.deadline:
        return call
    changes: dict[str, Any] = {"context": candidate.context or call.context, "first_chunk_s": candidate.first_chunk_s or 0.0}
    if candidate.parameters:
        changes["parameters"] = _over(call.parameters, candidate.parameters)
        changes["overrides"] = {**call.overrides, **candidate.parameters}  # for the caller's own body, too
    limits = [limit for limit in (candidate.timeout_s, call.timeout_s) if limit]
    if call.deadline:
        limits.append(call.deadline - clock.monotonic())
        if limits[-1] <= 0:
            raise UpstreamTimeout("The caller's time was up. Nothing more was sent.", code="deadline_exceeded")
    if limits:
        changes["timeout_s"] = min(limits)
    return msgspec.structs.replace(call, **changes)


def _blamed(error: BaseException, call: Call) -> BaseException:
    """A time-out because the caller's own time was up is not the provider's: an impatient caller closes nobody's way to it."""
    if isinstance(error, UpstreamTimeout) and call.deadline and clock.monotonic() >= call.deadline - 0.005:
        details: dict[str, Any] = error.details
        return UpstreamTimeout(f"The caller's time was up. {error.message}", code="deadline_exceeded", **details)
    return error


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


def _over(given: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`own` laid over `given`; None takes one away."""
    return {name: value for name, value in {**given, **own}.items() if own.get(name, value) is not None}


def _note_dropped(attempt: Attempt, call: Call) -> None:
    """Fields that were left out with the caller's leave."""
    if call.told is not None and call.told.dropped:
        attempt.span.set("genwright.dropped", call.told.dropped)


def _tell(call: Call, admission: Any) -> None:
    if call.told is not None:
        call.told.headers = admission.headers()


def _close(walk: Walk, span: Any) -> None:
    for name, value in walk.attributes().items():
        span.set(name, value)
    walk.close()


def _result(walk: Walk) -> Outcome:
    """What the walk ended with. Raises its error where it led to no answer."""
    if walk.result is None:
        raise walk.error or Missing("The route leads to no model for this call. Nothing was sent.", code="no_candidate")
    return walk.result


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
