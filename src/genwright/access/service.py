"""The verbs of access: who is behind a key or a cookie, making, rotating and revoking keys, logging in and out.

Keys, cookies and links are 256 random bits; the database knows only their HMAC codes, each kind under its own subkey. Actors are
kept in memory by code, so that a call costs one HMAC. Knows nothing of cookies' attributes, pages or the order of middleware.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import os
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request

from genwright import clock
from genwright.access import store
from genwright.access.store import Way
from genwright.access.terms import check_role, check_terms
from genwright.access.tree import Tree, checked_name
from genwright.access.types import (
    KNOWN,
    PERMISSIONS,
    ROLES,
    SYSTEM,
    Actor,
    Capture,
    Key,
    Member,
    NewKey,
    NewPlace,
    Session,
    Under,
)  # fmt: skip
from genwright.db import Database
from genwright.errors import Error, Forbidden, Invalid, Missing, Unauthenticated
from genwright.secrets import Secrets
from genwright.settings import Settings
from genwright.vocab import Scope, new_id

__all__ = ["KNOWN", "ROLES", "SYSTEM", "Access", "Actor", "Key", "Member", "NewKey", "Session", "needs"]

LINK_S = 3600
SESSION_S = 7 * 24 * 3600
MAX_OVERLAP_S = 90 * 24 * 3600
FLUSH_S = 60
USED_LINK = (
    "This link was used already, or is older than an hour. Nobody was logged in. "
    "Make a new one with `genwright keys link` on the server's machine, or log in with a key."
)
MAX_KNOWN = 20_000
"""Actors kept in memory."""
REPLICA_S = 0.9
"""On PostgreSQL another replica may have revoked a key: look again after this long."""


class Access:
    def __init__(self, database: Database, secrets: Secrets, settings: Settings):
        self._database = database
        self._secrets = secrets
        self._settings = settings
        self._known: dict[str, tuple[Actor, int | None, float]] = {}
        self._generation = 0
        self._look_again_s = REPLICA_S if database.postgres else float("inf")
        self._local = _random("gw_local_")
        self._local_code = self._code("key", self._local)
        path = (f"workspace:{Scope().workspace}", f"project:{Scope().project}", "key:local")
        self._local_actor = Actor(Scope(), "local", "this machine", "key", "admin", nodes=path)
        self._used: dict[str, tuple[Actor, int]] = {}
        self._flushing: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.tree = Tree(database, self._forget)
        """Workspaces, projects, members, teams and service accounts."""

    # -- who is it

    async def actor_for_key(self, key: str) -> Actor:
        """The actor of an API key. Raises Unauthenticated if it is not known, revoked or expired."""
        code = self._code("key", key)
        if hmac.compare_digest(code, self._local_code):
            return self._local_actor
        actor = self._remembered(code) or await self._look_up(code, store.key_actor)
        if actor is None:
            raise Unauthenticated(
                "This key is not known, or was revoked or has expired. Nothing was done. "
                "Make one with `genwright keys create` or on the page Keys."
            )
        self._used[actor.id] = (actor, clock.now_ns())
        if self._flushing is None:
            self._flush_later()
        return actor

    async def actor_for_session(self, cookie: str) -> Actor:
        """The actor of a log-in cookie. Raises Unauthenticated if the session has ended."""
        code = self._code("session", cookie)
        actor = self._remembered(code) or await self._look_up(code, store.session_actor)
        if actor is None:
            raise Unauthenticated("You are not logged in any more. Nothing was done. Log in again.")
        return actor

    async def actor_by_id(self, scope: Scope, actor_id: str) -> Actor:
        """Who began a job, with the rights of now. Raises Unauthenticated if the key was revoked or the person removed."""
        if actor_id == self._local_actor.id:
            return self._local_actor
        actor = await self._database.read(store.actor_by_id, scope, actor_id)
        if actor is None:
            raise Unauthenticated(f"'{actor_id}', who began this, may do nothing here now. It stopped; what was done is kept.")
        return actor

    def _remembered(self, code: str) -> Actor | None:
        entry = self._known.get(code)
        if entry is None:
            return None
        actor, until_ns, looked = entry
        if until_ns is not None and until_ns <= clock.now_ns():
            return None
        return actor if clock.monotonic() - looked < self._look_again_s else None

    async def _look_up(self, code: str, query: Callable[..., store.Found | None]) -> Actor | None:
        generation, looked = self._generation, clock.monotonic()
        found = await self._database.read(query, code)
        if found is None:
            self._known.pop(code, None)
            return None
        if generation == self._generation:  # else something was revoked while we read: do not remember what we saw
            if len(self._known) >= MAX_KNOWN:
                self._known.pop(next(iter(self._known)))
            self._known[code] = (found.actor, found.until_ns, looked)
        return found.actor

    def _forget(self) -> None:
        self._generation += 1
        self._known.clear()

    def _code(self, purpose: str, secret: str) -> str:
        return self._secrets.hmac(purpose, secret.encode(errors="surrogatepass"))

    # -- keys

    async def create_key(
        self,
        actor: Actor,
        name: str,
        role: str,
        capture: Capture = "full",
        expires_ns: int | None = None,
        under: Under = Under(),
    ) -> tuple[Key, str]:
        """Make a key; the secret is returned here and never again. Raises Invalid if it would do more than its place may."""
        scope = await self.tree.place(actor, under.project)
        check_role(role)
        check_terms(under.models, under.operations, under.tags)
        if capture not in ("full", "metadata", "off"):
            raise Invalid(f"'{capture}' is not a capture. Nothing was made. It is full, metadata or off.", field="capture")
        if expires_ns is not None and expires_ns <= clock.now_ns():
            raise Invalid("The key would have expired already. Nothing was made. Give a later time.", field="expires_ns")
        if sum(map(bool, (under.team, under.member, under.service))) > 1:
            raise Invalid("A key hangs under one: a team, a member or a service account. Nothing was made.", field="team")
        secret = _random("gw_")
        key = Key(
            *(scope.workspace, scope.project, new_id("key"), checked_name(name, "key"), role, capture, _hint(secret)),
            *(clock.now_ns(), actor.id, expires_ns, None, under.team, under.member or under.service),
            *(under.models, under.operations, under.default_max_output_tokens, under.on_disconnect, under.tags),
        )
        await self._database.write(store.insert_key, key, self._code("key", secret))
        return key, secret

    async def list_keys(self, actor: Actor, project: str = "") -> list[Key]:
        """Keys of a project (the actor's own where none is named), newest first, revoked ones too."""
        scope = await self.tree.place(actor, project)
        await self.flush()
        return await self._database.read(store.all_keys, scope)

    async def revoke_key(self, actor: Actor, key_id: str, project: str = "") -> Key:
        """End a key and the sessions opened with it, at once. Raises Missing for a key of another project."""
        scope = await self.tree.place(actor, project)
        try:
            return await self._database.write(store.revoke_key, scope, key_id, actor.id)
        finally:
            self._forget()

    async def rotate_key(self, actor: Actor, key_id: str, overlap_s: float = 0, project: str = "") -> tuple[Key, str]:
        """Another secret for a key, which stays what it is: id, place, limits and budgets. The one before opens for
        `overlap_s` longer; with 0 it ends at once, and sessions opened with it."""
        scope = await self.tree.place(actor, project)
        if not 0 <= overlap_s <= MAX_OVERLAP_S:
            raise Invalid("An overlap is 0 seconds to 90 days. Nothing was changed.", field="overlap_s")
        secret = _random("gw_")
        how = (self._code("key", secret), _hint(secret), round(overlap_s * 1e9), actor.id)
        try:
            return await self._database.write(store.rotate_key, scope, key_id, *how), secret
        finally:
            self._forget()

    async def flush(self) -> None:
        """Write when keys were last used: once a minute while they are, before they are listed, and at the end."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        used, self._used = self._used, {}
        if used:
            rows = [(actor.scope, actor.id, at_ns) for actor, at_ns in used.values()]
            await self._database.write(store.mark_used, rows)

    async def close(self) -> None:
        """Write what is left to write."""
        await self._quiet_flush()

    def _flush_later(self) -> None:
        loop = asyncio.get_running_loop()

        def begin() -> None:
            self._task = loop.create_task(self._quiet_flush())

        self._flushing = loop.call_later(FLUSH_S, begin)

    async def _quiet_flush(self) -> None:
        with contextlib.suppress(Error):  # a time of use that is lost harms nobody; the next use writes it
            await self.flush()

    def local_key(self) -> str:
        """The credential of processes on this machine that can read the lock file; lives as long as this process."""
        return self._local

    # -- logging in

    async def admin_link(self, by: Actor | None = None) -> str:
        """A one-time token for the log-in page, good for an hour; only its code is stored. For the member who asks, or for
        the workspace's first administrator where an administrator's key asks."""
        by = by or SYSTEM(Scope())
        by.need("admin")
        if by.kind == "session" and any(node.startswith("member:") for node in by.nodes):
            return await self._link(by.scope, by.id, by.id, wide=by.manages_workspace)
        if not by.manages_workspace:
            raise Forbidden(
                "This key administers one project, not the workspace. No link was made. "
                "Make one for a member of the project: `genwright members link ID`."
            )
        return await self._link(by.scope, store.ADMIN_MEMBER, by.id, wide=True)

    async def member_link(self, actor: Actor, member: str, project: str = "") -> str:
        """The same for a member of a project. Into his other projects it leads only if the maker administers the workspace."""
        scope = await self.tree.place(actor, project)
        return await self._link(scope, member, actor.id, wide=actor.manages_workspace)

    async def _link(self, scope: Scope, member: str, by: str, *, wide: bool) -> str:
        token = _random("gwl_")
        expires_ns = clock.now_ns() + LINK_S * 1_000_000_000
        await self._database.write(store.insert_link, scope, member, self._code("link", token), by, expires_ns, wide)
        return token

    async def create_workspace(self, actor: Actor, name: str) -> NewPlace:
        """A workspace, with a first key and a one-time log-in link for its administrator: shown here and never again."""
        scope = await self.tree.create_workspace(actor, name)
        key, secret = await self.create_key(SYSTEM(scope), "first administrator", "admin")
        return NewPlace(name, scope.project, key, secret, await self.admin_link(SYSTEM(scope)))

    async def workspace_link(self, actor: Actor, name: str) -> str:
        """A one-time token for the administrator of a workspace, for when nobody of it can get in."""
        return await self.admin_link(SYSTEM(await self.tree.open_workspace(actor, name)))

    async def create_project(self, actor: Actor, name: str) -> NewPlace:
        """A project of the actor's workspace, with a first administrator's key, shown here and never again."""
        scope = await self.tree.create_project(actor, name)
        key, secret = await self.create_key(msgspec.structs.replace(SYSTEM(scope), id=actor.id), "first administrator", "admin")
        return NewPlace(scope.workspace, scope.project, key, secret)

    async def link_to(self, token: str) -> Way:
        """Where a link leads. Looking does not use it. Raises Unauthenticated if it was used, has expired or is not known."""
        found = await self._database.read(store.link_to, self._code("link", token))
        if found is None:
            raise Unauthenticated(USED_LINK)
        return found

    async def switch(self, cookie: str, project: str) -> None:
        """Move a session to another project of its member. Raises Missing where he may not go."""
        try:
            await self._database.write(store.switch_session, self._code("session", cookie), project)
        finally:
            self._forget()

    async def redeem(self, token: str) -> str:
        """Turn a link's token into a session cookie. Raises Unauthenticated if it was used, has expired or is not known."""
        cookie, code, expires_ns = self._new_cookie()
        session = await self._database.write(store.use_link, self._code("link", token), code, expires_ns)
        if session is None:
            raise Unauthenticated(USED_LINK)
        return cookie

    async def login_with_key(self, key: str) -> str:
        """Open a session in the name of a key; it ends when the key does."""
        actor = await self.actor_for_key(key)
        cookie, code, expires_ns = self._new_cookie()
        who = (store.ADMIN_MEMBER, "", True) if actor.id == "local" else ("", actor.id)
        await self._database.write(store.insert_session, actor.scope, code, expires_ns, *who)
        return cookie

    async def logout(self, cookie: str) -> None:
        """End a session. One that has ended already is no error."""
        try:
            await self._database.write(store.delete_session, self._code("session", cookie))
        finally:
            self._forget()

    def _new_cookie(self) -> tuple[str, str, int]:
        cookie = _random("gws_")
        return cookie, self._code("session", cookie), clock.now_ns() + SESSION_S * 1_000_000_000

    # -- starting

    async def ensure_bootstrap(self) -> None:
        """Make workspace `default` with project `default` and its administrator, and take over the settings' admin key."""
        admin_key = self._settings.admin_key
        code, hint = (self._code("key", admin_key), _hint(admin_key)) if admin_key else ("", "")
        await self._database.write(store.bootstrap, Scope(), code, hint)
        self._forget()


def _random(prefix: str) -> str:
    return prefix + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


def _hint(secret: str) -> str:
    return secret[:7] + "…"


def needs(permission: str) -> Callable[[Request], Awaitable[Actor]]:
    """A FastAPI dependency: the request's actor, if it may do this and the path names no other workspace than its own.

    The door (app.py) puts the actor into `scope["actor"]`. `permission` is one of PERMISSIONS, or KNOWN for any actor; it can be
    read back from the dependency's attribute `permission`.
    """
    if permission not in PERMISSIONS | {KNOWN}:
        raise Invalid(f"'{permission}' is not a permission.")

    async def dependency(request: Request) -> Actor:
        actor = request.scope.get("actor")
        if actor is None:
            raise Unauthenticated("This needs a key or a log-in. Nothing was done. Send `Authorization: Bearer gw_…`, or log in.")
        workspace = request.path_params.get("workspace")
        if workspace is not None and workspace != actor.scope.workspace:
            raise Missing(f"There is no workspace '{workspace[:128]}' for you. Yours is '{actor.scope.workspace}'.")
        actor.need(permission)
        return actor

    dependency.permission = permission  # type: ignore[attr-defined]
    return dependency
