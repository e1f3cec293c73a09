"""A first app over documents in one step: what it makes, what it leaves alone, its refusals; its page."""

import pytest

from app_sample import Bench
from genwright.errors import Conflict, Invalid, Missing
from genwright.releases.types import NewApp


async def test_one_step_leads_from_an_index_to_a_cited_answer(bench: Bench):
    await bench.index()
    made = await bench.house.releases.start(bench.actor, NewApp("helper"))
    assert (made.index, made.prompt, made.promoted) == ("index:notes@production", "prompt:helper@production", True)
    assert (made.policy, made.model) == ("policy:default@production", "local/extractive")
    text, _ = await bench.ask(model="app/helper")
    assert "rebind a name of the enclosing function" in text
    assert "[1]" in text


async def test_who_may_not_promote_gets_a_draft_that_answers(bench: Bench):
    await bench.index()
    editor = bench.as_role("editor")
    made = await bench.house.releases.start(editor, NewApp("helper"))
    assert (made.promoted, made.prompt, made.policy) == (False, "prompt:helper", "policy:default")
    with pytest.raises(Missing, match="no release 'production'"):
        await bench.ask(model="app/helper")
    assert "rebind" in (await bench.ask(model="app/helper@draft"))[0]


async def test_what_is_there_is_used_and_not_changed(bench: Bench):
    await bench.app()
    before = await bench.house.registry.versions(bench.scope, "prompt", "notes")
    made = await bench.house.releases.start(bench.actor, NewApp("helper", "notes", "scripted/test-model", "notes@production"))
    assert (made.prompt, made.model) == ("prompt:notes@production", "scripted/test-model")
    assert await bench.house.registry.versions(bench.scope, "prompt", "notes") == before
    with pytest.raises(Conflict, match="an app 'helper' already"):
        await bench.house.releases.start(bench.actor, NewApp("helper"))


@pytest.mark.parametrize(
    ("wanted", "error", "says"),
    [
        (NewApp("helper", "index:nots"), Missing, "notes"),
        (NewApp("helper", prompt="nots"), Missing, "notes"),
        (NewApp("helper", model="gpt-4o"), Invalid, "PROVIDER/MODEL"),
        (NewApp("no/../name"), Invalid, "name"),
    ],
)
async def test_what_cannot_be_made_leaves_nothing(bench: Bench, wanted, error, says):
    await bench.app()
    before = (await bench.house.registry.list(bench.scope)).items
    with pytest.raises(error, match=says):
        await bench.house.releases.start(bench.actor, wanted)
    assert (await bench.house.registry.list(bench.scope)).items == before


async def test_the_page_makes_the_app_and_leads_to_its_chat(site):
    assert "First some documents" in await site.get("/releases/-/new")
    await site.post("/releases/-/new", 400, name="helper", model="local/extractive")
    await site.house.registry.put(site.actor, "index", "notes", {"chunks": 0})
    assert '<option value="notes">' in await site.get("/releases/-/new")
    response = await site.post("/releases/-/new", 303, name="helper", index="notes", model="local/extractive")
    assert response.headers["location"] == "/w/default/chat/helper"
    again = (await site.post("/releases/-/new", 409, name="helper", index="notes", model="local/mine")).text
    assert "an app &#39;helper&#39; already" in again
    assert 'value="local/mine"' in again
    viewer = await site.as_role("viewer")
    await viewer.get("/releases/-/new", 403)
    assert "/releases/-/new" not in await viewer.get("/chat")
    assert "/releases/-/new" in await site.get("/chat")
