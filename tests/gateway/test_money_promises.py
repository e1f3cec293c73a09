"""The promises about money in their short form, with the scripted provider's own ledger as the truth.

On PostgreSQL two servers share the ledger; on SQLite there is one, which is what SQLite is for.
"""

import asyncio
import random

import pytest

from genwright.errors import RateLimited, Unavailable, Upstream
from genwright.gateway.money import posting
from genwright.gateway.service import collect
from genwright.gateway.types import Answer, Call
from genwright.messages import user
from genwright.testing.provider import Fault, Reply, ScriptedProvider
from money_site import ADMIN, IN, OUT, Site, servers


@pytest.fixture
def provider():
    with ScriptedProvider(api_key="sk-upstream") as scripted:
        yield scripted


def truth(provider):
    """Nano-dollars that the provider billed."""
    read, written = provider.billed_tokens
    return read * IN + written * OUT


@pytest.mark.parametrize("seed", range(3))
async def test_m1_a_budget_is_never_overrun(home, database_url, provider, seed):
    dice = random.Random(seed)
    amount = 1_500_000_000
    async with servers(2 if database_url else 1, home, database_url, provider) as sites:
        limit = await sites[0].limit(amount=amount, window="total")

        async def client(number):
            done = refused = 0
            for _ in range(6):
                cap = dice.randint(5, 40)
                provider.script([Reply(" ".join(["w"] * dice.randint(1, 60)))])  # the provider cuts it at the cap
                try:
                    await sites[number % len(sites)].ask("a b c d", max_tokens=cap)
                    done += 1
                except RateLimited as error:
                    refused += error.code == "budget_exceeded"
            return done, refused

        outcomes = await asyncio.gather(*(client(number) for number in range(64)))
        for site in sites:
            await site.gateway.flush()
        burn = await sites[0].burn(limit.id)
        rows = await sites[0].rows()
    done, refused = map(sum, zip(*outcomes, strict=True))
    assert done > 10
    assert refused > 10
    assert burn.used <= amount, "never overrun"
    assert burn.used == sum(row.nano_usd for row in rows) == truth(provider), "to the nano-dollar"
    assert burn.held == 0
    assert len(rows) == len(provider.calls) + sum(row.nano_usd == 0 for row in rows)


async def test_m2_no_phantom_charge_and_no_hold_left(home, database_url, provider):
    dice = random.Random(7)
    faults = [Fault.status(500), Fault.status(429), Fault.reset(), Fault.hang(), Fault.garbage(), None, None, None]
    async with servers(2 if database_url else 1, home, database_url, provider) as sites:
        limit = await sites[0].limit(usd="1000")

        async def client(number):
            for _ in range(5):
                fault = dice.choice(faults)
                provider.script([Reply("one two three", fault=fault)])
                task = asyncio.create_task(sites[number % len(sites)].ask(max_tokens=9))
                if dice.random() < 0.2:
                    await asyncio.sleep(dice.random() / 50)
                    task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        await asyncio.gather(*(client(number) for number in range(16)))
        for site in sites:
            await site.gateway.flush()
        rows = await sites[0].rows()
        burn = await sites[0].burn(limit.id)
        left = await sites[0].holds()
    exact = [row for row in rows if not row.estimated]
    assert left == burn.held == 0
    assert burn.used == sum(row.nano_usd for row in rows)
    assert {row.nano_usd for row in exact if row.status == "ok"} == {3 * IN + 3 * OUT}, "usage received: exact"
    assert {row.nano_usd for row in exact if row.status != "ok"} == {0}, "an error bills nothing"
    assert {row.status for row in rows} > {"ok", "upstream", "upstream_timeout"}
    for row in rows:
        if row.estimated:
            assert 3 * IN <= row.nano_usd <= 103 * IN, "something was read; at most what was reserved"


async def test_m2_what_a_dead_server_held_is_booked_once(home, database_url, provider):
    """A server that ends without a word: its call is booked as reserved and marked, and nothing stays reserved."""
    provider.always(Fault.hang())
    first = await Site(home, database_url, reservation_ttl_s=0.2).open(provider)
    limit = await first.limit(usd="10")
    task = asyncio.create_task(first.ask(max_tokens=5))
    while not provider.calls:
        await asyncio.sleep(0.01)
    assert await first.holds() == 1
    held = (await first.burn(limit.id)).held
    first.money._keeper.cancel()
    for database in first.databases.values():
        await asyncio.to_thread(database.close)
    second = await Site(home, database_url, reservation_ttl_s=0.2).open(provider)
    try:
        async with asyncio.timeout(5):
            while (await second.burn(limit.id)).held:
                await asyncio.sleep(0.05)
        burn = await second.burn(limit.id)
        (row,) = await second.rows()
        (event,) = await second.gateway.limits.events(ADMIN)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await second.close()
    assert (row.status, row.estimated, row.nano_usd) == ("lost", True, held)
    assert burn.used == held
    assert event.kind == "lost"


async def test_m2_a_server_taken_for_dead_books_nothing_twice(home, database_url, provider):
    async with servers(1, home, database_url, provider) as (site,):
        limit = await site.limit(usd="10")
        provider.script([Reply("x", fault=Fault.slow(0.2))])
        task = asyncio.create_task(site.ask(max_tokens=5))
        while not provider.calls:
            await asyncio.sleep(0.01)
        book, database = site.money.book, site.databases["ledger"]
        await database.write_raw(posting.bury, book._sql, book.server, 1)
        await task
        (row,) = await site.rows()
        burn = await site.burn(limit.id)
    assert row.status == "lost"
    assert (burn.used, burn.held) == (row.nano_usd, 0)


@pytest.mark.parametrize("after", range(7))
async def test_m3_a_stream_cut_anywhere_is_billed(home, database_url, provider, after):
    async with servers(1, home, database_url, provider) as (site,):
        limit = await site.limit(usd="10")
        provider.script([Reply("one two three four", fault=Fault.cut_after(after))])
        with pytest.raises(Upstream):
            await collect(site.gateway.stream(ADMIN, Call("test/m", [user("a b c")], {"max_tokens": 8})))
        (row,) = await site.rows()
        burn = await site.burn(limit.id)
        left = await site.holds()
    assert row.estimated
    assert row.nano_usd >= truth(provider) or row.input_tokens + row.output_tokens >= sum(provider.billed_tokens)
    assert burn.used == row.nano_usd
    assert left == 0


async def test_m3_a_client_that_leaves_is_billed_what_was_delivered_and_at_most_what_was_reserved(home, database_url, provider):
    async with servers(1, home, database_url, provider) as (site,):
        limit = await site.limit(usd="10")
        provider.script([Reply("one two three four five six", fault=Fault.slow(0.03))])
        items = site.gateway.stream(ADMIN, Call("test/m", [user("a b c")], {"max_tokens": 8}))
        async for item in items:
            if getattr(item, "text", ""):
                break
        await items.aclose()
        (row,) = await site.rows()
        burn = await site.burn(limit.id)
    assert (row.status, row.estimated) == ("cancelled", True)
    assert row.input_tokens >= 3
    assert 1 <= row.output_tokens <= 8
    assert burn.used == row.nano_usd


async def test_m4_each_attempt_has_one_row(home, database_url, provider):
    """500 → ok, timeout but generated → ok, cut → ok: rows = attempts, ids unique."""
    async with servers(1, home, database_url, provider) as (site,):
        await site.limit(usd="100")
        for fault in (Fault.status(500), Fault.hang(billed=True), Fault.cut_after(2), Fault.reset(), Fault.garbage()) * 3:
            provider.script([Reply("x y", fault=fault), Reply("x y")])
            for _ in range(2):
                try:
                    await site.ask(max_tokens=5)
                except Upstream:
                    continue
                break
        rows = await site.rows()
    assert len(rows) == len(provider.calls) == 30
    assert len({row.id for row in rows}) == 30
    assert sum(row.status == "ok" for row in rows) == 15


@pytest.mark.parametrize("metric", ["requests", "tokens"])
async def test_m5_rates_hold_across_servers(home, database_url, provider, metric):
    """Two servers and 32 clients, across the end of a window: in none was more admitted than allowed."""
    amount = 40 if metric == "requests" else 2_000
    async with servers(2 if database_url else 1, home, database_url, provider) as sites:
        moment = [sites[0].money.time.now_ns() // 3_600_000_000_000 * 3_600_000_000_000]
        for site in sites:
            site.money.time.now_ns = lambda: moment[0] + 10
        limit = await sites[0].limit(metric=metric, window="hour", amount=amount)
        admitted = [0, 0]

        async def client(number, turn):
            for _ in range(4):
                try:
                    await sites[number % len(sites)].ask("a b", max_tokens=10)
                    admitted[turn] += 1
                except RateLimited:
                    pass

        for turn in range(2):
            await asyncio.gather(*(client(number, turn) for number in range(32)))
            burn = await sites[0].burn(limit.id)
            assert burn.used <= amount
            assert admitted[turn] == burn.used if metric == "requests" else burn.used >= admitted[turn] * 3
            moment[0] += 3_600_000_000_000
    if metric == "requests":
        assert all(0.8 * amount <= count <= amount for count in admitted)
    assert min(admitted) > 10


async def test_m5_places_hold_across_servers(home, database_url, provider):
    provider.always(Reply("x", fault=Fault.slow(0.3)))
    async with servers(2 if database_url else 1, home, database_url, provider) as sites:
        await sites[0].limit(metric="concurrent", amount=5)
        most = 0

        async def look():
            nonlocal most
            while True:
                most = max(most, provider.active)
                await asyncio.sleep(0.005)

        looking = asyncio.create_task(look())
        calls = (sites[number % len(sites)].ask() for number in range(30))
        done = await asyncio.gather(*calls, return_exceptions=True)
        looking.cancel()
        answered = sum(isinstance(one, Answer) for one in done)
        assert answered >= 5
        assert sum(isinstance(one, RateLimited) for one in done) == 30 - answered
        assert most == 5, "never more at once"
        await asyncio.gather(*(site.gateway.flush() for site in sites))
        await sites[0].ask()


def _away(site):
    """Make the ledger refuse everything, as a database does that is gone; returns how it comes back."""
    database = site.databases["ledger"]
    database.failed = "it was unplugged"

    def back():
        database.failed = None

    return back


async def test_m6_with_a_budget_and_no_ledger_nothing_is_sent(home, database_url, provider):
    async with servers(1, home, database_url, provider) as (site,):
        await site.limit(usd="10")
        await site.ask(max_tokens=5)
        back = _away(site)
        for _ in range(5):
            with pytest.raises(Unavailable) as refused:
                await site.ask(max_tokens=5)
            assert refused.value.code == "ledger_unavailable"
        assert len(provider.calls) == 1
        back()
        await site.ask(max_tokens=5)
        rows = await site.rows()
    assert [row.nano_usd > 0 for row in rows if row.status == "ok"] == [True, True]


async def test_m6_without_a_budget_rows_are_kept_until_the_ledger_is_back(home, database_url, provider):
    async with servers(1, home, database_url, provider) as (site,):
        back = _away(site)
        for _ in range(5):
            await site.ask()
        await asyncio.sleep(0.05)
        health = await site.gateway.limits.health(ADMIN)
        assert (health.ok, health.waiting, health.lost) == (False, 5, 0)
        assert "unplugged" in health.reason
        back()
        site.money.book._write_one_by_one()
        rows = await site.rows()
        assert (await site.gateway.limits.health(ADMIN)).ok
    assert len(rows) == 5


async def test_m6_open_mode_lets_calls_pass_and_marks_each(home, database_url, provider):
    async with servers(1, home, database_url, provider, limits_fail_open=True) as (site,):
        await site.limit(metric="requests", window="day", amount=100)
        await site.limit(usd="10")
        back = _away(site)
        admission = await site.money.admit(ADMIN, Call("test/m"), "chat")
        assert (b"x-genwright-unmetered", b"1") in admission.headers()
        admission.close()
        await site.ask(max_tokens=5)
        assert site.money.unmetered >= 2
        back()


async def test_a_cancelled_reservation_is_given_back(home, database_url, provider):
    async with servers(1, home, database_url, provider) as (site,):
        limit = await site.limit(usd="10")
        for delay in range(12):
            task = asyncio.create_task(site.ask(max_tokens=5))
            await asyncio.sleep(delay / 2000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.1)
        burn = await site.burn(limit.id)
        rows = await site.rows()
        left = await site.holds()
    assert left == burn.held == 0
    assert burn.used == sum(row.nano_usd for row in rows)


async def test_a_limit_set_at_one_server_holds_at_the_others_within_a_second(home, database_url, provider):
    """For all calls of a burst, not only for the first that looks."""
    if not database_url:
        pytest.skip("one server on SQLite")
    async with servers(2, home, database_url, provider) as (first, second):
        await asyncio.gather(*(second.ask() for _ in range(4)))
        await first.limit(metric="requests", window="hour", amount=0)
        await asyncio.sleep(1)
        burst = await asyncio.gather(*(second.ask() for _ in range(20)), return_exceptions=True)
    assert all(isinstance(one, RateLimited) for one in burst)
