"""Pages that belong to no room: log-in, static files, the way in, metrics for Prometheus; what the frame shows of the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Mount

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Error, Invalid, Unauthenticated
from genwright.web.api import read_bytes
from genwright.web.render import Pages

COOKIE = "genwright_session"
NAVIGATION = [
    ("", "Overview", "/w/{workspace}", "layout-dashboard"),
    ("Use", "Chat", "/w/{workspace}/chat", "message-circle"),
    ("Build", "Documents", "/w/{workspace}/documents", "library"),
    ("Build", "Prompts", "/w/{workspace}/prompts", "pencil"),
    ("Build", "Guardrails", "/w/{workspace}/guardrails", "shield"),
    ("Build", "Datasets", "/w/{workspace}/datasets", "database"),
    ("Build", "Releases", "/w/{workspace}/releases", "rocket"),
    ("Watch", "Traces", "/w/{workspace}/tracing", "activity"),
    ("Watch", "Evaluations", "/w/{workspace}/evals", "chart-line"),
    ("Run", "Models", "/w/{workspace}/gateway", "cpu"),
    ("Run", "Keys", "/w/{workspace}/access", "key"),
    ("Run", "Jobs", "/w/{workspace}/jobs", "clock"),
    ("Build", "Registry", "/w/{workspace}/registry", "boxes"),
]
"""Group, title, address, icon of the left column. Keys go by this order, so that what is used less stands last."""

router = APIRouter(include_in_schema=False)


def identity(request: Request) -> Mapping[str, Any]:
    """What the frame shows of the caller."""
    actor = request.scope.get("actor")
    if actor is None:
        return {}
    here = {"workspaces": [actor.scope.workspace], "project": actor.scope.project, "projects": actor.projects}
    return {"user": actor.name, **here}


PAGES = Pages(NAVIGATION, identity)
router.routes.append(Mount("/static", app=PAGES.static, name="static"))


def error_page(request: Request, error: Error) -> Response:
    """An error as a person in a browser sees it."""
    if isinstance(error, Unauthenticated):
        return RedirectResponse(f"/login?next={quote(request.url.path)}", 303)
    return PAGES.error(request, error.status, message=error.message, code=error.code)


@router.get("/favicon.ico")
async def favicon() -> Response:
    return RedirectResponse(PAGES.static.url("logo.svg"), 301)


@router.get("/login")
async def login_page(request: Request, token: str = "", next: str = "/") -> Response:
    """The sign-in page; with a one-time token the page with the button that uses it (mail scanners look at links, too)."""
    if not token:
        return PAGES.login(request, next_url=next)
    try:
        way = await request.app.state.access.link_to(token)
    except Unauthenticated as error:
        return PAGES.login(request, error=error.message, status=401)
    return PAGES.enter(request, token, who=way.member, where=way.workspace)


@router.post("/login")
async def login(request: Request) -> Response:
    """Exchange a key or a one-time token for a session."""
    form = parse_qs((await read_bytes(request, 20_000)).decode("utf-8", "replace"))
    key, token, next_url = form.get("key", [""])[0].strip(), form.get("token", [""])[0].strip(), form.get("next", ["/"])[0]
    if not key and not token:
        return PAGES.login(request, error="Paste a key first.", next_url=next_url, status=422)
    access = request.app.state.access
    try:
        cookie = await (access.redeem(token) if token else access.login_with_key(key))
    except (Unauthenticated, Invalid) as error:
        return PAGES.login(request, error=error.message, next_url=next_url, status=401)
    return _signed_in(request, cookie, next_url)


@router.post("/switch")
async def switch(request: Request, actor: Actor = Depends(needs("known"))) -> Response:
    """Move the session to another project of its member."""
    form = parse_qs((await read_bytes(request, 2_000)).decode("utf-8", "replace"))
    await request.app.state.access.switch(request.cookies.get(COOKIE, ""), form.get("project", [""])[0])
    return RedirectResponse(f"/w/{actor.scope.workspace}", 303)


@router.post("/logout")
async def logout(request: Request, actor: Actor = Depends(needs("known"))) -> Response:
    """End the session."""
    await request.app.state.access.logout(request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, path="/")
    return response


def _signed_in(request: Request, cookie: str, next_url: str) -> Response:
    local = next_url if next_url.startswith("/") and next_url[1:2] not in ("/", "\\") else "/"
    response = RedirectResponse(local, 303)
    secure = request.app.state.settings.public_url.startswith("https://")
    response.set_cookie(COOKIE, cookie, max_age=7 * 86400, httponly=True, samesite="lax", secure=secure, path="/")
    return response


@router.get("/")
async def way_in(actor: Actor = Depends(needs("known"))) -> Response:
    return RedirectResponse(f"/w/{actor.scope.workspace}", 303)


@router.get("/metrics")
async def metrics(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Own health in Prometheus' text format; needs a key with the permission to read."""
    state = request.app.state
    health = state.tracing.health()
    values: dict[str, float] = {
        "genwright_up": float(not state.house.problems()),
        "genwright_started_timestamp_seconds": state.house.started_ns / 1e9,
        "genwright_http_connections_open": state.house.http.open_connections,
    }
    values |= {f"genwright_spans_{name}": float(value) for name, value in health.items() if isinstance(value, (int, float))}
    lines = [f"{name} {value:g}" for name, value in values.items()]
    for database in state.house.databases.values():
        lines.append(f'genwright_writes_waiting{{database="{database.name}"}} {database.waiting()}')
        lines.append(f'genwright_database_failed{{database="{database.name}"}} {int(bool(database.failed))}')
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
