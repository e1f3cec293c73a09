"""The faces on the wire: which path is answered by whom, and in whose dialect errors are written.

A face is a row of ROUTES. Formats are faces/'s, one request is exchange.py's, verbs are service's. The door (app.py) has put the
actor into `scope["actor"]`.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from genwright.errors import Error, Missing, RateLimited, Unauthenticated, Upstream
from genwright.gateway.exchange import Exchange, Gone, Headers
from genwright.gateway.media.operations import PATHS
from genwright.gateway.money.answers import HEADER
from genwright.gateway.providers.failures import Refused

if TYPE_CHECKING:
    from genwright.gateway.service import Gateway

Handler = Callable[[Exchange], Awaitable[None]]
LONGEST_WAIT_S = 60.0
"""A client that is told to wait longer is told not to try by itself."""
log = logging.getLogger("genwright.gateway")


class Route(NamedTuple):
    """`{name}` in a path is one segment, `{name:path}` any number. `handler`: module:function, called with the Exchange."""

    method: str
    path: str
    handler: str
    dialect: str = "openai"
    """Of its errors: a key of ERRORS."""


_CHAT = "genwright.gateway.faces.handlers"
_RESPONSES = "genwright.gateway.responses.handlers"
_MEDIA = "genwright.gateway.media.face"
_GEMINI = "genwright.gateway.faces.gemini_handlers"
_VERBS = {
    "generateContent": "generate",
    "streamGenerateContent": "stream",
    "countTokens": "count_tokens",
    "embedContent": "embed",
    "batchEmbedContents": "embed_batch",
}
ROUTES: tuple[Route, ...] = (
    *(
        Route("POST", f"/{version}/models/{{model:path}}:{verb}", f"{_GEMINI}:{handler}", "gemini")
        for version in ("v1beta", "v1")
        for verb, handler in _VERBS.items()
    ),
    Route("POST", "/v1/chat/completions", f"{_CHAT}:chat"),
    Route("POST", "/v1/messages", f"{_CHAT}:messages", "anthropic"),
    Route("POST", "/v1/messages/count_tokens", f"{_CHAT}:count_tokens", "anthropic"),
    Route("POST", "/v1/embeddings", f"{_CHAT}:embeddings"),
    Route("POST", "/v1/completions", f"{_CHAT}:completions"),
    Route("POST", "/v1/moderations", f"{_CHAT}:moderations"),
    Route("POST", "/v1/responses", f"{_RESPONSES}:create"),
    Route("POST", "/v1/responses/input_tokens", f"{_RESPONSES}:input_tokens"),
    Route("GET", "/v1/responses/{id}", f"{_RESPONSES}:get"),
    Route("DELETE", "/v1/responses/{id}", f"{_RESPONSES}:delete"),
    Route("POST", "/v1/responses/{id}/cancel", f"{_RESPONSES}:cancel"),
    Route("GET", "/v1/responses/{id}/input_items", f"{_RESPONSES}:input_items"),
    Route("GET", "/v1/models", f"{_CHAT}:models"),
    Route("GET", "/v1/models/{model:path}", f"{_CHAT}:model"),
    Route("GET", "/v1beta/models", f"{_GEMINI}:models", "gemini"),
    Route("GET", "/v1beta/models/{model:path}", f"{_GEMINI}:model", "gemini"),
    *(Route("POST", path, f"{_MEDIA}:operation") for path in PATHS),
    Route("POST", "/v1/files", f"{_MEDIA}:put_file"),
    Route("GET", "/v1/files", f"{_MEDIA}:files"),
    Route("GET", "/v1/files/{id}", f"{_MEDIA}:file"),
    Route("GET", "/v1/files/{id}/content", f"{_MEDIA}:file_content"),
    Route("DELETE", "/v1/files/{id}", f"{_MEDIA}:delete_file"),
    Route("POST", "/v1/batches", f"{_MEDIA}:put_batch"),
    Route("GET", "/v1/batches", f"{_MEDIA}:batches"),
    Route("GET", "/v1/batches/{id}", f"{_MEDIA}:batch"),
    Route("POST", "/v1/batches/{id}/cancel", f"{_MEDIA}:cancel_batch"),
    Route("POST", "/v1/videos", f"{_MEDIA}:put_video"),
    Route("GET", "/v1/videos", f"{_MEDIA}:videos"),
    Route("GET", "/v1/videos/{id}", f"{_MEDIA}:video"),
    Route("GET", "/v1/videos/{id}/content", f"{_MEDIA}:video_content"),
    Route("DELETE", "/v1/videos/{id}", f"{_MEDIA}:delete_video"),
)
ERRORS = {
    "openai": "genwright.gateway.faces.openai:write_error",
    "anthropic": "genwright.gateway.faces.anthropic:write_error",
    "gemini": "genwright.gateway.faces.gemini:write_error",
}
"""Dialect → writer of error bodies (Error → bytes)."""
_ALIKE = {"responses": "openai", "completions": "openai"}
"""Dialects of providers that write errors as another does."""


@cache
def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


class _Pattern(NamedTuple):
    route: Route
    expression: re.Pattern[str]


def _pattern(route: Route) -> _Pattern:
    expression = re.escape(route.path)
    expression = re.sub(r"\\{(\w+):path\\}", r"(?P<\1>.+)", expression)
    return _Pattern(route, re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", expression)))


class Faces:
    """Finds the row of a request and runs its handler; every error leaves in the caller's dialect."""

    def __init__(self, gateway: Gateway, settings: Any, routes: tuple[Route, ...] = ROUTES):
        self._gateway = gateway
        self._max_body_bytes = settings.max_body_bytes
        self._plain = {(route.method, route.path): route for route in routes if "{" not in route.path}
        self._patterns = [_pattern(route) for route in routes if "{" in route.path]
        self._routes = routes

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The row and what stands in its braces."""
        route = self._plain.get((method, path))
        if route is not None:
            return route, {}
        for pattern in self._patterns:
            if pattern.route.method == method and (match := pattern.expression.fullmatch(path)):
                return pattern.route, match.groupdict()
        return None

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """One request of a face."""
        exchange = Exchange(self._gateway, scope, receive, send, self._max_body_bytes)
        try:
            found = self.find(scope["method"], scope["path"])
            if found is None:
                raise self._unknown(scope)
            if scope.get("actor") is None:
                raise Unauthenticated("This needs a key: send 'Authorization: Bearer gw_…'.")
            route, exchange.params = found
            handler = _load(route.handler)
            if HEADER in exchange.headers and scope["method"] == "POST":
                await self._gateway.money.answers.serve(exchange, handler)
            else:
                await handler(exchange)
        except Gone:
            return
        except Error as error:
            await self._fail(exchange, error)
        except Exception:
            log.exception("request %s failed", exchange.request_id)
            await self._fail(exchange, Error(f"Something broke on our side; it is in the server's log as {exchange.request_id}."))

    def _unknown(self, scope: Any) -> Error:
        method, path = scope["method"], scope["path"]
        others = sorted({route.method for route in self._routes if self.find(route.method, path)})
        if others:
            return Missing(f"{method} is not answered at {path[:200]}: {', '.join(others)} is.", code="method_not_allowed")
        known = ", ".join(sorted({route.path for route in self._routes}))
        return Missing(f"There is nothing at {path[:200]}. There are: {known}.", code="unknown_url")

    async def _fail(self, exchange: Exchange, error: Error) -> None:
        """The error in the caller's dialect; nothing if the answer has begun."""
        if exchange.begun:
            return
        status, headers, body = self.error_response(exchange.scope["path"], exchange.headers, error)
        if isinstance(error, (Upstream, RateLimited)):
            retry = error.retry
            long = isinstance(error, RateLimited) and not isinstance(retry, str) and retry > LONGEST_WAIT_S
            headers.append((b"x-should-retry", b"false" if long or retry == "never" else b"true"))
        await exchange.reply(status, body, headers[1:])

    def error_response(self, path: str, headers: dict[bytes, bytes], error: Error) -> tuple[int, Headers, bytes]:
        """(status, headers, body) of an error in the dialect of the path, or of the caller's anthropic-version."""
        dialect = self._dialect(path, headers)
        out: Headers = [(b"content-type", b"application/json")]
        if isinstance(error.retry, (int, float)):
            out.append((b"retry-after", str(max(1, round(error.retry))).encode()))
        if isinstance(error, Refused) and _ALIKE.get(error.dialect, error.dialect) == dialect:
            return error.upstream_status, out, error.raw
        return error.status, out, _load(ERRORS[dialect])(error)

    def _dialect(self, path: str, headers: dict[bytes, bytes]) -> str:
        rows = [route for route in self._routes if route.path == path] or [
            pattern.route for pattern in self._patterns if pattern.expression.fullmatch(path)
        ]
        if rows and rows[0].dialect != "openai":
            return rows[0].dialect
        if path.startswith("/v1beta/") or b"x-goog-api-client" in headers:
            return "gemini"
        return "anthropic" if path.startswith("/v1/messages") or b"anthropic-version" in headers else "openai"
