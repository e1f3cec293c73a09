"""What was understood of a configuration and what was not, and a way of reading that can forget nothing."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from genwright.errors import Invalid

REFERENCE = "os.environ/"


@cache
def said() -> dict[str, Any]:
    """Remarks on settings, by section (said.toml)."""
    return tomllib.loads(Path(__file__).with_name("said.toml").read_text())


class Note(msgspec.Struct, frozen=True):
    """One remark."""

    state: str
    """taken, partly, not taken, not needed."""
    where: str
    text: str


class Part:
    """An object of the configuration, taken apart field by field; what nobody took is said at the end."""

    def __init__(self, data: Any, where: str, notes: list[Note]):
        if not isinstance(data, (dict, type(None))):
            raise Invalid(f"{where}: an object was expected. Nothing was imported.", code="bad_file")
        self._left = dict(data or {})
        self.where = where
        self._notes = notes

    def take(self, name: str, default: Any = None) -> Any:
        """A field's value; it counts as understood."""
        return self._left.pop(name, default)

    def has(self, name: str) -> bool:
        return name in self._left

    def put(self, name: str, value: Any) -> None:
        """A value that stood elsewhere."""
        self._left[name] = value

    def names(self) -> list[str]:
        """Fields not taken yet."""
        return sorted(self._left)

    def empty(self, name: str) -> bool:
        """Whether a field says nothing: null, "", 0, false, [] or {}."""
        return not self._left.get(name)

    def forget(self) -> None:
        """What is left was said already, as a whole."""
        self._left.clear()

    def part(self, name: str) -> Part:
        return Part(self.take(name), f"{self.where}.{name}" if self.where else name, self._notes)

    def note(self, state: str, name: str, text: str) -> None:
        self._notes.append(Note(state, f"{self.where}.{name}" if self.where and name else name or self.where, text))

    def say(self, state: str, words: Mapping[str, str]) -> None:
        """Remarks on fields, where they are there; they count as read."""
        for name, text in words.items():
            if name in self._left:
                self._left.pop(name)
                self.note(state, name, text)

    def rest(self, text: str = "not known to this importer") -> None:
        """Whatever is left was not understood."""
        for name in sorted(self._left):
            self.note("not taken", name, text)
        self.forget()


def resolve(value: Any, environment: Mapping[str, str]) -> Any:
    """A value, or that of the variable it names; None where the variable is not set."""
    if isinstance(value, str) and value.startswith(REFERENCE):
        return environment.get(value.removeprefix(REFERENCE))
    return value
