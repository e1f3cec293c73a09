"""Pages of keys and the audit log."""

import re

import sqlalchemy as sa

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
    assert "revoked" in answer.text
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
