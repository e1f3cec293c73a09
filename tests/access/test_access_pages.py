"""Pages of keys and the audit log."""

import re

import sqlalchemy as sa

from genwright.access.types import NewNode, Under
from genwright.audit import events
from page_site import PLANTED


async def test_a_key_is_shown_once_and_works(site):
    answer = await site.post("/access", name=PLANTED, role="viewer", capture="metadata", days="30")
    secret = re.search(r"gw_[A-Za-z0-9_-]{40,}", answer.text).group()
    actor = await site.house.access.actor_for_key(secret)
    assert (actor.role, actor.capture) == ("viewer", "metadata")
    html = await site.get("/access")
    assert secret not in html
    assert secret[:7] in html
    assert "no-store" in answer.headers["cache-control"]


async def test_a_wrong_form_makes_nothing(site):
    before = len(await site.house.access.list_keys(site.actor))
    assert "needs a name" in (await site.post("/access", 422, name=" ", role="viewer", days="")).text
    assert "is not a role" in (await site.post("/access", 422, name="x", role="king", days="")).text
    await site.post("/access", 400, name="x", role="viewer", days="31")
    assert len(await site.house.access.list_keys(site.actor)) == before


async def test_a_revoked_key_ends_at_once(site):
    viewer = await site.as_role("viewer")
    await viewer.get("/tracing")
    key = next(key for key in await site.house.access.list_keys(site.actor) if key.name == "viewer")
    answer = await site.post(f"/access/{key.id}/revoke")
    assert "1 key has ended" in answer.text
    assert "revoked" in await site.get("/access", state="all")
    assert (await viewer._client.get("/w/default/tracing")).headers["location"].startswith("/login")


async def test_only_administrators_see_keys(site):
    editor = await site.as_role("editor")
    html = await editor.get("/access")
    assert "Only administrators" in html
    assert "Revoke" not in html
    await editor.post("/access", 403, name="x", role="admin", days="")
    await editor.get("/access/audit", 403)


async def test_the_audit_log_filters_pages_and_verifies(site, monkeypatch):
    monkeypatch.setattr("genwright.access.pages.PAGE", 3)
    for number in range(5):
        await site.post("/access", name=f"key {number}", role="caller", days="")
    html = await site.get("/access/audit")
    assert html.count("</tr>") == 4
    following = re.search(r'rel="next" href="/w/default([^"]+)"', html).group(1)
    assert html.split("<tbody>")[1] != (await site.get(following.replace("&amp;", "&"))).split("<tbody>")[1]
    assert "No such events" in await site.get("/access/audit", action="nothing.done")
    assert html.count("access.create_key") >= 3
    assert "The log is whole" in await site.get("/access/audit/verify")

    def forge(connection):
        connection.execute(sa.update(events).where(events.c.number == 2).values(actor="somebody else"))

    await site.house.databases["registry"].write(forge)
    assert "broken at event 2" in await site.get("/access/audit/verify")


TEAM = {"kind": "team", "name": PLANTED, "role": "editor", "models": "local/*, openai/gpt-*", "tags": "center=47"}


async def test_the_tree_of_keys_shows_what_each_may_at_last(site):
    await site.post("/access/teams", **TEAM)
    (team,) = await site.house.access.tree.nodes(site.actor, "team")
    await site.post("/access/teams", kind="service", name="nightly", team=team.id, role="caller", operations="chat")
    robot = next(node for node in await site.house.access.tree.nodes(site.actor) if node.kind == "service")
    answer = await site.post("/access", name="bot", role="caller", under=f"service:{robot.id}", max_output_tokens="99", days="")
    secret = re.search(r"gw_[A-Za-z0-9_-]{40,}", answer.text).group()
    terms = (await site.house.access.actor_for_key(secret)).terms
    assert (terms.models, terms.operations, terms.default_max_output_tokens) == (("local/*", "openai/gpt-*"), ("chat",), 99)
    refused = await site.post("/access", 422, name="more", role="admin", under=f"team:{team.id}", days="", tags="a=b")
    assert "cannot be &#39;admin&#39; under a team" in refused.text
    assert 'value="a=b"' in refused.text, "what was typed stays"
    html = await site.get("/access")
    assert html.index("nightly") < html.index("<b>bot</b>")
    assert "center=47" in html
    assert "<b>bot</b>" in await site.get("/access", q="night")
    assert "No such keys" in await site.get("/access", q="nothing like it")
    await site.post("/access/teams", kind="team", id=team.id, role="viewer", models="")
    html = await site.get("/access")
    assert "made as caller" in html, "a caller under viewers may do nothing"
    assert "Change" in await site.get("/access/teams", edit=team.id)
    await site.post(f"/access/teams/{team.id}/remove", 409)
    await site.post(f"/access/teams/{robot.id}/remove")
    await site.post(f"/access/teams/{team.id}/remove")


async def test_a_rotation_shows_the_new_secret_once(site):
    answer = await site.post("/access", name="app", role="viewer", days="")
    old = re.search(r"gw_[A-Za-z0-9_-]{40,}", answer.text).group()
    key = next(key for key in await site.house.access.list_keys(site.actor) if key.name == "app")
    assert "Rotate app" in await site.get("/access", rotate=key.id)
    answer = await site.post(f"/access/{key.id}/rotate", overlap="3600")
    new = re.search(r"gw_[A-Za-z0-9_-]{40,}", answer.text).group()
    assert new != old
    assert [(await site.house.access.actor_for_key(secret)).id for secret in (old, new)] == [key.id, key.id]
    assert "Nothing was changed" in (await site.post(f"/access/{key.id}/rotate", 422, overlap="3600")).text
    await site.post(f"/access/{key.id}/rotate", 400, overlap="17")


async def test_people_come_change_and_go(site):
    answer = await site.post("/access/people", name="Ada " + PLANTED, role="editor")
    token = re.search(r"token=(gwl_[A-Za-z0-9_-]+)", answer.text).group(1)
    person = await site.house.access.actor_for_session(await site.house.access.redeem(token))
    assert (person.role, person.kind) == ("editor", "session")
    assert "already" in (await site.post("/access/people", 422, name="Ada " + PLANTED, role="viewer")).text
    await site.post(f"/access/people/{person.id}/change", role="viewer")
    again = re.search(r"token=(gwl_[A-Za-z0-9_-]+)", (await site.post(f"/access/people/{person.id}/link")).text).group(1)
    assert (await site.house.access.actor_for_session(await site.house.access.redeem(again))).role == "viewer"
    assert token not in await site.get("/access/people")
    await site.post(f"/access/people/{person.id}/remove")
    assert "Ada" not in await site.get("/access/people")
    await site.post("/access/people/admin/remove", 409)


async def test_projects_and_workspaces_are_made_on_their_page(site):
    made = await site.post("/access/places", kind="project", name="labs")
    assert re.search(r"gw_[A-Za-z0-9_-]{40,}", made.text)
    made = await site.post("/access/places", kind="workspace", name="acme")
    token = re.search(r"token=(gwl_[A-Za-z0-9_-]+)", made.text).group(1)
    chief = await site.house.access.actor_for_session(await site.house.access.redeem(token))
    assert (chief.scope.workspace, chief.role) == ("acme", "admin")
    assert "There is a project" in (await site.post("/access/places", 422, kind="project", name="labs")).text
    html = await site.get("/access/places")
    assert "labs" in html
    assert "acme" in html
    assert "acme" not in await (await site.as_role("viewer")).get("/access/places")


async def test_only_administrators_manage_the_tree(site):
    editor = await site.as_role("editor")
    for path in ("/access/teams", "/access/people"):
        await editor.get(path, 403)
        await editor.post(path, 403, name="x", role="admin")
    await editor.post("/access/places", 403, name="x")


async def test_a_busy_branch_hides_no_other(site):
    tree = site.house.access.tree
    team = await tree.add_node(site.actor, "team", NewNode("research"))
    busy = await tree.add_node(site.actor, "service", NewNode("a-busy", team=team.id))
    quiet = await tree.add_node(site.actor, "service", NewNode("b-quiet", team=team.id))
    for number in range(30):
        await site.house.access.create_key(site.actor, f"busy-{number:02d}", "caller", under=Under(service=busy.id))
    await site.house.access.create_key(site.actor, "still here", "caller", under=Under(service=quiet.id))
    html = await site.get("/access")
    assert "still here" in html
    assert "11 of 31 keys shown" in html
    assert html.count("<b>busy-") == 10
    assert (await site.get("/access", team=team.id)).count("<b>busy-") == 30
