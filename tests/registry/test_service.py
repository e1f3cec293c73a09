"""Versions, labels and edges: nothing lost, nothing changed, nobody else's seen."""

import asyncio
import base64
import copy

import msgspec
import pytest
import sqlalchemy as sa

from genwright.access.types import Actor
from genwright.audit import Audit
from genwright.errors import Conflict, Forbidden, Invalid, Missing, TooLarge, Unavailable
from genwright.registry import store
from genwright.registry.service import Registry
from genwright.registry.types import RELATIONS, Edge
from genwright.vocab import KINDS, Ref, Scope

CONTENT = {
    "messages": [
        {"role": "system", "content": "Answer briefly.\nCite your sources."},
        {"role": "user", "content": "{{question}}"},
    ],
    "parameters": {"temperature": 0.2, "max_tokens": 300, "stop": None, "seed": True},
    "variables": {},
}
ELSEWHERE = [Scope("other", "default"), Scope("default", "second")]


@pytest.fixture
def registry(databases):
    return Registry(databases["registry"])


def digest_of(number):
    return f"sha256:{number:064x}"


# -- versions


async def test_a_version_comes_back_by_every_name(registry, actor, scope):
    version = await registry.put(actor, "prompt", "docs/qa", CONTENT, note="first", tags=["b", "a", "b"])
    assert (version.number, version.tags, version.created_by, version.note) == (1, ["a", "b"], actor.id, "first")
    await registry.label(actor, "prompt", "docs/qa", "staging", 1)
    expected = msgspec.structs.replace(version, labels=["staging"])
    for ref in ("prompt:docs/qa", "prompt:docs/qa@1", "prompt:docs/qa@staging", version.ref, Ref.parse(version.ref)):
        assert await registry.get(scope, ref) == expected
    assert await registry.get(scope, "docs/qa@1", "prompt") == expected
    assert await registry.by_digest(scope, version.digest) == expected
    assert list(expected.content["messages"][0]) == ["role", "content"]
    assert expected.content == CONTENT


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_goes_the_same_way(registry, actor, scope, kind):
    version = await registry.put(actor, kind, "a", {"kind": kind})
    assert (await registry.get(scope, f"{kind}:a")).digest == version.digest


async def test_the_same_content_is_one_version(registry, actor, scope):
    first = await registry.put(actor, "prompt", "a", CONTENT)
    assert await registry.put(actor, "prompt", "a", dict(reversed(CONTENT.items())), note="again") == first
    assert await registry.put(actor, "prompt", "a", CONTENT, expected=0) == first
    second = await registry.put(actor, "prompt", "a", {"other": 1})
    back = await registry.put(actor, "prompt", "a", CONTENT)
    assert (second.number, back.number, back.digest) == (2, 3, first.digest)
    assert (await registry.get(scope, back.ref)).number == 1


def lines(value, path=()):
    """Paths of all leaves."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [leaf for key, inner in items for leaf in lines(inner, (*path, key))]
    return found or [path]


def changed(content, path):
    fresh = copy.deepcopy(content)
    inner = fresh
    for key in path[:-1]:
        inner = inner[key]
    old = inner[path[-1]]
    inner[path[-1]] = f"{old} " if isinstance(old, str) else "changed"
    return fresh


async def test_any_changed_line_changes_the_digest(registry, actor):
    seen = {(await registry.put(actor, "prompt", "a", CONTENT)).digest}
    for path in lines(CONTENT):
        seen.add((await registry.put(actor, "prompt", "a", changed(CONTENT, path))).digest)
    for field in CONTENT:
        seen.add((await registry.put(actor, "prompt", "a", {key: CONTENT[key] for key in CONTENT if key != field})).digest)
    seen.add((await registry.put(actor, "tool", "a", CONTENT)).digest)
    assert len(seen) == 1 + len(lines(CONTENT)) + len(CONTENT) + 1


ODD = [
    {}, {"x": 1.5}, {"x": 0.1 + 0.2}, {"x": float("nan")}, {"x": 10**18}, {"x": 2**70}, {"x": 1e300}, {"x": -0.0}, {"x": (1, 2)},
    {"x": "\0 ü 😀 \u2028"}, {"x": {"": [[], {}, None]}},
]  # fmt: skip


@pytest.mark.parametrize("content", ODD, ids=repr)
async def test_odd_but_plain_content_survives(registry, actor, scope, content):
    version = await registry.put(actor, "tool", "odd", content)
    read = await registry.get(scope, version.ref)
    assert read == version
    assert (await registry.put(actor, "tool", "odd", read.content)).number == version.number


@pytest.mark.parametrize("content", [{"x": object()}, {"x": {1, 2}}, [1], "text", {"x": "\ud800"}])
async def test_content_that_is_no_plain_object_is_refused(registry, actor, scope, content):
    if content == {"x": {1, 2}}:  # a set is written as a list
        assert (await registry.put(actor, "tool", "a", content)).content == {"x": [1, 2]}
        return
    with pytest.raises(Invalid, match="content"):
        await registry.put(actor, "tool", "a", content)
    assert (await registry.list(scope)).items == []


async def test_limits(registry, actor, monkeypatch):
    monkeypatch.setattr("genwright.registry.service.MAX_CONTENT_BYTES", 100)
    for attempt in (
        registry.put(actor, "tool", "a", {"x": "y" * 100}),
        registry.put(actor, "tool", "a", {}, note="x" * 10_001),
    ):
        with pytest.raises(TooLarge):
            await attempt
    for tags in ([""], ["x" * 101], [str(n) for n in range(101)], ["a\0"]):
        with pytest.raises(Invalid, match="Tags"):
            await registry.put(actor, "tool", "a", {}, tags=tags)


@pytest.mark.parametrize(
    "name", ["", "..", "/a", "a//b", "a/../b", "a b", "a\n", "ä", "x" * 129, "a@1", "a:b", "a\0", "-a", "a/" * 8 + "a/b"]
)
async def test_names_that_cannot_be(registry, actor, name):
    with pytest.raises(Invalid, match="name"):
        await registry.put(actor, "tool", name, {})


async def test_an_unknown_kind_is_refused(registry, actor, scope):
    for attempt in (registry.put(actor, "promt", "a", {}), registry.list(scope, "promt"), registry.get(scope, "promt:a")):
        with pytest.raises(Invalid, match="prompt"):
            await attempt


# -- concurrent writers


async def test_no_version_of_64_writers_is_lost(registry, actor, scope):
    versions = await asyncio.gather(*(registry.put(actor, "prompt", "busy", {"n": n}) for n in range(64)))
    assert sorted(version.number for version in versions) == list(range(1, 65))
    stored = await registry.versions(scope, "prompt", "busy", content=True)
    assert [version.number for version in stored] == list(range(64, 0, -1))
    assert sorted(version.content["n"] for version in stored) == list(range(64))
    assert {version.number: version.digest for version in versions} == {version.number: version.digest for version in stored}


async def test_of_64_writers_who_saw_the_same_one_wins(registry, actor, scope):
    first = await registry.put(actor, "prompt", "busy", {"n": -1})
    results = await asyncio.gather(
        *(registry.put(actor, "prompt", "busy", {"n": n}, expected=first.number) for n in range(64)), return_exceptions=True
    )
    won = [result for result in results if not isinstance(result, Exception)]
    lost = [result for result in results if isinstance(result, Exception)]
    assert [version.number for version in won] == [2]
    assert len(lost) == 63
    for error in lost:
        assert isinstance(error, Conflict)
        assert "version 2" in error.message
        assert "expected=2" in error.message
        assert error.details["newest"] == 2
    assert (await registry.get(scope, "prompt:busy")) == won[0]


async def test_64_writers_who_read_again_all_get_in(registry, actor, scope):
    async def persistent(n):
        seen = 0
        while True:
            try:
                return await registry.put(actor, "prompt", "busy", {"n": n}, expected=seen)
            except Conflict as error:
                seen = error.details["newest"]

    versions = await asyncio.gather(*(persistent(n) for n in range(64)))
    assert sorted(version.number for version in versions) == list(range(1, 65))


async def test_two_servers_on_one_postgres_lose_nothing(databases, database_url, actor):
    if not database_url:
        pytest.skip("one server per SQLite file: the lock file sees to it")
    from genwright.db import Database

    second = Database("registry", database_url)
    try:
        registries = [Registry(databases["registry"]), Registry(second)]
        versions = await asyncio.gather(*(registries[n % 2].put(actor, "prompt", "busy", {"n": n}) for n in range(64)))
        assert sorted(version.number for version in versions) == list(range(1, 65))
        results = await asyncio.gather(
            *(registries[n % 2].put(actor, "prompt", "busy", {"m": n}, expected=64) for n in range(16)), return_exceptions=True
        )
        assert [type(result).__name__ for result in results].count("Version") == 1
        assert [type(result).__name__ for result in results].count("Conflict") == 15
        assert (await Audit(second).verify(actor.scope)).sound
    finally:
        second.close()


async def test_two_servers_that_write_in_opposite_order_do_not_lock_each_other_out(databases, database_url):
    if not database_url:
        pytest.skip("one server per SQLite file: the lock file sees to it")
    from genwright.db import Database

    first, second = databases["registry"], Database("registry", database_url)

    def write(database, who, n):
        content = {"n": n, "who": who}
        new = store.NewVersion("tool", f"t{n}", content, store.content_digest("tool", content), "", [], [], None, who)
        return asyncio.wrap_future(database.submit(store.put, Scope(f"w{n % 4}"), new))

    try:
        writes = [write(*one) for n in range(32) for one in ((first, "first", n), (second, "second", 31 - n))]
        numbers = [version.number for version, _ in await asyncio.gather(*writes)]
        assert sorted(numbers) == [1] * 32 + [2] * 32
        for n in range(4):
            assert (await Audit(second).verify(Scope(f"w{n}"))).checked == 16
    finally:
        second.close()


@pytest.mark.parametrize("expected", [1, 7])
async def test_a_writer_who_saw_what_never_was(registry, actor, scope, expected):
    with pytest.raises(Conflict, match="does not exist"):
        await registry.put(actor, "prompt", "new", {}, expected=expected)
    assert (await registry.list(scope)).items == []


# -- immutability


async def test_nothing_changes_a_version(registry, actor, scope):
    first = await registry.put(actor, "prompt", "a", CONTENT, note="n", tags=["t"])
    version = await registry.get(scope, first.ref)
    version.content["messages"].clear()
    await registry.put(actor, "prompt", "a", {"x": 1}, note="other", tags=["u"])
    await registry.describe(actor, "prompt", "a", "words", ["v"])
    await registry.label(actor, "prompt", "a", "staging", 2)
    assert await registry.get(scope, "prompt:a@1") == first
    with pytest.raises(AttributeError):
        first.note = "x"
    assert not [name for name in vars(store) if "update" in name or "delete" in name]


@pytest.mark.parametrize("values", [{"content": {"x": 2}}, {"kind": "tool"}, {"digest": digest_of(5)}])
async def test_a_change_behind_our_back_is_refused(registry, actor, scope, databases, values):
    version = await registry.put(actor, "prompt", "a", {"x": 1})
    await registry.put(actor, "tool", "a", {"x": 3})
    await registry.put(actor, "tool", "a", {"x": 4})

    def tamper(connection):
        connection.execute(store.versions.delete().where(store.versions.c.kind == "tool"))
        connection.execute(store.versions.update().where(store.versions.c.digest == version.digest).values(values))

    await databases["registry"].write(tamper)
    with pytest.raises(Unavailable, match="changed in the database"):
        await registry.get(scope, f"{values.get('kind', 'prompt')}:a@1")


# -- finding


async def test_a_missing_name_names_the_nearest(registry, actor, scope):
    for name in ("docs-qa", "docs-summary", "support/reply"):
        await registry.put(actor, "prompt", name, {})
    await registry.put(actor, "app", "docs", {})
    for ref, near in [
        ("prompt:doc-qa", "prompt:docs-qa"),
        ("prompt:support/repl", "prompt:support/reply"),
        ("prompt:docs", "app:docs"),
    ]:
        with pytest.raises(Missing) as caught:
            await registry.get(scope, ref)
        assert near in caught.value.message
        assert near in caught.value.details["nearest"]
    with pytest.raises(Missing, match="no route here yet"):
        await registry.get(scope, "route:x")


async def test_a_missing_version_says_what_there_is(registry, actor, scope):
    await registry.put(actor, "prompt", "a", {})
    with pytest.raises(Missing, match="no labels yet"):
        await registry.get(scope, "prompt:a@production")
    await registry.label(actor, "prompt", "a", "production", 1)
    with pytest.raises(Missing, match="production"):
        await registry.get(scope, "prompt:a@prodution")
    for selector in ("2", "0", digest_of(1)):
        with pytest.raises(Missing, match="number 1"):
            await registry.get(scope, f"prompt:a@{selector}")
    with pytest.raises(Missing, match="digest"):
        await registry.by_digest(scope, digest_of(1))
    for attempt in (registry.versions(scope, "prompt", "b"), registry.history(scope, "prompt", "b"),
                    registry.describe(actor, "prompt", "b", "x"), registry.label(actor, "prompt", "b", "x", 1)):  # fmt: skip
        with pytest.raises(Missing, match="prompt:a"):
            await attempt


async def test_lists_are_filtered_and_paged(registry, actor, scope):
    for n in range(7):
        await registry.put(actor, "prompt", f"p{n}", {"n": n}, tags=[f"t{n % 2}"])
    await registry.put(actor, "app", "sure_thing", {})
    await registry.describe(actor, "app", "sure_thing", "Answers about LIONS", ["animals"])
    await registry.label(actor, "prompt", "p3", "staging", 1)
    names, cursor = [], None
    while True:
        page = await registry.list(scope, limit=3, cursor=cursor)
        assert len(page.items) <= 3
        names += [artifact.name for artifact in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert names == ["sure_thing", *(f"p{n}" for n in range(7))]

    async def found(**filters):
        return [artifact.name for artifact in (await registry.list(scope, **filters)).items]

    assert await found(kind="app") == ["sure_thing"]
    assert await found(query="lions") == await found(query="e_t") == await found(tag="animals") == ["sure_thing"]
    assert await found(query="P3") == ["p3"]
    assert await found(tag="t1", kind="prompt") == ["p1", "p3", "p5"]
    assert await found(query="%") == await found(query="p_") == await found(tag="t") == []
    assert (await registry.list(scope, query="p3")).items[0].labels == {"staging": 1}
    assert (await registry.artifact(scope, "prompt", "p3")).labels == {"staging": 1}


@pytest.mark.parametrize(
    "cursor", ["x", "!!", base64.urlsafe_b64encode(b'["a"]').decode(), base64.urlsafe_b64encode(b"[1,2]").decode(), "é"]
)
async def test_a_foreign_cursor_is_refused(registry, scope, cursor):
    with pytest.raises(Invalid, match="cursor"):
        await registry.list(scope, cursor=cursor)


async def test_lists_of_versions_have_no_contents_unless_asked(registry, actor, scope):
    await registry.put(actor, "prompt", "a", CONTENT)
    await registry.label(actor, "prompt", "a", "x", 1)
    assert [(version.content, version.labels) for version in await registry.versions(scope, "prompt", "a")] == [({}, ["x"])]
    assert (await registry.versions(scope, "prompt", "a", content=True))[0].content == CONTENT


async def test_describing(registry, actor, scope):
    await registry.put(actor, "prompt", "a", {})
    artifact = await registry.describe(actor, "prompt", "a", "words", ["b", "a"])
    assert (artifact.description, artifact.tags) == ("words", ["a", "b"])
    assert (await registry.describe(actor, "prompt", "a", None, [])).description == "words"
    assert (await registry.list(scope, tag="a")).items == []


# -- labels


async def test_a_label_moves_and_its_history_stays(registry, actor, scope, clock):
    for n in range(3):
        await registry.put(actor, "prompt", "a", {"n": n})
    for number, note in [(1, "first"), (3, "better"), (1, "worse")]:
        clock.advance(-5)  # a wall clock that jumps back mixes nothing up
        await registry.label(actor, "prompt", "a", "production", number, note=note)
        assert (await registry.get(scope, "prompt:a@production")).number == number
    moves = sorted(await registry.history(scope, "prompt", "a"), key=lambda move: move.move)
    assert [(move.move, move.from_number, move.to_number, move.note, move.by) for move in moves] == [
        (1, None, 1, "first", actor.id), (2, 1, 3, "better", actor.id), (3, 3, 1, "worse", actor.id),
    ]  # fmt: skip
    again = await registry.label(actor, "prompt", "a", "production", 1, note="once more")
    assert again == moves[-1]
    assert [(label.label, label.number) for label in await registry.labels(scope, "prompt", "a")] == [("production", 1)]


async def test_a_label_moves_only_from_where_it_was_seen(registry, actor, scope):
    for n in range(3):
        await registry.put(actor, "prompt", "a", {"n": n})
    with pytest.raises(Conflict, match="does not exist"):
        await registry.label(actor, "prompt", "a", "x", 1, expected=2)
    await registry.label(actor, "prompt", "a", "x", 1, expected=0)
    with pytest.raises(Conflict, match="version 1"):
        await registry.label(actor, "prompt", "a", "x", 2, expected=0)
    results = await asyncio.gather(
        *(registry.label(actor, "prompt", "a", "x", 2 + n % 2, expected=1) for n in range(64)), return_exceptions=True
    )
    assert sum(not isinstance(result, Exception) for result in results) == 1
    assert all(isinstance(result, Conflict) for result in results if isinstance(result, Exception))
    assert len(await registry.history(scope, "prompt", "a")) == 2


async def test_a_label_needs_a_version_and_a_proper_name(registry, actor):
    await registry.put(actor, "prompt", "a", {})
    with pytest.raises(Missing, match="number 1"):
        await registry.label(actor, "prompt", "a", "x", 2)
    for label in ("", "1", "X", "a b", "x\n", "é", "x" * 64, "a@b"):
        with pytest.raises(Invalid, match="label"):
            await registry.label(actor, "prompt", "a", label, 1)


async def test_listeners_hear_of_a_move_before_the_mover(registry, actor, scope):
    heard = []

    async def slow(*event):
        await asyncio.sleep(0)
        heard.append(("slow", *event))

    def broken(*event):
        raise RuntimeError("listener")

    registry.on_label(broken)
    registry.on_label(lambda *event: heard.append(("quick", *event)))
    registry.on_label(slow)
    version = await registry.put(actor, "prompt", "a", {})
    await registry.label(actor, "prompt", "a", "x", 1)
    standing = msgspec.structs.replace(version, labels=["x"])
    assert heard == [("quick", scope, "prompt", "a", "x", standing), ("slow", scope, "prompt", "a", "x", standing)]
    await registry.label(actor, "prompt", "a", "x", 1)
    assert len(heard) == 2


# -- edges


async def test_edges_are_followed_both_ways(registry, actor, scope):
    corpus = await registry.put(
        actor, "corpus", "docs", {"documents": {"a": digest_of(1)}}, edges=[Edge("built_from", "", digest_of(1), "a")]
    )
    index = await registry.put(
        actor, "index", "docs", {"corpus": corpus.digest}, edges=[Edge("built_from", "", corpus.digest, "corpus:docs")]
    )
    app = await registry.put(actor, "app", "qa", {}, edges=[Edge("uses", "", index.digest, "index:docs@production")])
    assert await registry.edges_back(scope, app.digest) == [
        Edge("uses", app.digest, index.digest, "index:docs@production", app.ref)
    ]
    assert [edge.target for edge in await registry.edges_back(scope, app.digest, 10)] == [
        index.digest,
        corpus.digest,
        digest_of(1),
    ]
    assert [edge.source_ref for edge in await registry.edges_forward(scope, digest_of(1), 10)] == [corpus.ref, index.ref, app.ref]
    assert len(await registry.edges_forward(scope, digest_of(1), 2)) == 2
    assert await registry.edges_forward(scope, app.digest) == []


async def test_edges_in_a_ring_and_twice_are_walked_once(registry, actor, scope):
    one = store.content_digest("app", {"n": 1})
    two = await registry.put(actor, "app", "two", {"n": 2}, edges=[Edge("uses", "", one)])
    for _ in range(2):
        await registry.put(actor, "app", "one", {"n": 1}, edges=[Edge("uses", one, two.digest), Edge("uses", "", two.digest)])
    assert len(await registry.edges_back(scope, one, 20)) == 2


async def test_edges_that_cannot_be(registry, actor):
    for edge in (Edge("likes", "", digest_of(1)), Edge("uses", digest_of(2), digest_of(1)), Edge("uses", "", "prompt:a")):
        with pytest.raises(Invalid):
            await registry.put(actor, "app", "a", {}, edges=[edge])
    for relation in RELATIONS:
        await registry.put(actor, "app", "a", {}, edges=[Edge(relation, "", digest_of(1))])


# -- walls


@pytest.mark.parametrize("there", ELSEWHERE, ids=str)
async def test_another_workspace_or_project_sees_nothing(registry, actor, scope, there):
    edge = Edge("uses", "", digest_of(1), "prompt:x")
    version = await registry.put(actor, "prompt", "secret", CONTENT, tags=["t"], edges=[edge])
    await registry.label(actor, "prompt", "secret", "x", 1)
    stranger = Actor(there, "key_other", "other", "key", "admin")
    for attempt in (
        registry.get(there, "prompt:secret"), registry.get(there, "prompt:secret@x"), registry.get(there, version.ref),
        registry.get(there, "prompt:secre"), registry.by_digest(there, version.digest),
        registry.versions(there, "prompt", "secret"),
        registry.artifact(there, "prompt", "secret"), registry.history(there, "prompt", "secret"),
        registry.describe(stranger, "prompt", "secret", "mine", []), registry.label(stranger, "prompt", "secret", "x", 1),
    ):  # fmt: skip
        with pytest.raises(Missing) as caught:
            await attempt
        assert not caught.value.details.get("nearest")
    for filters in ({}, {"kind": "prompt"}, {"query": "secret"}, {"tag": "t"}):
        assert (await registry.list(there, **filters)).items == []
    assert await registry.labels(there, "prompt", "secret") == []
    assert await registry.edges_back(there, version.digest) == await registry.edges_forward(there, digest_of(1)) == []
    theirs = await registry.put(stranger, "prompt", "secret", {"other": True})
    assert theirs.number == 1
    await registry.label(stranger, "prompt", "secret", "x", 1)
    assert (await registry.get(scope, "prompt:secret@x")).content == CONTENT
    assert len(await registry.history(scope, "prompt", "secret")) == 1


def test_every_query_takes_a_scope():
    import inspect

    for name, function in inspect.getmembers(store, inspect.isfunction):
        if function.__module__ == store.__name__ and "connection" in inspect.signature(function).parameters:
            assert "scope" in inspect.signature(function).parameters, name


ROLES = [
    ("caller", False, False),
    ("viewer", False, False),
    ("reviewer", False, False),
    ("editor", True, False),
    ("releaser", True, True),
]


@pytest.mark.parametrize(("role", "write", "promote"), ROLES)
async def test_roles(registry, actor, role, write, promote):
    await registry.put(actor, "prompt", "a", {})
    low = msgspec.structs.replace(actor, role=role)
    for allowed, attempt in (
        (write, lambda: registry.put(low, "prompt", "b", {})),
        (write, lambda: registry.describe(low, "prompt", "a", "x")),
        (write, lambda: registry.label(low, "prompt", "a", "staging", 1)),
        (promote, lambda: registry.label(low, "prompt", "a", "production", 1)),
    ):
        if allowed:
            await attempt()
        else:
            with pytest.raises(Forbidden):
                await attempt()


async def test_what_was_done_is_in_the_audit_log(registry, actor, databases):
    version = await registry.put(actor, "prompt", "a", {})
    await registry.put(actor, "prompt", "a", {})
    await registry.label(actor, "prompt", "a", "x", 1, note="why")
    await registry.describe(actor, "prompt", "a", "words")
    log = Audit(databases["registry"])
    events = await log.list(actor.scope)
    assert [(event.action, event.target) for event in reversed(events)] == [
        ("registry.put", version.ref), ("registry.label", "prompt:a@x"), ("registry.describe", "prompt:a"),
    ]  # fmt: skip
    assert events[1].details == {"from": None, "to": 1, "digest": version.digest, "note": "why"}


async def test_a_put_is_on_disk_when_it_is_answered(registry, actor, databases, home, database_url):
    version = await registry.put(actor, "prompt", "a", CONTENT)
    from genwright.db import Database

    fresh = Database("registry", database_url or f"sqlite:///{home / 'registry.sqlite'}")
    try:
        assert await Registry(fresh).get(actor.scope, version.ref) == version
        rows = await fresh.read(
            lambda connection: connection.execute(sa.select(sa.func.count()).select_from(store.versions)).scalar()
        )
        assert rows == 1
    finally:
        fresh.close()
