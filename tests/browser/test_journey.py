"""The whole journey in real Chromium, as a person walks it: documents, chat, traces, prompts, evaluations, releases."""

from __future__ import annotations

import re

import pytest

from genwright.testing.provider import Fault, Reply
from journey import until

PLANTED = '<script>window.pwned=1</script><img src=x onerror="window.pwned=2"> [click](javascript:window.pwned=3)'
QUESTION = "What does the nonlocal statement do?"
FOCUSED = "document.activeElement.className + ' ' + (document.activeElement.ariaLabel || document.activeElement.id)"


@pytest.fixture(scope="module")
def scripted(server, provider):
    """An app whose model is the scripted provider."""
    server.cli("providers", "add", "scripted", "--kind", "openai-compatible", "--url", provider.base_url, "--key", "k")
    draft = server.get("/api/agents/draft", name="docs-qa")["app"]
    for step in draft["steps"]:
        if step["type"] == "model":
            step["model"] = "scripted/test-model"
    server.post("/api/agents/apps", {"name": "scripted", "content": draft})
    server.cli("releases", "create", "scripted")
    server.cli("releases", "promote", "scripted", "1")
    return provider


def ask(page, text):
    """Type a question and send it; the answer's article."""
    page.locator("#chat-input").fill(text)
    page.keyboard.press("Enter")
    return page.locator("[data-chat] .message.assistant").last


def answered(page, text):
    answer = ask(page, text)
    answer.locator(".foot a").first.wait_for(timeout=30_000)
    return answer


def test_overview_shows_traffic_and_leads_on(visit):
    page = visit()
    page.locator("[data-chart] canvas").first.wait_for()
    assert page.locator("main").get_by_text("docs-qa").count() > 0
    page.get_by_role("link", name="Chat", exact=True).click()
    page.get_by_role("link", name="docs-qa").first.click()
    page.locator("#chat-input").wait_for()
    assert "You are talking to an AI" in page.locator(".composer").inner_text()


def test_documents_are_uploaded_and_can_be_read(visit, server, tmp_path):
    page = visit("/documents")
    page.get_by_role("button", name="Upload").first.click()
    page.get_by_role("textbox", name="Collection").fill("papers")
    page.get_by_role("button", name="Choose files").click()
    good, bad = tmp_path / "mars.md", tmp_path / "empty.txt"
    good.write_text("# Mars\n\nMars is the fourth planet from the Sun and is called the Red Planet.\n")
    bad.write_bytes(b"")
    page.locator("#upload-files").set_input_files([good, bad])
    page.locator("[data-upload-done]").wait_for()
    assert "empty.txt" in page.locator("[data-upload-list]").inner_text()
    rows = {row["name"]: row["state"] for row in server.get("/api/retrieval/corpora/papers/documents")["items"]}
    assert rows == {"mars.md": "ok", "empty.txt": "skipped"}
    page.get_by_role("link", name="Show the documents").click()
    page.get_by_role("link", name="mars.md").click()
    assert "fourth planet" in page.locator(".document-text").inner_text()
    page.goto(f"{server.address}/w/default/documents/indexes?corpus=papers")
    page.get_by_role("button", name="Build", exact=True).click()
    until(lambda: "papers" in {version["name"] for version in server.get("/api/retrieval/indexes")["items"]}, 60)
    page.goto(f"{server.address}/w/default/documents/search?q=red+planet&index=index:papers@1")
    assert "fourth planet" in page.locator(".passage blockquote").first.inner_text()


def test_a_chat_streams_and_cites_and_a_citation_opens_its_passage(visit, server):
    page = visit("/chat/docs-qa")
    answer = answered(page, QUESTION)
    assert "nonlocal" in answer.inner_text().lower()
    cite = answer.locator(".cite").first
    number = cite.inner_text()
    cite.click()
    passage = page.locator("#drawer blockquote").inner_text()
    assert passage.strip()
    link = page.locator("#drawer a.source")
    link.click()
    page.locator("mark").first.wait_for()
    marked = " ".join(" ".join(page.locator("mark").all_inner_texts()).split())
    assert marked[:60] in " ".join(passage.split())
    assert number.isdigit()
    assert "/documents/text/sha256" in page.url


def test_thumbs_and_a_comment_land_as_scores_on_the_trace(visit, server):
    page = visit("/chat/docs-qa")
    answer = answered(page, "What is a context manager?")
    trace = re.search(r"/tracing/([0-9a-f]{32})/why", answer.locator(".foot a").first.get_attribute("href"))[1]
    answer.get_by_role("button", name="Bad answer").click()
    answer.get_by_label("Comment on this answer").fill("no example <b>here</b>")
    answer.get_by_role("button", name="Send comment").click()
    page.get_by_text("Thank you.").wait_for()
    scores = server.trace(trace, lambda found: any(score["comment"] for score in found["scores"]))["scores"]
    assert [(score["name"], score["value"], score["source"], score["comment"]) for score in scores] == [
        ("feedback", 0, "user", "no example <b>here</b>")
    ]
    page.goto(f"{server.address}/w/default/tracing/{trace}")
    assert "no example <b>here</b>" in page.locator("#scores").inner_text()


def test_a_stream_grows_and_can_be_stopped(visit, scripted):
    scripted.always(Reply("word " * 600, fault=Fault.slow(0.02)))
    page = visit("/chat/scripted")
    answer = ask(page, "Tell me a long story")
    text = answer.locator(".text")
    until(lambda: "word" in text.inner_text())
    early = len(text.inner_text())
    until(lambda: len(text.inner_text()) > early)
    page.get_by_role("button", name="Stop the answer").click()
    page.get_by_text("Stopped.").wait_for()
    until(lambda: scripted.calls[-1].hung_up)
    assert page.get_by_role("button", name="Send", exact=True).is_visible()


def test_a_failing_model_is_said_in_words(visit, scripted):
    scripted.always(Fault.status(500, "on fire"))
    page = visit("/chat/scripted")
    ask(page, "Hello?")
    page.locator(".message.failed [role=alert]").wait_for()
    assert "ask again" in page.locator(".message.failed").inner_text()
    page.complaints.clear()  # the browser logs the 502


def test_a_planted_script_does_nothing_anywhere(visit, scripted, server):
    scripted.always(Reply(PLANTED))
    page = visit("/chat/scripted")
    answer = answered(page, f"Say {PLANTED}")
    trace = re.search(r"/tracing/([0-9a-f]{32})/why", answer.locator(".foot a").first.get_attribute("href"))[1]
    assert "<script>" in answer.inner_text()
    server.trace(trace, lambda found: len(found["spans"]) >= 6)
    for address in (
        "",
        f"/tracing/{trace}",
        f"/tracing/{trace}/why",
        "/tracing",
        f"/tracing?q={PLANTED[:20]}",
        "/chat/scripted",
    ):
        if address:
            page.goto(f"{server.address}/w/default{address}")
        assert page.evaluate("window.pwned") is None
        assert page.locator("main img, main script:not([src]), main a[href^=javascript]").count() == 0
    page.goto(f"{server.address}/w/default/tracing/{trace}")
    page.locator(".waterfall .row-link").first.click()
    page.locator("#drawer-body :text('pwned')").first.wait_for()
    assert page.evaluate("window.pwned") is None


def test_a_trace_is_a_waterfall_and_its_steps_open(visit, trace):
    page = visit("/tracing")
    page.locator("tr.linked a.row-link").first.wait_for()
    page.goto(page.url + f"/{trace}")
    steps = page.locator(".waterfall tbody tr")
    names = " ".join(steps.all_inner_texts())
    assert steps.count() >= 6
    assert "retrieval" in names
    assert page.locator(".waterfall svg rect").count() == steps.count()
    page.locator(".waterfall .row-link", has_text="retrieval").first.click()
    page.locator("#drawer-body table, #drawer-body dl").first.wait_for()
    assert "python-docs" in page.locator("#drawer-body").inner_text()


def test_traces_are_filtered(visit, server):
    page = visit("/tracing?app=docs-qa&q=zip_code")
    shown = [link.rpartition("/")[2] for link in page.eval_on_selector_all("a.row-link", "all => all.map(a => a.pathname)")]
    found = server.get("/api/tracing/traces", app="docs-qa", text="zip_code", limit=50)["items"]
    assert shown == [row["trace_id"] for row in found]
    assert shown
    assert all("zip_code" in row["search"] for row in found)


def test_why_is_a_graph_with_every_cause_a_link(visit, trace):
    page = visit(f"/tracing/{trace}/why")
    graph = page.locator("svg[aria-label='Causes of the answer'], [aria-label='Causes of the answer'] svg").first
    graph.wait_for()
    words = page.locator("[aria-label='Causes of the answer']").first.text_content()
    for cause in ("docs-qa", "python-docs", "minilm", "python-reference/"):
        assert cause in words, cause
    links = page.locator("[aria-label='Causes of the answer'] a")
    assert links.count() >= 5
    text = page.locator("main").inner_text()
    for part in ("Promoted", "Embedding", "Tokens", "Cost", "Passages", "Guards", "Scores"):
        assert part in text, part


def test_replay_from_the_page(visit, trace):
    page = visit(f"/tracing/{trace}")
    page.get_by_role("button", name="Replay").click()
    page.locator("#replay").get_by_role("button", name="Run").click()
    page.locator("#replay-result :text('equal')").first.wait_for()


def test_a_prompt_is_changed_compared_and_labelled(visit, server):
    page = visit("/prompts/docs-qa")
    page.get_by_role("link", name=re.compile("Edit|New version")).first.click()
    area = page.locator("#content-0")
    area.fill(area.input_value() + " Answer in one sentence.")
    page.get_by_label("What changed").fill("shorter")
    page.get_by_role("button", name="Save version").click()
    page.wait_for_url(re.compile(r"/prompts/docs-qa"))
    versions = server.get("/api/prompts/versions", name="docs-qa")["items"]
    assert versions[0]["note"] == "shorter"
    newest = versions[0]["number"]
    page.goto(f"{server.address}/w/default/prompts/docs-qa?a=1&b={newest}")
    assert "Answer in one sentence." in " ".join(page.locator(".diff ins").all_inner_texts())
    page.goto(f"{server.address}/w/default/prompts/docs-qa?v={newest}")
    page.get_by_role("button", name=re.compile("label", re.I)).first.click()
    page.locator("#field-label").fill("staging")
    page.get_by_role("button", name="Move label").click()
    until(lambda: server.get("/api/prompts/get", name="docs-qa", selector="staging")["number"] == newest)


def test_the_comparison_draws_intervals(visit, server):
    runs = sorted(server.get("/api/evals/runs")["items"], key=lambda run: run["created_ns"])[:2]
    page = visit(f"/evals/compare?a={runs[0]['id']}&b={runs[1]['id']}")
    text = page.locator("main").inner_text()
    assert "Token F1" in text
    assert page.locator("table.intervals .whisker").count() >= 10
    metric = next(
        m for m in server.get("/api/evals/compare", a=runs[0]["id"], b=runs[1]["id"])["metrics"] if m["name"] == "token_f1"
    )
    assert f"{abs(metric['interval']['low']):.3f}" in text
    assert f"{abs(metric['interval']['high']):.3f}" in text


def test_a_release_is_refused_promoted_and_rolled_back(visit, server, demo):
    toxic = int(re.search(r"docs-qa@(\d+) refused", demo.text)[1])
    page = visit(f"/releases/docs-qa?v={toxic}")
    page.get_by_role("button", name="Promote").first.click()
    page.locator("#promote-run").select_option("")
    page.locator("#promote-baseline").select_option("")
    page.locator("#promote").get_by_role("button", name="Promote").click()
    page.get_by_text("Not promoted").wait_for(timeout=60_000)
    assert "toxic" in page.locator("main").inner_text().lower()
    page.complaints.clear()  # the refusal is a 409, which the browser logs
    production = next(
        v["number"] for v in server.get("/api/releases/versions", app="docs-qa")["items"] if "production" in v["labels"]
    )
    assert production != toxic
    page.goto(f"{server.address}/w/default/releases/scripted") if False else page.goto(
        f"{server.address}/w/default/releases/docs-qa"
    )
    page.get_by_role("button", name="Roll back").first.click()
    page.locator("#rollback").get_by_role("button", name=re.compile("Roll back to")).click()
    until(lambda: server.get("/api/releases/get", app="docs-qa", selector="production")["number"] == 1)
    page.goto(f"{server.address}/w/default/chat/docs-qa")
    assert "release 1 · in production" in page.locator("main").inner_text()


# -- by keyboard


def test_the_skip_link_is_first_and_leads_to_the_content(visit):
    page = visit("/tracing")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").is_visible()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_slash_searches_and_letters_lead_on(visit, server):
    page = visit("/prompts")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"
    page.keyboard.type("docs")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=docs*")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    assert "/prompts/docs-qa" in page.evaluate("document.activeElement.getAttribute('href')")
    page.keyboard.press("g")
    page.keyboard.press(page.locator("[data-go]", has_text="Traces").get_attribute("data-go"))
    page.wait_for_url("**/tracing")


def test_the_chat_is_usable_by_keyboard_alone(visit):
    page = visit("/chat/docs-qa")
    page.locator("#chat-input").focus()
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    answer = page.locator("[data-chat] .message.assistant")
    answer.locator(".foot a").first.wait_for(timeout=30_000)
    assert page.locator("#announce").text_content() == "Answer complete"
    seen = []
    page.locator(".chat-log").focus()
    for _ in range(14):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUSED))
    words = ("cite", "Copy answer", "Good answer", "chat-input")
    order = [next((place for place, name in enumerate(seen) if word in name), -1) for word in words]
    assert -1 not in order, seen
    assert order == sorted(order), "first the answer, then what can be done with it, then the next question"
    page.locator(".cite").first.focus()
    page.keyboard.press("Enter")
    page.locator("#drawer blockquote").wait_for()
    page.keyboard.press("Escape")
    assert not page.locator("#drawer").is_visible()
    assert "cite" in page.evaluate("document.activeElement.className"), "focus comes back to where it was"
