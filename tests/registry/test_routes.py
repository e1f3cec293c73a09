"""The REST face of the registry, through the framework with its error rendering."""

import asyncio

import pytest

WRITE = {"kind": "tool", "name": "docs/qa", "content": {"x": 1}}


async def put(web, **more):
    answer = await web.request("POST", "/api/registry/versions", key=await web.key("editor"), json={**WRITE, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


READS = [
    "artifacts", "artifacts/versions?kind=tool&name=docs/qa", "versions?ref=tool:docs/qa", "labels?kind=tool&name=docs/qa",
    "history?kind=tool&name=docs/qa", "edges?digest=sha256:" + "0" * 64,
]  # fmt: skip
WRITES = [
    ("versions", WRITE), ("labels", {"kind": "tool", "name": "docs/qa", "label": "x", "number": 1}),
    ("artifacts", {"kind": "tool", "name": "docs/qa", "description": "d"}),
]  # fmt: skip


@pytest.mark.parametrize("path", READS)
async def test_who_may_read(web, path):
    await put(web)
    assert (await web.request("GET", f"/api/registry/{path}")).status_code == 401
    for role, status in [("caller", 403), ("viewer", 200), ("reviewer", 200), ("editor", 200), ("releaser", 200), ("admin", 200)]:
        assert (await web.request("GET", f"/api/registry/{path}", key=await web.key(role))).status_code == status, role


@pytest.mark.parametrize(("path", "body"), WRITES)
async def test_who_may_write(web, path, body):
    await put(web)
    assert (await web.request("POST", f"/api/registry/{path}", json=body)).status_code == 401
    for role in ("caller", "viewer", "reviewer"):
        assert (await web.request("POST", f"/api/registry/{path}", json=body, key=await web.key(role))).status_code == 403, role
    for role in ("editor", "releaser", "admin"):
        assert (await web.request("POST", f"/api/registry/{path}", json=body, key=await web.key(role))).status_code in (
            200,
            201,
        ), role


async def test_only_promoters_move_production(web):
    await put(web)
    body = {"kind": "tool", "name": "docs/qa", "label": "production", "number": 1}
    for role, status in [("editor", 403), ("releaser", 200)]:
        assert (await web.request("POST", "/api/registry/labels", json=body, key=await web.key(role))).status_code == status


FOREIGN = [
    "digest",
    "created_by",
    "created_ns",
    "workspace",
    "project",
    "labels",
    "by",
    "actor",
    "scope",
    "ref",
    "newest",
]


@pytest.mark.parametrize(("path", "body"), WRITES)
@pytest.mark.parametrize("field", FOREIGN)
async def test_no_field_but_the_allowed_ones_can_be_set(web, path, body, field):
    before = await put(web)
    answer = await web.request("POST", f"/api/registry/{path}", json={**body, field: 7}, key=await web.key("admin"))
    assert answer.status_code == 400
    assert field in answer.json()["error"]["message"]
    assert (await web.request("GET", "/api/registry/versions?ref=tool:docs/qa", key=await web.key("admin"))).json() == before


async def test_an_edge_has_no_source_of_its_own(web):
    edge = {"relation": "uses", "target": "sha256:" + "1" * 64, "source": "sha256:" + "2" * 64}
    answer = await web.request("POST", "/api/registry/versions", json={**WRITE, "edges": [edge]}, key=await web.key("admin"))
    assert answer.status_code == 400
    assert "source" in answer.json()["error"]["message"]


async def test_the_way_of_a_version(web):
    one = await put(
        web, note="first", tags=["t"], edges=[{"relation": "uses", "target": "sha256:" + "1" * 64, "target_ref": "a.md"}]
    )
    two = await put(web, content={"x": 2}, expected=1)
    assert (one["number"], two["number"]) == (1, 2)
    viewer, editor = await web.key("viewer"), await web.key("editor")

    async def get(path):
        return (await web.request("GET", f"/api/registry/{path}", key=viewer)).json()

    stale = await web.request("POST", "/api/registry/versions", json={**WRITE, "content": {"x": 3}, "expected": 1}, key=editor)
    assert stale.status_code == 409
    assert stale.json()["error"]["details"]["newest"] == 2
    for number, expected in [(2, 0), (1, 2)]:
        body = {"kind": "tool", "name": "docs/qa", "label": "staging", "number": number, "expected": expected}
        assert (await web.request("POST", "/api/registry/labels", json=body, key=editor)).json()["to_number"] == number
    late = await web.request("POST", "/api/registry/labels", json=body, key=editor)
    assert late.status_code == 409
    assert (await get("versions?ref=tool:docs/qa@staging")) == {**one, "labels": ["staging"]}
    assert [row["number"] for row in (await get("artifacts/versions?kind=tool&name=docs/qa"))["items"]] == [2, 1]
    assert [row["to_number"] for row in (await get("history?kind=tool&name=docs/qa"))["items"]] == [1, 2]
    assert (await get("labels?kind=tool&name=docs/qa"))["items"][0]["number"] == 1
    assert (await get(f"edges?digest={one['digest']}"))["items"][0]["target_ref"] == "a.md"
    assert (await get(f"edges?direction=forward&digest=sha256:{'1' * 64}"))["items"][0]["source"] == one["digest"]
    assert (await get("artifacts?tag=t"))["items"][0]["labels"] == {"staging": 1}


async def test_64_writers_over_http(web):
    answers = await asyncio.gather(*(put(web, content={"n": n}) for n in range(64)))
    assert sorted(answer["number"] for answer in answers) == list(range(1, 65))


async def test_another_workspace_sees_nothing(web):
    version = await put(web, tags=["t"], edges=[{"relation": "uses", "target": "sha256:" + "1" * 64}])
    other = await web.key("admin", "other")
    more = [f"versions?ref={version['kind']}:docs/qa@{version['digest']}", f"edges?digest={version['digest']}&depth=20"]
    more += [f"edges?direction=forward&digest=sha256:{'1' * 64}", "artifacts?tag=t", "artifacts?query=docs"]
    for path in (*READS, *more):
        answer = await web.request("GET", f"/api/registry/{path}", key=other)
        assert answer.status_code == 404 or answer.json()["items"] == []
        assert version["digest"] not in answer.text.replace(path, "") or answer.status_code == 404
    for path, body in WRITES[1:]:
        assert (await web.request("POST", f"/api/registry/{path}", json=body, key=other)).status_code == 404


WRONG = [
    ("versions", 400, "ref"),
    ("versions?ref=tool:docs/q", 404, "tool:docs/qa"), ("versions?ref=tol:docs/qa", 400, "tool"),
    ("versions?ref=tool:docs/qa@stagin", 404, "labels"), ("versions?ref=tool:../x", 400, "name"),
    ("edges?digest=x", 400, "sha256"), ("edges?digest=x&depth=0", 400, "depth"),
    ("edges?digest=x&direction=up", 400, "direction"),
    ("artifacts?limit=0", 400, "limit"), ("artifacts?limit=501", 400, "limit"), ("artifacts?cursor=x", 400, "cursor"),
    ("artifacts?kind=nothing", 400, "prompt"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "status", "said"), WRONG)
async def test_wrong_questions_get_helpful_answers(web, path, status, said):
    await put(web)
    answer = await web.request("GET", f"/api/registry/{path}", key=await web.key("viewer"))
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path", ["artifacts?query=%00", "artifacts?tag=%00", "labels?kind=%00&name=%00", "history?kind=a&name=%00"]
)
async def test_nul_is_answered(web, path):
    await put(web)
    assert (await web.request("GET", f"/api/registry/{path}", key=await web.key("viewer"))).status_code in (200, 400, 404)


BAD = [
    {"kind": 1}, {"kind": "nothing"}, {"name": None}, {"name": "a\0b"}, {"name": "../a"}, {"content": []}, {"content": "x"},
    {"expected": -1}, {"expected": 2**70}, {"tags": "x"}, {"tags": ["\0"]}, {"note": "\0"}, {"note": "x" * 10_001},
    {"edges": [{}]}, {"edges": [{"relation": "x", "target": "y"}]},
]  # fmt: skip


@pytest.mark.parametrize("change", BAD, ids=repr)
async def test_malformed_versions_are_refused(web, change):
    answer = await web.request("POST", "/api/registry/versions", key=await web.key("editor"), json={**WRITE, **change})
    assert answer.status_code in (400, 413)
    assert "Nothing was" in answer.json()["error"]["message"]
    assert (await web.request("GET", "/api/registry/artifacts", key=await web.key("viewer"))).json()["items"] == []


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63, 2**70, "1", 1.5, None])
async def test_malformed_numbers_are_refused(web, number):
    await put(web)
    body = {"kind": "tool", "name": "docs/qa", "label": "x", "number": number}
    assert (await web.request("POST", "/api/registry/labels", key=await web.key("editor"), json=body)).status_code == 400


@pytest.mark.parametrize("kind", ["prompt", "policy", "app", "dataset", "corpus", "index", "release"])
async def test_what_a_room_makes_is_not_written_past_it(web, kind):
    body = {"kind": kind, "name": "docs", "content": {"folder": "../../elsewhere"}}
    answer = await web.request("POST", "/api/registry/versions", key=await web.key("admin"), json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "wrong_door")


async def test_a_release_is_not_labelled_past_its_gate(web):
    body = {"kind": "release", "name": "docs", "label": "production", "number": 1}
    answer = await web.request("POST", "/api/registry/labels", key=await web.key("admin"), json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "wrong_door")
