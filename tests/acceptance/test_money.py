"""Money from outside: budgets and limits set by command, calls over HTTP, the scripted provider's ledger as the truth.

The first half is one server on its own files; the second two server processes on one PostgreSQL (skipped where none is
installed), one of them killed in the middle of its calls.
"""

import asyncio
import base64
import os
import random
import threading
import time

import httpx
import openai
import pytest

import postgres
from genwright.testing.provider import Fault, Reply
from journey import Server, until

MODEL = "scripted/test-model"
HELLO = [{"role": "user", "content": "Which planet is red?"}]
IN, OUT = 1_000_000, 2_000_000
"""Nano-dollars a token: a thousand and two thousand dollars a million."""


def furnish(server, provider):
    add(server, provider, "scripted")
    server.post("/api/gateway/prices", {"prices": {"scripted/*": {"input": "1000", "output": "2000"}}})
    return server


def add(server, provider, name):
    asked = {"name": name, "kind": "openai-compatible", "base_url": provider.base_url, "api_key": "k"}
    server.post("/api/gateway/providers", asked)


def truth(provider):
    read, written = provider.billed_tokens
    return read * IN + written * OUT


def chat(server, secret, **body):
    headers = {"authorization": f"Bearer {secret}", **body.pop("headers", {})}
    asked = {"model": MODEL, "messages": HELLO, **body}
    return httpx.post(f"{server.address}/v1/chat/completions", json=asked, headers=headers, timeout=30)


@pytest.fixture(scope="module")
def house(empty, provider):
    return furnish(empty, provider)


def key(server, name, **terms):
    return server.post("/api/access/keys", {"name": name, "role": "caller", **terms})["secret"]


def limit(server, node, amount, metric="usd", window="month"):
    asked = {"usd": amount} if metric == "usd" else {"amount": amount}
    return server.post("/api/gateway/limits", {"node": node, "metric": metric, "window": window, **asked})


def burn(server, limit):
    return next(item for item in server.get("/api/gateway/limits/used")["items"] if item["limit"]["id"] == limit["id"])


def events(server, kind):
    return [one for one in server.get("/api/gateway/limits/events", limit=500)["items"] if one["kind"] == kind]


# -- one server


def test_a_budget_is_kept_to_the_nano_dollar_and_shown(house, provider):
    secret = key(house, "spender")
    words = ("0.10", "--per", "day", "--timezone", "Europe/Berlin", "--warn", "20,90")
    budget = house.cli("budgets", "set", "key:spender", *words)
    assert budget["amount"] == 100_000_000
    with openai.OpenAI(base_url=f"{house.address}/v1", api_key=secret, max_retries=0) as client:
        client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=4)
        list(client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=4, stream=True))
        with pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=4_000)
    assert refused.value.code == "budget_exceeded"
    assert int(refused.value.response.headers["retry-after"]) > 0
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert len(provider.calls) == 2, "what was refused was not sent"
    (shown,) = house.cli("budgets", "show")["items"]
    assert shown["used"] == truth(provider)
    assert shown["held"] == 0
    assert shown["left"] == 100_000_000 - truth(provider)
    assert shown["per_day"] > 0
    assert [(event["kind"], event["percent"]) for event in house.cli("limits", "events")["items"]] == [("warning", 20)]
    house.cli("budgets", "remove", budget["id"])
    assert chat(house, secret, max_tokens=4_000).status_code == 200


def test_a_cap_is_sent_for_who_sets_none(house, provider):
    secret = key(house, "capless", default_max_output_tokens=123)
    limit(house, "key:capless", "5")
    chat(house, secret)
    assert provider.calls[-1].body["max_tokens"] == 123


def test_limits_on_requests_and_places(house, provider):
    secret = key(house, "busy")
    house.cli("limits", "set", "key:busy", "requests", "3", "--per", "hour")
    answers = [chat(house, secret) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit-requests"] == "3"
    assert answers[0].headers["x-ratelimit-remaining-requests"] == "2"
    assert answers[-1].json()["error"]["code"] == "rate_limit_exceeded"
    assert 0 < int(answers[-1].headers["retry-after"]) <= 3600
    limit(house, "key:busy", 100, "requests", "hour")
    limit(house, "key:busy", 2, "concurrent")
    provider.always(Reply("slow", fault=Fault.slow(1.0)))

    async def at_once():
        async with httpx.AsyncClient(base_url=house.address, headers={"authorization": f"Bearer {secret}"}, timeout=30) as client:
            asked = {"model": MODEL, "messages": HELLO}
            return await asyncio.gather(*(client.post("/v1/chat/completions", json=asked) for _ in range(5)))

    assert sorted(answer.status_code for answer in asyncio.run(at_once())) == [200, 200, 429, 429, 429]


def test_a_repetition_is_answered_once_and_billed_once(house, provider):
    secret = key(house, "repeater")
    headers = {"idempotency-key": "order-1"}
    first, second = (chat(house, secret, headers=headers) for _ in range(2))
    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"
    assert chat(house, secret, headers=headers, temperature=1).status_code == 409
    assert len(provider.calls) == 1


def test_a_client_that_leaves_is_drained_and_billed_exactly_where_its_key_says_so(house, provider):
    secret = key(house, "drainer", on_disconnect="drain")
    budget = limit(house, "key:drainer", "5")
    provider.script([Reply("one two three four five six", fault=Fault.slow(0.1))])
    body = {"model": MODEL, "messages": HELLO, "stream": True, "max_tokens": 50}
    with house.http(secret) as client, client.stream("POST", "/v1/chat/completions", json=body) as answer:
        next(answer.iter_bytes())
    until(lambda: provider.calls[0].outcome == "complete")
    assert not provider.calls[0].hung_up
    assert until(lambda: burn(house, budget)["used"]) == truth(provider)


def test_a_stream_cut_in_the_middle_is_billed_and_marked(house, provider):
    secret = key(house, "cut")
    budget = limit(house, "key:cut", "5")
    provider.script([Reply("one two three four", fault=Fault.cut_after(3))])
    body = {"model": MODEL, "messages": HELLO, "stream": True, "max_tokens": 50}
    with house.http(secret) as client, client.stream("POST", "/v1/chat/completions", json=body) as answer:
        answer.read()
        trace = answer.headers["x-genwright-trace"]
    (row,) = house.get("/api/gateway/attempts", trace_id=trace)["items"]
    assert (row["status"], row["estimated"]) == ("stream_cut", True)
    assert row["output_tokens"] >= provider.calls[0].output_tokens > 0
    assert burn(house, budget)["used"] == row["nano_usd"] >= truth(provider)


def test_a_model_without_a_price_is_refused_under_a_budget(house, provider):
    add(house, provider, "unpriced")
    secret = key(house, "unpriced")
    limit(house, "key:unpriced", "5")
    answer = chat(house, secret, model="unpriced/test-model")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "no_price"
    assert not provider.calls


def test_a_kill_in_the_middle_of_a_call_books_it_as_reserved(start, tmp_path, provider):
    server = furnish(start(tmp_path / "home", GENWRIGHT_RESERVATION_TTL_S="1.5"), provider)
    secret = key(server, "killed")
    budget = limit(server, "key:killed", "5")
    assert chat(server, secret, max_tokens=10).status_code == 200
    provider.always(Fault.hang())

    def end():
        until(lambda: len(provider.calls) == 2)
        server.kill()

    killer = threading.Thread(target=end)
    killer.start()
    with pytest.raises(httpx.TransportError):
        chat(server, secret, max_tokens=10)
    killer.join()
    server.start()
    (event,) = until(lambda: burn(server, budget) and events(server, "lost"))
    shown = burn(server, budget)
    answered = provider.calls[0].input_tokens * IN + provider.calls[0].output_tokens * OUT
    assert shown["held"] == 0
    assert shown["used"] == answered + event["used"]
    assert event["used"] >= 4 * IN + 10 * OUT, "as much as was reserved"


# -- two servers on one PostgreSQL


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory):
    """Folder and address of a fresh PostgreSQL."""
    if postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install -y postgresql")
    folder, address = postgres.start()  # its own, whatever the other tests run on: it is taken away in the middle
    yield folder, address
    postgres.stop(folder)


@pytest.fixture(scope="module")
def pair(postgresql, tmp_path_factory, provider):
    """Two servers: folders of their own, one database and one master key."""
    shared = {
        "GENWRIGHT_DATABASE_URL": postgresql[1],
        "GENWRIGHT_MASTER_KEY": base64.b64encode(os.urandom(32)).decode(),
        "GENWRIGHT_RESERVATION_TTL_S": "1.5",
    }
    servers = [Server(tmp_path_factory.mktemp("replica") / "home", **shared) for _ in range(2)]
    furnish(servers[0], provider)
    yield servers
    for server in servers:
        server.stop()


async def storm(pair, secret, clients, each, dice, lowest=0):
    """Status codes of `clients` × `each` calls, spread over both servers; a server that is gone counts as 0."""

    async def client(number):
        codes = []
        address = pair[number % 2].address
        async with httpx.AsyncClient(base_url=address, headers={"authorization": f"Bearer {secret}"}, timeout=30) as http:
            for _ in range(each):
                asked = {"model": MODEL, "messages": HELLO, "max_tokens": dice.randint(5, 30)}
                try:
                    codes.append((await http.post("/v1/chat/completions", json=asked)).status_code)
                except httpx.HTTPError:
                    codes.append(0)
        return codes

    return [code for codes in await asyncio.gather(*(client(number) for number in range(clients))) for code in codes]


def test_m1_two_servers_never_overrun_a_budget(pair, provider):
    dice = random.Random(1)
    secret = key(pair[0], "storm")
    budget = limit(pair[1], "key:storm", "1.20", window="total")
    provider.script([Reply(" ".join(["w"] * dice.randint(1, 40))) for _ in range(600)])
    time.sleep(1)  # the other server hears of it within a second
    codes = asyncio.run(storm(pair, secret, 64, 3, dice))
    assert set(codes) == {200, 429}
    assert min(codes.count(200), codes.count(429)) > 10
    assert len(provider.calls) == codes.count(200), "what was refused was not sent"
    for server in pair:
        server.get("/api/gateway/usage")  # written when this answers
    shown = burn(pair[0], budget)
    assert shown["used"] == truth(provider) <= budget["amount"]
    assert shown["held"] == 0


def test_m5_two_servers_never_admit_more_requests(pair, provider):
    secret = key(pair[1], "rates")
    rate = limit(pair[0], "key:rates", 60, "requests", "hour")
    time.sleep(1)
    codes = asyncio.run(storm(pair, secret, 64, 3, random.Random(2)))
    assert 45 <= codes.count(200) <= 60
    assert codes.count(200) + codes.count(429) == 192
    until(lambda: burn(pair[0], rate)["used"] == codes.count(200))


def test_m2_what_a_killed_server_held_is_booked_by_the_other(pair, provider):
    secret = key(pair[0], "widow")
    budget = limit(pair[0], "key:widow", "100", window="total")
    time.sleep(1)
    provider.always(Reply("one two three", fault=Fault.slow(0.8)))

    async def killed():
        task = asyncio.create_task(storm(pair, secret, 32, 2, random.Random(3)))
        while provider.active < 28:
            await asyncio.sleep(0.01)
        pair[1].kill()
        return await task

    codes = asyncio.run(killed())
    until(lambda: not burn(pair[0], budget)["held"])
    lost = events(pair[0], "lost")
    used = burn(pair[0], budget)["used"] - sum(event["used"] for event in lost)
    each = 4 * IN + 3 * OUT
    assert codes.count(0) > 3
    assert len(lost) >= 3
    assert codes.count(200) * each <= used <= (len(provider.calls) - len(lost)) * each, "what was settled is exact"
    assert all(event["used"] >= each for event in lost), "what was asked and not settled is booked as reserved"
    provider.clear()


def test_m6_without_its_database_nothing_under_a_budget_is_sent_and_it_recovers_by_itself(pair, postgresql, provider):
    secret = key(pair[0], "orphan")
    limit(pair[0], "key:orphan", "100")
    assert chat(pair[0], secret, max_tokens=9).status_code == 200
    postgres.halt(postgresql[0])
    try:
        codes = {chat(pair[0], secret, max_tokens=9).status_code for _ in range(5)}
        assert len(provider.calls) == 1, "fail closed"
        assert codes == {503}
    finally:
        postgres.again(postgresql[0])
    until(lambda: chat(pair[0], secret, max_tokens=9).status_code == 200)
    until(lambda: pair[0].get("/api/gateway/ledger")["ok"])
