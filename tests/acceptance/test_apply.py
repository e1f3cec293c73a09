"""Configuration as files, from outside: export, plan, apply, prune, partial failure; taking over from LiteLLM."""

import json
import textwrap

import openai
import pytest

from genwright.testing.provider import Fault, Reply, ScriptedProvider
from journey import genwright

HELLO = [{"role": "user", "content": "Which planet is red?"}]


FILES = {
    "providers.yaml": "mine:\n  kind: openai-compatible\n  base_url: https://llm.example.org/v1\n  key_env: MINE_KEY\n",
    "teams.yaml": "search:\n  role: editor\n  models: [mine/*]\n",
    "aliases.yaml": "gpt-4o: route/support\n",
    "prices.yaml": """
        prices:
          mine/*: {input: 0.15, output: 0.6}
          mine/big: {input: 3, output: 15, from: 2026-01-01}
        """,
    "budgets.yaml": """
        - {node: project, usd: 100}
        - {node: 'team:search', usd: '12.5', window: week, timezone: Europe/Berlin}
        """,
    "limits.yaml": "- node: team:search\n  metric: requests\n  window: minute\n  amount: 60\n",
    "routes/support.yaml": """
        content:
          root:
            type: fallback
            on: [timeout, unavailable]
            nodes:
              - mine/big
              - {type: route, ref: route/cheap}
        """,
    "routes/cheap.yaml": "content: {root: {type: model, model: mine/small}}\n",
    "prompts/answers/short.yaml": """
        label: production
        content:
          messages:
            - role: system
              content: |
                Be brief.
                Say no more.
        """,
    "policies/default.yaml": """
        label: production
        content:
          description: sizes
          rails: {input: [{guard: secrets, action: change}]}
        """,
    "README.md": "Ours.\n",
}


@pytest.fixture
def folder(tmp_path):
    """A folder of files as a person would keep it in git."""
    for name, text in FILES.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return tmp_path / "conf"


def actions(found, *wanted):
    return {f"{row['kind']} {row['name']}" for row in found["changes"] if row["action"] in wanted}


def test_a_folder_is_planned_applied_the_same_again_and_exported(start, folder, tmp_path):
    server = start(tmp_path / "home")
    dry = genwright(server.home, "apply", str(folder), MINE_KEY="sk-1")
    assert dry.code == 0
    assert "+ route support" in dry.out
    assert "Nothing was changed" in dry.err
    assert "not read: README.md" in dry.err
    assert server.cli("prices", "show")["number"] == 0, "a plan changes nothing"
    refused = genwright(server.home, "apply", str(folder), "--yes")
    assert refused.code == 1
    assert "MINE_KEY" in refused.out
    assert server.cli("aliases", "list")["items"] == []
    done = server.cli("apply", str(folder), "--yes", MINE_KEY="sk-1")
    assert done["failed"] is None
    assert done["done"] == done["to_do"] == 12
    assert server.cli("prices", "show")["number"] == 1, "one version for all prices"
    again = server.cli("apply", str(folder), "--yes")
    assert again["to_do"] == 0, "the same a second time, without the key too"
    assert server.get("/api/prompts/get", name="answers/short", selector="production")["content"]["messages"][0]["content"] == (
        "Be brief.\nSay no more.\n"
    )
    out = tmp_path / "out"
    said = genwright(server.home, "export", str(out))
    assert "MINE_KEY" not in said.err, "the server does not know where a key came from"
    assert "MINE_API_KEY" in said.err
    assert "sk-1" not in "".join(path.read_text() for path in out.rglob("*") if path.is_file())
    assert server.cli("apply", str(out))["to_do"] == 0
    other = start(tmp_path / "second")
    assert other.cli("apply", str(out), "--yes", MINE_API_KEY="sk-2")["failed"] is None
    assert other.cli("apply", str(folder))["to_do"] == 0, "the second server is as the first"


def test_changes_are_shown_line_by_line_and_what_is_not_named_goes_only_with_prune(start, folder, tmp_path):
    server = start(tmp_path / "home")
    server.cli("apply", str(folder), "--yes", MINE_KEY="sk-1")
    (folder / "budgets.yaml").write_text("- {node: project, usd: 250}\n")
    (folder / "aliases.yaml").write_text("")
    (folder / "routes" / "cheap.yaml").write_text("content: {root: {type: model, model: mine/smaller}}\n")
    (folder / "limits.yaml").unlink()
    plan = genwright(server.home, "apply", str(folder))
    assert "-usd: '100'" in plan.out
    assert "+usd: '250'" in plan.out
    assert "· alias gpt-4o" in plan.out
    assert "limit team:search" not in plan.out, "there is no file of limits: they are not spoken for"
    found = server.cli("apply", str(folder), "--yes")
    assert actions(found, "change") == {"budget project usd per month", "route cheap"}
    pruned = server.cli("apply", str(folder), "--yes", "--prune")
    assert actions(pruned, "remove") == {"alias gpt-4o", "budget team:search usd per week"}
    assert server.cli("aliases", "list")["items"] == []
    assert {row["metric"] for row in server.get("/api/gateway/limits")["items"]} == {"usd", "requests"}


def test_what_fails_in_the_middle_says_what_was_kept_and_goes_on_when_mended(start, folder, tmp_path):
    server = start(tmp_path / "home")
    (folder / "aliases.yaml").write_text("gpt-4o: route/nowhere\n")
    failed = genwright(server.home, "apply", str(folder), "--yes", MINE_KEY="sk-1")
    assert failed.code == 1
    assert "+ alias gpt-4o" in failed.err
    assert "were made and are kept" in failed.err
    (folder / "aliases.yaml").write_text("gpt-4o: route/support\n")
    mended = server.cli("apply", str(folder), "--yes")
    assert mended["failed"] is None
    assert mended["done"] == 4, "the alias, the limit and two budgets"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("aliases.yaml", "a: b\na: c\n", "stands twice"),
        ("providers.yaml", "mine: {api_key: sk-1}\n", "'api_key' is not a field"),
        ("limits.yaml", "- {node: project, usd: 5}\n", "belongs into budgets.yaml"),
        ("prices.yaml", "prices: {mine/x: {input: cheap}}\n", "mine/x"),
        ("routes/odd.yaml", "content: {root: {type: nowhere}}\n", "route odd"),
        ("aliases.yaml", "a: [1\n", "line 2"),
    ],
)
def test_a_wrong_file_is_named_before_anything_is_done(empty, folder, name, text, says):
    (folder / name).write_text(text)
    done = genwright(empty.home, "apply", str(folder), "--yes", MINE_KEY="sk-1")
    assert done.code == 2
    assert says in done.err
    assert empty.cli("prices", "show")["number"] == 0


# -- LiteLLM: a configuration in its documented format, served by scripted providers in place of the clouds


CONFIG = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: hosted_vllm/gpt-4o-eu
      api_base: {first}/v1
      api_key: os.environ/FIRST_KEY
      weight: 9
      tpm: 90000
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_base: {second}/v1
      api_key: sk-written-out
      weight: 1
  - model_name: small
    litellm_params: {{model: openai/tiny, api_base: "{second}/v1", api_key: sk-written-out, temperature: 0.5}}
    model_info: {{id: the-small-one, input_cost_per_token: 0.00000015, output_cost_per_token: 6e-07}}
  - model_name: limited
    litellm_params: {{model: openai/tiny, api_base: "{second}/v1", api_key: sk-written-out, rpm: 2}}
  - model_name: claude
    litellm_params: {{model: claude-sonnet-4-5, api_key: os.environ/ANTHROPIC_API_KEY, max_budget: 5, budget_duration: 1d}}
  - model_name: strange
    litellm_params: {{model: sagemaker/endpoint}}
litellm_settings:
  drop_params: true
  num_retries: 0
  request_timeout: 20
  fallbacks: [{{gpt-4o: [small]}}]
  max_budget: 100
  budget_duration: 1mo
  no_such_setting: 1
router_settings:
  routing_strategy: simple-shuffle
  model_group_alias: {{gpt-4: gpt-4o}}
  context_window_fallbacks: [{{small: [gpt-4o]}}]
  redis_host: os.environ/REDIS_HOST
general_settings:
  master_key: sk-1234
  global_max_parallel_requests: 50
"""


@pytest.fixture
def clouds():
    """Two providers in place of a model server of one's own and another OpenAI-compatible service."""
    with ScriptedProvider(models=["gpt-4o-eu"]) as first, ScriptedProvider(models=["gpt-4o", "tiny"]) as second:
        yield first, second


def ask(server, model, **more):
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key=server.key, max_retries=0) as client:
        return client.chat.completions.create(model=model, messages=HELLO, **more)


def test_an_app_moves_over_by_changing_its_address(start, tmp_path, clouds):
    first, second = clouds
    server = start(tmp_path / "home")
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(first=first.origin, second=second.origin))
    keys = {"FIRST_KEY": "sk-first", "ANTHROPIC_API_KEY": "sk-ant-1"}
    dry = genwright(server.home, "import", "litellm", str(config), **keys)
    assert dry.code == 0, dry.err
    assert "Nothing was changed" in dry.err
    assert server.cli("aliases", "list")["items"] == []
    done = server.cli("import", "litellm", str(config), "--yes", **keys)
    assert done["failed"] is None
    notes = {note["where"]: note for note in done["notes"]}
    assert notes["model_list[strange]"]["state"] == "not taken"
    assert "counts as free" in notes["model_list[gpt-4o]"]["text"], "a hard budget needs a price of every model"
    assert notes["litellm_settings.no_such_setting"]["state"] == "not taken"
    assert notes["router_settings.redis_host"]["state"] == "not needed"
    assert "sk-written-out" not in json.dumps(done), "a key is never shown"

    # the same name as before: weighted over two, then the fallback where both fail
    second.script([Reply("Mars.")] * 20)
    first.script([Reply("Mars.")] * 20)
    for _ in range(12):
        assert ask(server, "gpt-4o").choices[0].message.content == "Mars."
    assert ask(server, "gpt-4").choices[0].message.content == "Mars."
    assert len(first.calls) > len(second.calls), "nine to one"
    assert first.calls[-1].headers["authorization"] == "Bearer sk-first"
    first.clear()
    second.clear()
    first.always(Fault.status(503, "down"))
    second.script([Reply("Mars, says the small one.")], model="tiny")
    second.script([Fault.status(503, "down")] * 3, model="gpt-4o")
    assert ask(server, "gpt-4o").choices[0].message.content == "Mars, says the small one."
    assert second.calls[-1].body["temperature"] == 0.5
    assert second.calls[-1].headers["authorization"] == "Bearer sk-written-out"

    # limits, prices and budgets
    second.clear()
    for _ in range(2):
        ask(server, "limited")
    with pytest.raises(openai.RateLimitError):
        ask(server, "limited")
    provider = next(row for row in server.cli("prices", "show")["prices"] if row.endswith("/tiny"))
    assert server.cli("prices", "show", provider)["usd"] == {"input": "0.15", "output": "0.6"}
    budgets = {
        (row["node"], row["window"], row["models"]): row["amount"]
        for row in server.get("/api/gateway/limits", metric="usd")["items"]
    }
    assert budgets["project:default", "month", ""] == 100 * 10**9
    assert budgets["project:default", "day", "anthropic/claude-sonnet-4-5"] == 5 * 10**9
    again = server.cli("import", "litellm", str(config), "--yes", **keys)
    assert again["to_do"] == 0


def test_keys_and_teams_of_litellm_come_over_with_their_limits(start, tmp_path, clouds):
    first, second = clouds
    server = start(tmp_path / "home")
    config, keys, teams = tmp_path / "config.yaml", tmp_path / "keys.json", tmp_path / "teams.json"
    config.write_text(CONFIG.format(first=first.origin, second=second.origin))
    teams.write_text(
        json.dumps([{"team_id": "t-1", "team_alias": "search", "max_budget": 20, "budget_duration": "7d", "models": []}])
    )
    rows = [
        {"token": "88dc28", "key_name": "sk-...1234", "key_alias": "ci", "team_id": "t-1", "models": ["small"], "rpm_limit": 2,
         "max_budget": 1.5, "budget_duration": "1d", "spend": 0.7, "metadata": {"tags": ["prod"]}, "tpm_limit": None, "odd": 1},
        {"token": "77", "key_alias": "old", "expires": "2025-01-01T00:00:00+00:00"},
    ]  # fmt: skip
    keys.write_text(json.dumps({"keys": rows, "total_count": 2}))
    variables = {"FIRST_KEY": "sk-first", "ANTHROPIC_API_KEY": "sk-ant-1"}
    words = ["import", "litellm", str(config), "--keys", str(keys), "--teams", str(teams), "--yes"]
    done = server.cli(*words, **variables)
    assert done["failed"] is None
    notes = {note["where"]: note for note in done["notes"]}
    assert notes["key 'old'"]["text"] == "it has expired"
    assert notes["key 'ci'.odd"]["state"] == "not taken"
    secret = done["secrets"]["ci"]
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key=secret, max_retries=0) as client:
        for _ in range(2):
            client.chat.completions.create(model="small", messages=HELLO)
        with pytest.raises(openai.PermissionDeniedError):
            client.chat.completions.create(model="claude", messages=HELLO)
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="small", messages=HELLO)
    limits = {(row["metric"], row["window"], row["amount"]) for row in server.get("/api/gateway/limits")["items"]}
    assert {("usd", "week", 20 * 10**9), ("usd", "day", 1_500_000_000), ("requests", "minute", 2)} <= limits
    assert server.cli("costs", "--by", "team,key", "--since", "1h")["items"][0]["team_name"] == "search"
    again = server.cli(*words, **variables)
    assert again["to_do"] == 0
    out = tmp_path / "out"
    assert genwright(server.home, "export", str(out)).code == 0
    assert secret not in "".join(path.read_text() for path in out.rglob("*") if path.is_file())
    other = start(tmp_path / "second")
    applied = other.cli("apply", str(out), "--yes", "--without-keys")
    assert applied["failed"] is None
    assert set(applied["secrets"]) == {"ci"}, "the key its limits hang on is made, with a secret of its own"


def test_a_folder_can_be_written_instead(empty, tmp_path, clouds):
    first, second = clouds
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(first=first.origin, second=second.origin))
    done = genwright(empty.home, "import", "litellm", str(config), "--to", str(tmp_path / "conf"))
    assert done.code == 0
    text = "".join(path.read_text() for path in (tmp_path / "conf").rglob("*.yaml"))
    assert "sk-written-out" not in text
    assert "FIRST_KEY" in text
    variable = done.err.rsplit(" ", 1)[-1].strip()
    assert variable in text, "the key that stood in the file has a variable now"
    planned = empty.cli("apply", str(tmp_path / "conf"), code=1)
    assert any("FIRST_KEY" in row.get("problem", "") for row in planned["changes"])


def test_what_is_no_configuration_of_litellm_is_refused(empty, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("services: {web: {image: nginx}}\n")
    done = genwright(empty.home, "import", "litellm", str(config))
    assert done.code == 2
    assert "no LiteLLM configuration" in done.err
