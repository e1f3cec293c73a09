"""Providers of a project: stored, sealed, bound to their address; the environment's; the ledger; apps and prompts."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from genwright.access.types import Actor
from genwright.errors import Forbidden, Invalid, Missing, Upstream, UpstreamAuth, UpstreamRefused
from genwright.gateway import store
from genwright.gateway.providers import table
from genwright.gateway.service import collect
from genwright.gateway.types import Answer, Call, Chunk, PromptUse
from genwright.messages import assistant, user
from genwright.testing.provider import Fault, Reply
from genwright.vocab import Scope

SECRET = "sk-very-secret-123456"


def test_credentials_are_sealed_and_bound_to_their_address(served, provider):
    gateway = served.house.gateway

    async def secret():
        row = await served.house.databases["registry"].read(store.get_provider, served.scope, "mine")
        return row.secret

    added = served.run(gateway.add_provider(served.admin, "mine", "openai-compatible", provider.base_url, SECRET))
    assert added.has_key
    assert SECRET.encode() not in served.run(secret())
    assert SECRET not in repr(served.run(gateway.list_providers(served.admin)))
    kept = served.run(gateway.add_provider(served.admin, "mine", "openai-compatible", provider.base_url))
    assert kept.has_key
    moved = served.run(gateway.add_provider(served.admin, "mine", "openai-compatible", "http://127.0.0.1:9/v1"))
    assert not moved.has_key
    assert "voided" in moved.note
    assert served.run(secret()) is None
    back = served.run(gateway.add_provider(served.admin, "mine", "openai-compatible", provider.base_url))
    assert not back.has_key
    served.run(gateway.remove_provider(served.admin, "mine"))
    with pytest.raises(Missing):
        served.run(gateway.remove_provider(served.admin, "mine"))


def test_a_sealed_key_moved_to_another_address_in_the_database_does_not_open(served, provider):
    from genwright.errors import Error

    gateway, registry = served.house.gateway, served.house.databases["registry"]

    def move(connection):
        connection.execute(
            store.providers.update().where(store.providers.c.name == "bound").values(base_url="http://127.0.0.1:9/v1")
        )

    served.run(gateway.add_provider(served.admin, "bound", "openai-compatible", provider.base_url, SECRET))
    served.run(registry.write(move))
    with pytest.raises(Error, match=r"(?i)credential|seal|read|key"):
        served.run(gateway.complete(served.admin, Call("bound/m", [user("x")])))
    served.run(gateway.remove_provider(served.admin, "bound"))


def test_wrong_providers_are_refused(served):
    add = served.house.gateway.add_provider
    for name, kind, url in [("app", "openai", ""), ("a/b", "openai", ""), ("x", "openai-compatible", ""),
                            ("x", "openai", "ftp://host"), ("x", "openai", "http://user:pw@host/v1")]:  # fmt: skip
        with pytest.raises(Invalid):
            served.run(add(served.admin, name, kind, url, "k"))
    with pytest.raises(Missing, match="openai"):
        served.run(add(served.admin, "x", "opnai", "", "k"))
    with pytest.raises(Forbidden):
        served.run(add(Actor(served.scope, "k", "k", "key", "editor"), "x", "openai", "", "k"))


def test_testing_a_provider(served, provider):
    gateway = served.house.gateway
    good = served.run(gateway.test_provider(served.admin, "test"))
    assert (good.ok, good.models) == (True, ["test-model"])
    served.run(gateway.add_provider(served.admin, "wrong", "openai-compatible", provider.base_url, "sk-wrong"))
    bad = served.run(gateway.test_provider(served.admin, "wrong"))
    assert not bad.ok
    assert "credentials" in bad.error
    served.run(gateway.remove_provider(served.admin, "wrong"))


def test_projects_do_not_see_each_others_providers(served):
    other = Actor(Scope("default", "other"), "k", "k", "key", "admin")
    with pytest.raises(Missing):
        served.run(served.house.gateway.complete(other, Call("test/m", [user("x")])))
    assert [p.name for p in served.run(served.house.gateway.list_providers(other)) if p.source == "stored"] == []


def test_environment_makes_providers():
    environment = {"OPENAI_API_KEY": "k1", "OPENAI_BASE_URL": "http://10.0.0.5:8000/v1/", "ANTHROPIC_API_KEY": "k2",
                   "ANTHROPIC_BASE_URL": "http://10.0.0.6", "OLLAMA_BASE_URL": "http://localhost:11434/v1"}  # fmt: skip
    assert table.from_environment(environment) == {
        "openai": ("http://10.0.0.5:8000/v1", "k1"),
        "anthropic": ("http://10.0.0.6/v1", "k2"),
        "ollama": ("http://localhost:11434/v1", ""),
    }
    assert table.operator_hosts(environment) == ["10.0.0.5:8000", "10.0.0.6:80", "localhost:11434"]
    assert table.from_environment({}) == {}


@pytest.mark.parametrize("name", sorted(table.rows()))
def test_rows_are_usable(name):
    row = table.row(name)
    assert row.dialect in table.DIALECTS.names()
    assert name == "openai-compatible" or row.base_url.startswith("http") or row.example.startswith("http")
    assert row.key_env or row.key_file_env or row.example or not row.needs_key


def test_private_addresses_need_the_operator(served):
    gateway = served.house.gateway
    served.run(gateway.add_provider(served.admin, "inside", "openai-compatible", "http://10.1.2.3/v1", "k"))
    with pytest.raises(Forbidden):
        served.run(gateway.complete(served.admin, Call("inside/m", [user("x")])))
    served.run(gateway.remove_provider(served.admin, "inside"))


def test_usage_sums(served, provider):
    before = {(line.provider, line.model): line for line in served.run(served.house.gateway.usage(served.admin))}
    assert ("test", "sums") not in before
    provider.script([Reply("a b"), Reply("c"), Fault.status(500)], model="sums")
    gateway = served.house.gateway
    for _ in range(2):
        served.run(gateway.complete(served.admin, Call("test/sums", [user("x y z")])))
    from genwright.errors import Upstream

    with pytest.raises(Upstream):
        served.run(gateway.complete(served.admin, Call("test/sums", [user("x y z")])))
    (line,) = [line for line in served.run(gateway.usage(served.admin)) if line.model == "sums"]
    assert (line.calls, line.failed, line.input_tokens, line.output_tokens, line.unpriced) == (3, 1, 6, 3, 2)


def test_ledger_equals_the_providers_own(served, provider):
    """Many calls at once: what we noted is what was billed."""
    gateway = served.house.gateway
    billed = provider.billed_tokens

    async def many():
        calls = [Call("test/many", [user("word " * (i % 7 + 1))]) for i in range(60)]
        await asyncio.gather(*(gateway.complete(served.admin, c) if i % 2 else collect(gateway.stream(served.admin, c))
                               for i, c in enumerate(calls)))  # fmt: skip

    served.run(many())
    now = provider.billed_tokens
    (line,) = [line for line in served.run(gateway.usage(served.admin)) if line.model == "many"]
    assert (line.input_tokens, line.output_tokens) == (now[0] - billed[0], now[1] - billed[1])
    assert line.calls == 60


def test_prompt_is_rendered_per_attempt(served, provider):
    house = served.house

    async def run():
        content = {"messages": [{"role": "system", "content": "Speak {{language}}."}], "parameters": {"temperature": 0.25},
                   "variables": {"language": {"type": "string"}}}  # fmt: skip
        version = await house.registry.put(served.admin, "prompt", "speak", content)
        call = Call(
            "test/m", [user("hello")], prompt=PromptUse(version, {"language": "French"}), attributes={"genwright.step": "model"}
        )
        return version, await house.gateway.complete(served.admin, call)

    version, answer = served.run(run())
    sent = provider.calls[-1].body
    assert sent["messages"] == [{"role": "system", "content": "Speak French."}, {"role": "user", "content": "hello"}]
    assert sent["temperature"] == 0.25
    spans = {span.operation: span for span in served.trace(answer.trace_id).spans}
    assert spans["render_prompt"].attributes["genwright.prompt"] == version.ref
    assert spans["render_prompt"].parent_id == spans["chat"].span_id
    assert spans["chat"].attributes["genwright.prompt"] == version.ref
    assert spans["chat"].attributes["genwright.step"] == "model"


def test_app_target_and_its_extension(served, openai_client):
    extra = {"genwright": {"release": "release:docs@sha256:" + "0" * 64, "passages": [{"n": 1}]}}

    async def app(actor, rest, call):
        assert (rest, call.parent[1]) == ("docs@production", "")
        yield Chunk("Hel")
        yield Chunk("lo", extra=extra)
        yield Chunk(finish_reason="stop")
        yield Answer(assistant("Hello"), "stop", model="app/docs", trace_id=call.parent[0], extra=extra)

    served.house.gateway.targets["app"] = app
    try:
        raw = openai_client.chat.completions.with_raw_response.create(
            model="app/docs@production", messages=[{"role": "user", "content": "x"}]
        )
        chunks = list(
            openai_client.chat.completions.create(
                model="app/docs@production", messages=[{"role": "user", "content": "x"}], stream=True
            )
        )
    finally:
        del served.house.gateway.targets["app"]
    assert raw.headers["x-genwright-release"] == extra["genwright"]["release"]
    assert raw.parse().choices[0].message.content == "Hello"
    assert raw.parse().genwright == extra["genwright"]
    assert [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content] == ["Hel", "lo"]
    assert chunks[1].genwright == extra["genwright"]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_keys_in_the_address_are_not_logged(served, openai_client, caplog):
    import urllib.error
    import urllib.request

    with caplog.at_level(logging.DEBUG), pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(served.origin + "/v1/models?key=gw_topsecret")
    assert "gw_topsecret" not in caplog.text


# -- clouds: credentials that sign or fetch tokens


def make_account(token_uri: str) -> str:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"type": "service_account", "project_id": "my-project", "private_key_id": "kid1", "private_key": pem,
               "client_email": "bot@my-project.iam.gserviceaccount.com", "token_uri": token_uri, "client_id": "1"}  # fmt: skip
    return json.dumps(account, indent=2)


@pytest.fixture(scope="module")
def account(provider):
    return make_account(provider.origin + "/token")


def test_vertex_by_a_service_account(served, provider, account):
    """The JSON as Google gives it; a signed JWT is exchanged once for many calls; nothing of it is shown."""
    import base64

    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    gateway = served.house.gateway
    address = provider.origin + "/v1/projects/my-project/locations/us-central1/publishers/google"
    added = served.run(gateway.add_provider(served.admin, "vx", "vertex", address, account))
    assert added.has_key
    provider.script([Reply("hello")])
    for _ in range(3):
        served.run(gateway.complete(served.admin, Call("vx/gemini-2.5-flash", [user("x")])))
    tokens = [call for call in provider.calls if call.path == "/token"]
    chats = [call for call in provider.calls if call.path.endswith(":generateContent")]
    assert (len(tokens), len(chats)) == (1, 3)
    assert {call.headers["authorization"] for call in chats} == {f"Bearer scripted-token-{tokens[0].id}"}
    form = dict(pair.split("=") for pair in tokens[0].body.split("&"))
    assert form["grant_type"] == "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
    head, claims, signature = form["assertion"].split(".")
    unpadded = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))  # noqa: E731
    public = load_pem_private_key(json.loads(account)["private_key"].encode(), None).public_key()
    public.verify(unpadded(signature), f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
    read = json.loads(unpadded(claims))
    assert (read["iss"], read["aud"]) == ("bot@my-project.iam.gserviceaccount.com", provider.origin + "/token")
    assert read["exp"] - read["iat"] == 3600
    vectors, usage = served.run(gateway.embed(served.admin, "vx/gemini-embedding-001", ["a b", "c"]))
    assert (vectors.shape, usage.input_tokens) == ((2, 64), 3)
    shown = repr(served.run(gateway.list_providers(served.admin)))
    assert "PRIVATE KEY" not in shown
    moved = served.run(gateway.add_provider(served.admin, "vx", "vertex", address + "x"))
    assert not moved.has_key
    served.run(gateway.remove_provider(served.admin, "vx"))


def test_a_service_account_that_google_refuses(served, provider, account):
    """Google's refusal names the account, never the key."""
    gateway = served.house.gateway
    broken = json.dumps({**json.loads(account), "token_uri": provider.origin + "/v1/nothing"})
    served.run(gateway.add_provider(served.admin, "vx", "vertex", provider.origin + "/v1beta", broken))
    with pytest.raises(Upstream) as refused:
        served.run(gateway.complete(served.admin, Call("vx/g", [user("x")])))
    assert "PRIVATE" not in repr(refused.value.as_dict())
    served.run(gateway.remove_provider(served.admin, "vx"))
    for wrong in ('{"type": "service_account"}', "{", json.dumps({**json.loads(account), "private_key": "nonsense-secret"})):
        with pytest.raises(Invalid) as invalid:
            served.run(gateway.add_provider(served.admin, "vx", "vertex", provider.origin, wrong))
        assert "nonsense-secret" not in repr(invalid.value.as_dict())


def test_addresses_of_clouds_are_filled_in(served, account):
    add, scope = served.house.gateway.add_provider, served.admin
    added = served.run(add(scope, "vx", "vertex", "", account, "europe-west4"))
    assert added.base_url == (
        "https://europe-west4-aiplatform.googleapis.com/v1/projects/my-project/locations/europe-west4/publishers/google"
    )
    assert served.run(add(scope, "vx", "vertex")).has_key
    served.run(served.house.gateway.remove_provider(scope, "vx"))
    pair = "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    rock = served.run(add(scope, "rock2", "bedrock", "", pair, "eu-west-1"))
    assert rock.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert not served.run(add(scope, "rock2", "bedrock", "", "", "eu-west-3")).has_key
    served.run(served.house.gateway.remove_provider(scope, "rock2"))
    for region in ("eu west", "https://x", "a/../b"):
        with pytest.raises(Invalid, match="region"):
            served.run(add(scope, "rock2", "bedrock", "", "", region))


def test_bedrock_signs_every_request_and_takes_a_plain_key_too(served, provider):
    gateway = served.house.gateway
    secret = '{"access_key_id": "AKIDEXAMPLE", "secret_access_key": "sk-upstream", "session_token": "tok"}'
    for key in (secret, "sk-upstream"):
        served.run(gateway.add_provider(served.admin, "rock2", "bedrock", provider.origin, key))
        provider.script([Reply("plain"), Reply("a stream")])
        model = "rock2/us.anthropic.claude-v1:0"
        assert served.run(gateway.complete(served.admin, Call(model, [user("x")]))).message.text == "plain"
        answer = served.run(collect(gateway.stream(served.admin, Call(model, [user("x")]))))
        assert (answer.message.text, answer.finish_reason) == ("a stream", "stop")
        assert provider.calls[-1].raw_path == "/model/us.anthropic.claude-v1%3A0/converse-stream"
    wrong = secret.replace("sk-upstream", "sk-wrong")
    served.run(gateway.add_provider(served.admin, "rock2", "bedrock", provider.origin, wrong))
    with pytest.raises(UpstreamAuth):
        served.run(gateway.complete(served.admin, Call("rock2/m", [user("x")])))
    served.run(gateway.remove_provider(served.admin, "rock2"))


def test_azure_by_deployment(served, provider):
    """The dated API: one path a deployment, api-version in the query, the key in api-key; all of it data of the row."""
    gateway, address = served.house.gateway, provider.origin + "/openai?api-version=2025-04-01-preview"
    served.run(gateway.add_provider(served.admin, "az", "azure-deployments", address, "sk-upstream"))
    with pytest.raises(UpstreamRefused):  # the scripted provider knows no such path; what counts is what it was asked
        served.run(gateway.complete(served.admin, Call("az/my gpt", [user("x")])))
    call = provider.calls[-1]
    assert (call.raw_path, call.query) == ("/openai/deployments/my%20gpt/chat/completions", "api-version=2025-04-01-preview")
    assert call.headers["api-key"] == "sk-upstream"
    assert "authorization" not in call.headers
    served.run(gateway.remove_provider(served.admin, "az"))


def test_peculiarities_are_data():
    capped = table.DIALECTS.make("openai", **table.row("cohere").options)
    body = json.loads(capped.request(Call("m", [user("x")], {"max_completion_tokens": 5}), "command-a", True))
    assert body["max_tokens"] == 5
    assert "max_completion_tokens" not in body
    assert "stream_options" not in body


def test_clouds_of_the_environment(tmp_path, account):
    (tmp_path / "sa.json").write_text(account)
    found = table.from_environment({
        "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-north-1",
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "sa.json"), "GOOGLE_CLOUD_LOCATION": "global",
        "AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com/",
    })  # fmt: skip
    key = '{"access_key_id":"AKID","secret_access_key":"s"}'
    assert found["bedrock"] == ("https://bedrock-runtime.eu-north-1.amazonaws.com", key)
    assert found["vertex"][0].startswith("https://aiplatform.googleapis.com/v1/projects/my-project/locations/global/")
    assert found["azure"] == ("https://r.openai.azure.com/openai/v1", "k")
    assert "AZURE_OPENAI_ENDPOINT" not in found


def test_everything_is_tried(served, provider):
    from genwright.testing.provider import ToolCall

    gateway = served.house.gateway
    call = ToolCall("get_weather", {"city": "Rome"})
    provider.script([Reply("OK"), Reply("1 2 3 4 5"), Reply("", tool_calls=(call,)), Reply('{"capital": "Paris"}')])
    test = served.run(gateway.test_provider(served.admin, "test", False, embeddings="e"))
    assert {check.name: check.outcome for check in test.checks} == dict.fromkeys(
        ("models", "chat", "stream", "tools", "json", "embeddings"), "works"
    )
    assert test.ok
    said = {check.name: check.said for check in test.checks}
    assert (said["chat"], said["json"], said["embeddings"]) == ("OK", "capital = Paris", "64 numbers a text")
    provider.script([Reply("OK"), Fault.status(500, "boom"), Reply("no tools here"), Reply("no JSON here")])
    test = served.run(gateway.test_provider(served.admin, "test", False))
    outcomes = {check.name: (check.outcome, check.error) for check in test.checks}
    assert not test.ok
    assert outcomes["chat"][0] == "works"
    assert "boom" in outcomes["stream"][1]
    assert "no tools here" in outcomes["tools"][1]
    assert "no JSON here" in outcomes["json"][1]
    assert outcomes["embeddings"][0] == "skipped"
