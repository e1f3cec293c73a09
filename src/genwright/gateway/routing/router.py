"""From a name to a walk: routes and aliases of a project."""

from __future__ import annotations

from typing import Any

from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Missing
from genwright.gateway.routing.health import Health
from genwright.gateway.routing.types import Walk
from genwright.gateway.types import Call
from genwright.vocab import Scope


class Router:
    def __init__(self, database: Database, registry: Any, health: Health):
        self._database = database
        self._registry = registry
        self._health = health

    async def alias(self, scope: Scope, name: str) -> str | None:
        """What a bare name stands for."""
        return None

    async def walk(self, actor: Actor, model: str, call: Call) -> Walk:
        """The walk of `route/NAME[@label|@n]`. Raises Missing."""
        raise Missing(f"There is no {model} here.", code="model_not_found", param="model")
