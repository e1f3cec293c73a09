"""Releases: what they pin, how labels move, what a call resolves to."""

import asyncio

import msgspec
import pytest

from app_sample import DOCUMENTS, POLICY, PROMPT, Bench, app_content, plain_app
from genwright.app import House
from genwright.errors import Forbidden, Invalid, Missing
from genwright.releases.service import before
from genwright.releases.types import Code, CreateRelease
from genwright.vocab import Scope

LOCAL = "local/extractive"


@pytest.fixture
async def plain(bench):
    """An app without retrieval, and its first two releases."""
    await bench.put("app", "plain", plain_app(LOCAL), label="")
    first = await create(bench, app="plain")
    await bench.put("app", "plain", {**plain_app(LOCAL), "description": "second"}, label="")
    second = await create(bench, app="plain")
    return bench, first, second


async def create(bench, actor=None, **fields):
    return await bench.house.releases.create(actor or bench.actor, CreateRelease(**{"app": "notes", **fields}))


async def rows(bench, *questions):
    items = [{"id": f"q{number}", "question": text} for number, text in enumerate(questions)]
    return await bench.house.datasets.put(bench.actor, "asked", items)


async def changed_prompt(bench):
    await bench.put(
        "prompt", "notes", {**PROMPT, "messages": [PROMPT["messages"][0], {"role": "user", "content": "{{question}}"}]}
    )


async def changed_policy(bench):
    await bench.put("policy", "notes", {**POLICY, "limits": {"input_chars": 2001}})


async def changed_app(bench):
    await bench.put("app", "notes", app_content(LOCAL, retrieve={"k": 4}), label="")


async def changed_index(bench):
    await bench.index({**DOCUMENTS, "more.txt": "One line more."})


async def changed_dataset(bench):
    await rows(bench, "one", "two, differently")


@pytest.mark.parametrize("change", [changed_prompt, changed_policy, changed_app, changed_index, changed_dataset])
async def test_one_changed_line_changes_the_digest(bench, change):
    await bench.app(app_content(LOCAL))
    await rows(bench, "one", "two")
    first = await create(bench, datasets=["dataset:asked"])
    await change(bench)
    second = await create(bench, datasets=["dataset:asked"])
    assert second.digest != first.digest
    assert (first.number, second.number) == (1, 2)


async def test_the_code_its_uncommitted_difference_and_the_app_version_count(bench):
    await bench.app(app_content(LOCAL))
    codes = [Code(), Code("a" * 40), Code("b" * 40), Code("b" * 40, "+one line"), Code("b" * 40, "+another line")]
    made = [await create(bench, code=code) for code in codes]
    assert len({version.digest for version in made}) == len(codes)
    pinned = made[-1].content["code"]
    assert pinned["dirty"] is True
    assert bench.house.blobs.get(bench.scope, pinned["diff_digest"]) == b"+another line"
    assert made[1].content["code"]["diff_digest"] == ""


async def test_equal_input_gives_the_equal_release_and_it_pins_everything(bench):
    await bench.app(app_content(LOCAL))
    first, again = await create(bench, note="one"), await create(bench, note="two")
    assert (first.number, first.digest) == (again.number, again.digest)
    content, registry = first.content, bench.house.registry
    assert set(content["pins"]) == {"policy:notes@production", "index:notes@production", "prompt:notes@production"}
    for ref, pin in content["pins"].items():
        assert pin["digest"] == (await registry.get(bench.scope, ref)).digest
    assert content["models"] == [LOCAL]
    assert content["content"]["steps"][1]["k"] == 3
    assert content["lock"].startswith("sha256:")
    edges = await registry.edges_back(bench.scope, first.digest)
    assert {edge.target_ref.partition(":")[0] for edge in edges} == {"app", "policy", "index", "prompt", "model"}


async def test_a_release_answers_as_pinned_whatever_moves_later(bench):
    await bench.app(app_content(LOCAL))
    release = await create(bench)
    await bench.house.releases.promote(bench.actor, "notes", 1)
    before_text, answer = await bench.ask(model="app/notes")
    assert answer.extra["genwright"]["release"] == release.ref
    await changed_prompt(bench)
    await bench.index({"other.txt": "The nonlocal statement is something else entirely here."})
    await changed_app(bench)
    after_text, answer = await bench.ask(model="app/notes")
    assert (after_text, answer.extra["genwright"]["release"]) == (before_text, release.ref)
    _, draft = await bench.ask(model="app/notes@draft")
    assert draft.extra["genwright"]["release"].startswith("app:notes@sha256:")


async def test_a_moved_label_holds_for_the_next_call(plain):
    bench, first, second = plain
    releases = bench.house.releases
    with pytest.raises(Missing, match="no release 'production'") as caught:
        await bench.ask("Hello", model="app/plain")
    assert "releases promote plain" in caught.value.message
    for release in (first, second, first):
        await releases.promote(bench.actor, "plain", release.number)
        assert (await releases.resolve(bench.scope, "plain", None)).digest == release.digest
        _, answer = await bench.ask("Hello", model="app/plain")
        assert answer.extra["genwright"]["release"] == release.ref
    await releases.promote(bench.actor, "plain", 2, label="staging")
    for selector, release in (("staging", second), ("2", second), (first.digest, first), (None, first)):
        assert (await releases.resolve(bench.scope, "plain", selector)).ref == release.ref
    with pytest.raises(Missing):
        await releases.resolve(bench.scope, "plain", "7")
    with pytest.raises(Missing, match="plain"):
        await releases.resolve(bench.scope, "plian", None)


async def test_a_label_that_moves_while_it_is_read_is_not_remembered_where_it_was(plain, monkeypatch):
    bench, first, second = plain
    registry, releases = bench.house.registry, bench.house.releases
    await releases.promote(bench.actor, "plain", 1)
    get, moved = registry.get, asyncio.Event()

    async def slowly(scope, ref, *more):
        found = await get(scope, ref, *more)
        if getattr(ref, "label", None) == "production":
            await moved.wait()
        return found

    monkeypatch.setattr(registry, "get", slowly)
    reading = asyncio.create_task(releases.resolve(bench.scope, "plain", None))
    await asyncio.sleep(0.05)
    monkeypatch.setattr(registry, "get", get)
    await releases.promote(bench.actor, "plain", 2)
    moved.set()
    assert (await reading).digest == first.digest, "it was called before the label moved"
    assert (await releases.resolve(bench.scope, "plain", None)).digest == second.digest


async def test_history_says_who_when_and_why_and_rolling_back_twice_goes_back_twice(plain, clock):
    bench, first, _ = plain
    await bench.put("app", "plain", {**plain_app(LOCAL), "description": "third"}, label="")
    await create(bench, app="plain")
    releases = bench.house.releases
    ada = bench.as_role("releaser")
    for number in (1, 2, 3):
        clock.advance(60)
        await releases.promote(ada, "plain", number, note=f"because of {number}")
    await releases.promote(ada, "plain", 3, label="staging")
    assert (await releases.rollback(bench.actor, "plain", note="too slow")).release.number == 2
    assert (await releases.rollback(bench.actor, "plain")).release.digest == first.digest
    with pytest.raises(Invalid, match="no earlier release"):
        await releases.rollback(bench.actor, "plain")
    assert (await releases.resolve(bench.scope, "plain", None)).digest == first.digest
    moves = [move for move in await bench.house.registry.history(bench.scope, "release", "plain") if move.label == "production"]
    told = [(move.from_number, move.to_number, move.by, move.note) for move in reversed(moves)]
    assert told == [
        (None, 1, ada.id, "because of 1"),
        (1, 2, ada.id, "because of 2"),
        (2, 3, ada.id, "because of 3"),
        (3, 2, bench.actor.id, "too slow"),
        (2, 1, bench.actor.id, "rolled back from 2"),
    ]
    assert moves[-2].at_ns - moves[-1].at_ns == 60 * 10**9
    assert before(moves, "staging") is None


async def test_32_concurrent_promoters_leave_one_label_and_a_whole_history(bench):
    for number in range(8):
        await bench.put("app", "plain", {**plain_app(LOCAL), "description": str(number)}, label="")
        await create(bench, app="plain")
    releases = bench.house.releases

    async def promote(number):
        return await releases.promote(bench.actor, "plain", number % 8 + 1, note=f"task {number}")

    done = await asyncio.gather(*(promote(number) for number in range(32)))
    assert all(promotion.promoted for promotion in done)
    standing = list(await bench.house.registry.labels(bench.scope, "release", "plain"))
    assert [label.label for label in standing] == ["production"]
    moves = sorted(await bench.house.registry.history(bench.scope, "release", "plain"), key=lambda move: move.move)
    assert [move.from_number for move in moves] == [None, *(move.to_number for move in moves[:-1])], "a chain without a gap"
    assert all(move.from_number != move.to_number for move in moves)
    assert standing[0].number == moves[-1].to_number
    assert (await releases.resolve(bench.scope, "plain", None)).number == moves[-1].to_number


async def test_roles_and_workspaces(plain):
    bench, *_ = plain
    releases, editor = bench.house.releases, bench.as_role("editor")
    await bench.put("app", "plain", {**plain_app(LOCAL), "description": "an editor's"}, label="")
    assert (await create(bench, actor=editor, app="plain")).number == 3
    for verb in (releases.promote(editor, "plain", 1), releases.rollback(editor, "plain")):
        with pytest.raises(Forbidden):
            await verb
    for role in ("viewer", "caller", "reviewer"):
        with pytest.raises(Forbidden):
            await create(bench, actor=bench.as_role(role), app="plain")
    await releases.promote(bench.as_role("releaser"), "plain", 1)
    stranger = bench.as_role("admin", scope=Scope("other"))
    with pytest.raises(Missing):
        await releases.resolve(stranger.scope, "plain", None)
    with pytest.raises(Missing):
        await releases.promote(stranger, "plain", 2)
    with pytest.raises(Missing):
        await create(bench, actor=stranger, app="plain")
    with pytest.raises(Missing):
        await bench.house.agents.draft(Scope("default", "elsewhere"), "plain")
    assert (await releases.resolve(bench.scope, "plain", None)).number == 1


async def test_what_is_not_there_names_the_nearest(plain):
    bench, *_ = plain
    with pytest.raises(Missing, match="plain"):
        await create(bench, app="plane")
    with pytest.raises(Missing):
        await create(bench, app="plain", datasets=["dataset:none"])
    with pytest.raises(Missing):
        await bench.house.releases.promote(bench.actor, "plain", 9)
    with pytest.raises(Invalid):
        await bench.house.releases.rollback(bench.actor, "plain")


@pytest.mark.postgres
async def test_another_server_uses_a_moved_label_within_a_second(settings, database_url):
    if not database_url:
        pytest.skip("needs PostgreSQL: python tests/postgres.py run pytest tests/releases")
    one = await Bench.open(settings)
    two = House(msgspec.structs.replace(settings, home=str(settings.path.parent / "two")))
    await two.access.ensure_bootstrap()
    try:
        await one.put("app", "plain", plain_app(LOCAL), label="")
        first = await create(one, app="plain")
        await one.put("app", "plain", {**plain_app(LOCAL), "description": "second"}, label="")
        second = await create(one, app="plain")
        await one.house.releases.promote(one.actor, "plain", 1)
        assert (await two.releases.resolve(one.scope, "plain", None)).digest == first.digest
        await one.house.releases.promote(one.actor, "plain", 2)
        await asyncio.sleep(0.95)
        assert (await two.releases.resolve(one.scope, "plain", None)).digest == second.digest
    finally:
        await two.stop()
        await one.close()
