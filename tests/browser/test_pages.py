"""Every page at two widths in two themes: no error in the console, no sideways scrolling, a picture of each in shots/."""

from __future__ import annotations

from pathlib import Path

import pytest

SHOTS = Path(__file__).with_name("shots")
SIZES = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def places(server, trace):
    """Name → address below the workspace, of every kind of page there is."""
    runs = sorted(server.get("/api/evals/runs")["items"], key=lambda run: run["created_ns"])
    passage = server.get(f"/api/tracing/traces/{trace}/why")["passages"][0]
    jobs = server.get("/api/jobs")["items"]
    return {
        "overview": "",
        "chats": "/chat",
        "chat": "/chat/docs-qa",
        "documents": "/documents",
        "corpus": "/documents/corpora/python-docs",
        "text": f"/documents/text/{passage['document']}?name={passage['name']}&start={passage['start']}&end={passage['end']}",
        "indexes": "/documents/indexes",
        "search": "/documents/search?q=What+does+nonlocal+do%3F",
        "prompts": "/prompts",
        "prompt": "/prompts/docs-qa",
        "diff": "/prompts/docs-qa?a=1&b=2",
        "releases": "/releases",
        "release": "/releases/docs-qa",
        "traces": "/tracing",
        "trace": f"/tracing/{trace}",
        "why": f"/tracing/{trace}/why",
        "impact": f"/tracing/impact?ref=document:{passage['document']}",
        "evaluations": "/evals",
        "run": f"/evals/{runs[0]['id']}",
        "compare": f"/evals/compare?a={runs[0]['id']}&b={runs[1]['id']}",
        "safety": "/evals/safety",
        "registry": "/registry",
        "index version": "/registry/index/python-docs",
        "jobs": "/jobs",
        "job": f"/jobs/{jobs[0]['id']}",
        "models": "/gateway",
        "keys": "/access",
    }


NAMES = [
    "overview", "chats", "chat", "documents", "corpus", "text", "indexes", "search", "prompts", "prompt", "diff", "releases",
    "release", "traces", "trace", "why", "impact", "evaluations", "run", "compare", "safety", "registry", "index version", "jobs",
    "job", "models", "keys",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_page_stands_at_every_size_in_every_theme(visit, places, name):
    SHOTS.mkdir(exist_ok=True)
    page = visit(places[name])
    page.locator("h1").wait_for()
    assert page.locator("h1").count() == 1
    assert page.locator("nav[aria-label=Main]").count() == 1
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for size, viewport in SIZES.items():
            page.set_viewport_size(viewport)
            page.wait_for_timeout(120)  # charts are drawn anew
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= viewport["width"], f"{name} scrolls sideways at {viewport['width']}: {wide}"
            page.screenshot(path=SHOTS / f"{name.replace(' ', '-')}-{size}-{theme}.png", full_page=True)
    nameless = page.evaluate(
        """[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea')].filter(e => {
            const shown = e.checkVisibility();
            const label = e.labels?.[0]?.textContent || e.getAttribute('aria-label') || e.textContent || e.title || e.placeholder;
            return shown && !label?.trim();
        }).map(e => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == [], "controls without a name"


def test_every_entry_of_the_navigation_leads_to_a_page(visit):
    page = visit()
    addresses = page.eval_on_selector_all("nav .nav-link[data-go]", "links => links.map(link => link.href)")
    assert len(addresses) >= 9
    for address in addresses:
        assert page.goto(address).status == 200, address
        assert page.locator("nav .nav-link[aria-current=page]").count() == 1, address


def test_the_log_in_page_and_an_unknown_page(chromium, server):
    context = chromium.new_context(viewport=SIZES["phone"])
    page = context.new_page()
    page.goto(f"{server.address}/w/default/tracing")
    assert "/login?next=" in page.url
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path=SHOTS / "login-phone-light.png")
    page.get_by_label("Key").fill(server.key)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{server.address}/w/default/tracing")
    assert page.goto(f"{server.address}/w/default/nothing-here").status == 404
    assert page.locator("h1").count() == 1
    page.screenshot(path=SHOTS / "missing-phone-light.png")
    context.close()
