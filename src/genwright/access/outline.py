"""The key tree as a page draws it: teams, what belongs to them, keys. Pure; knows no template."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from genwright.access.terms import Path
from genwright.access.types import Key, Member, Node, Terms

SHOWN = 20
"""About how many keys of one team a page shows before it says that there are more."""


class Line(NamedTuple):
    """A service account, a member or a key, with what it may do at last, all above it counted in."""

    level: int
    kind: str
    record: Any
    role: str | None
    terms: Terms
    own: bool
    """Whether it is bound otherwise than what it hangs under."""


class Group(NamedTuple):
    """A team and what hangs under it; the last group is what hangs under no team."""

    team: Node | None
    lines: list[Line]
    keys: int
    more: int
    """Keys that are not among the lines."""


def groups(keys: list[Key], members: list[Member], nodes: list[Node], shown: int = SHOWN) -> list[Group]:
    """By team, then by holder, in the order in which they come. Members without a key here are left out."""
    services = [node for node in nodes if node.kind == "service"]
    holders: dict[str, Member | Node] = {node.id: node for node in services}
    holders |= {member.id: member for member in members}
    found = []
    for team in [*(node for node in nodes if node.kind == "team"), None]:
        mine = team.id if team else ""
        path = Path(()) if team is None else Path(()).under(f"team:{mine}", team)
        branches: list[list[Line]] = []
        for holder in (one for one in holders.values() if one.team == mine):
            held = [key for key in keys if key.holder == holder.id]
            if held or holder in services:
                branches.append(_branch(path, "service" if holder in services else "member", holder, held))
        loose = [key for key in keys if not key.holder and key.team == mine]
        loose += [key for key in keys if key.holder and key.holder not in holders and team is None]
        if loose:
            branches.append([_line(path, "key", key, 0) for key in loose])
        if team is not None or branches:
            found.append(_group(team, branches, shown))
    return found


def _branch(path: Path, kind: str, holder: Member | Node, keys: Iterable[Key]) -> list[Line]:
    line = _line(path, kind, holder, 0)
    below = path.under(f"{kind}:{holder.id}", holder)
    return [line, *(_line(below, "key", key, 1) for key in keys)]


def _line(path: Path, kind: str, record: Any, level: int) -> Line:
    end = path.under(f"{kind}:{record.id}", record)
    return Line(level, kind, record, end.role, end.terms, end.terms != path.terms)


def _group(team: Node | None, branches: list[list[Line]], shown: int) -> Group:
    """Where there are more keys than can be shown each branch shows some of its own: a busy one hides no other."""
    count = sum(line.kind == "key" for branch in branches for line in branch)
    each = count if count <= shown else max(3, shown // len(branches))
    lines = [line for branch in branches for line in branch[: each + (branch[0].kind != "key")]]
    return Group(team, lines, count, count - sum(line.kind == "key" for line in lines))
