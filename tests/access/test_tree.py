"""The key tree: a child does no more than its parent, when it is made and whenever it is used; rotation; time of use; upgrade."""

import itertools
import random
from fnmatch import fnmatchcase

import msgspec
import pytest
import sqlalchemy as sa

from genwright import migrate
from genwright.access import store
from genwright.access.service import Access
from genwright.access.terms import Path, both, covers, lower_role
from genwright.access.types import (
    NOTHING,
    PERMISSIONS,
    ROLES,
    SYSTEM,
    Changes,
    Member,
    NewMember,
    NewNode,
    Node,
    Terms,
    Under,
)
from genwright.db import Database
from genwright.errors import Conflict, Error, Forbidden, Invalid, Missing, Unauthenticated
from genwright.secrets import Secrets
from genwright.settings import Settings
from genwright.vocab import Scope

HOUR_NS = 3600 * 10**9


@pytest.fixture
async def access(databases, settings, home):
    made = Access(databases["registry"], Secrets(home), settings)
    await made.ensure_bootstrap()
    yield made
    await made.close()


# -- pure


def patterns(seed, count):
    draw = random.Random(seed)
    return tuple("".join(draw.choice("ab/*") for _ in range(draw.randint(1, 4))) for _ in range(count))


NAMES = ["".join(name) for length in range(1, 5) for name in itertools.product("ab/", repeat=length)]


def matched(some):
    return {name for name in NAMES if not some or any(fnmatchcase(name, pattern) for pattern in some)}


def test_what_a_child_matches_lies_within_what_its_parent_matches():
    covered = 0
    for seed in range(1000):
        parent, child = patterns(seed, 1 + seed % 3), patterns(seed + 1000, 1 + seed % 2)
        if covers(parent, child):
            covered += 1
            assert matched(child) <= matched(parent), (parent, child)
        assert matched(both(parent, child)) <= matched(parent) & matched(child), (parent, child)
    assert covered > 30


def test_lists_of_models_narrow():
    assert covers((), ("anything/*",))
    assert not covers(("openai/*",), ()), "everything is more than something"
    assert covers(("openai/*",), ("openai/gpt-*", "openai/o3"))
    assert not covers(("openai/gpt-*",), ("openai/*",))
    assert both(("openai/*", "local/*"), ("openai/gpt-*", "anthropic/*")) == ("openai/gpt-*",)
    assert both(("openai/gpt-4o",), ("openai/*",)) == ("openai/gpt-4o",)
    assert both(("a/*",), ("b/*",)) == NOTHING
    assert both(NOTHING, ("*",)) == NOTHING
    assert matched(both(("a*",), ("*b",))) <= matched(("a*",)) & matched(("*b",))


@pytest.mark.parametrize(("one", "other"), [*itertools.product(ROLES, ROLES)])
def test_of_two_roles_what_both_may_is_left(one, other):
    left = lower_role(one, other)
    common = ROLES[one] & ROLES[other]
    assert (ROLES[left] if left else frozenset()) <= common
    assert left == lower_role(other, one)
    if ROLES[one] <= ROLES[other]:
        assert left == one


def test_a_limited_administrator_is_none():
    record = Member("w", "p", "m", "n", "admin", 0, models=("local/*",))
    assert Path(()).under("member:m", record).role == "releaser"
    with pytest.raises(Invalid, match="could lift any limit"):
        Path(()).refuse_more("The member", record)


# -- made


async def test_a_key_carries_its_place_and_terms(access, actor):
    team = await access.tree.add_node(actor, "team", NewNode("t", "editor", models=("local/*",), tags={"center": "1"}))
    ada = await access.tree.add_member(actor, NewMember("Ada", "editor", team.id, operations=("chat",)))
    under = Under(
        member=ada.id, models=("local/extractive",), default_max_output_tokens=7, on_disconnect="drain", tags={"a": "b"}
    )
    key, secret = await access.create_key(actor, "k", "caller", under=under)
    found = await access.actor_for_key(secret)
    assert found.nodes == ("workspace:default", "project:default", f"team:{team.id}", f"member:{ada.id}", f"key:{key.id}")
    assert found.terms == Terms(("local/extractive",), ("chat",), 7, "drain", {"a": "b", "center": "1"})
    assert await access.actor_for_key(secret) is found, "kept in memory with its terms"
    names = await access.tree.names(actor)
    assert [names[node] for node in found.nodes] == ["default", "default", "t", "Ada", "k"]
    person = await access.actor_for_session(await access.redeem(await access.member_link(actor, ada.id)))
    assert (person.nodes, person.terms.operations) == (found.nodes[:-1], ("chat",))


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("role", {"role": "editor"}),
        ("role", {"role": "admin"}),
        ("role", {"role": "viewer"}),
        ("models", {"models": ("openai/*",)}),
        ("models", {"models": ("local/*", "openai/gpt-4o")}),
        ("models", {"models": ("local/a?",)}),
        ("models", {"models": ("local/[ab]",)}),
        ("models", {"models": ("",)}),
        ("models", {"models": tuple(f"local/{n}" for n in range(101))}),
        ("operations", {"operations": ("embeddings",)}),
        ("operations", {"operations": ("everything",)}),
        ("tags", {"tags": {"center": "2"}}),
        ("tags", {"tags": {"a b": "2"}}),
        ("tags", {"tags": {"a": "x\n"}}),
        ("tags", {"tags": {f"t{n}": "x" for n in range(21)}}),
    ],
)
async def test_nothing_under_a_team_does_more_than_the_team(access, actor, field, wrong):
    bounds = {"models": ("local/*",), "operations": ("chat",), "tags": {"center": "1"}}
    team = await access.tree.add_node(actor, "team", NewNode("t", "caller", **bounds))
    role, more = wrong.get("role", "caller"), {name: value for name, value in wrong.items() if name != "role"}
    for attempt in (
        access.create_key(actor, "k", role, under=Under(team=team.id, **more)),
        access.tree.add_node(actor, "service", NewNode("s", role, team.id, **more)),
        access.tree.add_member(actor, NewMember("m", role, team.id, **more)),
    ):
        with pytest.raises(Invalid) as caught:
            await attempt
        assert caught.value.details["field"] == field
    assert await access.list_keys(actor) == []
    assert [node.id for node in await access.tree.nodes(actor)] == [team.id]


async def test_a_place_that_is_not_there_takes_no_key(access, actor):
    team = await access.tree.add_node(actor, "team", NewNode("t"))
    service = await access.tree.add_node(actor, "service", NewNode("s"))
    elsewhere = SYSTEM(Scope("other"))
    for under in (Under(team="team_x"), Under(member="mem_x"), Under(service="svc_x"), Under(team=service.id)):
        with pytest.raises(Missing):
            await access.create_key(actor, "k", "caller", under=under)
    with pytest.raises(Invalid, match="under one"):
        await access.create_key(actor, "k", "caller", under=Under(team=team.id, service=service.id))
    for attempt in (
        access.create_key(elsewhere, "k", "caller", under=Under(team=team.id)),
        access.create_key(elsewhere, "k", "caller", under=Under(project="default", service=service.id)),
        access.tree.change_node(elsewhere, "team", team.id, Changes(role="admin")),
        access.tree.remove_node(elsewhere, "service", service.id),
        access.tree.add_member(elsewhere, NewMember("m", team=team.id)),
        access.tree.change_member(elsewhere, "admin", Changes(role="viewer")),
        access.member_link(elsewhere, "mem_x"),
    ):
        with pytest.raises(Missing):
            await attempt
    assert await access.tree.nodes(elsewhere) == []


# -- used


async def test_a_parent_narrowed_later_narrows_what_hangs_under_it(access, actor):
    team = await access.tree.add_node(actor, "team", NewNode("t", "editor"))
    service = await access.tree.add_node(actor, "service", NewNode("s", "editor", team.id))
    _, secret = await access.create_key(actor, "k", "editor", under=Under(service=service.id, models=("openai/*",)))

    async def seen():
        found = await access.actor_for_key(secret)
        return found.role, found.terms.models

    assert await seen() == ("editor", ("openai/*",))
    await access.tree.change_node(actor, "team", team.id, Changes(models=("openai/gpt-*", "local/*"), role="reviewer"))
    assert await seen() == ("reviewer", ("openai/gpt-*",))
    await access.tree.change_node(actor, "team", team.id, Changes(models=("local/*",)))
    assert await seen() == ("reviewer", NOTHING)
    await access.tree.change_node(actor, "team", team.id, Changes(models=()))
    assert await seen() == ("reviewer", ("openai/*",))
    await access.tree.change_node(actor, "team", team.id, Changes(role="caller"))
    await access.tree.change_node(actor, "service", service.id, Changes(team=""))
    assert await seen() == ("editor", ("openai/*",)), "out of the team, out of its bounds"
    await access.tree.remove_node(actor, "service", service.id)
    with pytest.raises(Unauthenticated):
        await seen()


async def test_roles_with_nothing_in_common_leave_nothing(access, actor):
    team = await access.tree.add_node(actor, "team", NewNode("t", "editor"))
    _, secret = await access.create_key(actor, "k", "caller", under=Under(team=team.id))
    await access.actor_for_key(secret)
    await access.tree.change_node(actor, "team", team.id, Changes(role="viewer"))
    with pytest.raises(Unauthenticated):
        await access.actor_for_key(secret)


async def test_a_team_with_an_administrator_is_not_given_limits_that_he_could_lift(access, actor):
    team = await access.tree.add_node(actor, "team", NewNode("t", "admin"))
    ada = await access.tree.add_member(actor, NewMember("Ada", "admin", team.id))
    with pytest.raises(Invalid):
        await access.tree.change_node(actor, "team", team.id, Changes(models=("local/*",)))
    await access.tree.change_node(actor, "team", team.id, Changes(models=("local/*",), role="releaser"))
    person = await access.actor_for_session(await access.redeem(await access.member_link(actor, ada.id)))
    assert (person.role, person.terms.models) == ("releaser", ("local/*",))


async def test_a_member_who_leaves_takes_keys_and_sessions_with_him(access, actor):
    ada = await access.tree.add_member(actor, NewMember("Ada", "editor"))
    _, secret = await access.create_key(actor, "k", "editor", under=Under(member=ada.id))
    cookie = await access.redeem(await access.member_link(actor, ada.id))
    link = await access.member_link(actor, ada.id)
    await access.tree.remove_member(actor, ada.id)
    for attempt in (access.actor_for_key(secret), access.actor_for_session(cookie)):
        with pytest.raises(Unauthenticated):
            await attempt
    late = await access.redeem(link)
    with pytest.raises(Unauthenticated):
        await access.actor_for_session(late)
    assert [row.revoked_ns is not None for row in await access.list_keys(actor)] == [True]
    assert (await access.tree.add_member(actor, NewMember("Ada"))).id != ada.id, "who comes again is not who left"


# -- no field beyond one's role (S4)


FIELDS = sorted(
    {
        field
        for record in (store.Key, Member, Node, store.Actor, Terms, store.Session, Under, NewMember, NewNode, Changes)
        for field in record.__struct_fields__
    }
    | {"permissions", "scope", "code", "secret", "wide", "admin", "kind", "user_role", "allowed_routes", "old_code"}
)


@pytest.mark.parametrize("role", [*ROLES, "side"])
async def test_every_known_field_sent_to_every_write_route_changes_nothing_beyond_the_role(web, role):
    """`side` is an administrator of another project. Who may write at all may write the listed fields, within his own project."""
    system = SYSTEM(Scope())
    team = await web.access.tree.add_node(system, "team", NewNode("t", "editor"))
    ada = await web.access.tree.add_member(system, NewMember("Ada", "viewer"))
    target, _ = await web.access.create_key(system, "target", "viewer")
    secret = (await web.access.create_project(system, "side")).secret if role == "side" else await web.key(role)
    me = (await web.request("GET", "/api/access/me", key=secret)).json()
    writes = {
        f"/api/access/keys/{target.id}/rotate": {}, f"/api/access/members/{ada.id}": {"role": "viewer"},
        f"/api/access/teams/{team.id}": {"role": "editor"}, f"/api/access/members/{ada.id}/link": {},
        "/api/access/workspaces/default/link": {},
    }  # fmt: skip
    writes |= {
        f"/api/access/{what}": {"name": "x"} for what in ("keys", "members", "teams", "services", "projects", "workspaces")
    }
    if role == "admin":
        writes = {path: body for path, body in writes.items() if not path.endswith(("/rotate", "/link"))}
    before = await everything(web)
    allowed = {"name", "role", "capture", "expires_ns", "project", *Under.__struct_fields__, *NewMember.__struct_fields__}
    for path, body in writes.items():
        for field in FIELDS:
            answer = await web.request("POST", path, key=secret, json={**body, field: "admin" if "role" in field else "default"})
            if role not in ("admin", "side"):
                assert answer.status_code == 403, (path, field)
            elif field not in allowed:
                assert answer.status_code in (400, 403, 404), (path, field, answer.text)
                assert answer.status_code != 400 or answer.json()["error"]["code"] in ("unknown_field", "invalid_body"), (
                    answer.text
                )
    after = await everything(web)
    if role != "admin":
        assert after == before
    assert (await web.request("GET", "/api/access/me", key=secret)).json() == me


async def everything(web):
    """What is there in the first project, and which places there are."""
    system, tree = SYSTEM(Scope()), web.access.tree
    keys = [msgspec.structs.replace(key, used_ns=None) for key in await web.access.list_keys(system)]
    rows = (await tree.members(system), await tree.nodes(system), await tree.projects(system), await tree.workspaces(system))
    return (keys, *rows)


@pytest.mark.parametrize("role", [role for role in ROLES if role != "admin"])
async def test_only_administrators_change_the_tree(access, actor, role):
    low = msgspec.structs.replace(actor, role=role)
    tree = access.tree
    for attempt in (
        tree.members(low), tree.nodes(low), tree.names(low), tree.add_member(low, NewMember("x")),
        tree.change_member(low, "admin", Changes(role="viewer")), tree.remove_member(low, "admin"),
        tree.add_node(low, "team", NewNode("x")), tree.change_node(low, "team", "x", Changes(role="admin")),
        tree.remove_node(low, "team", "x"), access.create_project(low, "x"), access.create_workspace(low, "x"),
        access.member_link(low, "admin"), access.workspace_link(low, "default"), access.rotate_key(low, "x"),
    ):  # fmt: skip
        with pytest.raises(Forbidden):
            await attempt
    assert PERMISSIONS - ROLES[role]


# -- rotation and time of use


async def test_a_rotated_secret_works_until_its_overlap_ends(access, actor, clock):
    key, old = await access.create_key(actor, "k", "caller")
    changed, new = await access.rotate_key(actor, key.id, 3600)
    assert (changed.id, changed.old_hint, changed.old_until_ns) == (key.id, key.hint, clock.now_ns + HOUR_NS)
    assert (await access.actor_for_key(old)) == (await access.actor_for_key(new))
    clock.advance(3599)
    await access.actor_for_key(old)
    clock.advance(1)
    with pytest.raises(Unauthenticated):
        await access.actor_for_key(old)
    await access.actor_for_key(new)
    _, newest = await access.rotate_key(actor, key.id, 60)
    await access.revoke_key(actor, key.id)
    for secret in (new, newest):
        with pytest.raises(Unauthenticated):
            await access.actor_for_key(secret)


async def test_a_rotation_without_overlap_ends_the_secret_and_its_sessions(access, actor):
    key, old = await access.create_key(actor, "k", "viewer")
    cookie = await access.login_with_key(old)
    await access.actor_for_session(cookie)
    _, new = await access.rotate_key(actor, key.id)
    for attempt in (access.actor_for_key(old), access.actor_for_session(cookie)):
        with pytest.raises(Unauthenticated):
            await attempt
    assert (await access.actor_for_key(new)).id == key.id


async def test_what_cannot_be_rotated_is_said(databases, home, actor, clock):
    access = Access(databases["registry"], Secrets(home), Settings(home=str(home), admin_key="x" * 30))
    await access.ensure_bootstrap()
    revoked, _ = await access.create_key(actor, "a", "caller")
    expired, _ = await access.create_key(actor, "b", "caller", expires_ns=clock.now_ns + 1)
    await access.revoke_key(actor, revoked.id)
    clock.advance(1)
    for key_id in (revoked.id, expired.id, "key_environment"):
        with pytest.raises(Conflict):
            await access.rotate_key(actor, key_id, 60)
    for overlap_s in (-1, 91 * 86400, float("nan"), float("inf")):
        with pytest.raises(Invalid):
            await access.rotate_key(actor, expired.id, overlap_s)
    with pytest.raises(Missing):
        await access.rotate_key(SYSTEM(Scope("other")), expired.id)


async def test_time_of_use_is_written_later_and_never_by_the_call(access, actor, databases, clock):
    _, secret = await access.create_key(actor, "k", "caller")
    written = []
    submit = databases["registry"].submit
    databases["registry"].submit = lambda *args, **more: written.append(args[0]) or submit(*args, **more)
    for _ in range(100):
        await access.actor_for_key(secret)
    assert written == []
    assert (await access.list_keys(actor))[0].used_ns == clock.now_ns
    assert written == [store.mark_used]
    clock.advance(5)
    await access.actor_for_key(secret)
    await access.close()
    assert written == [store.mark_used] * 2
    assert (await access.list_keys(actor))[0].used_ns == clock.now_ns
    await access.create_key(actor, "other", "caller")


# -- limits and upgrade


async def test_no_list_grows_without_end(access, actor, monkeypatch):
    monkeypatch.setattr(store, "MOST", dict.fromkeys(store.MOST, 1))
    first, _ = await access.create_key(actor, "k", "caller")
    await access.tree.add_node(actor, "team", NewNode("t"))
    for attempt in (
        access.create_key(actor, "more", "caller"), access.tree.add_node(actor, "service", NewNode("more")),
        access.tree.add_member(actor, NewMember("more")), access.create_project(actor, "more"),
        access.create_workspace(actor, "more"),
    ):  # fmt: skip
        with pytest.raises(Conflict, match="limit"):
            await attempt
    await access.revoke_key(actor, first.id)
    await access.create_key(actor, "again", "caller")


async def test_keys_members_and_sessions_of_the_first_schema_go_on(tmp_path):
    database = Database("registry", f"sqlite:///{tmp_path / 'registry.sqlite'}")
    secrets = Secrets(tmp_path)
    migrate.migrate(database, "0001")
    rows = {
        "projects": {"created_ns": 5},
        "members": {"id": "admin", "name": "Administrator", "role": "admin", "created_ns": 5},
        "api_keys": {
            "id": "key_1", "name": "k", "role": "editor", "capture": "full", "hint": "gw_old", "created_ns": 6,
            "code": secrets.hmac("key", b"gw_old"), "created_by": "admin",
        },
        "login_sessions": {
            "id": "ses_1", "member": "admin", "key": "", "code": secrets.hmac("session", b"gws_old"), "created_ns": 6,
            "expires_ns": 2**62,
        },
    }  # fmt: skip
    with database.engine.connect() as connection:
        for table, row in rows.items():
            fields = {"workspace": "default", "project": "default", **row}
            connection.execute(sa.table(table, *map(sa.column, fields)).insert().values(**fields))
    migrate.migrate(database)
    access = Access(database, secrets, Settings(home=str(tmp_path)))
    await access.ensure_bootstrap()
    actor = await access.actor_for_key("gw_old")
    assert (actor.id, actor.role, actor.terms, actor.nodes[-1]) == ("key_1", "editor", Terms(), "key:key_1")
    admin = await access.actor_for_session("gws_old")
    assert (admin.id, admin.role) == ("admin", "admin")
    assert [row.workspace for row in await access.tree.workspaces(admin)] == ["default"]
    assert [(row.id, row.models) for row in await access.tree.members(admin)] == [("admin", ())]
    await access.create_project(admin, "second")
    await access.switch("gws_old", "second")
    assert (await access.actor_for_session("gws_old")).scope.project == "second"
    with pytest.raises(Error):
        await access.create_project(await access.actor_for_session("gws_old"), "third")
    await access.close()
    database.close()
