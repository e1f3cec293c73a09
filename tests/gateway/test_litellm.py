"""LiteLLM's configuration format: what becomes of each setting, and that none is passed over in silence."""

import copy

import pytest

from genwright import yamls
from genwright.errors import Invalid
from genwright.gateway.files import folder
from genwright.gateway.files.litellm.read import read

CONFIG = yamls.read("""
environment_variables: {EUROPE: "https://eu.openai.azure.com/"}
credential_list:
  - credential_name: shared
    credential_values: {api_key: os.environ/SHARED_KEY, api_base: "https://shared.example.com/v1"}
model_list:
  - model_name: chat
    litellm_params:
      {model: azure/chat-eu, api_base: os.environ/EUROPE, api_key: os.environ/EU_KEY, api_version: "2024-10-21", rpm: 60}
    model_info: {id: eu, base_model: azure/gpt-4o}
  - model_name: chat
    litellm_params:
      {model: azure/chat-us, api_base: "https://us.openai.azure.com", api_key: os.environ/US_KEY, rpm: 540, tpm: 80_000}
  - model_name: big
    litellm_params: {model: anthropic/claude-sonnet-4-5, api_key: os.environ/ANTHROPIC_API_KEY, timeout: 90, max_retries: 9}
  - model_name: bedrock
    litellm_params: {model: bedrock/converse/amazon.nova-lite-v1:0, aws_region_name: eu-west-1}
  - model_name: shared
    litellm_params: {model: openai/m, litellm_credential_name: shared}
  - model_name: org/with-slash
    litellm_params: {model: gpt-4o, api_key: sk-in-the-file}
  - model_name: ordered
    litellm_params: {model: groq/llama-3.3-70b-versatile, order: 2}
  - model_name: ordered
    litellm_params: {model: groq/llama-3.1-8b-instant, order: 1}
  - model_name: "xai/*"
    litellm_params: {model: "xai/*"}
  - model_name: nowhere
    litellm_params: {model: openai/x, api_base: os.environ/NOT_SET}
litellm_settings:
  num_retries: 3
  context_window_fallbacks: [{chat: [big]}]
  content_policy_fallbacks: [{chat: [big, shared]}]
  default_fallbacks: [bedrock]
  max_budget: 100
  budget_duration: 30d
router_settings:
  routing_strategy: latency-based-routing
  fallbacks: [{big: [eu, missing]}]
  model_group_alias: {gpt-4: chat, hidden: {model: big, hidden: true}, odd: missing}
  provider_budget_config: {anthropic: {budget_limit: 7.5, time_period: 1d}, groq: {budget_limit: 1, time_period: 3d}}
general_settings: {master_key: sk-1234}
""")


@pytest.fixture
def found():
    return read(copy.deepcopy(CONFIG), {"AWS_BEARER_TOKEN_BEDROCK": "x"})


def noted(found, where):
    return [note for note in found.notes if note.where == where]


def root(found, route):
    return found.wanted.items["route"][route]["content"]["root"]


def test_deployments_become_providers_with_their_addresses_and_variables(found):
    providers = found.wanted.items["provider"]
    assert providers["azure"] == {
        "kind": "azure-deployments", "base_url": "https://eu.openai.azure.com/openai?api-version=2024-10-21", "key_env": "EU_KEY",
    }  # fmt: skip
    assert providers["azure-us"]["base_url"] == "https://us.openai.azure.com/openai"
    assert providers["anthropic"] == {"kind": "anthropic", "key_env": "ANTHROPIC_API_KEY"}
    assert providers["bedrock"] == {
        "kind": "bedrock", "base_url": "https://bedrock-runtime.eu-west-1.amazonaws.com", "key_env": "AWS_BEARER_TOKEN_BEDROCK",
    }  # fmt: skip
    assert providers["shared"] == {
        "kind": "openai-compatible",
        "base_url": "https://shared.example.com/v1",
        "key_env": "SHARED_KEY",
    }
    assert found.keys == {"OPENAI_API_KEY": "sk-in-the-file"}, "a key of the file never stands among what is written"
    assert "sk-in-the-file" not in yamls.write(found.wanted.items)
    assert noted(found, "model_list[nowhere].api_base")[0].state == "not taken"


def test_groups_fallbacks_and_aliases_become_routes(found):
    chat = root(found, "chat")
    assert chat["type"] == "fallback"
    assert [node["model"] for node in chat["nodes"][0]["nodes"]] == ["azure/chat-eu", "azure-us/chat-us"]
    assert chat["nodes"][0]["type"] == "least_latency"
    assert chat["nodes"][1]["model"] == "bedrock/amazon.nova-lite-v1:0", "the default"
    assert chat["context_length"]["model"] == "anthropic/claude-sonnet-4-5"
    assert [node["model"] for node in chat["content_policy"]["nodes"]] == ["anthropic/claude-sonnet-4-5", "shared/m"]
    big = root(found, "big")
    assert big["nodes"][0] == {"type": "model", "model": "anthropic/claude-sonnet-4-5", "timeout_s": 90.0, "retries": 5}
    assert big["nodes"][1]["model"] == "azure/chat-eu", "a fallback may name a deployment by its id"
    assert any("missing" in note.text for note in noted(found, "fallbacks of big"))
    ordered = root(found, "ordered")["nodes"][0]
    assert [node["model"] for node in ordered["nodes"]] == ["groq/llama-3.1-8b-instant", "groq/llama-3.3-70b-versatile"]
    aliases = found.wanted.items["alias"]
    assert (aliases["gpt-4"], aliases["hidden"], aliases["chat"]) == ("route/chat", "route/big", "route/chat")
    assert "odd" not in aliases
    assert noted(found, "model 'org/with-slash'")[0].state == "partly", "clients are told what to write"


def test_limits_budgets_and_prices(found):
    limits, budgets = found.wanted.items["limit"], found.wanted.items["budget"]
    assert limits["project requests per minute of route/chat"]["amount"] == 600
    assert limits["project tokens per minute of azure-us/chat-us"]["amount"] == 80_000
    assert budgets["project usd per month"]["usd"] == "100"
    assert budgets["project usd per day of anthropic/*"]["usd"] == "7.5"
    assert noted(found, "router_settings.provider_budget_config.groq.budget_limit")[0].state == "not taken", "three days"
    prices = found.wanted.items["price"]
    assert prices["azure/chat-eu"]["input"] == "2.5", "as its base_model"
    assert prices["azure-us/chat-us"]["input"] == "0", "as LiteLLM counts what it does not know"
    assert "anthropic/claude-sonnet-4-5" not in prices, "the bundled list knows it"


def test_everything_taken_fits_what_files_hold(found):
    cleaned = folder.cleaned(found.wanted)
    assert {"provider", "route", "alias", "limit", "budget", "price"} <= set(cleaned)


def places(data, path=()):
    """Every object of the configuration."""
    if isinstance(data, dict):
        yield path
        for name, value in data.items():
            yield from places(value, (*path, name))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from places(value, (*path, number))


FREE = {
    "environment_variables", "credential_list", "fallbacks", "context_window_fallbacks", "content_policy_fallbacks",
    "model_group_alias",
}  # fmt: skip
NAMES = (("provider_budget_config",),)
"""Objects whose fields are names that people give."""


@pytest.mark.parametrize("path", [path for path in places(CONFIG) if not set(path) & FREE and path[-1:] not in NAMES], ids=str)
def test_a_setting_that_is_not_known_is_named_wherever_it_stands(path):
    config = copy.deepcopy(CONFIG)
    part = config
    for name in path:
        part = part[name]
    part["a_new_setting"] = 1
    found = read(config, {})
    model = part.get("model_name") or (config["model_list"][path[1]]["model_name"] if path[:1] == ("model_list",) else "")
    if model == "nowhere":  # left out as a whole, and said
        return
    assert any("a_new_setting" in note.where and note.state == "not taken" for note in found.notes)


def test_what_is_something_else_is_refused():
    for wrong in ([], {}, {"services": {}}, "text", None):
        with pytest.raises(Invalid, match="no LiteLLM configuration"):
            read(wrong, {})
