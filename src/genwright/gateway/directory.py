"""Which providers a project has, and the endpoint behind a model's name. Keeps built endpoints in memory.

Three sources: stored rows (credentials sealed and bound to their address: a changed address voids them), the operator's
environment, and what runs in this process. A stored provider goes before one of the environment with the same name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from genwright import audit, clock, prices
from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Invalid, Missing
from genwright.gateway import store
from genwright.gateway.providers import reach, table
from genwright.gateway.providers.base import Endpoint, Remote, Speech
from genwright.gateway.store import Stored
from genwright.gateway.types import Model, Provider
from genwright.vocab import IDENT, Scope, nearest

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from genwright.http import Http
    from genwright.secrets import Secrets

PURPOSE = "provider-credential"
RESERVED = ("app", "route", "local")
MAX_KEY = 4_000
"""Characters of a provider's key: it travels in a header."""
MAX_CREDENTIAL = 16_000
"""And of a cloud's credential, of which a service account's JSON is the longest."""


class Directory:
    def __init__(self, database: Database, secrets: Secrets, http: Http, timeout_s: float):
        self._database = database
        self._secrets = secrets
        self._http = http
        self._timeout_s = timeout_s
        self._environment = table.from_environment()
        self._endpoints: dict[tuple[Scope, str], Endpoint] = {}
        self.changed: Callable[[], None] = lambda: None
        """Called after a provider was added, changed or removed."""
        self._look_again_s = 0.9 if database.postgres else float("inf")
        self._loaded_s: dict[tuple[Scope, str], float] = {}

    # -- look-up

    async def endpoint(self, scope: Scope, name: str) -> Endpoint:
        """Raises Missing with the nearest names and the command that adds a provider."""
        key = (scope, name)
        known = self._endpoints.get(key)
        if known is not None and clock.monotonic() - self._loaded_s[key] < self._look_again_s:
            return known
        endpoint = await self._make(scope, name)
        if len(self._endpoints) > 10_000:
            self._forget_all()
        self._endpoints[key] = endpoint
        self._loaded_s[key] = clock.monotonic()
        return endpoint

    async def _make(self, scope: Scope, name: str) -> Endpoint:
        if name == "local":
            from genwright.gateway.providers.local.endpoint import Local

            return Local()
        stored = await self._database.read(store.get_provider, scope, name) if IDENT.match(name) else None
        # The price list takes 0.1 s to load: in a thread, before the first call is on its way.
        await asyncio.to_thread(prices.price, "openai", name, prices.Usage(), 0)
        if stored is not None:
            return self._remote(name, stored.kind, stored.base_url, self._key(scope, stored))
        if name in self._environment:
            return self._remote(name, name, *self._environment[name])
        known = [provider.name for provider in await self.providers(scope)]
        near = nearest(name, [*known, "app"]) or known
        hint = f" Add it: genwright providers add {name} --key …" if name in table.rows() else ""
        raise Missing(
            f"There is no provider '{name}' here. Nearest: {', '.join(near)}.{hint}", code="model_not_found", param="model"
        )

    def _remote(self, name: str, kind: str, base_url: str, key: str) -> Remote:
        row = table.row(kind)
        price_as = kind if row.prices is None else row.prices

        def speech(name: str, options: dict[str, Any]) -> Speech:
            dialect = table.DIALECTS.make(name, **options)
            return Speech(dialect, reach.make(row, dialect, base_url, key, self._http))

        also = {name: speech(name, {}) for name in row.also}
        return Remote(name, speech(row.dialect, row.options), self._http, timeout_s=self._timeout_s, price_as=price_as, also=also)

    def _key(self, scope: Scope, stored: Stored) -> str:
        if stored.secret is None:
            return ""
        return self._secrets.open(PURPOSE, stored.secret, _bound(scope, stored.name, stored.base_url)).decode()

    def _forget_all(self) -> None:
        self.changed()
        self._endpoints.clear()
        self._loaded_s.clear()

    # -- what a project has

    async def providers(self, scope: Scope) -> list[Provider]:
        """Stored ones, the environment's, and local, by name."""
        stored = await self._database.read(store.all_providers, scope)
        found = {name: Provider(name, name, url, "environment", bool(key)) for name, (url, key) in self._environment.items()}
        found |= {row.name: _shown(row) for row in stored}
        found["local"] = Provider("local", "local", "", "built-in", False)
        return [found[name] for name in sorted(found)]

    async def reached(self, scope: Scope) -> list[tuple[str, tuple[str, str, str]]]:
        """(name, (kind, name in the price list, address)) of every provider."""
        found = []
        for provider in await self.providers(scope):
            priced = "local" if provider.name == "local" else table.row(provider.kind).prices
            found.append((provider.name, (provider.kind, provider.kind if priced is None else priced, provider.base_url)))
        return found

    async def models(self, scope: Scope) -> list[Model]:
        """Models known by name: rows' lists, without asking any provider."""
        found = [Model("local/extractive", "local"), Model("local/minilm", "local", "embeddings")]
        for provider in await self.providers(scope):
            if provider.name != "local":
                row = table.row(provider.kind)
                found += [Model(f"{provider.name}/{name}", provider.name) for name in row.models]
                found += [Model(f"{provider.name}/{name}", provider.name, "embeddings") for name in row.embeddings]
        return found

    async def usual(self, scope: Scope, name: str, listed: list[str]) -> tuple[str, str]:
        """(chat model, embeddings model) to try a provider with: what its row names and it has, else the first it lists."""
        if name == "local":
            return "extractive", "minilm"
        provider = next(one for one in await self.providers(scope) if one.name == name)
        row = table.row(provider.kind)
        vectors = [model for model in listed if "embed" in model.lower()]
        chats = [model for model in listed if model not in vectors]
        known = [model for model in row.models if model in listed]
        known_vectors = [model for model in row.embeddings if model in listed]
        chat = next(iter([*known, *chats, *([] if listed else row.models)]), "")
        return chat, next(iter([*known_vectors, *vectors, *([] if listed else row.embeddings)]), "")

    # -- changes

    async def add(self, actor: Actor, name: str, kind: str, base_url: str, api_key: str, region: str = "") -> Provider:
        """Store a provider, or change one. Another address without a new key voids the stored key.

        `region`: of a cloud whose address holds it, where `base_url` is left out.
        """
        kind = kind or (name if name in table.rows() else "openai-compatible")
        row = table.row(kind)
        api_key = reach.normal(row, api_key.strip())
        base_url = (base_url or await self._address(actor.scope, name, row, region, api_key)).rstrip("/")
        if not IDENT.match(name) or name in RESERVED:
            raise Invalid(f"'{name}' cannot be a provider's name: letters, digits, '_' and '-', and not {', '.join(RESERVED)}. "
                          "Nothing was stored.", field="name")  # fmt: skip
        if not base_url:
            raise Invalid(
                f"This kind of provider needs a base_url, e.g. {row.example or 'http://host:8000/v1'}. Nothing was stored.",
                field="base_url",
            )
        most = MAX_CREDENTIAL if row.authority else MAX_KEY
        if len(api_key) > most or not (api_key.isascii() and api_key.isprintable()):
            raise Invalid(f"A key is at most {most:,} printable ASCII characters. Nothing was stored.", field="api_key")
        from genwright.addresses import parse_url

        parse_url(base_url)
        sealed = self._secrets.seal(PURPOSE, api_key.encode(), _bound(actor.scope, name, base_url)) if api_key else None
        new = Stored(name, kind, base_url, sealed, clock.now_ns(), actor.id)
        kept, voided = await self._database.write(_put, actor, new)
        self._forget_all()
        note = ""
        if voided:
            note = "The address changed, so the stored key was voided: a key is bound to its address. Add the new one's key."
        elif row.needs_key and kept.secret is None:
            note = "There is no key yet: calls will be refused by the provider."
        return _shown(kept, note)

    async def _address(self, scope: Scope, name: str, row: table.Row, region: str, api_key: str) -> str:
        """The row's own address; a stored provider keeps its own where the row's cannot be filled in."""
        if "{" not in row.base_url:
            return row.base_url
        stored = await self._database.read(store.get_provider, scope, name) if IDENT.match(name) else None
        if stored is not None and not region and not api_key:
            return stored.base_url
        return table.fill(row, region, api_key)

    async def remove(self, actor: Actor, name: str) -> None:
        """Raises Missing; a provider of the environment is removed by unsetting its variable."""
        if not await self._database.write(_delete, actor, name):
            if name in self._environment:
                variable = table.row(name).key_env or table.row(name).url_env
                raise Invalid(f"'{name}' comes from the environment. Nothing was removed. Unset {variable} and restart.")
            known = [provider.name for provider in await self.providers(actor.scope)]
            raise Missing(f"There is no provider '{name}'. Nearest: {', '.join(nearest(name, known) or known)}.")
        self._forget_all()


def _put(connection: Connection, actor: Actor, new: Stored) -> tuple[Stored, bool]:
    """Keep the old key only where the address stays."""
    from msgspec.structs import replace

    old = store.get_provider(connection, actor.scope, new.name)
    voided = False
    if old is not None and old.secret is not None and new.secret is None:
        if old.base_url == new.base_url:
            new = replace(new, secret=old.secret)
        else:
            voided = True
    store.put_provider(connection, actor.scope, new)
    details = {"kind": new.kind, "base_url": new.base_url, "has_key": new.secret is not None, "voided_key": voided}
    audit.write(connection, actor.scope, actor.id, "provider.add", f"provider:{new.name}", details)
    return new, voided


def _delete(connection: Connection, actor: Actor, name: str) -> bool:
    done = store.delete_provider(connection, actor.scope, name)
    if done:
        audit.write(connection, actor.scope, actor.id, "provider.remove", f"provider:{name}", {})
    return done


def _bound(scope: Scope, name: str, base_url: str) -> str:
    return f"{scope.workspace}/{scope.project}/{name}@{base_url}"


def _shown(row: Stored, note: str = "") -> Provider:
    return Provider(row.name, row.kind, row.base_url, "stored", row.secret is not None, row.created_ns, row.created_by, note)
