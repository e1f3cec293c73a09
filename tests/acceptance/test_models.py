"""Gemini, Vertex and Bedrock as a user adds them; what works there; what is known of models; keys that come in a URL."""

from __future__ import annotations

import json

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google import genai
from google.genai import types

from genwright.testing.provider import Fault, Reply, ToolCall
from journey import POSTGRES, until

AWS = '{"access_key_id": "AKIDACCEPTANCE00", "secret_access_key": "aws-secret-never-shown", "region": "eu-central-1"}'
WEATHER = ToolCall("get_weather", {"city": "Rome"})
HELLO = {"contents": [{"parts": [{"text": "Which planet is red?"}]}]}


@pytest.fixture(scope="module")
def account(tmp_path_factory, provider):
    """A service account's file, as Google makes them."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    file = tmp_path_factory.mktemp("account") / "account.json"
    file.write_text(json.dumps({"type": "service_account", "project_id": "acme-1", "private_key_id": "k", "private_key": pem,
                                "client_email": "bot@acme-1.iam.gserviceaccount.com",
                                "token_uri": provider.origin + "/token"}, indent=2))  # fmt: skip
    return file


@pytest.fixture(scope="module")
def house(empty, provider, account):
    empty.cli("providers", "add", "gemini", "--url", provider.origin + "/v1beta", "--key", "AIza-never-shown")
    vertex = provider.origin + "/v1/projects/acme-1/locations/europe-west4/publishers/google"
    empty.cli("providers", "add", "vertex", "--url", vertex, "--key-file", str(account))
    empty.cli("providers", "add", "bedrock", "--url", provider.origin, "--key", AWS)
    empty.cli("providers", "add", "scripted", "--kind", "openai-compatible", "--url", provider.base_url, "--key", "sk-x")
    return empty


@pytest.mark.parametrize("name", ["gemini", "vertex", "bedrock", "scripted"])
def test_everything_that_works_is_said(house, provider, name):
    """Models, chat, stream, tools, JSON and embeddings of each dialect; then the same with faults."""
    provider.script([Reply("OK"), Reply("1 2 3 4 5"), Reply("", tool_calls=(WEATHER,)), Reply('{"capital": "Paris"}')])
    test = house.cli("providers", "test", name, "--embeddings", "embedding-model")
    assert {check["name"]: check["outcome"] for check in test["checks"]} == dict.fromkeys(
        ("models", "chat", "stream", "tools", "json", "embeddings"), "works"
    ), test
    provider.script([Fault.status(400, "no such thing")])
    test = house.cli("providers", "test", name, "--model", "m", code=1)
    chat = next(check for check in test["checks"] if check["name"] == "chat")
    assert chat["outcome"] == "failed"
    assert "no such thing" in chat["error"]
    asked = len(provider.calls)
    assert house.cli("providers", "test", name, "--quick")["models"] == ["test-model"]
    assert len(provider.calls) == asked + 1


@pytest.mark.parametrize("name", ["gemini", "vertex", "bedrock", "scripted"])
def test_googles_own_client_reaches_every_provider(house, provider, name):
    client = genai.Client(api_key=house.key, http_options=types.HttpOptions(base_url=house.address))
    provider.script([Reply("Mars"), Reply("It is Mars, the red one")])
    assert client.models.generate_content(model=f"{name}/test-model", contents="Which planet is red?").text == "Mars"
    stream = client.models.generate_content_stream(model=f"{name}/test-model", contents="Which?")
    assert "".join(chunk.text or "" for chunk in stream) == "It is Mars, the red one"


def test_no_credential_is_ever_shown(house, account):
    secrets = ["AIza-never-shown", "aws-secret-never-shown", json.loads(account.read_text())["private_key"][60:100]]
    shown = json.dumps(house.get("/api/gateway/providers")) + house.log.read_text()
    with house.http() as client:
        shown += client.get("/w/default/gateway").text
    shown += "".join(file.read_text("latin-1") for file in house.home.rglob("*.sqlite*") if file.is_file())
    for secret in secrets:
        assert secret not in shown
    moved = house.cli("providers", "add", "bedrock2", "--kind", "bedrock", "--url", "http://127.0.0.1:9", "--key", AWS)
    assert moved["has_key"]
    assert not house.cli("providers", "add", "bedrock2", "--kind", "bedrock", "--url", "http://127.0.0.1:10")["has_key"]


def test_a_key_in_the_url_is_in_no_log_span_or_error(house, provider):
    """Google's clients may send `?key=`: it works, and is seen nowhere afterwards, nor is a wrong one."""
    _, key = house.make_key("editor")
    url = f"{house.address}/v1beta/models/scripted/test-model:generateContent"
    answer = httpx.post(url, params={"key": key, "alt": "json"}, json=HELLO)
    assert answer.status_code == 200
    trace = house.trace(answer.headers["x-genwright-trace"], lambda found: found["spans"])
    wrong = "gw_" + "w" * 40
    refused = [
        httpx.post(url, params={"key": wrong}, json=HELLO),
        httpx.post(f"{house.address}/v1beta/nothing", params={"key": key}, json=HELLO),
        httpx.get(f"{house.address}/v1beta/models/x/y", params={"key": key}),
        httpx.post(url, params={"key": key}, content=b"{"),
        httpx.post(url, params=[("key", wrong), ("key", key)], json=HELLO),
    ]
    assert [one.status_code for one in refused] == [401, 404, 404, 400, 401]
    assert all(one.json()["error"]["status"] for one in refused)
    seen = json.dumps(trace) + house.log.read_text() + "".join(one.text + repr(one.headers) for one in refused)
    seen += json.dumps(provider.calls[-1].headers) + json.dumps(provider.calls[-1].body) + provider.calls[-1].query
    files = [] if POSTGRES else [file.read_bytes() for file in house.home.rglob("*") if file.is_file()]
    for secret in (key, wrong):
        assert secret not in seen
        assert not any(secret.encode() in data for data in files)


def test_what_is_known_of_models_and_what_a_project_says_itself(house):
    card = house.cli("models", "show", "bedrock/anthropic.claude-3-5-haiku-20241022-v1:0")
    assert (card["context"], card["retires"], card["retention_days"], card["usd_in"]) == (200000, "2026-02-19", 0, 0.8)
    card = house.cli("models", "set", "scripted/test-model", "region=eu-west-3", "context=4096", 'input=["text"]', "licence=MIT")
    assert (card["area"], card["context"], card["sources"]["licence"]) == ("eu", 4096, "own")
    assert "scripted/test-model" in {
        f"{one['provider']}/{one['model']}" for one in house.cli("models", "list", "test-model")["items"]
    }
    house.cli("models", "set", "scripted/test-model", "colour=red", code=2)


def test_a_rule_on_models_holds_for_every_face(house, provider):
    house.cli("models", "set", "scripted/test-model", "region=eu-west-3")
    house.cli("models", "rules", "put", "eu-only", '{"area": "eu"}', "--models", "scripted/*")
    asked = len(provider.calls)
    with house.http() as client:
        chat = {"model": "scripted/other", "messages": [{"role": "user", "content": "x"}]}
        openai = client.post("/v1/chat/completions", json=chat)
        assert (openai.status_code, openai.json()["error"]["code"]) == (403, "model_rule")
        assert "area" in openai.json()["error"]["message"]
        gemini = client.post("/v1beta/models/scripted/other:generateContent", json=HELLO)
        assert gemini.json()["error"]["status"] == "PERMISSION_DENIED"
        claude = client.post("/v1/messages", json={**chat, "max_tokens": 9})
        assert claude.json()["error"]["type"] == "permission_error"
        assert len(provider.calls) == asked
        assert client.post("/v1/chat/completions", json={**chat, "model": "scripted/test-model"}).status_code == 200
    house.cli("models", "rules", "remove", "eu-only")


def test_a_model_that_changed_silently_is_noticed(house, provider):
    provider.always(Reply("the sea is wide and calm today"), model="steady")
    assert house.cli("models", "canary", "scripted/steady")["items"][0]["verdict"] == "first"
    assert house.cli("models", "canary", "scripted/steady")["items"][0]["verdict"] == "same"
    provider.always(Reply("I will not answer that"), model="steady")
    [run] = house.cli("models", "canary", "scripted/steady", code=1)["items"]
    assert (run["verdict"], run["similarity"]) == ("changed", 0)
    with house.http() as client:
        assert "no longer what it was" in client.get("/w/default/gateway/models").text
        assert "alike by 0.00" in client.get("/w/default/gateway/models/card", params={"model": "scripted/steady"}).text
        assert "model.changed" in client.get("/api/access/audit").text


def test_vertex_asks_for_one_token_an_hour(house, provider):
    before = sum(call.path == "/token" for call in provider.calls)
    for _ in range(3):
        house.post("/v1/chat/completions", {"model": "vertex/gemini-2.5-flash", "messages": [{"role": "user", "content": "x"}]})
    assert sum(call.path == "/token" for call in provider.calls) - before <= 1
    until(lambda: provider.active == 0)
