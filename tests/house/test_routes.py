"""Every route is authenticated unless listed, has a client operation, and is in the docs: enumerated from the router."""

import json
from pathlib import Path

import pytest

from genwright.app import OPEN, ROOMS
from genwright.web.server import operations_of, routers

ROOT = Path(__file__).parents[2]
ROUTES = [route for router in routers(ROOMS) for route in router.routes if hasattr(route, "dependant")]


def needs_permission(dependant) -> bool:
    if getattr(dependant.call, "permission", None):
        return True
    return any(needs_permission(part) for part in dependant.dependencies)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{'/'.join(sorted(route.methods))} {route.path}")
def test_every_route_asks_for_a_permission(route):
    if route.path.startswith(OPEN):
        return
    assert needs_permission(route.dependant), "no needs(...) among its dependencies"


def test_there_are_routes():
    assert len(ROUTES) > 40


@pytest.mark.parametrize("route", [r for r in ROUTES if r.include_in_schema], ids=lambda route: route.path)
def test_management_routes_are_named_after_their_room(route):
    room = route.path.split("/")[2]
    assert route.operation_id, "needs operation_id='room.verb'"
    assert route.operation_id.startswith(f"{room}.")
    assert route.description or route.summary, "the first line of its docstring is its documentation"


def test_the_clients_operations_are_current():
    known = json.loads((ROOT / "src" / "genwright" / "data" / "operations.json").read_text())
    assert known == operations_of(ROOMS), "run: make docs"
