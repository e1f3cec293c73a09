"""The one client through which every room calls other servers: HTTP/1.1, pooled, guarded, cancellable.

Written on httptools because the gateway's hot path pays for it on every call and because only an own connection can be pinned
to the address that was judged (`addresses.py`). It does not know providers, retries, JSON or decompression: bytes are handed
on as they came. It sets no proxy from the environment, keeps no cookies and follows redirects only in `follow`.

One `Http` belongs to one event loop. A request is never sent twice: a pooled connection that turns out closed is replaced
only while nothing was written to it.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urljoin

from genwright.addresses import AddressGuard, Origin, parse_url
from genwright.errors import Invalid, Upstream, UpstreamTimeout
from genwright.http1 import Connection, Limits

_OWN_HEADERS = frozenset(
    (
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "proxy-connection",
        "expect",
    )
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Self-hosted servers on uvicorn or node (vLLM, Ollama gateways) close idle connections after 5 s; public ones behind TLS
# balancers after 60 s or more. Staying below either avoids writing into a connection that is being closed.
_KEEP_PLAIN_S, _KEEP_TLS_S = 4.0, 50.0
_MAX_POOLS = 512


class Response(NamedTuple):
    """`headers`: lower-case names; repeated ones are joined by ", "."""

    status: int
    headers: dict[str, str]
    body: bytes


class Streamed(NamedTuple):
    """An open answer: head at hand, `chunks` yields bytes as they arrive. Unpacks as (status, headers, chunks)."""

    status: int
    headers: dict[str, str]
    chunks: AsyncIterator[bytes]


class _Pool:
    """Connections to one origin."""

    __slots__ = ("active", "idle", "slots", "users")

    def __init__(self, max_connections: int) -> None:
        self.idle: deque[Connection] = deque()
        self.active: set[Connection] = set()
        self.slots = asyncio.Semaphore(max_connections)
        self.users = 0  # calls that hold or await a connection


class Http:
    """The outgoing client.

    `allow_private`: see `addresses.AddressGuard`. Timeouts in seconds: to connect (name look-up and TLS included; also for a
    free connection slot), to the first byte of an answer, and between two reads. `max_connections`: per origin.
    """

    def __init__(
        self,
        *,
        allow_private: bool | Iterable[str] = False,
        connect_timeout_s: float = 10.0,
        first_byte_timeout_s: float = 120.0,
        read_timeout_s: float = 60.0,
        max_connections: int = 512,
        ca_file: str | None = None,
    ) -> None:
        self._guard = AddressGuard(allow_private)
        self._connect_timeout_s = connect_timeout_s
        self._first_byte_timeout_s = first_byte_timeout_s
        self._read_timeout_s = read_timeout_s
        self._max_connections = max_connections
        self._ca_file = ca_file
        self._pools: dict[str, _Pool] = {}
        self._tls: ssl.SSLContext | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        timeout_s: float | None = None,
        max_bytes: int = 64_000_000,
    ) -> Response:
        """Send a request and read the whole answer, whatever its status. `timeout_s` bounds the whole call.

        Raises Invalid (URL, header), Forbidden (address), UpstreamTimeout, StreamCut (broke off in the body) or Upstream
        with code `upstream_unreachable`, `upstream_reset` (sent, no answer), `upstream_malformed`, `upstream_too_large`.
        `details["sent"]` of an Upstream error tells whether the request left: only where it is False is a repetition free.
        """
        async with _Exchange(self, (method, url, headers, body), timeout_s, max_bytes) as connection:
            await connection.wait_end()
            return Response(connection.status, connection.headers, connection.take())

    def stream(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        timeout_s: float | None = None,
        max_bytes: int = 256_000_000,
    ) -> _Streaming:
        """`async with http.stream(…) as (status, headers, chunks)`: an answer as it arrives; errors as in `request`.

        Leaving the block before the end closes the connection at once, so the other side sees that nobody listens.
        A slow reader slows the sender down: at most about 256 kB wait here. What came before a cut is yielded before the error.
        """
        return _Streaming(self, (method, url, headers, body), timeout_s, max_bytes)

    async def follow(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        max_redirects: int = 5,
        timeout_s: float | None = None,
        max_bytes: int = 64_000_000,
    ) -> Response:
        """GET that follows redirects; every hop is judged anew, and only the first origin sees `headers`."""
        origin, _ = parse_url(url)
        sent = headers
        for _hop in range(max_redirects + 1):
            response = await self.request("GET", url, sent, timeout_s=timeout_s, max_bytes=max_bytes)
            location = response.headers.get("location")
            if response.status not in (301, 302, 303, 307, 308) or not location:
                return response
            url = urljoin(url, location)
            target, _ = parse_url(url)
            if origin.scheme == "https" and target.scheme == "http":
                raise Upstream(
                    f"{origin} redirects to an unencrypted address; not followed", code="upstream_redirect", retry="never"
                )
            sent = headers if target == origin else None
        raise Upstream(f"{origin} redirects more than {max_redirects} times; given up", code="upstream_redirect", retry="never")

    @property
    def open_connections(self) -> int:
        """Connections open now, idle ones included."""
        return self.active_connections + sum(c.usable for pool in self._pools.values() for c in pool.idle)

    @property
    def active_connections(self) -> int:
        """Connections with a call under way."""
        return sum(len(pool.active) for pool in self._pools.values())

    async def close(self) -> None:
        """Close every connection; calls under way fail."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for pool in self._pools.values():
            for connection in [*pool.idle, *pool.active]:
                connection.abort()
            pool.idle.clear()
        self._pools.clear()
        await asyncio.sleep(0)  # lets the transports close their sockets

    # --- connections ---------------------------------------------------------------------------------------------------

    def _pool(self, origin: Origin) -> _Pool:
        pool = self._pools.get(origin.key)
        if pool is None:
            if len(self._pools) >= _MAX_POOLS:  # webhooks to many hosts must not grow this for ever
                self._pools = {key: p for key, p in self._pools.items() if p.idle or p.users}
            pool = self._pools[origin.key] = _Pool(self._max_connections)
        return pool

    async def _acquire(self, origin: Origin, pool: _Pool) -> Connection:
        if self._closed:
            raise Upstream("the HTTP client is closed; nothing was sent", code="upstream_unreachable", retry="never", sent=False)
        pool.users += 1
        try:
            await self._slot(origin, pool)
            try:
                connection = self._take_idle(pool) or await self._connect(origin)
            except BaseException:
                pool.slots.release()
                raise
        except BaseException:
            pool.users -= 1
            raise
        pool.active.add(connection)
        return connection

    async def _slot(self, origin: Origin, pool: _Pool) -> None:
        if pool.users <= self._max_connections:  # a slot is free, and nobody waits for it
            await pool.slots.acquire()
            return
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await pool.slots.acquire()
        except TimeoutError:
            raise UpstreamTimeout(
                f"all {self._max_connections} connections to {origin} stayed busy for {self._connect_timeout_s:g} s; "
                "nothing was sent",
                phase="connect",
                sent=False,
            ) from None

    def _take_idle(self, pool: _Pool) -> Connection | None:
        while pool.idle:
            connection = pool.idle.pop()  # the one used last is the least likely to have gone stale
            if connection.usable and connection.idle_until > asyncio.get_running_loop().time():
                return connection
            connection.abort()
        return None

    def _release(self, origin: Origin, pool: _Pool, connection: Connection) -> None:
        pool.active.discard(connection)
        pool.slots.release()
        pool.users -= 1
        if not connection.finish():
            return
        if self._closed:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_until = loop.time() + (_KEEP_TLS_S if origin.scheme == "https" else _KEEP_PLAIN_S)
        pool.idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_KEEP_PLAIN_S, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for pool in self._pools.values():
            while pool.idle and (pool.idle[0].idle_until <= now or not pool.idle[0].usable):
                pool.idle.popleft().abort()
        idle = any(pool.idle for pool in self._pools.values())
        self._sweeper = loop.call_later(_KEEP_PLAIN_S, self._sweep, loop) if idle else None

    async def _connect(self, origin: Origin) -> Connection:
        """Resolve once, judge every address, connect to exactly those (certificates are checked against the name)."""
        loop = asyncio.get_running_loop()
        failure: Exception | None = None
        try:
            async with asyncio.timeout(self._connect_timeout_s) as whole:
                addresses = await self._guard.resolve(origin)
                for tries_left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
                    share = (whole.when() or loop.time()) - loop.time()
                    try:
                        async with asyncio.timeout(share / tries_left):
                            _, connection = await loop.create_connection(
                                lambda: Connection(loop, str(origin)),
                                str(address),
                                origin.port,
                                ssl=self._tls_context() if origin.scheme == "https" else None,
                                server_hostname=origin.host if origin.scheme == "https" else None,
                            )
                            return connection
                    except (OSError, TimeoutError) as error:
                        failure = error
        except TimeoutError as error:
            failure = error
        if isinstance(failure, TimeoutError):
            raise UpstreamTimeout(
                f"could not connect to {origin} within {self._connect_timeout_s:g} s; nothing was sent",
                phase="connect",
                sent=False,
            ) from failure
        if isinstance(failure, ssl.SSLCertVerificationError):
            raise Upstream(
                f"the certificate of {origin} is not valid ({failure.verify_message}); nothing was sent",
                code="upstream_unreachable",
                retry="never",
                sent=False,
            ) from failure
        raise Upstream(
            f"could not connect to {origin} ({failure}); nothing was sent. Check that it is running",
            code="upstream_unreachable",
            sent=False,
        ) from failure

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self._ca_file)
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


class _Exchange:
    """One request on one connection: taken from the pool on entry, given back (or cut) on exit."""

    __slots__ = ("_body", "_connection", "_head", "_http", "_limits", "_method", "_origin", "_pool")

    def __init__(
        self, http: Http, request: tuple[str, str, Mapping[str, str] | None, bytes], timeout_s: float | None, max_bytes: int
    ) -> None:
        self._method, url, headers, self._body = request
        self._http = http
        self._origin, head = _head(self._method, url, tuple(headers.items()) if headers else ())
        length = len(self._body)
        sized = length or self._method in ("POST", "PUT", "PATCH")
        self._head = head + (b"content-length: %d\r\n\r\n" % length if sized else b"\r\n")
        self._limits = Limits(timeout_s, http._first_byte_timeout_s, http._read_timeout_s, max_bytes)

    async def __aenter__(self) -> Connection:
        http, origin, limits = self._http, self._origin, self._limits
        loop = asyncio.get_running_loop()
        started = loop.time()
        self._pool = pool = http._pool(origin)
        if pool.idle:
            self._connection = connection = await http._acquire(origin, pool)
        else:
            try:
                async with asyncio.timeout(limits.total_s):
                    self._connection = connection = await http._acquire(origin, pool)
            except TimeoutError:
                raise UpstreamTimeout(
                    f"no connection to {origin} within {limits.total_s:g} s; nothing was sent", phase="connect", sent=False
                ) from None
        connection.send(self._head, self._body, limits, started, self._method == "HEAD")
        return connection

    async def __aexit__(self, *_error: object) -> None:
        self._http._release(self._origin, self._pool, self._connection)


class _Streaming(_Exchange):
    __slots__ = ()

    async def __aenter__(self) -> Streamed:  # type: ignore[override]
        connection = await super().__aenter__()
        try:
            await connection.wait_head()
        except BaseException:
            await super().__aexit__()
            raise
        return Streamed(connection.status, connection.headers, connection)


@lru_cache(maxsize=512)  # a provider gets the same headers with every call
def _head(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Origin, bytes]:
    """Where a request goes, and its head but for the length. Raises Invalid for a header that could smuggle or split it."""
    origin, target = parse_url(url)
    if not _TOKEN.fullmatch(method):
        raise Invalid(f"{method!r} is not an HTTP method; nothing was sent")
    lines = [f"{method} {target} HTTP/1.1", f"host: {origin.authority}"]
    encoding_set = False
    for name, value in headers:
        lower = _header_name(name)
        encoding_set = encoding_set or lower == "accept-encoding"
        lines.append(f"{lower}: {value}")
    if not encoding_set:
        lines.append("accept-encoding: identity")
    lines.append("")
    head = "\r\n".join(lines)
    # Counting beats looking into each value: our own line ends are known, any other is an injection.
    if head.count("\r") != len(lines) - 1 or head.count("\n") != len(lines) - 1 or "\0" in head:
        raise Invalid("a header value holds a line break or a NUL; nothing was sent", code="invalid_header")
    try:
        return origin, head.encode("latin-1")
    except UnicodeEncodeError:
        raise Invalid("a header value holds characters outside Latin-1; nothing was sent", code="invalid_header") from None


@lru_cache(maxsize=1024)
def _header_name(name: str) -> str:
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        raise Invalid(f"{name!r} is not a header name; nothing was sent", code="invalid_header")
    if lower in _OWN_HEADERS:
        raise Invalid(f"the header {name!r} is set by the client itself; nothing was sent", code="invalid_header")
    return lower
