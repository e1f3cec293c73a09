"""Queries of the tree: workspaces, projects, members, teams and service accounts. Its tables stand in store.py.

Whoever calls has checked who may; here it is checked that a child does no more than its parent, in the transaction that makes it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright import audit, clock
from genwright.access.store import (
    ADMIN_MEMBER,
    insert_place,
    keys,
    members,
    needed,
    nodes,
    path_to,
    projects,
    record,
    records,
    revoke_key,
    room_for_one,
    sessions,
    within,
    workspaces,
)  # fmt: skip
from genwright.access.types import FIRST_PROJECT, Key, Member, Node, Project, Workspace
from genwright.errors import NEVER, Conflict, Missing
from genwright.vocab import Scope, nearest, new_id

WORDS = {"team": "team", "service": "service account"}

# -- workspaces and projects


def all_workspaces(connection: Connection, only: str = "") -> list[Workspace]:
    """Every workspace by name, or the one."""
    where = [workspaces.c.workspace == only] if only else []
    return records(connection, workspaces, Workspace, *where, order=(workspaces.c.workspace,))


def insert_workspace(connection: Connection, name: str, maker: Scope, by: str) -> None:
    """A workspace with its first project and administrator; told in the maker's audit log, too."""
    if all_workspaces(connection, name):
        raise Conflict(f"There is a workspace '{name}' already. Nothing was made. Choose another name.", retry=NEVER)
    room_for_one(connection, workspaces)
    insert_place(connection, Scope(name, FIRST_PROJECT), f"{maker.workspace}/{by}")
    audit.write(connection, maker, by, "access.create_workspace", name)
    audit.write(connection, Scope(name, FIRST_PROJECT), "operator", "access.create_workspace", name)


def need_workspace(connection: Connection, name: str, maker: Scope, by: str) -> None:
    """Raise Missing if there is no such workspace; tell in the maker's audit log that a way into it was opened."""
    if not all_workspaces(connection, name):
        near = nearest(name, [one.workspace for one in all_workspaces(connection)])
        raise Missing(f"There is no workspace '{name[:100]}'." + (f" Nearest: {', '.join(near)}." if near else ""), nearest=near)
    audit.write(connection, maker, by, "access.open_workspace", name)


def all_projects(connection: Connection, workspace: str) -> list[Project]:
    return records(connection, projects, Project, projects.c.workspace == workspace, order=(projects.c.project,))


def insert_project(connection: Connection, scope: Scope, by: str) -> None:
    if scope.project in {one.project for one in all_projects(connection, scope.workspace)}:
        raise Conflict(f"There is a project '{scope.project}' already. Nothing was made. Choose another name.", retry=NEVER)
    room_for_one(connection, projects, projects.c.workspace == scope.workspace)
    insert_place(connection, scope, by)
    audit.write(connection, scope, by, "access.create_project", scope.project)


def has_project(connection: Connection, scope: Scope) -> bool:
    return connection.execute(sa.select(projects.c.project).where(within(projects, scope))).first() is not None


# -- members


def all_members(connection: Connection, scope: Scope) -> list[Member]:
    return records(connection, members, Member, within(members, scope), order=(members.c.name,))


def insert_member(connection: Connection, member: Member, by: str) -> Member:
    """A person joins a project: one whom the workspace knows by this name already, or a new one with a new id."""
    scope = Scope(member.workspace, member.project)
    same = sa.and_(members.c.workspace == scope.workspace, members.c.name == member.name)
    known = connection.execute(sa.select(members.c.id).where(same)).scalar()
    member = msgspec.structs.replace(member, id=known or new_id("mem"))
    if record(connection, members, Member, scope, member.id) is not None:
        raise Conflict(f"'{member.name}' is a member of this project already ({member.id}). Nothing was changed.", retry=NEVER)
    _check_place(connection, scope, "The member", member)
    room_for_one(connection, members, within(members, scope))
    connection.execute(members.insert().values(**msgspec.structs.asdict(member)))
    audit.write(connection, scope, by, "access.add_member", member.id, _told(member))
    return member


def change_member(connection: Connection, scope: Scope, id: str, changes: dict[str, Any], by: str) -> Member:
    """Set role, team, models, operations or tags. What hangs under the member is narrowed with him at its next use."""
    member = needed(connection, members, Member, scope, id, word="member")
    _not_the_first(member)
    changed = msgspec.structs.replace(member, **changes)
    _check_place(connection, scope, "The member", changed)
    connection.execute(members.update().where(within(members, scope), members.c.id == id).values(**changes))
    audit.write(connection, scope, by, "access.change_member", id, changes)
    return changed


def delete_member(connection: Connection, scope: Scope, id: str, by: str) -> Member:
    """A person leaves a project; his keys in it are revoked and his sessions in it end."""
    member = needed(connection, members, Member, scope, id, word="member")
    _not_the_first(member)
    _revoke_under(connection, scope, by, keys.c.holder == id)
    connection.execute(sessions.delete().where(within(sessions, scope), sessions.c.member == id))
    connection.execute(members.delete().where(within(members, scope), members.c.id == id))
    audit.write(connection, scope, by, "access.remove_member", id, {"name": member.name})
    return member


def _not_the_first(member: Member) -> None:
    if member.id == ADMIN_MEMBER and member.project == FIRST_PROJECT:
        raise Conflict(
            "This is the workspace's first administrator, for whom log-in links are made when nobody else can get in. "
            "Nothing was changed. Add other members, and give them roles.",
            retry=NEVER,
        )


# -- teams and service accounts


def all_nodes(connection: Connection, scope: Scope, kind: str = "") -> list[Node]:
    """Those not ended, by name."""
    where = [within(nodes, scope), nodes.c.ended_ns.is_(None), *([nodes.c.kind == kind] if kind else [])]
    return records(connection, nodes, Node, *where, order=(nodes.c.kind.desc(), nodes.c.name))


def insert_node(connection: Connection, node: Node) -> None:
    scope = Scope(node.workspace, node.project)
    if node.name in {one.name for one in all_nodes(connection, scope, node.kind)}:
        raise Conflict(f"There is a {WORDS[node.kind]} '{node.name}' already. Nothing was made. Take another name.", retry=NEVER)
    _check_place(connection, scope, f"The {WORDS[node.kind]}", node)
    room_for_one(connection, nodes, within(nodes, scope), nodes.c.ended_ns.is_(None))
    connection.execute(nodes.insert().values(**msgspec.structs.asdict(node)))
    audit.write(connection, scope, node.created_by, f"access.create_{node.kind}", node.id, _told(node))


def get_node(connection: Connection, scope: Scope, kind: str, id: str) -> Node:
    node = needed(connection, nodes, Node, scope, id, nodes.c.kind == kind, word=WORDS[kind])
    if node.ended_ns is not None:
        raise Missing(f"The {WORDS[kind]} '{node.name}' ended at {clock.iso(node.ended_ns)[:16]}. Nothing was changed.")
    return node


def change_node(connection: Connection, scope: Scope, kind: str, id: str, changes: dict[str, Any], by: str) -> Node:
    """Set role, models, operations, tags, or a service account's team. What hangs under it is narrowed at its next use."""
    changed = msgspec.structs.replace(get_node(connection, scope, kind, id), **changes)
    _check_place(connection, scope, f"The {WORDS[kind]}", changed)
    connection.execute(nodes.update().where(within(nodes, scope), nodes.c.id == id).values(**changes))
    audit.write(connection, scope, by, f"access.change_{kind}", id, changes)
    return changed


def end_node(connection: Connection, scope: Scope, kind: str, id: str, by: str) -> Node:
    """End a team or service account and revoke the keys that hang on it. A team that others belong to is kept: Conflict."""
    node = get_node(connection, scope, kind, id)
    inside = [one.name for one in all_members(connection, scope) if one.team == id]
    inside += [one.name for one in all_nodes(connection, scope) if one.team == id]
    if inside:
        names = ", ".join(inside[:5]) + (" …" if len(inside) > 5 else "")
        raise Conflict(
            f"{len(inside)} belong to this team ({names}) and would lose its bounds. Nothing was changed. "
            "Move or remove them first.", retry=NEVER,
        )  # fmt: skip
    _revoke_under(connection, scope, by, keys.c.holder == id if kind == "service" else keys.c.team == id)
    now = clock.now_ns()
    connection.execute(nodes.update().where(within(nodes, scope), nodes.c.id == id).values(ended_ns=now))
    audit.write(connection, scope, by, f"access.remove_{kind}", id, {"name": node.name})
    return msgspec.structs.replace(node, ended_ns=now)


# -- together


def _check_place(connection: Connection, scope: Scope, what: str, child: Member | Node) -> None:
    path = path_to(connection, scope, child.team)
    if path is None:
        raise Missing(f"There is no team '{child.team[:100]}' in this project. Nothing was changed.")
    path.refuse_more(what, child)


def _revoke_under(connection: Connection, scope: Scope, by: str, where: sa.ColumnElement[bool]) -> None:
    for key in records(connection, keys, Key, within(keys, scope), keys.c.revoked_ns.is_(None), where):
        revoke_key(connection, scope, key.id, by)


def _told(made: Member | Node) -> dict[str, Any]:
    """What the audit log says of it."""
    kept = ("name", "role", "team", "models", "operations", "tags")
    return {name: getattr(made, name) for name in kept if getattr(made, name)}
