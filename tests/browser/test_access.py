"""Keys, teams, people and projects in Chromium: made, rotated, handed on and switched, as an administrator does it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from journey import empty  # noqa: F401  (fixture)

SHOTS = Path(__file__).with_name("shots")
SIZES = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
SECRET = re.compile(r"gw_[A-Za-z0-9_-]{43}")


@pytest.fixture(scope="module")
def tree(empty):  # noqa: F811
    """A server with two teams, a member, a service account and keys; 60 more keys in no team."""
    team = empty.post(
        "/api/access/teams", {"name": "Research", "role": "editor", "models": ["local/*"], "tags": {"center": "47"}}
    )
    empty.post("/api/access/teams", {"name": "Customer support", "operations": ["chat", "embeddings"]})
    ada = empty.post("/api/access/members", {"name": "Ada Lovelace", "role": "editor", "team": team["id"]})
    robot = empty.post("/api/access/services", {"name": "nightly-evaluation", "team": team["id"]})
    empty.post("/api/access/keys", {"name": "laptop", "member": ada["id"], "role": "editor"})
    empty.post("/api/access/keys", {"name": "cron", "service": robot["id"], "default_max_output_tokens": 2000})
    for number in range(60):
        empty.post("/api/access/keys", {"name": f"app-{number:02d}"})
    empty.post("/api/access/projects", {"name": "labs"})
    return empty


def _wrong(said):
    """An error in the console; that a form was refused (422) is one to Chromium only."""
    return said.type == "error" and "status of 422" not in said.text


@pytest.fixture
def person(chromium, tree):
    """`person(link, **options)`: a page of somebody who opened a one-time link. Errors in its console fail the test."""
    contexts, complaints = [], []

    def enter(link, **options):
        context = chromium.new_context(**{"viewport": SIZES["wide"], "color_scheme": "light", **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(f"{page.url}: {said.text}") if _wrong(said) else None)
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.goto(link)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/w/default")
        return page

    yield enter
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def admin(person, tree):
    return person(tree.cli("keys", "link")["link"])


def test_pages_of_access_stand_at_every_size_in_every_theme(admin, tree):
    SHOTS.mkdir(exist_ok=True)
    pages = {"access-keys": "", "access-teams": "/teams", "access-people": "/people", "access-projects": "/places"}
    for name, path in pages.items():
        for theme in ("light", "dark"):
            admin.emulate_media(color_scheme=theme)
            for size, viewport in SIZES.items():
                admin.set_viewport_size(viewport)
                admin.goto(f"{tree.address}/w/default/access{path}")
                assert admin.evaluate("document.documentElement.scrollWidth") <= viewport["width"], (name, size)
                admin.screenshot(path=SHOTS / f"{name}-{size}-{theme}.png", full_page=True, caret="initial")


def test_the_link_page_stands_on_a_phone(chromium, tree):
    context = chromium.new_context(viewport=SIZES["phone"])
    page = context.new_page()
    for _ in range(2):
        assert page.goto(tree.cli("keys", "link")["link"]).status == 200
    assert page.get_by_role("heading", level=1).inner_text() == "Sign in as Administrator"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path=SHOTS / "link-phone-light.png")
    page.keyboard.press("Enter")  # the button has the focus
    page.wait_for_url("**/w/default")
    context.close()


def test_a_key_is_made_under_a_team_found_rotated_and_revoked(admin, tree):
    admin.goto(f"{tree.address}/w/default/access")
    admin.get_by_role("link", name="Key for Research", exact=True).click()
    form = admin.locator("#new-key")
    form.get_by_label("Name").fill("search app")
    assert form.get_by_label("Under").input_value().startswith("team:team_")
    form.get_by_text("More", exact=True).click()
    form.get_by_label("Operations").fill("chat, nonsense")
    form.get_by_role("button", name="Make the key").click()
    form.get_by_text("'nonsense' is not an operation").wait_for()
    assert form.get_by_label("Name").input_value() == "search app", "what was typed stays"
    form.get_by_label("Operations").fill("chat")
    form.get_by_role("button", name="Make the key").click()
    admin.get_by_text("never shown again").wait_for()
    secret = SECRET.search(admin.locator(".notice").inner_text())[0]
    terms = tree.get("/api/access/me", secret)["terms"]
    assert (terms["models"], terms["operations"], terms["tags"]) == (["local/*"], ["chat"], {"center": "47"})
    admin.goto(f"{tree.address}/w/default/access?q=search+app")
    assert admin.locator("tbody tr").count() == 1
    admin.get_by_role("link", name="Rotate search app").click()
    admin.get_by_role("button", name="Make the new secret").click()
    admin.get_by_text("never shown again").wait_for()
    newer = SECRET.search(admin.locator(".notice").inner_text())[0]
    assert newer != secret
    assert tree.get("/api/access/me", secret) == tree.get("/api/access/me", newer)
    admin.on("dialog", lambda dialog: dialog.accept())
    admin.goto(f"{tree.address}/w/default/access?q=search+app")
    admin.get_by_role("button", name="Revoke search app").click()
    admin.get_by_text("Revoked: search app").wait_for()
    with tree.http(newer) as gone:
        assert gone.get("/api/access/me").status_code == 401


def test_many_keys_stay_a_page_that_can_be_read(admin, tree):
    admin.goto(f"{tree.address}/w/default/access")
    assert admin.locator("tbody tr").count() < 40
    admin.get_by_role("link", name="Show all 60").click()
    assert admin.locator("tbody tr").count() == 60


def test_a_person_is_added_let_in_and_switches_projects(admin, person, tree):
    admin.goto(f"{tree.address}/w/default/access/people")
    admin.get_by_label("Name").fill("Linus")
    admin.get_by_role("button", name="Add and make a log-in link").click()
    admin.get_by_text("signs Linus in").wait_for()
    linus = person(admin.locator(".notice code").inner_text().strip())
    assert "Linus" in linus.locator(".nav-foot").inner_text()
    assert linus.locator(".workspace button").count() == 0, "he is in one project"
    admin.get_by_label("Role of Linus").select_option("editor")
    admin.get_by_text("Linus is editor now").wait_for()
    admin.locator(".workspace summary").click()
    admin.get_by_role("button", name="Switch to project labs").click()
    admin.locator(".workspace summary", has_text="default / labs").wait_for()
    admin.goto(f"{tree.address}/w/default/access/people")
    admin.get_by_label("Name").fill("Linus")
    admin.get_by_role("button", name="Add and make a log-in link").click()
    admin.get_by_text("signs Linus in").wait_for()
    linus.goto(f"{tree.address}/w/default")
    assert linus.locator(".workspace button").count() == 1, "and now in two"
    admin.goto(f"{tree.address}/w/default/access")
    assert admin.locator("tbody b").all_inner_texts() == ["first administrator"]
    assert "app-01" not in admin.content(), "keys of the other project stay there"
