"""The verbs of the tree: workspaces, projects, members, teams, service accounts. `access.tree` is the one instance.

Who may: whoever runs the server (an administrator of the first workspace, this machine's own credential) makes workspaces; an
administrator of a workspace's first project makes its projects and manages everybody in them; an administrator of another
project manages that one. Keys and log-ins are the service's (service.py); knows nothing of secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from genwright import clock
from genwright.access import store, tree_store
from genwright.access.terms import check_role, check_terms
from genwright.access.types import (
    FIRST_PROJECT,
    Actor,
    Changes,
    Member,
    NewMember,
    NewNode,
    Node,
    NodeKind,
    Project,
    Workspace,
)
from genwright.db import Database
from genwright.errors import Forbidden, Invalid, Missing
from genwright.vocab import Scope, new_id

PLACE = re.compile(r"[a-z][a-z0-9-]{0,39}\Z")
"""A workspace's or project's name: it stands in addresses and names folders."""


class Tree:
    """`forget` is called after every change: what is remembered of keys and sessions may be true no more."""

    def __init__(self, database: Database, forget: Callable[[], None]):
        self._database = database
        self._forget = forget

    # -- workspaces and projects

    async def workspaces(self, actor: Actor) -> list[Workspace]:
        """All of them for who runs the server, else the actor's own."""
        return await self._database.read(tree_store.all_workspaces, "" if actor.operates else actor.scope.workspace)

    async def create_workspace(self, actor: Actor, name: str) -> Scope:
        """A workspace with its first project and administrator; nobody of it can get in yet."""
        operator(actor)
        check_place(name)
        await self._database.write(tree_store.insert_workspace, name, actor.scope, actor.id)
        return Scope(name, FIRST_PROJECT)

    async def open_workspace(self, actor: Actor, name: str) -> Scope:
        """Its first project, for a log-in link of its administrator; the opening is in the caller's audit log."""
        operator(actor)
        await self._database.write(tree_store.need_workspace, name, actor.scope, actor.id)
        return Scope(name, FIRST_PROJECT)

    async def projects(self, actor: Actor) -> list[Project]:
        """Those the actor can be in."""
        found = await self._database.read(tree_store.all_projects, actor.scope.workspace)
        mine = {actor.scope.project, *actor.projects}
        return [one for one in found if actor.manages_workspace or one.project in mine]

    async def create_project(self, actor: Actor, name: str) -> Scope:
        """A project of the actor's workspace, whose administrators may enter it."""
        actor.need("admin")
        if not actor.manages_workspace:
            raise Forbidden(
                f"Projects are made by administrators of the workspace (of its project '{FIRST_PROJECT}'). Nothing was made."
            )
        check_place(name)
        scope = Scope(actor.scope.workspace, name)
        await self._database.write(tree_store.insert_project, scope, actor.id)
        self._forget()
        return scope

    async def place(self, actor: Actor, project: str) -> Scope:
        """The project an administrator means: his own where he names none. Raises Missing for one he does not administer."""
        actor.need("admin")
        if project in ("", actor.scope.project):
            return actor.scope
        scope = Scope(actor.scope.workspace, project)
        if not actor.manages_workspace or not await self._database.read(tree_store.has_project, scope):
            raise Missing(f"There is no project '{project[:100]}' for you. Nothing was done.")
        return scope

    # -- members

    async def members(self, actor: Actor, project: str = "") -> list[Member]:
        """People of a project, by name. Administrators of the workspace may enter every project and are not repeated in each."""
        return await self._database.read(tree_store.all_members, await self.place(actor, project))

    async def add_member(self, actor: Actor, new: NewMember) -> Member:
        """A person joins a project. One whom the workspace knows by this name keeps his id."""
        scope = await self.place(actor, new.project)
        check_role(new.role)
        check_terms(new.models, new.operations, new.tags)
        member = Member(
            scope.workspace, scope.project, "", checked_name(new.name, "member"), new.role, clock.now_ns(), new.team, new.models,
            new.operations, new.tags,
        )  # fmt: skip
        return await self._changed(tree_store.insert_member, member, actor.id)

    async def change_member(self, actor: Actor, id: str, changes: Changes) -> Member:
        """Another role, team or bounds; his keys are bound by them at once."""
        scope = await self.place(actor, changes.project)
        return await self._changed(tree_store.change_member, scope, id, checked_changes(changes), actor.id)

    async def remove_member(self, actor: Actor, id: str, project: str = "") -> Member:
        """A person leaves a project; his keys and sessions in it end."""
        return await self._changed(tree_store.delete_member, await self.place(actor, project), id, actor.id)

    # -- teams and service accounts

    async def nodes(self, actor: Actor, kind: NodeKind | None = None, project: str = "") -> list[Node]:
        """Teams, service accounts, or both, by name."""
        return await self._database.read(tree_store.all_nodes, await self.place(actor, project), kind or "")

    async def add_node(self, actor: Actor, kind: NodeKind, new: NewNode) -> Node:
        """A team or service account."""
        scope = await self.place(actor, new.project)
        role = new.role or ("releaser" if kind == "team" else "caller")
        check_role(role)
        check_terms(new.models, new.operations, new.tags)
        if kind == "team" and new.team:
            raise Invalid("A team belongs to no other team. Nothing was made.", field="team")
        name = checked_name(new.name, tree_store.WORDS[kind])
        node = Node(
            scope.workspace, scope.project, new_id("team" if kind == "team" else "svc"), kind, name, new.team, role, new.models,
            new.operations, new.tags, clock.now_ns(), actor.id,
        )  # fmt: skip
        await self._changed(tree_store.insert_node, node)
        return node

    async def change_node(self, actor: Actor, kind: NodeKind, id: str, changes: Changes) -> Node:
        """Other bounds; what hangs under it is bound by them at once."""
        scope = await self.place(actor, changes.project)
        if kind == "team" and changes.team:
            raise Invalid("A team belongs to no other team. Nothing was changed.", field="team")
        return await self._changed(tree_store.change_node, scope, kind, id, checked_changes(changes), actor.id)

    async def remove_node(self, actor: Actor, kind: NodeKind, id: str, project: str = "") -> Node:
        """End it and revoke the keys on it. Raises Conflict for a team that somebody belongs to."""
        return await self._changed(tree_store.end_node, await self.place(actor, project), kind, id, actor.id)

    async def names(self, actor: Actor, project: str = "") -> dict[str, str]:
        """What pages call the nodes of a project: `team:team_…` → its name; keys too."""
        scope = await self.place(actor, project)
        found = {f"workspace:{scope.workspace}": scope.workspace, f"project:{scope.project}": scope.project}
        found |= {f"{node.kind}:{node.id}": node.name for node in await self._database.read(tree_store.all_nodes, scope)}
        found |= {f"member:{one.id}": one.name for one in await self._database.read(tree_store.all_members, scope)}
        return found | {f"key:{key.id}": key.name for key in await self._database.read(store.all_keys, scope)}

    async def _changed(self, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return await self._database.write(function, *args)
        finally:
            self._forget()


def operator(actor: Actor) -> None:
    """Raise Forbidden unless the actor runs this server."""
    actor.need("admin")
    if not actor.operates:
        raise Forbidden(
            "Workspaces are made by who runs the server: an administrator of its first workspace, or somebody on its machine. "
            "Nothing was made."
        )


def check_place(name: str) -> None:
    if not PLACE.match(name):
        raise Invalid(
            f"'{name[:60]}' cannot be a name. Nothing was made. Take small letters, digits and '-', a letter first, 40 at most.",
            field="name",
        )


def checked_name(name: str, what: str) -> str:
    """The name without blanks around it. Raises Invalid for none, a long one, or one with control characters."""
    name = name.strip()
    if not 0 < len(name) <= 200 or not name.isprintable():
        raise Invalid(f"A {what} needs a name of 1 to 200 printable characters. Nothing was made.", field="name")
    return name


def checked_changes(changes: Changes) -> dict[str, Any]:
    """What is to be changed. Raises Invalid, naming the field, for what cannot be."""
    found = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not None and name != "project"}
    if not found:
        raise Invalid("No change was named. Nothing was changed. Give role, team, models, operations or tags.", code="no_change")
    if changes.role is not None:
        check_role(changes.role)
    check_terms(changes.models or (), changes.operations or (), changes.tags or {})
    return found
