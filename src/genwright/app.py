"""The roof: builds the rooms, hands each what it needs from its right, and stands at the door of every request.

`House` is the assembly, `Door` the plain ASGI application ahead of the framework: hosts, size, key to actor, then either a hot
path (gateway, trace intake) or the management routes and pages (FastAPI). Deny by default: what is not in OPEN needs an actor.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import msgspec

from genwright import __version__, clock
from genwright.access.service import Access
from genwright.agents.service import Agents
from genwright.audit import Audit
from genwright.blobs import Blobs
from genwright.datasets.service import Datasets
from genwright.errors import Error, Forbidden, Invalid, TooLarge, Unauthenticated, Unavailable
from genwright.evals.service import Evals
from genwright.gateway.catalogue.canary import Canaries
from genwright.gateway.learned.service import Learned
from genwright.gateway.media.service import Media
from genwright.gateway.service import Gateway, operator_hosts
from genwright.guardrails.service import Guardrails
from genwright.http import Http
from genwright.jobs import Jobs
from genwright.migrate import open_databases
from genwright.prompts.service import Prompts
from genwright.registry.service import Registry
from genwright.releases.service import Releases
from genwright.retrieval.service import Retrieval
from genwright.secrets import Secrets
from genwright.settings import Settings
from genwright.tracing.service import Tracing

ASGIScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

ROOMS = (
    "access", "registry", "tracing", "prompts", "guardrails", "gateway", "retrieval", "agents", "datasets", "evals", "releases",
)  # fmt: skip
OPEN = ("/healthz", "/readyz", "/login", "/static", "/favicon.ico")
"""Paths that answer without a key: health, log-in and the style sheets. Everything else needs an actor."""
FACES = ("/v1/", "/v1beta/")
"""Paths of the models' dialects and of trace intake."""
COOKIE = "genwright_session"
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?\Z")
"""A Host header: a name or an address, perhaps a port; nothing that could become another path in a URL made from it."""


class House:
    """All rooms of one server, wired. Rooms are attributes; `start` and `stop` frame its life."""

    def __init__(self, settings: Settings):
        self.settings = settings
        home = settings.path
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.databases = open_databases(home, settings.database_url)
        registry_db, spans_db = self.databases["registry"], self.databases["spans"]
        self.secrets = Secrets(home, settings.master_key)
        self.blobs = Blobs(home / "blobs")
        self.audit = Audit(registry_db)
        reachable = [*settings.private_hosts, *operator_hosts()]  # an address in a variable is the operator's word
        self.http = Http(allow_private=reachable, first_byte_timeout_s=settings.first_byte_timeout_s)
        self.jobs = Jobs(registry_db, home)
        self.access = Access(registry_db, self.secrets, settings)
        self.registry = Registry(registry_db)
        self.tracing = Tracing(spans_db, self.registry, self.blobs, settings.max_body_bytes)
        self.prompts = Prompts(self.registry)
        self.guardrails = Guardrails(self.registry)
        self.gateway = Gateway(
            self.databases, self.http, self.registry, self.tracing, self.guardrails, self.access, self.secrets, settings
        )
        self.gateway.media = Media(self.gateway, registry_db, self.blobs, Blobs(home / "files"), self.jobs, self.access)
        self.gateway.canaries = Canaries(self.gateway, self.jobs, self.access)
        self.gateway.learned = Learned(self.gateway, self.databases, self.tracing, self.blobs, self.jobs, self.access)
        self.retrieval = Retrieval(registry_db, self.registry, self.tracing, self.gateway, self.blobs, self.jobs, settings)
        self.agents = Agents(self.registry, self.tracing, self.prompts, self.guardrails, self.gateway, self.retrieval)
        self.datasets = Datasets(self.registry, self.blobs, self.tracing)
        self.evals = Evals(
            registry_db,
            self.registry,
            self.tracing,
            self.gateway,
            self.datasets,
            self.jobs,
            agents=self.agents,
            guardrails=self.guardrails,
        )
        self.releases = Releases(self.registry, self.agents, self.evals, self.blobs, settings)
        # What a hot path needs from a room to its right: this table, and only this.
        self.gateway.targets["app"] = self.agents.run
        self.agents.resolve = self.releases.resolve
        self.gateway.router.means.measure = self.evals.measure_answer
        self.ready = False
        self.started_ns = clock.now_ns()

    async def start(self) -> None:
        """Make the first workspace if there is none, and go on with unfinished jobs."""
        await self.access.ensure_bootstrap()
        await self.jobs.resume()
        self.ready = True

    def closing(self) -> None:
        """No new traffic is wanted, and pages that are told of news hear no more; what is at work goes on to its end."""
        self.ready = False
        self.gateway.live.stop()

    async def stop(self) -> None:
        """Finish what is queued, in the order in which rooms depend on each other."""
        self.ready = False
        await self.jobs.stop()
        await self.gateway.close()
        await asyncio.to_thread(self.tracing.close)
        await self.access.close()
        await self.http.close()
        self.retrieval.close()
        for database in self.databases.values():
            await asyncio.to_thread(database.close)

    def problems(self) -> list[str]:
        """Why this server should get no traffic; empty when all is well."""
        found = [] if self.ready else ["starting or stopping"]
        found += [f"{database.name}: {database.failed}" for database in self.databases.values() if database.failed]
        return found


class Door:
    """The ASGI application. One per process."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.house: House | None = None
        self._framework: Any = None
        self._at_work = 0
        self._hosts = set(settings.allowed_hosts) | {settings.host}

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http" or self.house is None:
            return
        if self._at_work >= self.settings.max_concurrent:
            busy = Unavailable(f"{self._at_work} requests are at work, which is the limit. Nothing was done. Try again shortly.")
            await self._refuse(scope, send, busy)
            return
        self._at_work += 1
        try:
            await self._answer(self.house, scope, receive, send)
        finally:
            self._at_work -= 1

    async def open(self) -> House:
        """Build the house and its routes; used by the server's lifespan and by clients that run the app in process."""
        from genwright.web.server import build_framework

        self.house = House(self.settings)
        self._framework = build_framework(self.house, ROOMS)
        await self.house.start()
        return self.house

    async def close(self) -> None:
        if self.house is not None:
            await self.house.stop()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.open()
                except Error as error:
                    await send({"type": "lifespan.startup.failed", "message": error.message})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, house: House, scope: ASGIScope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        headers = dict(reversed(scope["headers"]))  # the first of equal headers counts
        if path.startswith(FACES):
            take_query_key(scope, headers)
        try:
            self._check(scope, headers)
            if path in ("/healthz", "/readyz"):
                await self._health(house, path, send)
                return
            if not path.startswith(OPEN):
                scope["actor"] = await self._actor(house, scope, headers)
            elif scope["method"] == "POST" and (b"origin" in headers or b"sec-fetch-site" in headers):
                same_origin(headers)  # another site logs nobody in; a program that is no browser says neither
        except Error as error:
            await self._refuse(scope, send, error, headers)
            return
        if path.startswith(FACES):
            await (house.tracing if path == "/v1/traces" else house.gateway).asgi(scope, receive, send)
        else:
            await self._framework(scope, receive, send)

    def _check(self, scope: ASGIScope, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        well_formed = HOST.match(host)
        if well_formed is None or ("*" not in self._hosts and well_formed[1] not in self._hosts):
            raise Invalid(f"The host '{host[:200]}' is not served here. Add it to GENWRIGHT_ALLOWED_HOSTS.", code="unknown_host")
        length = headers.get(b"content-length")
        limit = max(self.settings.max_body_bytes, self.settings.max_document_bytes)
        if length is not None and length.isdigit() and int(length) > limit:
            raise TooLarge(f"The body is larger than {limit:,} bytes. Nothing was read.")

    async def _actor(self, house: House, scope: ASGIScope, headers: dict[bytes, bytes]) -> Any:
        bearer = headers.get(b"authorization", b"").decode("latin-1")
        own = headers.get(b"x-api-key") or headers.get(b"x-goog-api-key") or b""  # Anthropic's clients, Google's
        key = bearer[7:].strip() if bearer[:7].lower() == "bearer " else own.decode("latin-1")
        if key:
            return await house.access.actor_for_key(key)
        cookie = read_cookie(headers.get(b"cookie", b""))
        if cookie:
            if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
                same_origin(headers)
            return await house.access.actor_for_session(cookie)
        raise Unauthenticated("This needs a key: send 'Authorization: Bearer gw_…', or log in at /login.")

    async def _health(self, house: House, path: str, send: Send) -> None:
        problems = house.problems()
        red = bool(problems) and (path == "/readyz" or any(database.failed for database in house.databases.values()))
        body = {"status": "red" if red else "ok", "version": __version__, "problems": problems}
        await respond(send, 503 if red else 200, [(b"content-type", b"application/json")], msgspec.json.encode(body))

    async def _refuse(self, scope: ASGIScope, send: Send, error: Error, headers: dict[bytes, bytes] | None = None) -> None:
        path, headers = scope["path"], headers or {}
        if path.startswith(FACES) and self.house is not None:
            status, out, body = self.house.gateway.error_response(path, headers, error)
            await respond(send, status, out, body)
        elif isinstance(error, Unauthenticated) and b"text/html" in headers.get(b"accept", b""):
            target = b"/login?next=" + quote(path, safe="/").encode()
            await respond(send, 303, [(b"location", target)], b"")
        else:
            from genwright.web.api import error_reply

            response = error_reply(error)
            await respond(send, response.status_code, response.raw_headers, bytes(response.body))


def take_query_key(scope: ASGIScope, headers: dict[bytes, bytes]) -> None:
    """Google's clients may send the key as `?key=`: it moves to the header, so that no log, span or error sees it in a URL."""
    query: bytes = scope.get("query_string", b"")
    if not query:
        return
    kept = []
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        if unquote_to_bytes(name) != b"key":
            kept.append(pair)
        elif value and b"x-goog-api-key" not in headers:
            headers[b"x-goog-api-key"] = unquote_to_bytes(value)
    scope["query_string"] = b"&".join(kept)


async def respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """One whole response."""
    if not any(name == b"content-length" for name, _ in headers):
        headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def read_cookie(header: bytes) -> str:
    """The session in a Cookie header, or nothing."""
    if COOKIE.encode() not in header:
        return ""
    try:
        found = SimpleCookie(header.decode("latin-1")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def same_origin(headers: dict[bytes, bytes]) -> None:
    """Refuse a state-changing request that a browser sends from another site (CSRF)."""
    origin = headers.get(b"origin", b"")
    site = headers.get(b"sec-fetch-site", b"")
    host = headers.get(b"host", b"")
    if origin and origin.split(b"://", 1)[-1] == host:
        return
    if not origin and site in (b"same-origin", b"none"):
        return
    raise Forbidden("This came from another site, or the browser did not say from where. Nothing was changed.", code="csrf")
