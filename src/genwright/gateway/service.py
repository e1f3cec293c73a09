"""The gateway's verbs: a call to a model or an app, streamed or whole; embeddings; providers; what was used.

Every attempt at a provider is a chat span and a ledger row, however it ends. Knows no wire format (faces/, providers/) and no
app: those are handed in as `targets["app"]`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from genwright import clock
from genwright.access.types import Actor
from genwright.errors import Error, Invalid, Missing
from genwright.gateway import store
from genwright.gateway.attempt import Attempt
from genwright.gateway.directory import Directory
from genwright.gateway.ledger import Ledger
from genwright.gateway.providers import table
from genwright.gateway.providers.base import Embedded
from genwright.gateway.providers.table import operator_hosts
from genwright.gateway.rails import Rails
from genwright.gateway.types import (
    Answer,
    Call,
    Chunk,
    Collected,
    LedgerRow,
    Model,
    Provider,
    ProviderKind,
    ProviderTest,
    UsageLine,
)
from genwright.prices import Usage
from genwright.vocab import PROMPT

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Answer", "Call", "Chunk", "Gateway", "operator_hosts"]

EMBEDDED_SHOWN = 8
"""Texts of an embeddings call kept in its span: an index build would store its corpus once more."""
Target = Callable[[Actor, str, Call], AsyncIterator[Chunk | Answer]]


class Gateway:
    def __init__(
        self, databases: dict, http: Any, registry: Any, tracing: Any, guardrails: Any, access: Any, secrets: Any, settings: Any
    ):
        self._registry = registry
        self._tracing = tracing
        self._guardrails = guardrails
        self._settings = settings
        self._ledger_database = databases["ledger"]
        self._ledger = Ledger(databases["ledger"])
        self._directory = Directory(databases["registry"], secrets, http, settings.request_timeout_s)
        self.targets: dict[str, Target] = {}
        """What is reached by a first name other than a provider's: app."""
        from genwright.gateway.asgi import Faces

        self._faces = Faces(self, settings)
        self.asgi: Callable[[Any, Any, Any], Awaitable[None]] = self._faces.asgi
        self.error_response = self._faces.error_response

    # -- chat

    async def complete(self, actor: Actor, call: Call) -> Answer:
        """The whole answer. Raises Missing (unknown model), Invalid, Blocked, Upstream and its kinds."""
        actor.need("call")
        first, rest = _names(call.model)
        if first in self.targets:
            return await collect(self.targets[first](actor, rest, call))
        endpoint = await self._directory.endpoint(actor.scope, first)
        with self._span(actor, call, f"chat {rest}") as span:
            attempt, sent = Attempt(self._ledger, actor, span, endpoint, rest), False
            try:
                call, rails = await self._prepare(actor, call, attempt, stream=False)
                sent = True
                answer = await endpoint.complete(call, rest)
                if rails is not None:
                    answer = rails.after(answer)
                return await attempt.finish(answer)
            except BaseException as error:
                await attempt.fail(error, sent=sent)
                raise

    async def stream(self, actor: Actor, call: Call) -> AsyncIterator[Chunk | Answer]:
        """Pieces as they come, then the Answer. Iterate it inside `aclosing`: leaving the block stops the provider at once."""
        actor.need("call")
        first, rest = _names(call.model)
        if first in self.targets:
            async with aclosing(self.targets[first](actor, rest, call)) as items:  # type: ignore[type-var]
                async for item in items:
                    yield item
            return
        endpoint = await self._directory.endpoint(actor.scope, first)
        with self._span(actor, call, f"chat {rest}") as span:
            attempt, collected = Attempt(self._ledger, actor, span, endpoint, rest), Collected()
            sent, held = False, None
            try:
                call, rails = await self._prepare(actor, call, attempt, stream=True)
                held = rails.stream() if rails is not None else None
                sent = True
                async with aclosing(endpoint.stream(call, rest)) as chunks:  # type: ignore[type-var]
                    async for received in chunks:
                        if not attempt.first_chunk_ns:
                            attempt.first_chunk()
                        chunk = received if held is None else held.feed(received)
                        if chunk is None:
                            continue
                        collected.add(chunk)
                        yield chunk
                if held is not None and (last := held.close()) is not None:
                    collected.add(last)
                    yield last
                if held is not None:
                    held.report()
                answer = await attempt.finish(_whole(collected))
            except BaseException as error:
                if held is not None:
                    held.report(error)
                await attempt.fail(error, collected, sent)
                raise
        yield answer

    def _span(self, actor: Actor, call: Call, name: str) -> Any:
        return self._tracing.span(actor, name, operation="chat", parent=call.parent)

    async def _prepare(self, actor: Actor, call: Call, attempt: Attempt, stream: bool) -> tuple[Call, Rails | None]:
        """Render the prompt, run the rails that come before, and note on the span what is asked."""
        if call.prompt is not None:
            call = self._render(actor, call)
            attempt.span.set(PROMPT, call.prompt.version.ref)  # type: ignore[union-attr]
        attempt.describe(call, stream)
        ref, policy = await self._guardrails.default(actor.scope) if call.rails else (None, None)
        if ref is None or policy is None:
            return call, None
        rails = Rails(self._guardrails, self._tracing, actor, ref, policy)
        allowed = rails.before(call)
        if allowed is not call:
            attempt.describe(allowed, stream)
        return allowed, rails

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

    # -- embeddings and models

    async def embed(
        self, actor: Actor, model: str, texts: list[Any], options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, Usage]:
        """Vectors float32 (n, d) in the order given, and the tokens read. `options`: dimensions … as OpenAI names them."""
        embedded = await self.embedded(actor, Call(model, parameters=options or {}), texts)
        return embedded.vectors, embedded.usage or Usage()

    async def embedded(self, actor: Actor, call: Call, texts: list[Any]) -> Embedded:
        """The same with price and model; `call` carries model, options (`parameters`), session, user and tags."""
        actor.need("call")
        first, rest = _names(call.model)
        if first in self.targets:
            raise Invalid(f"'{call.model}' is an app: it answers chats and makes no embeddings. Nothing was sent.", param="model")
        endpoint = await self._directory.endpoint(actor.scope, first)
        with self._tracing.span(actor, f"embeddings {rest}", operation="embeddings", parent=call.parent) as span:
            attempt = Attempt(self._ledger, actor, span, endpoint, rest, "embeddings")
            attempt.describe(call, stream=False)
            span.input = texts if len(texts) <= EMBEDDED_SHOWN else [*texts[:EMBEDDED_SHOWN], f"… {len(texts)} texts"]
            try:
                embedded = await endpoint.embed(rest, texts, call.parameters)
                return await attempt.embedded(embedded, texts)
            except BaseException as error:
                await attempt.fail(error)
                raise

    async def models(self, actor: Actor) -> list[Model]:
        """Everything that can be called by name: models of configured providers, local ones, and the project's apps."""
        found = await self._directory.models(actor.scope)
        if "app" in self.targets:
            page = await self._registry.list(actor.scope, kind="app", limit=500)
            found += [Model(f"app/{item.name}", "app", created_ns=item.created_ns) for item in page.items]
        return found

    # -- providers

    async def add_provider(self, actor: Actor, name: str, kind: str = "", base_url: str = "", api_key: str = "") -> Provider:
        """Store a provider or change one; see Directory.add."""
        actor.need("admin")
        return await self._directory.add(actor, name, kind, base_url, api_key)

    async def list_providers(self, actor: Actor) -> list[Provider]:
        return await self._directory.providers(actor.scope)

    async def remove_provider(self, actor: Actor, name: str) -> None:
        actor.need("admin")
        await self._directory.remove(actor, name)

    def kinds(self) -> list[ProviderKind]:
        """Services known by name."""
        return [ProviderKind(name, row.base_url, row.key_env, row.url_env) for name, row in table.rows().items()]

    async def test_provider(self, actor: Actor, name: str) -> ProviderTest:
        """Ask a provider for its models. Its failure is the result, not an error; an unknown name is one."""
        actor.need("write")
        endpoint = await self._directory.endpoint(actor.scope, name)
        start = clock.perf_ns()
        try:
            models, problem = await endpoint.models(), ""
        except Error as error:
            models, problem = [], error.message
        return ProviderTest(name, not problem, (clock.perf_ns() - start) / 1e6, models[:200], problem)

    # -- what was used

    async def usage(self, actor: Actor, since_ns: int = 0, until_ns: int = 0) -> list[UsageLine]:
        """Ledger sums by provider and model."""
        actor.need("read")
        await self.flush()
        return await self._ledger_database.read(store.usage, actor.scope, since_ns, until_ns or 2**63 - 1)

    async def attempts(self, actor: Actor, trace_id: str) -> list[LedgerRow]:
        """Ledger rows of one trace."""
        actor.need("read")
        await self.flush()
        return await self._ledger_database.read(store.attempts_of, actor.scope, trace_id)

    async def flush(self) -> None:
        """Return when every settled attempt is on disk."""
        await self._ledger.flush()


async def collect(items: AsyncIterator[Chunk | Answer]) -> Answer:
    """The Answer at the end of a stream."""
    answer: Answer | None = None
    async with contextlib.aclosing(items) as stream:  # type: ignore[type-var]
        async for item in stream:
            if isinstance(item, Answer):
                answer = item
    if answer is None:
        raise Error("The stream ended without an answer.")
    return answer


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


def _names(model: str) -> tuple[str, str]:
    first, slash, rest = model.partition("/")
    if not slash or not first or not rest:
        raise Missing(
            f"'{model[:200]}' is no model here: write app/NAME or PROVIDER/MODEL. GET /v1/models lists them.",
            code="model_not_found",
            param="model",
        )
    return first, rest
