"""Keys, sessions and links: found at once, ended at once, never stored."""

import asyncio
import base64
import hashlib
import urllib.parse

import msgspec
import pytest
import sqlalchemy as sa

from genwright.access import store
from genwright.access.service import LINK_S, SESSION_S, Access
from genwright.access.types import KNOWN, PERMISSIONS, ROLES, SYSTEM, Actor
from genwright.audit import Audit
from genwright.db import REGISTRY
from genwright.errors import Conflict, Forbidden, Invalid, Missing, Unauthenticated
from genwright.secrets import Secrets
from genwright.settings import Settings
from genwright.vocab import Scope

ADMIN_KEY = "an-admin-key-of-enough-letters"


@pytest.fixture
async def access(databases, settings, home):
    made = Access(databases["registry"], Secrets(home), settings)
    await made.ensure_bootstrap()
    return made


@pytest.fixture
def stranger():
    """An administrator of another workspace."""
    return Actor(Scope("other"), "key_other", "other", "key", "admin")


def test_roles_are_what_the_docs_say():
    assert {role: set(permissions) for role, permissions in ROLES.items()} == {
        "caller": {"call"},
        "viewer": {"read"},
        "reviewer": {"read", "score"},
        "editor": {"read", "score", "call", "write"},
        "releaser": {"read", "score", "call", "write", "promote"},
        "admin": set(PERMISSIONS),
    }


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
def test_an_actor_may_what_its_role_holds(role, permission):
    actor = Actor(Scope(), "k", "n", "key", role)
    assert actor.may(permission) == (permission in ROLES[role])
    assert actor.may(KNOWN)
    if permission in ROLES[role]:
        actor.need(permission)
    else:
        with pytest.raises(Forbidden, match=permission):
            actor.need(permission)


async def test_a_key_is_found_and_carries_what_it_was_made_with(access, actor):
    key, secret = await access.create_key(actor, " bot ", "editor", "metadata")
    assert secret.startswith("gw_")
    assert len(secret) == 46
    for _ in range(2):
        nodes = ("workspace:default", "project:default", f"key:{key.id}")
        assert await access.actor_for_key(secret) == Actor(actor.scope, key.id, "bot", "key", "editor", "metadata", nodes)
    assert key.created_by == actor.id
    assert [row.id for row in await access.list_keys(actor)] == [key.id]


@pytest.mark.parametrize("junk", ["", "gw_", "gw_" + "A" * 43, "x" * 100_000, "ключ", "\0", "\ud800", "' OR 1=1 --"])
async def test_junk_is_no_key(access, junk):
    with pytest.raises(Unauthenticated):
        await access.actor_for_key(junk)
    with pytest.raises(Unauthenticated):
        await access.actor_for_session(junk)
    with pytest.raises(Unauthenticated):
        await access.redeem(junk)
    with pytest.raises(Unauthenticated):
        await access.login_with_key(junk)


async def test_secrets_of_one_sort_do_not_serve_as_another(access, actor):
    _, secret = await access.create_key(actor, "k", "admin")
    link = await access.admin_link()
    cookie = await access.login_with_key(secret)
    for wrong in (link, cookie):
        with pytest.raises(Unauthenticated):
            await access.actor_for_key(wrong)
    for wrong in (link, secret):
        with pytest.raises(Unauthenticated):
            await access.actor_for_session(wrong)
    for wrong in (cookie, secret):
        with pytest.raises(Unauthenticated):
            await access.redeem(wrong)


async def test_a_revoked_key_ends_at_once_with_its_sessions(access, actor):
    key, secret = await access.create_key(actor, "k", "caller")
    cookie = await access.login_with_key(secret)
    assert (await access.actor_for_key(secret)).id == key.id
    assert (await access.actor_for_session(cookie)).kind == "session"
    revoked = await access.revoke_key(actor, key.id)
    assert revoked.revoked_ns is not None
    with pytest.raises(Unauthenticated):
        await access.actor_for_key(secret)
    with pytest.raises(Unauthenticated):
        await access.actor_for_session(cookie)
    assert (await access.revoke_key(actor, key.id)).revoked_ns == revoked.revoked_ns
    assert [row.revoked_ns for row in await access.list_keys(actor)] == [revoked.revoked_ns]


async def test_no_look_up_that_began_before_a_revocation_outlives_it(access, actor):
    for _ in range(20):
        key, secret = await access.create_key(actor, "k", "caller")
        looks = [asyncio.create_task(_quiet(access.actor_for_key(secret))) for _ in range(8)]
        await asyncio.gather(access.revoke_key(actor, key.id), *looks)
        with pytest.raises(Unauthenticated):
            await access.actor_for_key(secret)


async def _quiet(look):
    try:
        return await look
    except Unauthenticated:
        return None


async def test_a_key_expires(access, actor, clock):
    _, secret = await access.create_key(actor, "k", "caller", expires_ns=clock.now_ns + 60 * 10**9)
    cookie = await access.login_with_key(secret)
    clock.advance(59)
    await access.actor_for_key(secret)
    await access.actor_for_session(cookie)
    clock.advance(2)
    with pytest.raises(Unauthenticated):
        await access.actor_for_key(secret)
    with pytest.raises(Unauthenticated):
        await access.actor_for_session(cookie)


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "root"},
        {"capture": "some"},
        {"name": ""},
        {"name": " "},
        {"name": "a\nb"},
        {"name": "x" * 201},
        {"expires_ns": 1},
    ],
)
async def test_a_wrong_key_is_refused_by_field(access, actor, wrong):
    with pytest.raises(Invalid) as caught:
        await access.create_key(actor, **{"name": "k", "role": "caller", **wrong})
    assert caught.value.details["field"] == next(iter(wrong))
    assert await access.list_keys(actor) == []


@pytest.mark.parametrize("role", [role for role in ROLES if role != "admin"])
async def test_only_administrators_manage_keys(access, actor, role):
    low = msgspec.structs.replace(actor, role=role)
    key, secret = await access.create_key(actor, "k", "caller")
    for attempt in (
        access.create_key(low, "k", "admin"), access.list_keys(low), access.revoke_key(low, key.id), access.admin_link(low),
        access.tree.members(low),
    ):  # fmt: skip
        with pytest.raises(Forbidden):
            await attempt
    await access.actor_for_key(secret)


async def test_workspaces_see_nothing_of_each_others_keys(access, actor, stranger):
    key, secret = await access.create_key(actor, "k", "caller")
    assert await access.list_keys(stranger) == []
    assert await access.tree.members(stranger) == []
    with pytest.raises(Missing) as caught:
        await access.revoke_key(stranger, key.id)
    assert caught.value.details["nearest"] == []
    await access.actor_for_key(secret)


async def test_a_project_is_a_wall_too(access, actor):
    key, _ = await access.create_key(actor, "k", "caller")
    beside = msgspec.structs.replace(actor, scope=Scope("default", "second"))
    assert await access.list_keys(beside) == []
    with pytest.raises(Missing):
        await access.revoke_key(beside, key.id)


async def test_an_unknown_key_id_names_the_nearest(access, actor):
    key, _ = await access.create_key(actor, "k", "caller")
    with pytest.raises(Missing, match=key.id):
        await access.revoke_key(actor, key.id[:-1])


async def test_a_link_works_once(access):
    token = await access.admin_link()
    results = await asyncio.gather(*(access.redeem(token) for _ in range(16)), return_exceptions=True)
    cookies = [result for result in results if isinstance(result, str)]
    assert len(cookies) == 1
    assert all(isinstance(result, (str, Unauthenticated)) for result in results)
    actor = await access.actor_for_session(cookies[0])
    assert (actor.id, actor.role, actor.kind, actor.scope) == ("admin", "admin", "session", Scope())


async def test_a_link_lasts_an_hour(access, clock):
    token, other = await access.admin_link(), await access.admin_link()
    clock.advance(LINK_S - 1)
    await access.redeem(token)
    clock.advance(2)
    with pytest.raises(Unauthenticated, match="hour"):
        await access.redeem(other)


async def test_a_session_ends_by_time_and_by_logging_out(access, clock):
    first, second = await access.redeem(await access.admin_link()), await access.redeem(await access.admin_link())
    await access.actor_for_session(first)
    await access.logout(first)
    await access.logout(first)
    with pytest.raises(Unauthenticated):
        await access.actor_for_session(first)
    await access.actor_for_session(second)
    clock.advance(SESSION_S + 1)
    with pytest.raises(Unauthenticated):
        await access.actor_for_session(second)


async def test_the_local_key_lives_in_this_process_only(access, databases, settings, home):
    local = await access.actor_for_key(access.local_key())
    assert (local.id, local.role, local.scope) == ("local", "admin", Scope())
    assert (await access.actor_for_session(await access.login_with_key(access.local_key()))).role == "admin"
    with pytest.raises(Unauthenticated):
        await Access(databases["registry"], Secrets(home), settings).actor_for_key(access.local_key())


async def test_the_settings_key_comes_changes_and_goes(databases, home):
    def start(key):
        return Access(databases["registry"], Secrets(home), Settings(home=str(home), admin_key=key))

    first = start(ADMIN_KEY)
    await first.ensure_bootstrap()
    await first.ensure_bootstrap()
    actor = await first.actor_for_key(ADMIN_KEY)
    assert (actor.role, actor.scope, actor.name) == ("admin", Scope(), "GENWRIGHT_ADMIN_KEY")
    cookie = await first.login_with_key(ADMIN_KEY)
    with pytest.raises(Conflict, match="settings"):
        await first.revoke_key(actor, actor.id)
    second = start(ADMIN_KEY + "-2")
    await second.ensure_bootstrap()
    assert (await second.actor_for_key(ADMIN_KEY + "-2")).role == "admin"
    with pytest.raises(Unauthenticated):
        await second.actor_for_key(ADMIN_KEY)
    with pytest.raises(Unauthenticated):
        await second.actor_for_session(cookie)
    third = start("")
    await third.ensure_bootstrap()
    with pytest.raises(Unauthenticated):
        await third.actor_for_key(ADMIN_KEY + "-2")
    assert await third.list_keys(SYSTEM(Scope())) == []


async def test_another_master_key_knows_no_old_key(access, actor, databases, settings, tmp_path):
    _, secret = await access.create_key(actor, "k", "caller")
    with pytest.raises(Unauthenticated):
        await Access(databases["registry"], Secrets(tmp_path / "elsewhere"), settings).actor_for_key(secret)


async def test_no_secret_is_in_the_database_in_any_writing(access, actor, databases, home, database_url):
    secrets = [(await access.create_key(actor, f"k{n}", "caller"))[1] for n in range(20)]
    links = [await access.admin_link() for _ in range(3)]
    cookies = [await access.redeem(links[0]), await access.login_with_key(secrets[0])]
    dump = _dump(databases["registry"], home, database_url)
    assert f"k{7}".encode() in dump
    for secret in [*secrets, *links, *cookies, access.local_key()]:
        bare = secret[-43:]  # 32 random bytes in base64
        for text in (secret, bare):
            data = text.encode()
            writings = [data, base64.b64encode(data), data.hex().encode(), urllib.parse.quote(text).encode()]
            writings += [hashlib.sha256(data).hexdigest().encode(), hashlib.sha256(data).digest()]
            assert [writing for writing in writings if writing in dump] == []
        assert base64.urlsafe_b64decode(bare + "=") not in dump


def _dump(database, home, database_url):
    """Every byte of the database: its files on SQLite, every value of every table on PostgreSQL."""
    if not database_url:
        return b"".join(file.read_bytes() for file in home.glob("registry.sqlite*"))
    with database.engine.connect() as connection:
        rows = [row for table in REGISTRY.tables.values() for row in connection.execute(sa.select(table))]
    return b"\n".join(repr(value).encode() for row in rows for value in row)


async def test_what_was_done_is_in_the_audit_log(access, actor, databases):
    key, secret = await access.create_key(actor, "k", "caller")
    await access.login_with_key(secret)
    await access.revoke_key(actor, key.id)
    await access.redeem(await access.admin_link(actor))
    log = Audit(databases["registry"])
    events = {event.action: event for event in await log.list(actor.scope)}
    assert set(events) == {"access.create_key", "access.login", "access.revoke_key", "access.admin_link"}
    assert (events["access.revoke_key"].by, events["access.revoke_key"].target) == (actor.id, key.id)
    assert (await log.verify(actor.scope)).sound


async def test_a_replica_sees_a_revocation_within_a_second(access, actor, databases, settings, home, monkeypatch):
    """On PostgreSQL two servers share the database; what the other has in memory is looked up again in time."""
    other = Access(databases["registry"], Secrets(home), settings)
    other._look_again_s = access._look_again_s
    key, secret = await access.create_key(actor, "k", "caller")
    await other.actor_for_key(secret)
    await access.revoke_key(actor, key.id)
    now = [store.clock.monotonic() + 1.0]
    monkeypatch.setattr("genwright.clock.monotonic", lambda: now[0])
    if databases["registry"].postgres:
        with pytest.raises(Unauthenticated):
            await other.actor_for_key(secret)
    else:
        assert other._look_again_s == float("inf")  # one server per file: the lock sees to it
