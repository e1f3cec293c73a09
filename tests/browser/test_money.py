"""Costs, prices, budgets and live traffic in Chromium: chosen, set, watched; at both sizes and in both themes."""

from __future__ import annotations

import re

import pytest

from genwright.testing.provider import Reply

SIZES = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
PAGES = (
    "/gateway/costs?by=model&and=user&since=24h",
    "/gateway/prices",
    "/gateway/limits",
    "/gateway/live",
    "/gateway/costs?by=day",
)


def call(server, count=1, **more):
    with server.http() as client:
        for _ in range(count):
            body = {"model": "scripted/test-model", "messages": [{"role": "user", "content": "Which planet is red?"}], **more}
            client.post("/v1/chat/completions", json=body).raise_for_status()


@pytest.fixture(scope="module")
def house(server, provider):
    """A priced provider, twenty calls by two users, a budget."""
    server.cli("providers", "add", "scripted", "--kind", "openai-compatible", "--url", provider.base_url, "--key", "k")
    server.cli("prices", "set", "scripted/test-model", "input=100", "output=1000")
    server.cli("budgets", "set", "project", "500", "--per", "week")
    provider.always(Reply("Mars.", input_tokens=1_000, output_tokens=100))
    for number in range(20):
        call(server, user=f"user-{number % 2}")
    return server


def test_costs_are_chosen_drilled_into_and_shared(house, visit):
    page = visit("/gateway/costs?since=24h")
    page.locator("[data-chart] canvas").wait_for()
    page.get_by_label("By", exact=True).select_option("user")
    page.wait_for_url("**by=user**")
    row = page.get_by_role("link", name="user-1")
    row.wait_for()
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.className") == "row-link"
    row.click()
    page.wait_for_url("**user=user-1**")
    assert page.get_by_label("User", exact=True).input_value() == "user-1"
    page.get_by_text("$2.00").first.wait_for()  # ten calls at 1,000 · 100 $/M + 100 · 1,000 $/M
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert "usd" in download.value.path().read_text().splitlines()[0]


def test_a_price_is_set_on_its_page_and_looked_up(house, visit):
    page = visit("/gateway/prices")
    page.get_by_label("Model", exact=True).first.fill("scripted/other-*")
    page.get_by_label("Input, $ per million tokens", exact=True).fill("0.15")
    page.get_by_role("button", name="Set", exact=True).click()
    page.get_by_role("cell", name="scripted/other-*", exact=True).wait_for()
    page.locator("#field-ask").fill("scripted/other-model")
    page.get_by_role("button", name="Look up").click()
    page.get_by_text(re.compile(r"price book default@\d+: scripted/other-\*")).wait_for()


def test_a_budget_is_set_changed_and_removed_on_its_page(house, visit):
    page = visit("/gateway/limits")
    page.locator("[data-chart] canvas").wait_for()
    page.get_by_text("$4.00 used").wait_for()
    page.get_by_label("Of what").select_option("tokens")
    page.get_by_label("Whose").select_option(label="project default")
    page.get_by_label("How much").fill("5000000")
    page.get_by_label("In what time").select_option("hour")
    page.get_by_role("button", name="Set", exact=True).click()
    page.get_by_text("5,000,000 an hour").wait_for()
    page.get_by_role("link", name="Change the limit of default").last.click()
    page.wait_for_url("**edit=**")
    assert page.get_by_label("How much").input_value() == "5000000"
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove the limit of default").last.click()
    page.get_by_text("5,000,000 an hour").wait_for(state="detached")


def test_calls_are_listed_as_they_end_and_pausing_stops_the_list(house, visit):
    page = visit("/gateway/live")
    page.get_by_text(re.compile("^live")).wait_for()
    before = page.locator("[data-live] tbody tr").count()
    call(house, 3)
    rows = page.locator("[data-live] tbody tr")
    rows.nth(before + 2).wait_for()
    page.get_by_role("button", name="Pause").click()
    call(house, 2)
    page.get_by_text(re.compile(r"paused · 5 calls .*2 not listed")).wait_for()
    assert rows.count() == before + 3
    page.get_by_role("button", name="Go on").click()
    call(house, 1)
    rows.nth(before + 3).wait_for()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_money_at_every_size(house, visit, size, scheme):
    for path in PAGES:
        page = visit(path, viewport=SIZES[size], color_scheme=scheme)
        page.wait_for_load_state()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{path} is wider than the window"
        page.context.close()
