"""The gateway's verbs: a call to a model or an app, streamed or whole; embeddings; providers; what was used.

What happens to one call on its way is flow.py's. Knows no wire format (faces/, providers/) and no app: those are handed in as
`targets["app"]`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from genwright import clock
from genwright.access.types import Actor
from genwright.errors import Error, Invalid
from genwright.gateway.attempt import Attempt
from genwright.gateway.cache.service import Cache
from genwright.gateway.catalogue.service import Catalogue
from genwright.gateway.directory import Directory
from genwright.gateway.flow import Flow, Parts, names
from genwright.gateway.money import charge, store
from genwright.gateway.money.charge import Cost
from genwright.gateway.money.desk import Desk
from genwright.gateway.money.limits import Limits
from genwright.gateway.money.types import LedgerRow, UsageLine
from genwright.gateway.providers import table
from genwright.gateway.providers.base import Embedded, Endpoint
from genwright.gateway.providers.table import operator_hosts
from genwright.gateway.reports.books import PriceBooks
from genwright.gateway.reports.live import Live
from genwright.gateway.reports.names import Names
from genwright.gateway.reports.service import Reports
from genwright.gateway.responses.service import Responses
from genwright.gateway.routing.health import Health
from genwright.gateway.routing.router import Router
from genwright.gateway.types import Answer, Call, Check, Chunk, Model, Provider, ProviderKind, ProviderTest
from genwright.prices import Usage

if TYPE_CHECKING:
    import numpy as np

    from genwright.gateway.catalogue.canary import Canaries
    from genwright.gateway.learned.service import Learned
    from genwright.gateway.media.service import Media

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
        self._directory = Directory(databases["registry"], secrets, http, settings.request_timeout_s)
        self.prices = PriceBooks(registry, databases["registry"].postgres)
        self.live = Live()
        self.money = Desk(databases, settings, self.prices, self.live.tell)
        self.limits = Limits(databases, access, self.money)
        self.reports = Reports(databases["ledger"], self.money.flush, self.prices, self._directory, Names(access))
        self.cache = Cache(databases, settings)
        self.health = Health()
        self.router = Router(databases["registry"], registry, self.health)
        self.router.means.ask = self.complete
        self.catalogue = Catalogue(databases["registry"], self._directory, self.prices.book)
        self._directory.changed = self.catalogue.forget
        self.router.means.catalogue, self.router.means.prepare = self.catalogue.fields, self.catalogue.load
        self.cache.judge.ask = self.complete
        self.flow = Flow(
            Parts(self._directory, tracing, guardrails, self.money, self.cache, self.router, self.health, self.catalogue)
        )
        self.responses = Responses(databases["registry"], self, settings)
        self.media: Media | None = None
        """Images, audio, rerank, files, batches, videos: set where there are blobs and jobs."""
        self.canaries: Canaries | None = None
        """Whether models are still what they were: likewise."""
        self.learned: Learned | None = None
        """Fitting and points of learned routes: likewise."""
        self.targets: dict[str, Target] = {}
        """What is reached by a first name other than a provider's: app."""
        from genwright.gateway.asgi import Faces

        self._faces = Faces(self, settings)
        self.asgi: Callable[[Any, Any, Any], Awaitable[None]] = self._faces.asgi
        self.error_response = self._faces.error_response

    # -- chat

    async def complete(self, actor: Actor, call: Call) -> Answer:
        """The whole answer. Raises Missing (unknown model), Invalid, Blocked, RateLimited, Upstream and its kinds."""
        actor.need("call")
        call, target = await self.resolve(actor, call)
        if target is not None:
            return await collect(target(actor, call.model.partition("/")[2], call))
        return await self.flow.complete(actor, call)

    async def stream(self, actor: Actor, call: Call) -> AsyncIterator[Chunk | Answer]:
        """Pieces as they come, then the Answer. Iterate it inside `aclosing`: leaving the block stops the provider at once."""
        actor.need("call")
        call, target = await self.resolve(actor, call)
        items = self.flow.stream(actor, call) if target is None else target(actor, call.model.partition("/")[2], call)
        async with aclosing(items) as pieces:  # type: ignore[type-var]
            async for item in pieces:
                yield item

    async def resolve(self, actor: Actor, call: Call) -> tuple[Call, Target | None]:
        """The call with an alias's target in place of a bare name, and what answers names of its kind, if not a model."""
        if "/" not in call.model:
            target = await self.router.alias(actor.scope, call.model)
            if target is not None:
                call = msgspec.structs.replace(call, model=target)
        found = self.targets.get(names(call.model)[0])
        if found is not None and call.told is not None:  # what a key may not name it may not reach as an app either
            self.money.permit(actor, call.model, "chat")
        return call, found

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
        call, target = await self.resolve(actor, call)
        if target is not None:
            raise Invalid(f"'{call.model}' is an app: it answers chats and makes no embeddings. Nothing was sent.", param="model")

        async def once(attempt: Attempt, endpoint: Endpoint, call: Call) -> Embedded:
            attempt.describe(call, stream=False)
            attempt.span.input = texts if len(texts) <= EMBEDDED_SHOWN else [*texts[:EMBEDDED_SHOWN], f"… {len(texts)} texts"]
            call = await attempt.reserve(call, texts)
            attempt.sent = True
            return await attempt.embedded(await endpoint.embed(attempt.model, texts, call.parameters), texts)

        return await self.flow.run(actor, call, "embeddings", once)

    async def models(self, actor: Actor) -> list[Model]:
        """Everything that can be called by name: models of configured providers, local ones, and the project's apps."""
        found = await self._directory.models(actor.scope)
        if "app" in self.targets:
            page = await self._registry.list(actor.scope, kind="app", limit=500)
            found += [Model(f"app/{item.name}", "app", created_ns=item.created_ns) for item in page.items]
        return found + await self.router.models(actor.scope)

    # -- providers

    async def add_provider(
        self, actor: Actor, name: str, kind: str = "", base_url: str = "", api_key: str = "", region: str = ""
    ) -> Provider:
        """Store a provider or change one; see Directory.add."""
        actor.need("admin")
        added = await self._directory.add(actor, name, kind, base_url, api_key, region)
        self.health.reset(actor.scope, name)
        return added

    async def list_providers(self, actor: Actor) -> list[Provider]:
        return await self._directory.providers(actor.scope)

    async def remove_provider(self, actor: Actor, name: str) -> None:
        actor.need("admin")
        await self._directory.remove(actor, name)

    def kinds(self) -> list[ProviderKind]:
        """Services known by name."""
        return [ProviderKind(name, row.base_url, row.key_env, row.url_env) for name, row in table.rows().items()]

    async def test_provider(
        self, actor: Actor, name: str, quick: bool = True, model: str = "", embeddings: str = ""
    ) -> ProviderTest:
        """What works: its list of models and, unless `quick`, a tiny call of each kind. Failures are the result, not errors.

        `model`, `embeddings`: what to call; else the first that the service is known for or lists.
        """
        actor.need("write")
        endpoint = await self._directory.endpoint(actor.scope, name)
        start = clock.perf_ns()
        try:
            models, problem = await endpoint.models(), ""
        except Error as error:
            models, problem = [], error.message
        ms = (clock.perf_ns() - start) / 1e6
        said = f"{len(models)} models" if not problem else ""
        checks = [Check("models", "failed" if problem else "works", ms, "", said, problem)]
        if not quick:
            from genwright.gateway.providers import probe

            chat, vectors = await self._directory.usual(actor.scope, name, models)
            checks += await probe.probe(self, actor, name, model or chat, embeddings or vectors)
        ok = all(check.outcome != "failed" for check in checks)
        return ProviderTest(name, ok, ms, models[:200], problem, checks)

    async def endpoint(self, actor: Actor, provider: str) -> Endpoint:
        """The provider itself, for what is no call: asking after a video, fetching it."""
        return await self._directory.endpoint(actor.scope, provider)

    # -- what was used

    async def refund(self, actor: Actor, trace_id: str, operation: str) -> None:
        """Book back what this operation of a trace cost: its provider made nothing. Rows are added, never changed."""
        await self.flush()
        for row in await self._ledger_database.read(store.attempts_of, actor.scope, trace_id):
            if row.operation == operation and row.status == "ok" and row.nano_usd:
                await charge.refund(self.money, actor, row)

    async def charge(self, actor: Actor, cost: Cost) -> LedgerRow:
        """Book a cost of another kind than a model's call: training, GPU time, storage, labelling. It counts in budgets."""
        actor.need("write")
        return await charge.charge(self.money, actor, cost)

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
        """Return when every mirrored call has ended and every settled attempt is on disk."""
        await self.flow.drain()
        await self.cache.flush()
        await self.money.flush()

    async def close(self) -> None:
        """The same, and give back what this server leased of limits."""
        await self.responses.close()
        await self.cache.close()
        await self.flow.drain()
        if self.learned is not None:
            await self.learned.readings.flush()
        await self.money.close()


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
