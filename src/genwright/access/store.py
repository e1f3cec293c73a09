"""Tables of access and their queries. Secrets are here only as HMAC codes; knows nothing of how those are made."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright import audit, clock
from genwright.access.types import Actor, Key, Member, Session
from genwright.db import REGISTRY, Json, insert_new, scoped
from genwright.errors import Conflict, Missing
from genwright.vocab import Scope, nearest, new_id

ENVIRONMENT_KEY = "key_environment"
"""Id of the key that the settings name."""
ADMIN_MEMBER = "admin"

workspaces = sa.Table(
    "workspaces",
    REGISTRY,
    sa.Column("workspace", sa.Text, primary_key=True),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
)
projects = sa.Table(
    "projects",
    REGISTRY,
    *scoped(),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project"),
)
members = sa.Table(
    "members",
    REGISTRY,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("team", sa.Text, nullable=False),
    sa.Column("models", Json, nullable=False),
    sa.Column("operations", Json, nullable=False),
    sa.Column("tags", Json, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "id"),
)
nodes = sa.Table(
    "key_nodes",
    REGISTRY,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("team", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("models", Json, nullable=False),
    sa.Column("operations", Json, nullable=False),
    sa.Column("tags", Json, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("ended_ns", sa.BigInteger),
    sa.PrimaryKeyConstraint("workspace", "project", "id"),
)
keys = sa.Table(
    "api_keys",
    REGISTRY,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("capture", sa.Text, nullable=False),
    sa.Column("hint", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False, unique=True),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("expires_ns", sa.BigInteger),
    sa.Column("revoked_ns", sa.BigInteger),
    sa.Column("team", sa.Text, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("models", Json, nullable=False),
    sa.Column("operations", Json, nullable=False),
    sa.Column("default_max_output_tokens", sa.BigInteger, nullable=False),
    sa.Column("on_disconnect", sa.Text, nullable=False),
    sa.Column("tags", Json, nullable=False),
    sa.Column("used_ns", sa.BigInteger),
    sa.Column("old_code", sa.Text),
    sa.Column("old_hint", sa.Text, nullable=False),
    sa.Column("old_until_ns", sa.BigInteger),
    sa.Index("api_keys_by_old_code", "old_code", unique=True),
    sa.PrimaryKeyConstraint("workspace", "project", "id"),
)
sessions = sa.Table(
    "login_sessions",
    REGISTRY,
    *scoped(),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False, unique=True),
    sa.Column("member", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("wide", sa.Boolean, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "id"),
)
links = sa.Table(
    "login_links",
    REGISTRY,
    *scoped(),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("member", sa.Text, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("used_ns", sa.BigInteger),
    sa.Column("wide", sa.Boolean, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "code"),
)


class Found(msgspec.Struct, frozen=True):
    """An actor, and until when that holds (nanoseconds; None: until it is revoked)."""

    actor: Actor
    until_ns: int | None


def _in(table: sa.Table, scope: Scope) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.workspace == scope.workspace, table.c.project == scope.project)


_KEY_COLUMNS = [keys.c[name] for name in Key.__struct_fields__]


# -- set-up


def bootstrap(connection: Connection, scope: Scope, admin_code: str, hint: str) -> None:
    """Make the project and its first member; make, change or remove the key that the settings name."""
    now = clock.now_ns()
    where = {"workspace": scope.workspace, "project": scope.project}
    connection.execute(insert_new(connection, projects, **where, created_ns=now))
    admin = {"id": ADMIN_MEMBER, "name": "Administrator", "role": "admin"}
    connection.execute(insert_new(connection, members, **where, **admin, created_ns=now))
    mine = sa.and_(_in(keys, scope), keys.c.id == ENVIRONMENT_KEY)
    known = connection.execute(sa.select(keys.c.code).where(mine)).scalar()
    if known == (admin_code or None):
        return
    connection.execute(sessions.delete().where(_in(sessions, scope), sessions.c.key == ENVIRONMENT_KEY))
    connection.execute(keys.delete().where(mine))
    if admin_code:
        key = {"id": ENVIRONMENT_KEY, "name": "GENWRIGHT_ADMIN_KEY", "role": "admin", "capture": "full", "hint": hint}
        connection.execute(keys.insert().values(**where, **key, code=admin_code, created_ns=now, created_by="settings"))
    audit.write(connection, scope, "settings", "access.admin_key", ENVIRONMENT_KEY, {"set": bool(admin_code)})


# -- keys


def insert_key(connection: Connection, key: Key, code: str) -> None:
    scope = Scope(key.workspace, key.project)
    connection.execute(keys.insert().values(**msgspec.structs.asdict(key), code=code))
    details = {"name": key.name, "role": key.role, "capture": key.capture, "expires_ns": key.expires_ns}
    audit.write(connection, scope, key.created_by, "access.create_key", key.id, details)


def all_keys(connection: Connection, scope: Scope) -> list[Key]:
    """Keys of the project, newest first, revoked ones included."""
    query = sa.select(*_KEY_COLUMNS).where(_in(keys, scope)).order_by(keys.c.created_ns.desc(), keys.c.id)
    return [Key(*row) for row in connection.execute(query)]


def get_key(connection: Connection, scope: Scope, key_id: str) -> Key:
    row = connection.execute(sa.select(*_KEY_COLUMNS).where(_in(keys, scope), keys.c.id == key_id)).first()
    if row is None:
        known = [key.id for key in all_keys(connection, scope)]
        near = nearest(key_id, known)
        raise Missing(f"There is no key '{key_id}'." + (f" Nearest: {', '.join(near)}." if near else ""), nearest=near)
    return Key(*row)


def revoke_key(connection: Connection, scope: Scope, key_id: str, by: str) -> Key:
    """Mark a key revoked and end its sessions. Revoking again changes nothing."""
    key = get_key(connection, scope, key_id)
    if key.id == ENVIRONMENT_KEY:
        raise Conflict(
            "This key comes from the setting GENWRIGHT_ADMIN_KEY and would be back after a restart. Nothing was changed. "
            "Take it out of the settings and restart.",
            retry="never",
        )
    if key.revoked_ns is not None:
        return key
    now = clock.now_ns()
    connection.execute(keys.update().where(_in(keys, scope), keys.c.id == key_id).values(revoked_ns=now))
    connection.execute(sessions.delete().where(_in(sessions, scope), sessions.c.key == key_id))
    audit.write(connection, scope, by, "access.revoke_key", key_id, {"name": key.name})
    return msgspec.structs.replace(key, revoked_ns=now)


def key_actor(connection: Connection, code: str) -> Found | None:
    """The actor behind a key's code: the one query that is not told a scope, because it finds it."""
    row = connection.execute(sa.select(*_KEY_COLUMNS).where(keys.c.code == code)).first()
    return None if row is None else _usable(Key(*row))


def _usable(key: Key) -> Found | None:
    if key.revoked_ns is not None or (key.expires_ns is not None and key.expires_ns <= clock.now_ns()):
        return None
    actor = Actor(Scope(key.workspace, key.project), key.id, key.name, "key", key.role, key.capture)
    return Found(actor, key.expires_ns)


# -- people, links, sessions


def all_members(connection: Connection, scope: Scope) -> list[Member]:
    columns = [members.c[name] for name in Member.__struct_fields__]
    return [Member(*row) for row in connection.execute(sa.select(*columns).where(_in(members, scope)).order_by(members.c.name))]


def insert_link(connection: Connection, scope: Scope, code: str, by: str, expires_ns: int) -> None:
    now = clock.now_ns()
    connection.execute(links.delete().where(_in(links, scope), links.c.expires_ns <= now))
    row = {"workspace": scope.workspace, "project": scope.project, "code": code, "member": ADMIN_MEMBER}
    connection.execute(links.insert().values(**row, created_ns=now, expires_ns=expires_ns))
    audit.write(connection, scope, by, "access.admin_link", ADMIN_MEMBER)


def use_link(connection: Connection, link_code: str, session_code: str, expires_ns: int) -> Session | None:
    """Turn an unused link into a session; None if it is not known, used or expired. At most one caller gets it."""
    now = clock.now_ns()
    fresh = sa.and_(links.c.code == link_code, links.c.used_ns.is_(None), links.c.expires_ns > now)
    row = connection.execute(links.update().where(fresh).values(used_ns=now).returning(links)).first()
    if row is None:
        return None
    return insert_session(connection, Scope(row.workspace, row.project), session_code, expires_ns, row.member)


def insert_session(connection: Connection, scope: Scope, code: str, expires_ns: int, member: str = "", key: str = "") -> Session:
    """The only place where a session is made: for a member, or in the name of a key."""
    now = clock.now_ns()
    connection.execute(sessions.delete().where(_in(sessions, scope), sessions.c.expires_ns <= now))
    session = Session(scope.workspace, scope.project, new_id("ses"), member, key, now, expires_ns)
    connection.execute(sessions.insert().values(**msgspec.structs.asdict(session), code=code))
    audit.write(connection, scope, member or key, "access.login", session.id)
    return session


def session_actor(connection: Connection, code: str) -> Found | None:
    """The actor behind a cookie's code: with the role that the member or key has now."""
    session = connection.execute(sa.select(sessions).where(sessions.c.code == code)).first()
    if session is None or session.expires_ns <= clock.now_ns():
        return None
    scope = Scope(session.workspace, session.project)
    if session.key:
        found = _usable(get_key(connection, scope, session.key))
        return None if found is None else _session_of(found.actor, min(session.expires_ns, found.until_ns or session.expires_ns))
    member = connection.execute(sa.select(members).where(_in(members, scope), members.c.id == session.member)).first()
    if member is None:
        return None
    return Found(Actor(scope, member.id, member.name, "session", member.role), session.expires_ns)


def _session_of(actor: Actor, until_ns: int) -> Found:
    return Found(msgspec.structs.replace(actor, kind="session"), until_ns)


def delete_session(connection: Connection, code: str) -> bool:
    row: Any = connection.execute(sessions.delete().where(sessions.c.code == code).returning(sessions)).first()
    if row is not None:
        audit.write(connection, Scope(row.workspace, row.project), row.member or row.key, "access.logout", row.id)
    return row is not None
