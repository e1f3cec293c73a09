"""The life of one call to a model: admission, the walk along a route, one attempt after the other, the answer.

Every attempt at a provider is a span of its own and a ledger row, however it ends; a route's attempts lie under one span. What
happens inside an attempt at a chat is chat.py's. Knows no wire format (faces/, providers/), no rule of a route (routing/) and no
limit (money/): it is the order in which they are asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NamedTuple, TypeVar

import msgspec

from genwright import clock
from genwright.access.types import Actor
from genwright.errors import Error, Missing, UpstreamTimeout
from genwright.gateway.attempt import Attempt
from genwright.gateway.chat import Chat, Parts
from genwright.gateway.providers.base import Endpoint
from genwright.gateway.routing.types import Candidate, Outcome, Walk
from genwright.gateway.types import Answer, Call, Chunk

R = TypeVar("R")
Once = Callable[[Attempt, Endpoint, Call], Awaitable[R]]
"""Sends one request to a provider and completes the attempt."""


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
        self._chat = Chat(parts)
        self._shadows: set[asyncio.Task] = set()

    # -- whole answers

    async def complete(self, actor: Actor, call: Call) -> Answer:
        """The whole answer of a chat."""
        return await self.run(actor, call, "chat", self._chat.whole)

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
                async with aclosing(self._chat.streamed(attempt, endpoint, call)) as items:
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
            task = asyncio.create_task(self._attempt(aside, self._chat.whole, shadow))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)

    async def drain(self) -> None:
        """Return when no mirrored call is under way."""
        while self._shadows:
            await asyncio.wait(self._shadows)  # gather does not let the loop turn where all have just ended

    def _begin(self, way: _Way, span: Any, endpoint: Endpoint, candidate: Candidate) -> Attempt:
        return Attempt(self._parts.money, way.actor, span, endpoint, candidate.model, way.operation, way.admission)

    def _span(self, way: _Way, call: Call, candidate: Candidate) -> Any:
        span = self._tracing.span(way.actor, f"{way.operation} {candidate.model}", operation=way.operation, parent=call.parent)
        if candidate.step:
            span.set("genwright.route_step", candidate.step)
        return span

    def _route_span(self, actor: Actor, call: Call) -> Any:
        return self._tracing.span(actor, call.model, operation="route", parent=call.parent)


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


def _over(given: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`own` laid over `given`; None takes one away."""
    return {name: value for name, value in {**given, **own}.items() if own.get(name, value) is not None}


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
