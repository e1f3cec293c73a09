"""Routes in Chromium: made, drawn with live health, explained, compared; aliases. At both sizes and in both themes."""

from __future__ import annotations

import json

import httpx
import pytest

from genwright.testing.provider import Fault, Reply

SIZES = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
CONTENT = {
    "description": "Pro customers get the best model",
    "root": {
        "type": "when",
        "cases": [{"if": {"tags.plan": "pro"}, "node": {"type": "fallback", "nodes": ["scripted/best", "scripted/spare"]}}],
        "otherwise": {
            "type": "cascade",
            "steps": [{"node": "scripted/cheap", "checks": ["refusal"]}, {"node": "scripted/strong"}],
        },
    },
}


@pytest.fixture(scope="module")
def house(server, provider):
    """Routes, calls through them, one model down."""
    server.cli(
        "providers", "add", "scripted", "--kind", "openai-compatible", "--url", provider.base_url, "--key", "sk-scripted-1"
    )
    server.post("/api/gateway/routes", {"name": "support", "content": {"root": "scripted/best"}})
    server.post("/api/gateway/routes", {"name": "support", "content": CONTENT})
    for number in range(30):
        server.post("/api/gateway/routes", {"name": f"team-{number % 4}/service-{number}", "content": {"root": "scripted/best"}})
    provider.always(Fault.status(429, retry_after_s=300), model="best")
    provider.always(Reply("I'm sorry, I can't help with that."), model="cheap")
    with server.http() as client:
        for plan in ("pro", "free") * 5:
            body = {"model": "route/support", "messages": [{"role": "user", "content": "hello"}]}
            client.post("/v1/chat/completions", json=body, headers={"x-genwright-tags": f"plan={plan}"}).raise_for_status()
    return server


def test_a_route_is_drawn_with_the_health_of_its_models_and_explained(house, visit):
    page = visit("/gateway/routes/support")
    drawing = page.get_by_role("group", name="The route support as a tree")
    assert drawing.locator("text.under", has_text="not asked for").count() == 1
    assert drawing.locator("text.arrow-label", has_text="tags.plan = pro").count() == 1
    page.get_by_label("Tags").fill("plan=pro")
    page.get_by_role("button", name="Explain").click()
    way = page.locator("ol.way")
    way.wait_for()
    assert way.get_by_text("scripted/spare", exact=True).count() == 1
    assert page.locator("#way").get_by_text("scripted/best is passed over: breaker open").count() == 1


def test_a_route_is_made_from_an_example_checked_saved_and_compared(house, visit):
    page = visit("/gateway/routes?new=cascade")
    page.get_by_label("Name", exact=True).fill("made-here")
    page.get_by_role("button", name="Check and explain").click()
    page.locator("#checked ol.way").wait_for()
    page.get_by_label("Content (YAML or JSON)").fill("type: fallback\nnodes: [scripted/spare, route/support]\n")
    page.get_by_role("button", name="Save version").click()
    page.wait_for_url("**/gateway/routes/made-here?v=1")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Content (YAML or JSON)").fill(json.dumps({"root": "scripted/spare"}))
    page.get_by_role("button", name="Save version").click()
    page.wait_for_url("**/gateway/routes/made-here?v=2")
    page.get_by_role("link", name="Compare", exact=True).click()
    page.get_by_role("heading", name="Version 1 → 2").wait_for()
    page.get_by_text("route/support").first.wait_for()


def test_an_alias_is_made_on_its_page_and_answers(house, visit, provider):
    page = visit("/gateway/aliases")
    page.get_by_label("Name", exact=True).fill("gpt-4o")
    page.get_by_label("Stands for", exact=True).fill("scripted/spare")
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("cell", name="gpt-4o", exact=True).wait_for()
    with house.http() as client:
        answer: httpx.Response = client.post(
            "/v1/chat/completions", json={"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
        )
    assert answer.json()["model"] == "spare"


@pytest.mark.parametrize(
    "place", ["/gateway/routes", "/gateway/routes/support", "/gateway/routes/support?a=1&b=2", "/gateway/routes/support?edit=1"]
)
def test_pages_stand_at_every_size_in_every_theme(house, visit, place):
    for size in SIZES.values():
        for theme in ("light", "dark"):
            page = visit(place, viewport=size, color_scheme=theme)
            page.locator("h1").wait_for()
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{place} scrolls sideways at {size}"
