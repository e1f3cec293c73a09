"""A gateway in process with a scripted provider and limits, for the tests of money."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from genwright.access.service import Access
from genwright.access.types import Actor
from genwright.blobs import Blobs
from genwright.db import METADATA, Database
from genwright.gateway.money.limits import SetLimit
from genwright.gateway.service import Gateway
from genwright.gateway.types import Answer, Call
from genwright.guardrails.service import Guardrails
from genwright.http import Http
from genwright.messages import user
from genwright.registry.service import Registry
from genwright.secrets import Secrets
from genwright.settings import Settings
from genwright.testing.provider import ScriptedProvider
from genwright.tracing.service import Tracing
from genwright.vocab import Scope

ADMIN = Actor(Scope(), "key_admin", "admin", "key", "admin")
PRICES = {"test/*": {"input": "1000", "output": "2000"}}
"""A thousandth of a dollar a token in, two out: nano-dollars 1,000,000 and 2,000,000."""
IN, OUT = 1_000_000, 2_000_000


class Site:
    """One server's gateway. Several on the same home (PostgreSQL) are several servers."""

    def __init__(self, home: Path, database_url: str, **settings: Any):
        self.settings = Settings(home=str(home), request_timeout_s=5.0, database_url=database_url, **settings)
        self.databases = {name: Database(name, database_url or f"sqlite:///{home / name}.sqlite") for name in METADATA}
        self.secrets = Secrets(home)
        self.http = Http(allow_private=["127.0.0.1"], first_byte_timeout_s=0.5, read_timeout_s=0.5)
        self.access = Access(self.databases["registry"], self.secrets, self.settings)
        self.registry = Registry(self.databases["registry"])
        self.tracing = Tracing(self.databases["spans"], self.registry, Blobs(home / "blobs"))
        self.gateway = Gateway(
            self.databases,
            self.http,
            self.registry,
            self.tracing,
            Guardrails(self.registry),
            self.access,
            self.secrets,
            self.settings,
        )
        self.money = self.gateway.money

    async def open(self, provider: ScriptedProvider) -> Site:
        await self.access.ensure_bootstrap()
        await self.gateway.add_provider(ADMIN, "test", "openai-compatible", provider.base_url, "sk-upstream")
        await self.gateway.prices.set(ADMIN, PRICES)
        return self

    async def close(self) -> None:
        await self.gateway.close()
        await asyncio.to_thread(self.tracing.close)
        await self.http.close()
        for database in self.databases.values():
            database.close()

    async def limit(self, node: str = "project", **fields: Any) -> Any:
        return await self.gateway.limits.set(ADMIN, SetLimit(node, **fields))

    async def ask(self, text: str = "a b c", actor: Actor = ADMIN, model: str = "test/m", **parameters: Any) -> Answer:
        return await self.gateway.complete(actor, Call(model, [user(text)], parameters))

    async def burn(self, limit_id: str) -> Any:
        return next(burn for burn in await self.gateway.limits.used(ADMIN) if burn.limit.id == limit_id)

    async def rows(self) -> list[Any]:
        """Everything in the ledger."""
        await self.gateway.flush()
        return await self.databases["ledger"].read(_all_rows)

    async def holds(self) -> int:
        await self.gateway.flush()
        return await self.databases["ledger"].read(_count_holds)


def _all_rows(connection: Any) -> list[Any]:
    import sqlalchemy as sa

    from genwright.gateway.money.store import attempts
    from genwright.gateway.money.types import LedgerRow

    return [LedgerRow(*row) for row in connection.execute(sa.select(attempts).order_by(attempts.c.at_ns))]


def _count_holds(connection: Any) -> int:
    import sqlalchemy as sa

    from genwright.gateway.money.store import holds

    return connection.execute(sa.select(sa.func.count()).select_from(holds)).scalar()


@asynccontextmanager
async def servers(
    count: int, home: Path, database_url: str, provider: ScriptedProvider, **settings: Any
) -> AsyncIterator[list[Site]]:
    sites = [await Site(home, database_url, **settings).open(provider) for _ in range(count)]
    try:
        yield sites
    finally:
        for site in sites:
            await site.close()


__all__ = ["ADMIN", "IN", "OUT", "PRICES", "Site", "servers"]
