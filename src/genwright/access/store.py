"""Tables of access; queries of keys, log-in links and sessions (those of the tree: tree_store.py).

Secrets are here only as HMAC codes; knows nothing of how those are made.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright import audit, clock
from genwright.access.terms import Path
from genwright.access.types import FIRST_PROJECT, Actor, Key, Member, Node, Session
from genwright.db import REGISTRY, Json, insert_new, scoped
from genwright.errors import Conflict, Missing
from genwright.vocab import Scope, nearest, new_id

R = TypeVar("R", bound=msgspec.Struct)

ENVIRONMENT_KEY = "key_environment"
"""Id of the key that the settings name."""
ADMIN_MEMBER = "admin"
"""Id of the person that every workspace begins with."""

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


MOST = {"api_keys": 10_000, "key_nodes": 2_000, "members": 10_000, "projects": 1_000, "workspaces": 10_000}
"""Rows of a table that one project (workspace, server) has at most: lists of them come whole."""


class Found(msgspec.Struct, frozen=True):
    """An actor, and until when that holds (nanoseconds; None: until it is revoked)."""

    actor: Actor
    until_ns: int | None


class Way(msgspec.Struct, frozen=True):
    """What an unused log-in link leads to."""

    workspace: str
    project: str
    member: str
    """The person's name."""


def within(table: sa.Table, scope: Scope) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.workspace == scope.workspace, table.c.project == scope.project)


def records(connection: Connection, table: sa.Table, kind: type[R], *where: Any, order: Any = ()) -> list[R]:
    """The rows as records of this kind."""
    query = sa.select(*(table.c[name] for name in kind.__struct_fields__)).where(*where).order_by(*order)
    return [msgspec.convert(dict(zip(kind.__struct_fields__, row, strict=True)), kind) for row in connection.execute(query)]


def record(connection: Connection, table: sa.Table, kind: type[R], scope: Scope, id: str) -> R | None:
    return next(iter(records(connection, table, kind, within(table, scope), table.c.id == id)), None)


def needed(connection: Connection, table: sa.Table, kind: type[R], scope: Scope, id: str, *where: Any, word: str) -> R:
    """The row of this id. Raises Missing, with the nearest ids, where there is none."""
    mine = [within(table, scope), *where]
    found = records(connection, table, kind, *mine, table.c.id == id)
    if found:
        return found[0]
    near = nearest(id, list(connection.execute(sa.select(table.c.id).where(*mine)).scalars()))
    raise Missing(f"There is no {word} '{id[:100]}'." + (f" Nearest: {', '.join(near)}." if near else ""), nearest=near)


def room_for_one(connection: Connection, table: sa.Table, *where: Any) -> None:
    """Raise Conflict if the table has as many rows like that as it may."""
    most = MOST[table.name]
    if connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one() >= most:
        raise Conflict(
            f"There are {most:,} of these already, which is the limit. Nothing was made. End some first.", retry="never"
        )


# -- set-up


def bootstrap(connection: Connection, scope: Scope, admin_code: str, hint: str) -> None:
    """Make the first workspace; make, change or remove the key that the settings name."""
    now = clock.now_ns()
    insert_place(connection, scope, "settings")
    mine = sa.and_(within(keys, scope), keys.c.id == ENVIRONMENT_KEY)
    known = connection.execute(sa.select(keys.c.code).where(mine)).scalar()
    if known == (admin_code or None):
        return
    connection.execute(sessions.delete().where(within(sessions, scope), sessions.c.key == ENVIRONMENT_KEY))
    connection.execute(keys.delete().where(mine))
    if admin_code:
        where = (scope.workspace, scope.project)
        key = Key(*where, ENVIRONMENT_KEY, "GENWRIGHT_ADMIN_KEY", "admin", "full", hint, now, "settings")
        connection.execute(keys.insert().values(**msgspec.structs.asdict(key), code=admin_code))
    audit.write(connection, scope, "settings", "access.admin_key", ENVIRONMENT_KEY, {"set": bool(admin_code)})


def insert_place(connection: Connection, scope: Scope, by: str) -> None:
    """A project with its workspace and, in a workspace's first project, its administrator: what of it is not there yet."""
    now = clock.now_ns()
    where = {"workspace": scope.workspace, "project": scope.project}
    connection.execute(insert_new(connection, workspaces, workspace=scope.workspace, created_ns=now, created_by=by))
    connection.execute(insert_new(connection, projects, **where, created_ns=now))
    if scope.project == FIRST_PROJECT:
        admin = Member(scope.workspace, scope.project, ADMIN_MEMBER, "Administrator", "admin", now)
        connection.execute(insert_new(connection, members, **msgspec.structs.asdict(admin)))


# -- the way from a project down to a key


def path_to(connection: Connection, scope: Scope, team: str = "", holder: str = "") -> Path | None:
    """What the place under which a key hangs may do; None if a part of the way has ended or is not there."""
    path = Path((f"workspace:{scope.workspace}", f"project:{scope.project}"))
    held: Member | Node | None = None
    if holder:
        held = _service(connection, scope, holder) or record(connection, members, Member, scope, holder)
        if held is None:
            return None
        team = held.team
    if team:
        node = record(connection, nodes, Node, scope, team)
        if node is None or node.ended_ns is not None or node.kind != "team":
            return None
        path = path.under(f"team:{team}", node)
    if held is None:
        return path
    return path.under(f"{'service' if isinstance(held, Node) else 'member'}:{holder}", held)


def _service(connection: Connection, scope: Scope, id: str) -> Node | None:
    node = record(connection, nodes, Node, scope, id)
    return node if node is not None and node.kind == "service" and node.ended_ns is None else None


def way_in(connection: Connection, scope: Scope, member: str) -> Path | None:
    """What a person may do in a project: by his place in it, or as an administrator of the workspace; None: not in it."""
    if scope.project != FIRST_PROJECT:
        first = path_to(connection, Scope(scope.workspace, FIRST_PROJECT), holder=member)
        if first is not None and first.role == "admin":
            return Path((f"workspace:{scope.workspace}", f"project:{scope.project}", f"member:{member}"))
    return path_to(connection, scope, holder=member)


def projects_of(connection: Connection, workspace: str, member: str) -> list[str]:
    """Projects that a person may enter, by name."""
    query = sa.select(projects.c.project).where(projects.c.workspace == workspace).order_by(projects.c.project)
    first = path_to(connection, Scope(workspace, FIRST_PROJECT), holder=member)
    if first is None or first.role != "admin":
        mine = sa.select(members.c.project).where(members.c.workspace == workspace, members.c.id == member)
        query = query.where(projects.c.project.in_(mine))
    return list(connection.execute(query).scalars())


# -- keys


def insert_key(connection: Connection, key: Key, code: str) -> None:
    """Raises Invalid if the key would do more than the place it hangs under, Missing if that is not there."""
    scope = Scope(key.workspace, key.project)
    path = path_to(connection, scope, key.team, key.holder)
    if path is None:
        raise Missing(f"There is no team, member or service account '{(key.holder or key.team)[:100]}' here. Nothing was made.")
    path.refuse_more("The key", key)
    room_for_one(connection, keys, within(keys, scope), keys.c.revoked_ns.is_(None))
    connection.execute(keys.insert().values(**msgspec.structs.asdict(key), code=code))
    told = ("name", "role", "capture", "expires_ns", "team", "holder", "models", "operations", "tags")
    details = {name: getattr(key, name) for name in told if getattr(key, name) or name in told[:4]}
    audit.write(connection, scope, key.created_by, "access.create_key", key.id, details)


def all_keys(connection: Connection, scope: Scope) -> list[Key]:
    """Keys of the project, newest first, revoked ones included."""
    return records(connection, keys, Key, within(keys, scope), order=(keys.c.created_ns.desc(), keys.c.id))


def get_key(connection: Connection, scope: Scope, key_id: str) -> Key:
    return needed(connection, keys, Key, scope, key_id, word="key")


def _changeable(key: Key) -> None:
    if key.id == ENVIRONMENT_KEY:
        raise Conflict(
            "This key comes from the setting GENWRIGHT_ADMIN_KEY and would be back after a restart. Nothing was changed. "
            "Change it in the settings and restart.",
            retry="never",
        )


def revoke_key(connection: Connection, scope: Scope, key_id: str, by: str) -> Key:
    """Mark a key revoked and end its sessions. Revoking again changes nothing."""
    key = get_key(connection, scope, key_id)
    _changeable(key)
    if key.revoked_ns is not None:
        return key
    now = clock.now_ns()
    connection.execute(keys.update().where(within(keys, scope), keys.c.id == key_id).values(revoked_ns=now))
    connection.execute(sessions.delete().where(within(sessions, scope), sessions.c.key == key_id))
    audit.write(connection, scope, by, "access.revoke_key", key_id, {"name": key.name})
    return msgspec.structs.replace(key, revoked_ns=now)


def rotate_key(connection: Connection, scope: Scope, key_id: str, code: str, hint: str, overlap_ns: int, by: str) -> Key:
    """Give a key another secret; the one before is valid for `overlap_ns` longer. With 0 its sessions end, too."""
    key, now = get_key(connection, scope, key_id), clock.now_ns()
    _changeable(key)
    if key.revoked_ns is not None or (key.expires_ns is not None and key.expires_ns <= now):
        raise Conflict("This key was revoked or has expired: a new secret would open nothing. Nothing was changed. Make a key.")
    if overlap_ns and key.old_until_ns is not None and key.old_until_ns > now:
        raise Conflict(
            f"Before the secret in use now there is one ({key.old_hint}) valid until {clock.iso(key.old_until_ns)[:16]}, "
            "and a key has two at most. Nothing was changed. Wait, or rotate without overlap, which ends both."
        )
    mine = sa.and_(within(keys, scope), keys.c.id == key_id)
    old_code = connection.execute(sa.select(keys.c.code).where(mine)).scalar() if overlap_ns else None
    old = {"old_hint": key.hint if overlap_ns else "", "old_until_ns": now + overlap_ns if overlap_ns else None}
    connection.execute(keys.update().where(mine).values(code=code, hint=hint, old_code=old_code, **old))
    if not overlap_ns:
        connection.execute(sessions.delete().where(within(sessions, scope), sessions.c.key == key_id))
    audit.write(connection, scope, by, "access.rotate_key", key_id, {"name": key.name, "overlap_s": overlap_ns // 10**9})
    return msgspec.structs.replace(key, hint=hint, **old)


def mark_used(connection: Connection, used: list[tuple[Scope, str, int]]) -> None:
    """When keys were last used; a time before the known one changes nothing."""
    for scope, key_id, at_ns in used:
        older = sa.or_(keys.c.used_ns.is_(None), keys.c.used_ns < at_ns)
        connection.execute(keys.update().where(within(keys, scope), keys.c.id == key_id, older).values(used_ns=at_ns))


def key_actor(connection: Connection, code: str) -> Found | None:
    """The actor behind a key's code: the one query that is not told a scope, because it finds it."""
    found = records(connection, keys, Key, keys.c.code == code)
    if found:
        return _usable(connection, found[0])
    found = records(connection, keys, Key, keys.c.old_code == code, keys.c.old_until_ns > clock.now_ns())
    return _usable(connection, found[0], found[0].old_until_ns) if found else None


def _usable(connection: Connection, key: Key, until_ns: int | None = None) -> Found | None:
    if key.revoked_ns is not None or (key.expires_ns is not None and key.expires_ns <= clock.now_ns()):
        return None
    scope = Scope(key.workspace, key.project)
    path = path_to(connection, scope, key.team, key.holder)
    if path is None:
        return None
    path = path.under(f"key:{key.id}", key)
    if path.role is None:
        return None
    own = {"default_max_output_tokens": key.default_max_output_tokens, "on_disconnect": key.on_disconnect}
    terms = msgspec.structs.replace(path.terms, **own)
    actor = Actor(scope, key.id, key.name, "key", path.role, key.capture, path.nodes, terms)
    ends = [end for end in (key.expires_ns, until_ns) if end is not None]
    return Found(actor, min(ends, default=None))


# -- links and sessions


def insert_link(connection: Connection, scope: Scope, member: str, code: str, by: str, expires_ns: int, wide: bool) -> None:
    """A way in for a person of the project; `wide`: into his other projects, too, and for the workspace's administrators."""
    if (way_in(connection, scope, member) if wide else record(connection, members, Member, scope, member)) is None:
        raise Missing(f"There is no member '{member[:100]}' in this project. No link was made.")
    now = clock.now_ns()
    connection.execute(links.delete().where(within(links, scope), links.c.expires_ns <= now))
    row = {"workspace": scope.workspace, "project": scope.project, "code": code, "member": member}
    connection.execute(links.insert().values(**row, created_ns=now, expires_ns=expires_ns, wide=wide))
    audit.write(connection, scope, by, "access.admin_link" if member == ADMIN_MEMBER else "access.link", member)


def _fresh(code: str) -> sa.ColumnElement[bool]:
    return sa.and_(links.c.code == code, links.c.used_ns.is_(None), links.c.expires_ns > clock.now_ns())


def link_to(connection: Connection, code: str) -> Way | None:
    """Where an unused link leads; None if it is not known, used or expired. Looking does not use it."""
    row = connection.execute(sa.select(links).where(_fresh(code))).first()
    if row is None:
        return None
    mine = sa.select(members.c.name).where(members.c.workspace == row.workspace, members.c.id == row.member)
    return Way(row.workspace, row.project, connection.execute(mine).scalar() or row.member)


def use_link(connection: Connection, link_code: str, session_code: str, expires_ns: int) -> Session | None:
    """Turn an unused link into a session; None if it is not known, used or expired. At most one caller gets it."""
    used = links.update().where(_fresh(link_code)).values(used_ns=clock.now_ns()).returning(links)
    row = connection.execute(used).first()
    if row is None:
        return None
    return insert_session(connection, Scope(row.workspace, row.project), session_code, expires_ns, row.member, wide=row.wide)


def insert_session(
    connection: Connection, scope: Scope, code: str, expires_ns: int, member: str = "", key: str = "", wide: bool = False
) -> Session:
    """The only place where a session is made: for a member, or in the name of a key."""
    now = clock.now_ns()
    connection.execute(sessions.delete().where(within(sessions, scope), sessions.c.expires_ns <= now))
    session = Session(scope.workspace, scope.project, new_id("ses"), member, key, now, expires_ns, wide)
    connection.execute(sessions.insert().values(**msgspec.structs.asdict(session), code=code))
    audit.write(connection, scope, member or key, "access.login", session.id)
    return session


def session_actor(connection: Connection, code: str) -> Found | None:
    """The actor behind a cookie's code: with the role that the member or key has now."""
    session = next(iter(records(connection, sessions, Session, sessions.c.code == code)), None)
    if session is None or session.expires_ns <= clock.now_ns():
        return None
    scope = Scope(session.workspace, session.project)
    if session.key:
        found = _usable(connection, get_key(connection, scope, session.key))
        if found is None:
            return None
        actor = msgspec.structs.replace(found.actor, kind="session")
        return Found(actor, min(session.expires_ns, found.until_ns or session.expires_ns))
    person = _member_actor(connection, scope, session.member)
    if person is None:
        return None
    others = projects_of(connection, scope.workspace, session.member) if session.wide else []
    others = [project for project in others if project != scope.project]
    return Found(msgspec.structs.replace(person, projects=tuple(others)), session.expires_ns)


def _member_actor(connection: Connection, scope: Scope, member: str) -> Actor | None:
    path = way_in(connection, scope, member)
    if path is None or path.role is None:
        return None
    known = sa.select(members.c.name).where(members.c.workspace == scope.workspace, members.c.id == member)
    name = connection.execute(known).scalar() or member
    return Actor(scope, member, name, "session", path.role, "full", path.nodes, path.terms)


def actor_by_id(connection: Connection, scope: Scope, actor_id: str) -> Actor | None:
    """The actor that began some work, with the rights it has now; None if its key or person may no longer do anything here."""
    here = (keys.c.workspace == scope.workspace, keys.c.project == scope.project)
    found = records(connection, keys, Key, *here, keys.c.id == actor_id)
    if found:
        usable = _usable(connection, found[0])
        return None if usable is None else usable.actor
    return _member_actor(connection, scope, actor_id)


def switch_session(connection: Connection, code: str, project: str) -> None:
    """Move a session to another project of its workspace. Raises Missing where its person may not go."""
    found = session_actor(connection, code)
    if found is None or project not in found.actor.projects:
        raise Missing(f"There is no project '{project[:100]}' that this session may switch to. Nothing was changed.")
    scope = Scope(found.actor.scope.workspace, project)
    connection.execute(sessions.update().where(sessions.c.code == code).values(project=project))
    audit.write(connection, scope, found.actor.id, "access.switch", project, {"from": found.actor.scope.project})


def delete_session(connection: Connection, code: str) -> bool:
    row: Any = connection.execute(sessions.delete().where(sessions.c.code == code).returning(sessions)).first()
    if row is not None:
        audit.write(connection, Scope(row.workspace, row.project), row.member or row.key, "access.logout", row.id)
    return row is not None
