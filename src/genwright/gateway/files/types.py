"""Records of configuration as files. They know no kind and no server."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Action = Literal["create", "change", "remove", "same", "stays"]


class Wanted(msgspec.Struct):
    """What a folder says: kind → name → data, where each came from, and which kinds it speaks for as a whole."""

    items: dict[str, dict[str, Any]] = {}
    sources: dict[tuple[str, str], str] = {}
    """(kind, name) → file."""
    whole: set[str] = set()
    """Kinds that have a file or folder: with --prune, what it does not name is removed."""
    unread: list[str] = []
    """Files that are no configuration."""

    def add(self, kind: str, name: str, data: Any, source: str) -> None:
        self.items.setdefault(kind, {})[name] = data
        self.sources[kind, name] = source
        self.whole.add(kind)


class Change(msgspec.Struct, frozen=True):
    """One difference between a folder and a server."""

    kind: str
    name: str
    action: Action
    """`stays`: the server has it, the folder does not, and it is left alone."""
    before: Any = None
    after: Any = None
    note: str = ""
    problem: str = ""
    """Why it cannot be done as it is; nothing at all is applied then."""


class Done(msgspec.Struct, frozen=True):
    """What came of applying a plan."""

    done: list[Change]
    failed: Change | None = None
    error: str = ""
    left: list[Change] = []
    """Not tried, because of the failure."""
    secrets: dict[str, str] = {}
    """Key → secret, of keys that were made."""
