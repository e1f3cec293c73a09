"""Who gets in where: every route of the server, enumerated, against every kind of caller; and no reading across workspaces."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from genwright.access.types import ROLES, SYSTEM
from genwright.app import COOKIE, OPEN, ROOMS
from genwright.clock import now_ns
from genwright.vocab import Scope
from genwright.web.server import routers
from page_site import BASE, Site

OTHER = Scope("other", "other")
HOT = [("POST", "/v1/chat/completions", "call"), ("POST", "/v1/messages", "call"), ("POST", "/v1/embeddings", "call"),
       ("GET", "/v1/models", "call"), ("POST", "/v1/traces", "call"), ("GET", "/v1/nothing", "call")]  # fmt: skip
FIELDS = ("ref", "name", "digest", "trace_id", "app", "a", "b", "run", "session", "text", "id", "trace", "before", "after")
CANARY = "canary-5d0e77f1"
ENDLESS = {"/w/{workspace}/gateway/live/events"}
"""Streams without an end: who may open them is tested with the others, what they send by their rooms."""


def permissions(dependant: Any) -> set[str]:
    own = {dependant.call.permission} if getattr(dependant.call, "permission", None) else set()
    return own.union(*(permissions(part) for part in dependant.dependencies))


def enumerated() -> list[tuple[str, str, str]]:
    """(method, path, permission) of everything the server answers, but for what is listed as open."""
    found = list(HOT)
    for router in routers(ROOMS):
        for route in router.routes:
            if hasattr(route, "dependant") and not route.path.startswith(OPEN):
                (permission,) = permissions(route.dependant)
                found += [(method, route.path, permission) for method in sorted(route.methods)]
    return found


ROUTES = enumerated()


def filled(path: str, **values: str) -> str:
    return re.sub(r"\{(\w+)(:path)?\}", lambda part: values.get(part[1], "x"), path)


class Outsider:
    """Calls the door with one credential, never as a browser."""

    def __init__(self, site: Site, headers: dict[str, str]):
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(site.door, raise_app_exceptions=False), base_url=BASE, headers=headers
        )

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self._client.request(method, path, **more)


async def a_key(site: Site, role: str, scope: Scope | None = None, **more: Any) -> str:
    return (await site.house.access.create_key(SYSTEM(scope or site.scope), role, role, **more))[1]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_there_are_routes_to_try():
    assert len(ROUTES) > 120
    assert {permission for _, _, permission in ROUTES} >= {"call", "read", "write", "score", "promote", "admin"}


async def test_without_a_valid_key_nothing_answers(site, clock):
    revoked, expired = await a_key(site, "admin"), await a_key(site, "admin", expires_ns=now_ns() + 10**9)
    ended = await site.house.access.login_with_key(revoked)
    key_id = (await site.house.access.actor_for_key(revoked)).id
    await site.house.access.actor_for_key(expired)  # remembered, and must be forgotten in time
    await site.house.access.revoke_key(site.actor, key_id)
    clock.advance(2)
    bad = {
        "none": {},
        "junk": bearer("gw_junk"),
        "not ascii": {"authorization": b"Bearer \xff\xfe\x00"},
        "basic": {"authorization": "Basic YWRtaW46YWRtaW4="},
        "revoked": bearer(revoked),
        "revoked, other header": {"x-api-key": revoked},
        "expired": bearer(expired),
        "ended session": {"cookie": f"{COOKIE}={ended}", "origin": BASE},
        "junk session": {"cookie": f"{COOKIE}=gws_junk", "origin": BASE},
        "key as session": {"cookie": f"{COOKIE}={expired}", "origin": BASE},
    }
    wrong = []
    for name, headers in bad.items():
        caller = Outsider(site, headers)
        for method, path, _ in ROUTES:
            answer = await caller.call(method, filled(path, workspace="default"))
            if answer.status_code != 401:
                wrong.append((name, method, path, answer.status_code))
    assert wrong == []


@pytest.mark.parametrize("role", [role for role in ROLES if role != "admin"])
async def test_a_role_gets_no_further_than_its_permissions(site, role):
    caller, wrong = Outsider(site, bearer(await a_key(site, role))), []
    for method, path, permission in ROUTES:
        if permission in ROLES[role] or permission == "known" or path == "/v1/nothing":
            continue
        answer = await caller.call(method, filled(path, workspace="default"), json={"model": "local/extractive"})
        if path == "/v1/traces":
            answer = await caller.call(method, path, content=b"", headers={"content-type": "application/x-protobuf"})
        elif path == "/v1/embeddings":
            answer = await caller.call(method, path, json={"model": "local/minilm", "input": "x"})
        elif path.startswith("/v1/") and method == "POST":
            body = {"model": "local/extractive", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
            answer = await caller.call(method, path, json=body)
        if answer.status_code != 403:
            wrong.append((method, path, permission, answer.status_code, answer.text[:200]))
    assert wrong == []


async def test_pages_of_another_workspace_are_not_there(site):
    caller, wrong = Outsider(site, bearer(await a_key(site, "admin", OTHER))), []
    for method, path, _ in ROUTES:
        if "{workspace}" in path:
            answer = await caller.call(method, filled(path, workspace="default"))
            if answer.status_code != 404 or "for you" not in answer.text:
                wrong.append((method, path, answer.status_code))
    assert wrong == []


async def test_nothing_is_read_or_changed_across_workspaces(site):
    """An administrator elsewhere, who knows every id and name of ours, in every place of every route."""
    ids = await planted(site)
    caller, wrong = Outsider(site, bearer(await a_key(site, "admin", OTHER))), []
    before = await everything(site)
    tried = 0
    for method, path, _ in ROUTES:
        for value in ids if path not in ENDLESS else ():
            target = filled(path, **dict.fromkeys(re.findall(r"\{(\w+)", path), value) | {"workspace": "other"})
            query = {**dict.fromkeys(FIELDS, value), "kind": "prompt"}
            body = {"model": f"app/{value}", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
            answer = await caller.call(method, target, params=query, **({"json": body} if method == "POST" else {}))
            tried += 1
            if answer.status_code >= 500 or CANARY in without_echo(answer.text, value):
                wrong.append((method, path, value, answer.status_code, answer.text[:300]))
    assert wrong == []
    assert tried > 500
    assert await everything(site) == before


async def test_a_job_and_a_provider_of_another_workspace_are_not_there(site):
    await site.house.gateway.add_provider(site.actor, "ours", "openai", "", "sk-" + CANARY)
    caller = Outsider(site, bearer(await a_key(site, "admin", OTHER)))
    for method, path in [("DELETE", "/api/gateway/providers/ours"), ("POST", "/api/gateway/providers/ours/test")]:
        answer = await caller.call(method, path)
        assert answer.status_code == 404 or answer.json().get("ok") is False, (path, answer.text)
    assert "ours" not in (await caller.call("GET", "/api/gateway/providers")).text
    assert "ours" in {row.name for row in await site.house.gateway.list_providers(site.actor)}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/access/keys", {"name": "x", "role": "caller", "workspace": "default", "id": "key_1"}),
        ("/api/access/keys", {"name": "x", "created_by": "somebody"}),
        ("/api/prompts", {"name": "x", "content": {}, "workspace": "other"}),
        ("/api/registry/versions", {"kind": "prompt", "name": "x", "content": {}, "created_by": "somebody"}),
        ("/api/gateway/providers", {"name": "x", "kind": "openai", "workspace": "other"}),
        ("/api/releases", {"app": "x", "scope": {"workspace": "other"}}),
        ("/api/evals/runs", {"target": "app/x", "dataset": "x", "created_by": "me"}),
    ],
)
async def test_fields_that_are_not_the_callers_to_say_are_refused_by_name(site, path, body):
    answer = await Outsider(site, bearer(await a_key(site, "admin"))).call("POST", path, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "unknown_field", answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1.evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({}, 403),
        ({"origin": BASE}, 303),
    ],
)
async def test_a_cookie_counts_only_from_our_own_pages(site, headers, status):
    cookie = await site.house.access.login_with_key(await a_key(site, "admin"))
    answer = await Outsider(site, {"cookie": f"{COOKIE}={cookie}", **headers}).call("POST", "/logout")
    assert answer.status_code == status


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}])
async def test_another_site_cannot_log_somebody_in(site, headers):
    answer = await Outsider(site, headers).call("POST", "/login", data={"key": await a_key(site, "admin")})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


ELSEWHERE = [
    "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "javascript:alert(1)",
    "/\t/evil.example", "/\n/evil.example", " //evil.example", "/%0d%0aset-cookie:x=1", "/\r\nset-cookie: x=1",
]  # fmt: skip


@pytest.mark.parametrize("target", ELSEWHERE)
async def test_log_in_leads_nowhere_else(site, target):
    form = {"key": await a_key(site, "viewer"), "next": target}
    answer = await Outsider(site, {"origin": BASE}).call("POST", "/login", data=form)
    assert answer.status_code == 303
    where = answer.headers["location"]
    assert re.match(r"/(?![/\\])[^\t\r\n\\]*\Z", where), where
    assert len(answer.headers.get_list("set-cookie")) == 1


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "127.0.0.1:80@evil.example", "127.0.0.1:80/x?", "", "127.0.0.1 x", "[::1]x"],
)
async def test_another_host_is_not_served(site, host):
    for path in ("/healthz", "/login", "/", "/api/access/me", "/v1/models"):
        answer = await Outsider(site, {"host": host, **bearer(await a_key(site, "admin"))}).call("GET", path)
        assert answer.status_code == 400, (path, answer.text)


@pytest.mark.parametrize("key", ["a\r\nX-Evil: 1", "a\x00", "ключ", "x" * 5_000])
async def test_a_providers_key_is_something_a_header_can_hold(site, key):
    body = {"name": "p", "kind": "openai", "api_key": key}
    answer = await Outsider(site, bearer(await a_key(site, "admin"))).call("POST", "/api/gateway/providers", json=body)
    assert answer.status_code == 400
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "p" not in {row.name for row in await site.house.gateway.list_providers(site.actor)}


def without_echo(text: str, value: str) -> str:
    """An answer may repeat what it was asked for; only what it adds counts."""
    return text.replace(value, "")


async def planted(site: Site) -> list[str]:
    """One of everything in our workspace, each holding the canary; all ids and names by which it can be asked for."""
    release = await site.released()
    trace = await site.answered(f"What is {CANARY}?", f"It is {CANARY}.", release=f"release:docs-qa@{release.digest}")
    await site.house.tracing.score(site.actor, trace, "good", 1.0, comment=CANARY)
    prompt = await site.prompt(CANARY)
    dataset = await site.house.datasets.put(site.actor, "ours", [{"question": CANARY, "reference": CANARY}], CANARY)
    document = await site.house.retrieval.add_document(site.actor, "ours", "a.md", f"# {CANARY}\n\n{CANARY} text".encode(), "")
    key = (await site.house.access.create_key(SYSTEM(site.scope), CANARY, "viewer"))[0]
    run = await site.house.evals.start_run(site.actor, "local/extractive", "ours", name=CANARY)
    await site.house.evals.wait(site.scope, run.id, 20)
    jobs = [job.id for job in await site.house.jobs.list(site.scope)]
    names = [
        "docs-qa", "prompt:docs-qa@1", f"prompt:docs-qa@{prompt.digest}", prompt.digest, "release:docs-qa@production", "ours",
        "dataset:ours@1", dataset.digest, trace, run.id, key.id, document.digest, f"document:{document.digest}", "s-1",
    ]  # fmt: skip
    return names + jobs[:1]


async def everything(site: Site) -> tuple[Any, ...]:
    """What must be as it was."""
    house = site.house
    return (
        await house.access.list_keys(site.actor),
        await house.registry.list(site.scope, "prompt"),
        await house.registry.versions(site.scope, "prompt", "docs-qa"),
        await house.registry.history(site.scope, "release", "docs-qa"),
        await house.retrieval.documents(site.scope, "ours"),
        [job.state for job in await house.jobs.list(site.scope)],
    )
