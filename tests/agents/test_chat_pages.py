"""Pages of chat: which apps there are, what answers, and how the page's addresses fit what they lead to."""

import re

from genwright.releases.types import CreateRelease
from page_site import APP_CONTENT, PLANTED


def chat(html: str) -> dict[str, str]:
    """The chat's data- attributes."""
    section = re.search(r"<section class=\"card chat\"[^>]*>", html)
    return dict(re.findall(r'data-([a-z]+)="([^"]*)"', section.group())) if section else {}


async def test_no_apps_yet(site):
    html = await site.get("/chat")
    assert "No apps yet" in html
    assert "genwright demo" in html
    assert "No app is called that" in await site.get("/chat", q="x")


async def test_the_list_says_what_is_in_production(site):
    await site.released()
    await site.house.agents.put_app(site.actor, "team/other", {**APP_CONTENT, "description": PLANTED})
    html = await site.get("/chat")
    assert html.count("draft only") == 2
    await site.house.registry.label(site.actor, "release", "docs-qa", "production", 1)
    html = await site.get("/chat")
    assert (html.count("draft only"), html.count("release 1")) == (1, 1)
    assert 'href="/w/default/chat/team/other"' in html
    assert "&lt;script&gt;" in html


async def test_a_draft_answers_until_something_is_in_production(site):
    await site.released()
    html = await site.get("/chat/docs-qa")
    assert chat(html)["model"] == "app/docs-qa@draft"
    assert "Nothing of this app is released yet" in html
    await site.house.registry.label(site.actor, "release", "docs-qa", "production", 1)
    html = await site.get("/chat/docs-qa")
    assert chat(html)["model"] == "app/docs-qa"
    assert "release 1 · in production" in html
    assert chat(await site.get("/chat/docs-qa", release="draft"))["model"] == "app/docs-qa@draft"
    assert chat(await site.get("/chat/docs-qa", release="1"))["model"] == "app/docs-qa@1"
    await site.get("/chat/docs-qa", 404, release="7")
    await site.get("/chat/none", 404)


async def test_the_question_is_answered_judged_and_explained_at_the_pages_addresses(site):
    await site.released()
    await site.house.registry.label(site.actor, "release", "docs-qa", "production", 1)
    options = chat(await site.get("/chat/docs-qa"))
    body = {"model": options["model"], "messages": [{"role": "user", "content": "What is a list?"}]}
    headers = {"origin": "http://127.0.0.1"}
    answer = await site._client.post(options["endpoint"], json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    told = answer.json()["genwright"]
    assert told["release"].startswith("release:docs-qa@sha256:")
    trace = told["trace"]
    score = {"name": "feedback", "value": 0, "source": "user", "comment": PLANTED}  # what chat.js posts
    kept = await site._client.post(options["feedback"].replace("{trace}", trace), json=score, headers=headers)
    assert kept.status_code in (200, 201), kept.text
    assert [row.comment for row in (await site.house.tracing.trace(site.scope, trace)).scores] == [PLANTED]
    page = options["trace"].replace("{trace}", trace).removeprefix("/w/default")
    assert "release" in await site.get(page)


async def test_questions_of_the_dataset_are_offered(site):
    rows = [{"question": "What is a tuple?"}, {"question": "long " * 60}, {"question": PLANTED}, {"other": 1}]
    await site.house.datasets.put(site.actor, "questions", rows)
    await site.released()
    assert "data-ask=" not in await site.get("/chat/docs-qa")  # it is not this app's dataset
    await site.house.releases.create(site.actor, CreateRelease("docs-qa", datasets=["dataset:questions@1"]))
    html = await site.get("/chat/docs-qa", release="2")
    assert html.count("data-ask=") == 2
    assert 'data-ask="What is a tuple?"' in html


async def test_roles_that_may_not_ask_are_told(site):
    await site.released()
    viewer = await site.as_role("viewer")
    html = await viewer.get("/chat/docs-qa")
    assert chat(html) == {}
    assert "may read but not ask" in html
    caller = await site.as_role("caller")
    await caller.get("/chat", 403)
