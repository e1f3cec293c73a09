"""The verbs of access: who is behind a key or a cookie, making and revoking keys, logging in and out.

Keys, cookies and links are 256 random bits; the database knows only their HMAC codes, each kind under its own subkey. Actors are
kept in memory by code, so that a call costs one HMAC. Knows nothing of cookies' attributes, pages or the order of middleware.
"""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Awaitable, Callable

from starlette.requests import Request

from genwright import clock
from genwright.access import store
from genwright.access.types import KNOWN, PERMISSIONS, ROLES, SYSTEM, Actor, Capture, Key, Member, NewKey, Session
from genwright.db import Database
from genwright.errors import Invalid, Missing, Unauthenticated
from genwright.secrets import Secrets
from genwright.settings import Settings
from genwright.vocab import Scope, new_id

__all__ = ["KNOWN", "ROLES", "SYSTEM", "Access", "Actor", "Key", "Member", "NewKey", "Session", "needs"]

LINK_S = 3600
SESSION_S = 7 * 24 * 3600
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

    # -- who is it

    async def actor_for_key(self, key: str) -> Actor:
        """The actor of an API key. Raises Unauthenticated if it is not known, revoked or expired."""
        code = self._code("key", key)
        if hmac.compare_digest(code, self._local_code):
            return Actor(Scope(), "local", "this machine", "key", "admin")
        actor = self._remembered(code) or await self._look_up(code, store.key_actor)
        if actor is None:
            raise Unauthenticated(
                "This key is not known, or was revoked or has expired. Nothing was done. "
                "Make one with `genwright keys create` or on the page Keys."
            )
        return actor

    async def actor_for_session(self, cookie: str) -> Actor:
        """The actor of a log-in cookie. Raises Unauthenticated if the session has ended."""
        code = self._code("session", cookie)
        actor = self._remembered(code) or await self._look_up(code, store.session_actor)
        if actor is None:
            raise Unauthenticated("You are not logged in any more. Nothing was done. Log in again.")
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
        self, actor: Actor, name: str, role: str, capture: Capture = "full", expires_ns: int | None = None
    ) -> tuple[Key, str]:
        """Make a key in the actor's project; the secret is returned here and never again."""
        actor.need("admin")
        if role not in ROLES:
            raise Invalid(f"'{role}' is not a role. Nothing was made. Roles are: {', '.join(ROLES)}.", field="role")
        if capture not in ("full", "metadata", "off"):
            raise Invalid(f"'{capture}' is not a capture. Nothing was made. It is full, metadata or off.", field="capture")
        if not 0 < len(name.strip()) <= 200 or not name.isprintable():
            raise Invalid("A key needs a name of 1 to 200 printable characters. Nothing was made.", field="name")
        if expires_ns is not None and expires_ns <= clock.now_ns():
            raise Invalid("The key would have expired already. Nothing was made. Give a later time.", field="expires_ns")
        secret = _random("gw_")
        key = Key(
            workspace=actor.scope.workspace,
            project=actor.scope.project,
            id=new_id("key"),
            name=name.strip(),
            role=role,
            capture=capture,
            hint=_hint(secret),
            created_ns=clock.now_ns(),
            created_by=actor.id,
            expires_ns=expires_ns,
        )
        await self._database.write(store.insert_key, key, self._code("key", secret))
        return key, secret

    async def list_keys(self, actor: Actor) -> list[Key]:
        """Keys of the actor's project, newest first, revoked ones too."""
        actor.need("admin")
        return await self._database.read(store.all_keys, actor.scope)

    async def revoke_key(self, actor: Actor, key_id: str) -> Key:
        """End a key and the sessions opened with it, at once. Raises Missing for a key of another project."""
        actor.need("admin")
        try:
            return await self._database.write(store.revoke_key, actor.scope, key_id, actor.id)
        finally:
            self._forget()

    def local_key(self) -> str:
        """The credential of processes on this machine that can read the lock file; lives as long as this process."""
        return self._local

    # -- logging in

    async def admin_link(self, by: Actor | None = None) -> str:
        """A one-time token for the log-in page, good for an hour. Only its code is stored."""
        by = by or SYSTEM(Scope())
        by.need("admin")
        token = _random("gwl_")
        expires_ns = clock.now_ns() + LINK_S * 1_000_000_000
        await self._database.write(store.insert_link, by.scope, self._code("link", token), by.id, expires_ns)
        return token

    async def redeem(self, token: str) -> str:
        """Turn a link's token into a session cookie. Raises Unauthenticated if it was used, has expired or is not known."""
        cookie, code, expires_ns = self._new_cookie()
        session = await self._database.write(store.use_link, self._code("link", token), code, expires_ns)
        if session is None:
            raise Unauthenticated(
                "This link was used already, or is older than an hour. Nobody was logged in. "
                "Make a new one with `genwright keys link` on the server's machine, or log in with a key."
            )
        return cookie

    async def login_with_key(self, key: str) -> str:
        """Open a session in the name of a key; it ends when the key does."""
        actor = await self.actor_for_key(key)
        cookie, code, expires_ns = self._new_cookie()
        who = (store.ADMIN_MEMBER, "") if actor.id == "local" else ("", actor.id)
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

    # -- the project

    async def ensure_bootstrap(self) -> None:
        """Make workspace `default` with project `default` and its administrator, and take over the settings' admin key."""
        admin_key = self._settings.admin_key
        code, hint = (self._code("key", admin_key), _hint(admin_key)) if admin_key else ("", "")
        await self._database.write(store.bootstrap, Scope(), code, hint)
        self._forget()

    async def members(self, actor: Actor) -> list[Member]:
        """People of the actor's project, by name."""
        actor.need("admin")
        return await self._database.read(store.all_members, actor.scope)


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
