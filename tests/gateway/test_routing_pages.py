"""Pages of routes and aliases: a list, a tree with health, an editor that loses nothing, a dry run."""

import json

from page_site import PLANTED

FALLBACK = {"type": "fallback", "nodes": ["local/extractive", {"type": "model", "model": "local/other", "timeout_s": 3}]}


async def save(site, content, status=303, **fields):
    text = content if isinstance(content, str) else json.dumps(content)
    return await site.post("/gateway/routes", status, **{"name": "support", "content": text, "expected": "0", **fields})


async def test_a_route_is_made_drawn_changed_and_compared(site):
    html = await site.get("/gateway/routes")
    assert "No routes yet" in html
    assert "Start from" in await site.get("/gateway/routes", new="cascade")
    await save(site, FALLBACK, note="the first")
    html = await site.get("/gateway/routes/support")
    assert "local/extractive" in html
    assert "not asked lately" in html
    assert "timeout 3 s" in html
    await save(site, {"root": "local/extractive", "description": "one only"}, expected="1")
    assert "one only" in await site.get("/gateway/routes/support")
    assert "local/other" in await site.get("/gateway/routes/support", v="1")
    assert "description" in await site.get("/gateway/routes/support", a="1", b="2")
    await site.post("/gateway/routes/-/label", 303, name="support", label="production", number="1")
    html = await site.get("/gateway/routes")
    assert "production 1" in html
    assert "local/other" in await site.get("/gateway/routes/support")
    await site.get("/gateway/routes/none", 404)


async def test_a_mistake_comes_back_with_what_was_typed(site):
    answer = await save(site, {"type": "fallback", "nodes": ["local"]}, 422)
    assert "root.nodes[0]" in answer.text
    assert "fallback" in answer.text
    answer = await save(site, "{" + PLANTED, 422)
    assert "The content cannot be read" in answer.text
    await save(site, FALLBACK)
    answer = await save(site, {"root": "local/extractive"}, 409)
    assert "What stands now" in answer.text


async def test_a_dry_run_says_the_way_and_keeps_nothing(site):
    content = {"type": "when", "cases": [{"if": {"tags.plan": "pro"}, "node": "local/best"}], "otherwise": "local/usual"}
    answer = await site.post("/gateway/routes/-/check", content=json.dumps(content), name="x", tags="plan=pro")
    assert "local/best" in answer.text
    assert "tags.plan = pro" in answer.text
    answer = await site.post("/gateway/routes/-/check", 422, content=json.dumps({"type": "nothing"}))
    assert "no node of type" in answer.text
    assert "No routes yet" in await site.get("/gateway/routes")
    await save(site, content)
    answer = await site.post("/gateway/routes/-/explain", name="support@1", tokens="10")
    assert "local/usual" in answer.text


async def test_health_is_drawn_in_the_tree(site):
    from genwright.gateway.types import Call
    from genwright.messages import say

    await save(site, FALLBACK)
    for _ in range(3):
        await site.house.gateway.complete(site.actor, Call("route/support", [say("user", "What is a list?")]))
    html = await site.get("/gateway/routes/support", part="live")
    assert "<h1" not in html
    assert "100 % of calls" in html
    assert '<td class="num">3</td>' in html


async def test_aliases_are_made_and_removed(site):
    assert "No aliases yet" in await site.get("/gateway/aliases")
    answer = await site.post("/gateway/aliases", name="gpt-4o", target="local/extractive")
    assert "gpt-4o" in answer.text
    answer = await site.post("/gateway/aliases", 422, name=PLANTED, target="local/extractive")
    assert "Nothing was kept" in answer.text
    answer = await site.post("/gateway/aliases/-/remove", name="gpt-4o")
    assert "No aliases yet" in answer.text


async def test_a_route_is_built_from_a_list_of_models(site):
    from genwright.gateway.routing import tree
    from genwright.gateway.routing.starts import BUILT, STARTS, build

    for kind, _ in BUILT:
        answer = await site.post("/gateway/routes/-/build", kind=kind, models="local/a 3\n\n local/b\nlocal/c 1.5")
        assert f"type: {kind}" in answer.text
        assert len(list(tree.everything(tree.read(build(kind, "local/a 3\nlocal/b"))[1]))) == 3
    for _, start in STARTS.values():
        tree.read(start)
    answer = await site.post("/gateway/routes/-/build", 422, kind="cascade", models="local/a", content="what was there")
    assert "Name the models" in answer.text
    assert "what was there" in answer.text
