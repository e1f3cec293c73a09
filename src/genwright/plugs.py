"""Plug tables: a name → a dotted path, imported at first use; third parties add rows by entry point.

A table is one dict in the room that owns the Protocol:

    GUARDS = Table("genwright.guards", {"injection": "genwright.guardrails.guards.injection:Injection"})
    guard = GUARDS.make("injection", threshold=0.8)

The instance remembers how it was made (`guard.plug == Plug(kind, name, parameters)`), so any run can be made again.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any

import msgspec

from genwright.errors import Invalid, Missing
from genwright.vocab import nearest


class Plug(msgspec.Struct, frozen=True):
    """What it takes to make an instance again."""

    group: str
    name: str
    parameters: dict[str, Any]


class Table:
    """One kind of plug. `group` is also the entry-point group where third parties add rows."""

    def __init__(self, group: str, rows: dict[str, str]):
        self.group = group
        self._rows = dict(rows)
        self._looked = False

    def names(self) -> list[str]:
        """All known names, third parties' included, sorted."""
        self._look()
        return sorted(self._rows)

    def load(self, name: str) -> Any:
        """The class or function behind a name. Raises Missing with the nearest names."""
        if name not in self._rows:
            self._look()
        if name not in self._rows:
            near = nearest(name, list(self._rows)) or sorted(self._rows)
            raise Missing(f"There is no '{name}' in {self.group}. Nearest: {', '.join(near)}.", code="unknown_plug")
        module, _, attribute = self._rows[name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def make(self, name: str, **parameters: Any) -> Any:
        """An instance that remembers its kind, name and parameters in `.plug`."""
        try:
            instance = self.load(name)(**parameters)
        except TypeError as error:
            raise Invalid(f"'{name}' in {self.group} does not take these parameters: {error}", code="bad_parameters") from error
        instance.plug = Plug(self.group, name, parameters)
        return instance

    def _look(self) -> None:
        if not self._looked:
            self._looked = True
            for point in entry_points(group=self.group):
                self._rows.setdefault(point.name, point.value)
