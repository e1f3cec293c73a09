"""The plan: what differs between wanted and there, in words, and doing it. Pure but for `apply`, which calls the client."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from genwright import yamls
from genwright.errors import Error
from genwright.gateway.files.kinds import KINDS, Kind
from genwright.gateway.files.types import Change, Done, Wanted

SIGNS = {"create": "+", "change": "~", "remove": "-", "same": "=", "stays": "·"}


def make(client: Any, wanted: Wanted, prune: bool = False, without_keys: bool = False) -> list[Change]:
    """Changes in the order they are to be made. Raises Invalid where a file does not fit, before anything is done."""
    clean = {kind: {name: KINDS[kind].clean(name, data) for name, data in items.items()} for kind, items in wanted.items.items()}
    changes: list[Change] = []
    removals: list[Change] = []
    for kind, row in KINDS.items():
        if kind not in wanted.whole:
            continue
        have = row.have(client)
        for name, want in _ordered(kind, clean.get(kind, {})):
            changes.append(_compare(kind, row, name, want, have.get(name)))
        for name in sorted(set(have) - set(clean.get(kind, {}))):
            removals.insert(0, _spare(kind, row, name, have[name], prune))
    if without_keys:
        changes = [msgspec.structs.replace(change, problem="") for change in changes]
    return changes + removals


def _compare(kind: str, row: Kind, name: str, want: Any, have: Any) -> Change:
    want = row.merge(want, have)
    before, after = None if have is None else row.shown(have), row.shown(want)
    problem = row.problem(name, want, have)
    if have is None:
        return Change(kind, name, "create", None, want, problem=problem)
    if before == after:
        return Change(kind, name, "same", have, want)
    if row.fixed:
        return Change(kind, name, "stays", have, want, note=f"{row.fixed}; it differs from the file")
    return Change(kind, name, "change", have, want, problem=problem)


def _spare(kind: str, row: Kind, name: str, have: Any, prune: bool) -> Change:
    if prune and row.remove is not None:
        return Change(kind, name, "remove", have)
    note = "revoke it yourself" if kind == "key" else "versions are kept for ever" if row.remove is None else ""
    return Change(kind, name, "stays", have, note=note)


def _ordered(kind: str, items: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """By name; a route after those it names."""
    if kind != "route":
        return sorted(items.items())
    done: dict[str, Any] = {}

    def place(name: str) -> None:
        if name in done or name not in items:
            return
        done[name] = None  # a circle ends here; the server refuses it
        for other in _named(items[name]["content"]):
            place(other)
        done.pop(name)
        done[name] = items[name]

    for name in sorted(items):
        place(name)
    return done.items()


def _named(node: Any) -> Iterable[str]:
    if isinstance(node, dict):
        ref = node.get("ref")
        if isinstance(ref, str) and ref.startswith("route/"):
            yield ref.removeprefix("route/").partition("@")[0]
        for value in node.values():
            yield from _named(value)
    elif isinstance(node, list):
        for value in node:
            yield from _named(value)


def apply(client: Any, changes: list[Change], tell: Callable[[Change], None] = lambda change: None) -> Done:
    """Make the changes, in order, until one fails: those before it are kept, those after it are not tried."""
    steps = _steps([change for change in changes if change.action in ("create", "change", "remove")])
    done: list[Change] = []
    secrets: dict[str, str] = {}
    for place, step in enumerate(steps):
        try:
            made = _do(client, step)
        except Error as error:
            left = [change for later in steps[place + 1 :] for change in later]
            return Done(done, step[0], error.message, [*step[1:], *left], secrets)
        if made is not None:
            secrets[step[0].name] = made
        for change in step:
            done.append(change)
            tell(change)
    return Done(done, secrets=secrets)


def _steps(todo: list[Change]) -> list[list[Change]]:
    """Changes that are made together, where their kind can; all others alone."""
    steps: list[list[Change]] = []
    together: dict[str, list[Change]] = {}
    for change in todo:
        if KINDS[change.kind].put_all is None:
            steps.append([change])
        elif change.kind in together:
            together[change.kind].append(change)
        else:
            together[change.kind] = [change]
            steps.append(together[change.kind])
    return steps


def _do(client: Any, step: list[Change]) -> str | None:
    """Make one step; the secret of a key that was made."""
    first = step[0]
    row = KINDS[first.kind]
    if row.put_all is not None:
        row.put_all(client, {change.name: change.after for change in step})
    elif first.action == "remove":
        assert row.remove is not None
        row.remove(client, first.name, first.before)
    else:
        made = row.put(client, first.name, first.after, first.before)
        return made if isinstance(made, str) else None
    return None


def words(change: Change) -> str:
    """One line."""
    note = f"  ({change.note})" if change.note else ""
    problem = f"\n    ! {change.problem}" if change.problem else ""
    return f"{SIGNS[change.action]} {change.kind} {change.name}{note}{problem}"


def difference(change: Change) -> list[str]:
    """What changes, line by line, as files have it."""
    shown = KINDS[change.kind].shown
    before = [] if change.before is None else _lines(shown(change.before))
    after = [] if change.after is None else _lines(shown(change.after))
    lines = list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]
    return [line for line in lines if not line.startswith("@@")]


def _lines(data: Any) -> list[str]:
    return yamls.write(data).rstrip("\n").removesuffix("\n...").split("\n")
