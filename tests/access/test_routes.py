"""The REST face of access, through the framework with its error rendering."""

import pytest

ROLES = ("caller", "viewer", "reviewer", "editor", "releaser", "admin")
ROUTES = [
    ("POST", "/api/access/keys", {"name": "x", "role": "caller"}),
    ("GET", "/api/access/keys", None),
    ("DELETE", "/api/access/keys/key_x", None),
    ("GET", "/api/access/members", None),
    ("POST", "/api/access/link", {}),
    ("GET", "/api/access/audit", None),
    ("GET", "/api/access/audit/verify", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_only_administrators_pass(web, method, path, body):
    assert (await web.request(method, path, json=body)).status_code == 401
    assert (await web.request(method, path, json=body, key="gw_junk")).status_code == 401
    for role in ROLES:
        status = (await web.request(method, path, json=body, key=await web.key(role))).status_code
        assert status in ((200, 201, 404) if role == "admin" else (403,)), role


async def test_everybody_known_may_ask_who_they_are(web):
    assert (await web.request("GET", "/api/access/me")).status_code == 401
    for role in ROLES:
        me = (await web.request("GET", "/api/access/me", key=await web.key(role))).json()
        assert (me["role"], me["scope"]) == (role, {"workspace": "default", "project": "default"})


async def test_the_life_of_a_key(web):
    admin = await web.key("admin")
    made = (await web.request("POST", "/api/access/keys", key=admin, json={"name": "bot", "role": "viewer"})).json()
    assert (await web.request("GET", "/api/access/me", key=made["secret"])).json()["id"] == made["key"]["id"]
    listed = await web.request("GET", "/api/access/keys", key=admin)
    assert made["secret"] not in listed.text
    assert "code" not in listed.json()["items"][0]
    await web.request("DELETE", f"/api/access/keys/{made['key']['id']}", key=admin)
    assert (await web.request("GET", "/api/access/me", key=made["secret"])).status_code == 401


FOREIGN = [
    "id",
    "workspace",
    "holder",
    "used_ns",
    "scope",
    "created_by",
    "created_ns",
    "code",
    "hint",
    "revoked_ns",
    "permissions",
    "secret",
]


@pytest.mark.parametrize("field", FOREIGN)
async def test_no_field_but_the_allowed_ones_can_be_set(web, field):
    body = {"name": "x", "role": "caller", field: "evil"}
    answer = await web.request("POST", "/api/access/keys", key=await web.key("admin"), json=body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["message"]
    assert "x" not in [
        key["name"] for key in (await web.request("GET", "/api/access/keys", key=await web.key("admin"))).json()["items"]
    ]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"name": 3}', b'{"name": "x", "expires_ns": -1}', b'{"name": "x", "expires_ns": 1e30}',
             b'{"name": "\\u0000"}', b'{"name": "x", "capture": "all"}', b"\xff", b"[" * 100_000]
)  # fmt: skip
async def test_malformed_bodies_are_the_callers_fault(web, body):
    answer = await web.request("POST", "/api/access/keys", key=await web.key("admin"), content=body)
    assert answer.status_code == 400
    assert "Nothing was" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["audit?before=x", "audit?limit=0", "audit?limit=501", "audit?before=99999999999999999999"])
async def test_wrong_queries_name_the_field(web, path):
    answer = await web.request("GET", f"/api/access/{path}", key=await web.key("admin"))
    assert answer.status_code == 400
    assert path.partition("?")[2].partition("=")[0] in answer.json()["error"]["message"]


async def test_nul_in_a_query_is_answered(web):
    for path in ("audit?by=%00", "audit?action=%00&target=%00"):
        assert (await web.request("GET", f"/api/access/{path}", key=await web.key("admin"))).status_code in (200, 400)
    assert (await web.request("DELETE", "/api/access/keys/%00", key=await web.key("admin"))).status_code in (400, 404)


async def test_the_audit_log_has_pages(web):
    admin = await web.key("admin")
    for number in range(5):
        await web.request("POST", "/api/access/keys", key=admin, json={"name": f"k{number}", "role": "caller"})
    seen, before = [], "0"
    while before:
        part = (await web.request("GET", f"/api/access/audit?limit=2&before={before}", key=admin)).json()
        seen += [event["number"] for event in part["items"]]
        before = part["next"]
    assert seen == list(range(len(seen), 0, -1))
    assert len(seen) >= 6
    assert (await web.request("GET", "/api/access/audit/verify", key=admin)).json()["sound"]


async def test_the_path_cannot_name_another_workspace(web):
    from types import SimpleNamespace

    from starlette.requests import Request

    from genwright.access.service import needs
    from genwright.errors import Invalid, Missing

    actor = await web.access.actor_for_key(await web.key("admin"))
    check = needs("read")
    assert check.permission == "read"
    own = Request({"type": "http", "actor": actor, "path_params": {"workspace": "default"}, "app": SimpleNamespace()})
    assert await check(own) is actor
    foreign = Request({"type": "http", "actor": actor, "path_params": {"workspace": "other"}, "app": SimpleNamespace()})
    with pytest.raises(Missing):
        await check(foreign)
    with pytest.raises(Invalid):
        needs("everything")
