"""The framework behind the door: FastAPI with every room's routes and pages, errors rendered as JSON or HTML."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from genwright import __version__
from genwright.errors import Error, Invalid, Missing, Unauthenticated
from genwright.web.api import error_reply

log = logging.getLogger("genwright")


def build_framework(house: Any, rooms: tuple[str, ...]) -> FastAPI:
    """The management application. `house` becomes `app.state.house`, each room `app.state.<room>`."""
    app = FastAPI(title="Genwright", version=__version__, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.house = house
    for name in (*rooms, "settings", "jobs", "audit", "blobs", "secrets"):
        setattr(app.state, name, getattr(house, name))
    from genwright.web.house import PAGES

    app.state.pages = PAGES
    for router in routers(rooms):
        app.include_router(router)
    app.add_exception_handler(Error, _error)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
    return app


def routers(rooms: tuple[str, ...]) -> list[Any]:
    """Routes and pages of every room, then the house's own."""
    found = []
    for module in [f"genwright.{room}.{part}" for room in rooms for part in ("routes", "pages")] + [
        "genwright.web.jobs",
        "genwright.web.jobs_pages",
        "genwright.web.overview",
        "genwright.web.house",
    ]:
        if importlib.util.find_spec(module) is not None:
            found.append(importlib.import_module(module).router)
    return found


def wants_html(request: Request) -> bool:
    """Whether a person with a browser asks for a page."""
    path = request.url.path
    return "text/html" in request.headers.get("accept", "") and not path.startswith(("/api/", "/v1/"))


async def _error(request: Request, error: Exception) -> Response:
    assert isinstance(error, Error)
    if not wants_html(request):
        return error_reply(error)
    from genwright.web.house import error_page

    return error_page(request, error)


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    return await _error(request, Invalid(f"'{field}' cannot be used: {first['msg']}. Nothing was changed.", code="invalid_field"))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 404:
        return await _error(request, Missing(f"There is nothing at {path}."))
    if error.status_code == 405:
        refusal = Invalid(f"{request.method} is not answered at {path}.", code="method_not_allowed")
        refusal.status = 405  # type: ignore[misc]
        return await _error(request, refusal)
    return await _error(request, Unauthenticated(str(error.detail)) if error.status_code == 401 else Invalid(str(error.detail)))


async def _unexpected(request: Request, error: Exception) -> Response:
    log.exception("unexpected error at %s %s", request.method, request.url.path)
    return await _error(request, Error("Something broke on our side; the server's log has the details. Nothing more was done."))


def operations_of(rooms: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Every management route as the client sees it: `room.verb` → method, path, path fields, other fields, summary."""
    found: dict[str, dict[str, Any]] = {}
    for router in routers(rooms):
        for route in router.routes:
            if not getattr(route, "include_in_schema", False):
                continue
            name, path = route.operation_id, route.path
            in_path = [part.name for part in route.dependant.path_params]
            deep = next((part for part in in_path if f"{{{part}:path}}" in path), None)
            asked = [route.dependant, *route.dependant.dependencies]
            fields = [part.name for one in asked for part in one.query_params]
            row = {
                "method": sorted(route.methods)[0],
                "path": path.replace(":path}", "}"),
                "in_path": in_path,
                "fields": fields + sorted((route.openapi_extra or {}).get("fields", [])),
                "summary": (route.description or route.summary or route.name).split("\n")[0],
            }
            if deep:
                row["deep"] = deep
            if name in found:
                raise ValueError(f"two routes are called {name}")
            found[name] = row
    return found
