"""The page of the cache's quality: empty, with rules and hits to judge, forms, a rule that ended itself."""

from genwright.gateway.cache.rules import PutRule
from genwright.gateway.cache.service import About
from genwright.gateway.types import Answer, Call
from genwright.messages import assistant, user
from page_site import PLANTED

QUESTION, REWORDED = "How do I rename a file in Python?", "How can I rename a file in Python?"


async def hit(site, times=1):
    """A rule with a question kept and asked again in other words."""
    cache, about = site.house.gateway.cache, About("test/model", "", "a" * 32)
    await cache.put_rule(site.actor, PutRule("support", mode="semantic", share="project", sample=0.0))
    found = await cache.find(site.actor, Call("test/model", [user(QUESTION)]), about)
    cache.keep(found, Answer(assistant(PLANTED), finish_reason="stop", cost_nano_usd=2_000_000_000))
    await cache.flush()
    for _ in range(times):
        await cache.find(site.actor, Call("test/model", [user(REWORDED)]), about)
    await cache.flush()
    return await cache.hits(site.actor, "semantic")


async def test_without_rules_the_page_says_how_to_begin(site):
    page = await site.get("/gateway/cache")
    assert "The cache is off" in page
    assert "genwright cache rules set" in page
    assert "Switch off" not in await (await site.as_role("viewer")).get("/gateway/cache")


async def test_a_rule_is_made_changed_and_switched_off_by_forms(site):
    form = {"name": "support", "models": "openai/*", "mode": "semantic", "share": "team", "ttl_s": "3600", "target": "5 %"}
    page = (await site.post("/gateway/cache/rules", **form)).text
    assert "openai/*" in page
    rule = (await site.house.gateway.cache.rules(site.actor))[0]
    assert (rule.mode, rule.share, rule.ttl_s, rule.target) == ("semantic", "team", 3600, 0.05)
    assert 'value="5 %"' in await site.get("/gateway/cache", edit="support")
    wrong = (await site.post("/gateway/cache/rules", expect=422, **{**form, "target": "many"})).text
    assert "no number" in wrong
    assert "Switch on" in (await site.post("/gateway/cache/rules/support/switch", enabled="no")).text
    assert "The cache is off" in (await site.post("/gateway/cache/rules/support/remove")).text


async def test_hits_are_judged_by_a_click(site):
    hits = await hit(site, 2)
    page = await site.get("/gateway/cache")
    assert REWORDED in page
    assert PLANTED not in page
    assert "$4" in page
    page = (await site.post(f"/gateway/cache/hits/{hits[0].id}/wrong")).text
    assert "50.0 %" not in page
    assert "100.0 %" in page
    page = (await site.post(f"/gateway/cache/hits/{hits[1].id}/right")).text
    assert "50.0 %" in page
    assert "2 labelled pairs" in page
    await site.post(f"/gateway/cache/hits/{hits[1].id}/perhaps", expect=400)
    await (await site.as_role("viewer")).post(f"/gateway/cache/hits/{hits[1].id}/right", expect=403)


async def test_a_rule_that_ended_itself_is_said_loudly(site):
    for found in await hit(site, 10):
        await site.house.gateway.cache.judge_hit(site.actor, found.id, "wrong")
    page = await site.get("/gateway/cache")
    assert 'role="alert"' in page
    assert "10 of 10 judged hits were wrong" in page


async def test_two_questions_are_tried_and_answers_deleted(site):
    await hit(site)
    page = (await site.post("/gateway/cache/try", asked=QUESTION, question=REWORDED)).text
    assert "Would be served" in page
    page = (await site.post("/gateway/cache/try", asked="Convert 5 km", question="Convert 7 km")).text
    assert "numbers" in page
    assert "Write both" in (await site.post("/gateway/cache/try", expect=422, asked="", question="")).text
    await site.post("/gateway/cache/rules/support/clear")
    assert (await site.house.gateway.cache.quality(site.actor))[0].entries == 0
