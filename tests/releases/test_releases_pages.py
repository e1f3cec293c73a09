"""Pages of releases: what a release pins, promotion with its gate, rollback, who may; replay of a real answer."""

from genwright.gateway.types import Call
from genwright.messages import user


async def test_an_app_before_and_after_its_first_release(site):
    assert "No apps yet" in await site.get("/releases")
    await site.released()
    html = await site.get("/releases")
    assert "docs-qa" in html
    html = await site.get("/releases/docs-qa")
    for part in ("first", "prompt:docs-qa@production", "local/extractive", "guard_input", "No gate is set", "Not evaluated yet"):
        assert part in html, part
    await site.get("/releases/other", 404)


async def test_a_release_is_made_and_promoted_and_rolled_back(site):
    await site.released()
    await site.post("/releases/promote", app="docs-qa", number="1", label="production", note="start")
    await site.prompt(" Politely.")
    await site.house.registry.label(site.actor, "prompt", "docs-qa", "production", 2)
    response = await site.post("/releases", 303, app="docs-qa", note="polite")
    assert response.headers["location"] == "/w/default/releases/docs-qa?v=2"
    html = (await site.post("/releases/promote", app="docs-qa", number="2", label="production", note="nicer")).text
    assert "now stands on release 2" in html
    assert "Roll back to 1" in html
    html = (await site.post("/releases/rollback", app="docs-qa", note="too polite")).text
    assert "now stands on release 1" in html
    moves = await site.house.registry.history(site.scope, "release", "docs-qa")
    assert [(move.from_number, move.to_number, move.note) for move in moves] == [
        (2, 1, "too polite"),
        (1, 2, "nicer"),
        (None, 1, "start"),
    ]
    html = await site.get("/releases/docs-qa")
    assert "too polite" in html
    assert site.actor.id in html


async def test_a_refusal_shows_the_gates_reasons_and_moves_nothing(site):
    await site.released()
    gate = {"minimum": {"token_f1": 0.5}, "safety": False}
    await site.house.registry.put(site.actor, "gate", "docs-qa", gate)
    response = await site.post("/releases/promote", 409, app="docs-qa", number="1", label="production")
    assert "Not promoted: nothing was moved" in response.text
    assert "token_f1: not measured" in response.text
    assert (await site.house.registry.artifact(site.scope, "release", "docs-qa")).labels == {}
    assert "no earlier release" in (await site.post("/releases/rollback", 409, app="docs-qa")).text


async def test_who_may_do_what(site):
    await site.released()
    editor = await site.as_role("editor")
    await editor.post("/releases/promote", 403, app="docs-qa", number="1")
    await editor.post("/releases/rollback", 403, app="docs-qa")
    assert 'data-open="promote"' not in await editor.get("/releases/docs-qa")
    viewer = await site.as_role("viewer")
    await viewer.post("/releases", 403, app="docs-qa")
    releaser = await site.as_role("releaser")
    await releaser.post("/releases/promote", app="docs-qa", number="1")


async def test_a_real_answer_is_explained_and_replayed(site):
    release = await site.released()
    await site.post("/releases/promote", app="docs-qa", number="1")
    answer = await site.house.gateway.complete(site.actor, Call(model="app/docs-qa", messages=[user("What is a list?")]))
    await site.house.tracing.flush()
    html = await site.get(f"/tracing/{answer.trace_id}")
    assert "What is a list?" in html
    assert release.digest.removeprefix("sha256:")[:8] in html
    await site.get(f"/tracing/{answer.trace_id}/why")
    part = (await site.post(f"/chat/replay/{answer.trace_id}", mode="recorded", n="1")).text
    assert "Byte-equal" in part
    assert "<html" not in part
    part = (await site.post(f"/chat/replay/{answer.trace_id}", mode="live", n="2")).text
    assert "of 2 runs gave the recorded answer" in part
    assert "cannot be changed" in (await site.post(f"/chat/replay/{answer.trace_id}", 422, k="3")).text
    assert "1 to 50 times" in (await site.post(f"/chat/replay/{answer.trace_id}", 422, n="many")).text
    viewer = await site.as_role("viewer")
    await viewer.post(f"/chat/replay/{answer.trace_id}", 403, mode="recorded")
