"""Tenants, projects, people, teams and keys, as an operator and their administrators meet them: command line, HTTP and pages."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator

import httpx
import pytest

from journey import Server, genwright, sign_in, until

CANARY = "canary9f3e"
QUESTION = {"role": "user", "content": f"Context: {CANARY} is a bird. Question: what is {CANARY}?"}
PROMPT = {"messages": [{"role": "user", "content": "Say {{word}}."}], "variables": {"word": {}}}
LISTS = (
    "/api/access/keys", "/api/access/members", "/api/access/teams", "/api/access/services", "/api/access/projects",
    "/api/access/workspaces", "/api/access/audit?limit=500", "/api/registry/artifacts?limit=500", "/api/prompts",
    "/api/datasets", "/api/evals/runs", "/api/gateway/providers", "/api/gateway/models", "/api/gateway/usage", "/api/jobs",
    "/api/retrieval/corpora", "/api/retrieval/corpora/birds/documents", "/api/tracing/traces", "/v1/models", "/api/agents/apps",
)  # fmt: skip
PAGES = ("", "/chat", "/documents", "/prompts", "/guardrails", "/datasets", "/releases", "/tracing", "/evals", "/gateway",
         "/access", "/access/audit", "/access/people", "/access/places", "/jobs", "/registry")  # fmt: skip


class Tenant:
    """An administrator of one workspace, who works over HTTP and the command line with a key of his own."""

    def __init__(self, server: Server, key: str, workspace: str):
        self.server, self.key, self.workspace = server, key, workspace

    def cli(self, *words: str, code: int = 0, stdin: str = ""):
        elsewhere = {"GENWRIGHT_URL": self.server.address, "GENWRIGHT_API_KEY": self.key}
        done = genwright(None, *words, "--json", cwd=self.server.home.parent, stdin=stdin, **elsewhere)
        assert done.code == code, f"{words}: {done.code} {done.err} {done.out}"
        return done.json if done.out.strip() else None

    def plant(self, word: str) -> dict[str, str]:
        """One of everything, each holding the word; by what it can be asked for."""
        self.cli("prompts", "put", f"prompt-{word}", "-", stdin=json.dumps({**PROMPT, "variables": {"word": {"example": word}}}))
        folder = self.server.home.parent / f"papers-{self.workspace}"
        folder.mkdir(exist_ok=True)
        (folder / f"{word}.md").write_text(f"# Birds\n\nA {word} is a bird that sings at night.\n")
        index = self.cli("ingest", str(folder), "--corpus", "birds", "--label", "production")["index"]
        key = self.cli("keys", "create", f"key-{word}")
        with self.server.http(self.key) as client:
            body = {
                "model": "local/extractive",
                "messages": [{"role": "user", "content": QUESTION["content"].replace(CANARY, word)}],
            }
            trace = checked_answer(client.post("/v1/chat/completions", json=body))
        until(lambda: word in json.dumps(self.server.get("/api/tracing/traces", self.key)))
        documents = self.server.get("/api/retrieval/corpora/birds/documents", self.key)["items"]
        return {"index": index, "key": key["id"], "trace": trace, "document": documents[0]["digest"], "prompt": f"prompt-{word}"}


def refused_field(server: Server, what: str, **body) -> str:
    """The field for which making one is refused."""
    with server.http() as client:
        answer = client.post(f"/api/access/{what}", json=body)
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]["details"]["field"]


def checked_answer(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers["x-genwright-trace"]


@pytest.fixture(scope="module")
def acme(empty) -> Tenant:
    """A second workspace and its administrator's first key."""
    made = empty.cli("workspaces", "create", "acme")
    return Tenant(empty, made["secret"], "acme")


@contextlib.contextmanager
def browser(server: Server, link: str) -> Iterator[httpx.Client]:
    """A person who opened this link and pressed its button."""
    with httpx.Client(base_url=server.address, headers={"accept": "text/html", "origin": server.address}, timeout=30) as client:
        assert sign_in(client, link).status_code == 303
        yield client


# -- two workspaces on one server


def test_a_second_workspace_and_the_first_see_nothing_of_each_other(empty, acme):
    first = Tenant(empty, empty.key, "default")
    ours, theirs = first.plant(CANARY), acme.plant("acmebird77")
    for tenant, word, foreign in ((acme, CANARY, ours), (first, "acmebird77", theirs)):
        with empty.http(tenant.key) as client:
            seen = {path: client.get(path).text for path in LISTS}
            assert [path for path, text in seen.items() if word in text or foreign["key"] in text] == []
            assert any(json.loads(text).get("items") for text in seen.values())
            for path in (
                f"/api/tracing/traces/{foreign['trace']}",
                f"/api/retrieval/document?digest={foreign['document']}&name={word}.md",
                f"/api/registry/versions?ref={foreign['index']}",
                f"/api/prompts/get?name={foreign['prompt']}&selector=1",
            ):
                assert client.get(path).status_code == 404, path
            assert client.delete(f"/api/access/keys/{foreign['key']}").status_code == 404
            search = {"index": foreign["index"], "query": "bird at night", "k": 3}
            assert client.post("/api/retrieval/search", json=search).status_code == 404
    assert {key["id"] for key in first.cli("keys", "list")["items"]}.isdisjoint(
        key["id"] for key in acme.cli("keys", "list")["items"]
    )
    assert first.cli("keys", "audit")["verification"]["sound"]
    assert acme.cli("keys", "audit")["verification"]["sound"]


def test_no_index_version_of_anothers_folder_can_be_stored(empty, acme):
    """(That one would open nothing: tests/retrieval/test_service.py.)"""
    with empty.http() as operator:
        content = operator.get("/api/registry/versions", params={"ref": "index:birds"}).json()["content"]
    with empty.http(acme.key) as thief:
        answer = thief.post("/api/registry/versions", json={"kind": "index", "name": "taken", "content": content})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "wrong_door")


def test_pages_of_a_workspace_show_only_it(empty, acme):
    made = empty.cli("workspaces", "link", "acme")
    with browser(empty, made["link"]) as person:
        assert person.get("/").headers["location"] == "/w/acme"
        for page in PAGES:
            answer = person.get(f"/w/acme{page}")
            assert answer.status_code == 200, page
            assert CANARY not in answer.text, page
            assert person.get(f"/w/default{page}").status_code == 404, page
        assert "acmebird77" in person.get("/w/acme/registry").text
        assert "acmebird77" in person.get("/w/acme/tracing").text


def test_each_workspace_has_its_own_administrator_and_only_the_operator_makes_more(empty, acme):
    me = empty.get("/api/access/me", acme.key)
    assert (me["scope"]["workspace"], me["role"]) == ("acme", "admin")
    assert me["nodes"][:2] == ["workspace:acme", "project:default"]
    assert [row["workspace"] for row in acme.cli("workspaces", "list")["items"]] == ["acme"]
    assert {row["workspace"] for row in empty.cli("workspaces", "list")["items"]} >= {"acme", "default"}
    refused = acme.cli("workspaces", "create", "evil", code=1)
    assert refused["error"]["code"] == "forbidden"
    assert acme.cli("workspaces", "link", "default", code=1)["error"]["code"] == "forbidden"
    with empty.http(empty.make_key("releaser")[1]) as low:
        assert low.post("/api/access/workspaces", json={"name": "evil"}).status_code == 403
    assert empty.cli("workspaces", "create", "acme", code=1)["error"]["code"] == "conflict"
    for name in ("", "Default", "a/b", "..", "a b", "x" * 41):
        assert refused_field(empty, "workspaces", name=name) == "name"
    assert "evil" not in {row["workspace"] for row in empty.cli("workspaces", "list")["items"]}
    told = [event["target"] for event in empty.cli("keys", "audit", "--action", "access.create_workspace")["items"]]
    assert told == ["acme"]


def test_another_server_process_still_knows_the_tenants(start, tmp_path):
    server = start(tmp_path / "home")
    made = server.cli("workspaces", "create", "acme")
    server.kill()
    server.start()
    assert server.get("/api/access/me", made["secret"])["scope"]["workspace"] == "acme"


# -- projects and people


def test_a_member_switches_between_projects_and_has_a_role_in_each(empty):
    empty.cli("projects", "create", "labs")
    ada = empty.cli("members", "add", "Ada", "--role", "editor", "--project", "labs")
    assert empty.cli("members", "add", "Ada", "--role", "viewer")["id"] == ada["id"], "one person, one id"
    assert ada["id"] in {row["id"] for row in empty.cli("members", "list", "--project", "labs")["items"]}
    with browser(empty, empty.cli("members", "link", ada["id"], "--project", "labs")["link"]) as person:
        page = person.get("/w/default").text
        assert "default / labs" in re.sub(r"\s+", " ", page)
        me = person.get("/api/access/me").json()
        assert (me["scope"]["project"], me["role"], me["projects"]) == ("labs", "editor", ["default"])
        assert person.post("/api/prompts", json={"name": "in-labs", "content": PROMPT}).status_code == 201
        assert person.post("/switch", data={"project": "default"}).status_code == 303
        me = person.get("/api/access/me").json()
        assert (me["scope"]["project"], me["role"], me["projects"]) == ("default", "viewer", ["labs"])
        assert "in-labs" not in person.get("/api/prompts").text
        assert person.post("/api/prompts", json={"name": "more", "content": PROMPT}).status_code == 403
        assert person.post("/switch", data={"project": "nowhere"}).status_code == 404
        empty.cli("members", "role", ada["id"], "reviewer")
        assert person.get("/api/access/me").json()["role"] == "reviewer", "at once"
        empty.cli("members", "remove", ada["id"])
        assert person.get("/w/default").headers["location"].startswith("/login")
    with browser(empty, empty.cli("members", "link", ada["id"], "--project", "labs")["link"]) as person:
        assert person.get("/api/access/me").json()["projects"] == [], "he is in one project only"


def test_an_administrator_of_one_project_gets_no_further(empty):
    made = empty.cli("projects", "create", "side")
    chief = Tenant(empty, made["secret"], "default")
    assert [row["project"] for row in chief.cli("projects", "list")["items"]] == ["side"]
    assert chief.cli("projects", "create", "more", code=1)["error"]["code"] == "forbidden"
    assert chief.cli("workspaces", "create", "more", code=1)["error"]["code"] == "forbidden"
    assert chief.cli("keys", "link", code=1)["error"]["code"] == "forbidden", "it would be the workspace's administrator's"
    assert chief.cli("members", "link", "admin", code=2)["error"]["code"] == "not_found"
    with empty.http(chief.key) as client:
        for what in ("keys", "members", "teams", "services"):
            assert client.get(f"/api/access/{what}", params={"project": "default"}).status_code == 404
    assert chief.cli("keys", "create", "x", "--role", "admin", "--project", "default", code=2)["error"]["code"] == "not_found"
    grace = empty.cli("members", "add", "Grace", "--role", "admin")
    assert chief.cli("members", "add", "Grace", "--role", "viewer")["id"] == grace["id"]
    with browser(empty, chief.cli("members", "link", grace["id"])["link"]) as person:
        assert person.get("/api/access/me").json()["projects"] == [], "a way opened from one project leads to no other"
        assert person.post("/switch", data={"project": "default"}).status_code == 404


def test_administrators_of_the_workspace_enter_every_project(empty):
    empty.cli("projects", "create", "third")
    with browser(empty, empty.cli("keys", "link")["link"]) as admin:
        assert "third" in admin.get("/api/access/me").json()["projects"]
        assert admin.post("/switch", data={"project": "third"}).status_code == 303
        me = admin.get("/api/access/me").json()
        assert (me["scope"]["project"], me["role"]) == ("third", "admin")
    assert empty.cli("members", "remove", "admin", code=1)["error"]["code"] == "conflict"
    assert empty.cli("members", "role", "admin", "viewer", code=1)["error"]["code"] == "conflict"


# -- the key tree


def test_a_key_can_do_no_more_than_what_it_hangs_under(empty):
    team = empty.cli("teams", "create", "research", "--role", "editor", "--models", "local/*,openai/gpt-*", "--tags", "center=47")
    robot = empty.cli("services", "create", "nightly", "--team", team["id"], "--operations", "chat")
    assert empty.cli("keys", "create", "x", "--service", robot["id"], "--models", "anthropic/*", code=2)["error"]["details"] == {
        "field": "models"
    }
    wrong = {"role": "admin", "models": ["local/*", "openai/*"], "operations": ["embeddings"], "tags": {"center": "48"}}
    for field, value in wrong.items():
        assert refused_field(empty, "keys", name="x", service=robot["id"], **{field: value}) == field
    lost = empty.cli("keys", "create", "x", "--team", "team_nothing", code=2)
    assert lost["error"]["code"] == "not_found"
    made = empty.cli(
        "keys", "create", "x", "--service", robot["id"], "--models", "local/extractive", "--max-output-tokens", "99",
        "--on-disconnect", "drain", "--tags", "app=nightly", "--expires", "30d",
    )  # fmt: skip
    me = empty.get("/api/access/me", made["secret"])
    assert me["nodes"] == [
        "workspace:default", "project:default", f"team:{team['id']}", f"service:{robot['id']}", f"key:{made['id']}"
    ]  # fmt: skip
    assert me["terms"] == {
        "models": ["local/extractive"], "operations": ["chat"], "default_max_output_tokens": 99, "on_disconnect": "drain",
        "tags": {"app": "nightly", "center": "47"},
    }  # fmt: skip


def test_bounds_hold_at_the_next_call_and_follow_the_parent(empty):
    team = empty.cli("teams", "create", "narrowing", "--models", "local/*")
    made = empty.cli("keys", "create", "y", "--team", team["id"], "--role", "editor")

    def call(model: str, operation: str = "chat/completions") -> int:
        body = {"model": model, "messages": [QUESTION]} if operation.startswith("chat") else {"model": model, "input": "x"}
        with empty.http(made["secret"]) as client:
            return client.post(f"/v1/{operation}", json=body).status_code

    assert (call("local/extractive"), call("local/minilm", "embeddings"), call("app/docs-qa")) == (200, 200, 403)
    empty.cli("teams", "set", team["id"], "--operations", "chat")
    assert (call("local/extractive"), call("local/minilm", "embeddings")) == (200, 403)
    empty.cli("teams", "set", team["id"], "--models", "openai/*", "--operations", "")
    assert (call("local/extractive"), call("local/minilm", "embeddings")) == (403, 403)
    empty.cli("teams", "set", team["id"], "--models", "", "--role", "viewer")
    assert call("local/extractive") == 403, "an editor under viewers reads"
    assert empty.get("/api/access/me", made["secret"])["role"] == "viewer"
    empty.cli("teams", "remove", team["id"])
    assert call("local/extractive") == 401


def test_a_key_rotates_with_overlap_and_stays_the_same_key(empty):
    key_id, old = empty.make_key("caller")
    new = empty.cli("keys", "rotate", key_id, "--overlap", "24h")
    assert new["id"] == key_id
    assert new["secret"] != old
    seen = [empty.get("/api/access/me", secret) for secret in (old, new["secret"])]
    assert seen[0] == seen[1]
    assert seen[0]["nodes"][-1] == f"key:{key_id}", "what hangs on the key goes on"
    assert empty.cli("keys", "rotate", key_id, "--overlap", "1h", code=1)["error"]["code"] == "conflict"
    last = empty.cli("keys", "rotate", key_id)
    for secret, status in ((old, 401), (new["secret"], 401), (last["secret"], 200)):
        with empty.http(secret) as client:
            assert client.get("/api/access/me").status_code == status
    empty.cli("keys", "revoke", key_id)
    with empty.http(last["secret"]) as client:
        assert client.get("/api/access/me").status_code == 401
    everything = b"".join(path.read_bytes() for path in empty.home.rglob("*") if path.is_file() and path.name != "lock")
    assert [secret for secret in (old, new["secret"], last["secret"]) if secret.encode() in everything] == []


def test_a_rotated_keys_old_secret_survives_a_restart(start, tmp_path):
    server = start(tmp_path / "home")
    key_id, old = server.make_key("viewer")
    new = server.cli("keys", "rotate", key_id, "--overlap", "24h")["secret"]
    server.stop()
    server.start()
    assert [server.get("/api/access/me", secret)["id"] for secret in (old, new)] == [key_id, key_id]


def test_when_a_key_was_last_used_is_known_and_kept(start, tmp_path):
    server = start(tmp_path / "home")
    key_id, secret = server.make_key("viewer")
    assert {row["id"]: row["used_ns"] for row in server.cli("keys", "list")["items"]}[key_id] is None
    server.get("/api/access/me", secret)
    used = {row["id"]: row["used_ns"] for row in server.cli("keys", "list")["items"]}[key_id]
    assert used > 0
    server.get("/api/access/me", secret)
    server.stop()
    server.start()
    assert {row["id"]: row["used_ns"] for row in server.cli("keys", "list")["items"]}[key_id] > used


def test_what_happens_in_the_tree_is_in_the_audit_log(empty):
    team = empty.cli("teams", "create", "told")
    one = empty.cli("members", "add", "Linus", "--role", "editor", "--team", team["id"])
    key = empty.cli("keys", "create", "z", "--member", one["id"])
    assert "Linus" in empty.cli("teams", "remove", team["id"], code=1)["error"]["message"], "he would lose its bounds"
    empty.cli("members", "remove", one["id"])
    assert {row["id"]: row["revoked_ns"] for row in empty.cli("keys", "list")["items"]}[key["id"]]
    empty.cli("teams", "remove", team["id"])
    events = [(event["action"], event["target"]) for event in empty.cli("keys", "audit", "--limit", "100")["items"]]
    assert [(action, target) for action, target in reversed(events) if target in (team["id"], one["id"], key["id"])] == [
        ("access.create_team", team["id"]), ("access.add_member", one["id"]), ("access.create_key", key["id"]),
        ("access.revoke_key", key["id"]), ("access.remove_member", one["id"]), ("access.remove_team", team["id"]),
    ]  # fmt: skip
