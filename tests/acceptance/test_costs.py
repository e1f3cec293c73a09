"""What calls cost, from outside: own prices, the scripted provider as the truth, sums by any dimension, CSV, other prices."""

import csv
import io
import json
import threading
import time
from decimal import Decimal

import openai
import pytest

from genwright.testing.provider import Fault, Reply
from journey import genwright, until

HELLO = [{"role": "user", "content": "Which planet is red?"}]
MODEL, OTHER = "scripted/test-model", "scripted/other-model"
IN, OUT, CACHED = Decimal("1.37"), Decimal("9.11"), Decimal("0.013")
"""Dollars per million tokens: odd on purpose."""


@pytest.fixture(scope="module")
def house(empty, provider):
    """A server whose scripted models have prices of their own, and forty calls by two keys with tags, users and failures."""
    empty.cli("providers", "add", "scripted", "--kind", "openai-compatible", "--url", provider.base_url, "--key", "k")
    empty.cli("prices", "set", MODEL, f"input={IN}", f"output={OUT}", f"cached={CACHED}", "--note", "contract")
    empty.keys = {name: empty.cli("keys", "create", name, "--role", "editor") for name in ("search", "support")}
    for number in range(40):
        who = "search" if number % 4 else "support"
        provider.script([Reply("Mars.", input_tokens=1_000 + number, output_tokens=7 + number, cached_tokens=10 * (number % 3))])
        asked = {"model": MODEL if number % 5 else OTHER, "messages": HELLO, "user": f"user-{number % 3}"}
        tags = {"x-genwright-tags": f"team={'red' if number % 2 else 'blue'}"}
        with openai.OpenAI(base_url=f"{empty.address}/v1", api_key=empty.keys[who]["secret"], max_retries=0) as client:
            if number % 2:
                list(client.chat.completions.create(**asked, stream=True, extra_headers=tags))
            else:
                client.chat.completions.create(**asked, extra_headers=tags)
    provider.script([Fault.status(500, "on fire")])
    with (
        openai.OpenAI(base_url=f"{empty.address}/v1", api_key=empty.keys["search"]["secret"], max_retries=0) as client,
        pytest.raises(openai.InternalServerError),
    ):
        client.chat.completions.create(model=MODEL, messages=HELLO)
    empty.truth = list(provider.calls)
    return empty


def exact(calls) -> Decimal:
    """Dollars of calls as the provider billed them, each rounded to the nano-dollar as the ledger does."""
    total = Decimal(0)
    for call in calls:
        fresh = call.input_tokens - call.cached_tokens
        usd = (fresh * IN + call.cached_tokens * CACHED + call.output_tokens * OUT) / 1_000_000
        total += usd.quantize(Decimal("1e-9"))
    return total


def of_model(house, model):
    return [call for call in house.truth if call.model == model.partition("/")[2] and call.outcome == "complete"]


def test_the_ledger_agrees_with_the_provider_to_the_nano_dollar(house):
    found = house.cli("costs", "--by", "model", "--since", "1h")
    lines = {row["model"]: row for row in found["items"]}
    mine = of_model(house, MODEL)
    assert Decimal(lines["test-model"]["usd"]) == exact(mine)
    assert lines["test-model"]["input_tokens"] == sum(call.input_tokens for call in mine)
    assert lines["test-model"]["output_tokens"] == sum(call.output_tokens for call in mine)
    assert lines["test-model"]["failed"] == 1
    assert lines["other-model"]["unpriced"] == lines["other-model"]["calls"] == 8
    assert found["total"]["calls"] == 41


def test_every_dimension_adds_up_to_the_same_and_keys_have_their_names(house):
    total = house.cli("costs", "--since", "1h")["total"]
    for by in ("key,model", "user,status", "tag:team", "hour,provider", "cost_kind,price_source", "month"):
        found = house.cli("costs", "--by", by, "--since", "1h")
        assert found["total"] == total
        assert sum(row["nano_usd"] for row in found["items"]) == total["nano_usd"]
    rows = {row["key_name"]: row["calls"] for row in house.cli("costs", "--by", "key", "--since", "1h")["items"]}
    assert rows == {"search": 31, "support": 10}
    red = house.cli("costs", "--by", "user", "--tag", "team=red", "--since", "1h")
    assert red["total"]["calls"] == 20
    filtered = house.cli("costs", "--by", "model", "-w", "user=user-1", "-w", "model=test-*", "--since", "1h")
    assert [row["model"] for row in filtered["items"]] == ["test-model"]
    sources = {row["price_source"] for row in house.cli("costs", "--by", "price_source", "--since", "1h")["items"]}
    assert f"price book default@1: {MODEL}" in sources


def test_csv_holds_the_same_exactly(house):
    done = genwright(house.home, "costs", "--by", "user,model", "--since", "1h", "--csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert sum(Decimal(row["usd"]) for row in rows) == exact(of_model(house, MODEL))
    with house.http() as client:
        answer = client.get("/api/gateway/costs.csv", params={"by": "user,model", "since": "1h"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.replace("\r\n", "\n") == done.out.replace("\r\n", "\n")


def test_old_calls_under_another_version_are_a_difference_and_no_change(house):
    booked = house.cli("costs", "--since", "1h")["total"]
    made = house.cli("prices", "set", MODEL, "input=0", "output=0", "--note", "a gift")
    assert made["number"] == 2
    found = {line["model"]: line for line in house.cli("costs", "reprice", "--book", "2", "--since", "1h")["lines"]}
    assert Decimal(found[MODEL]["booked_nano_usd"]).scaleb(-9) == exact(of_model(house, MODEL))
    assert found[MODEL]["repriced_nano_usd"] == 0
    again = {line["model"]: line for line in house.cli("costs", "reprice", "--book", "1", "--since", "1h")["lines"]}
    assert again[MODEL]["repriced_nano_usd"] == again[MODEL]["booked_nano_usd"]
    assert house.cli("costs", "--since", "1h")["total"] == booked
    versions = house.cli("prices", "history")["items"]
    assert [(row["number"], row["note"]) for row in versions] == [(2, "a gift"), (1, "contract")]
    house.cli("prices", "set", MODEL, f"input={IN}", f"output={OUT}", f"cached={CACHED}")


def test_prices_from_a_file_and_a_price_that_is_none(house, tmp_path):
    book = tmp_path / "prices.yaml"
    book.write_text(
        "prices:\n  scripted/pictures: {image: 0.04, from: 2026-01-01}\n  other/*:\n    input: 0.15\n    output: 6e-1\n"
    )
    made = house.cli("prices", "set", "--file", str(book))
    assert made["prices"]["other/*"] == {"input": "0.15", "output": "0.6"}
    assert house.cli("prices", "show", "other/anything")["usd"] == {"input": "0.15", "output": "0.6"}
    assert house.cli("prices", "show", "openai/gpt-4o")["source"].startswith("genai-prices")
    wrong = genwright(house.home, "prices", "set", MODEL, "input=cheap")
    assert wrong.code == 2
    assert "Nothing was stored" in wrong.err
    refused = genwright(house.home, "prices", "set", MODEL, "input=1", GENWRIGHT_API_KEY=house.keys["search"]["secret"])
    assert "admin" in refused.err


def test_who_may_not_read_sees_no_costs(house):
    caller = house.cli("keys", "create", "only-calls", "--role", "caller")["secret"]
    with house.http(caller) as client:
        assert client.get("/api/gateway/costs").status_code == 403
        assert client.get("/api/gateway/costs.csv").status_code == 403
        assert client.get("/w/default/gateway/costs").status_code == 403


def test_live_traffic_is_told_as_calls_end_and_ends_with_the_server(house, provider):
    got = []
    listening = threading.Event()

    def listen():
        with (
            house.http() as client,
            client.stream("GET", "/w/default/gateway/live/events", params={"model": "*test-model"}) as answer,
        ):
            for line in answer.iter_lines():
                listening.set()
                if line.startswith("data:"):
                    got.append(json.loads(line[5:]))

    thread = threading.Thread(target=listen)
    thread.start()
    assert listening.wait(10)
    with openai.OpenAI(base_url=f"{house.address}/v1", api_key=house.key, max_retries=0) as client:
        for _ in range(3):
            client.chat.completions.create(model=MODEL, messages=HELLO)
    until(lambda: sum(len(event["rows"]) for event in got) == 3)
    assert {row["model"] for event in got for row in event["rows"]} == {MODEL}
    begin = time.monotonic()
    house.stop()
    assert time.monotonic() - begin < 10, "an open page does not keep the server from stopping"
    thread.join(10)
    assert not thread.is_alive()
    house.start()
