"""Limits and budgets on one server: what is reserved, refused, settled and told."""

import asyncio

import msgspec
import pytest

from genwright.access.types import Terms
from genwright.errors import Forbidden, Invalid, RateLimited
from genwright.gateway.money import worst
from genwright.gateway.money.charge import Cost
from genwright.gateway.money.types import LedgerRow
from genwright.gateway.providers.anthropic.dialect import Anthropic
from genwright.gateway.providers.gemini.dialect import Gemini
from genwright.gateway.providers.openai_compatible import OpenAICompatible
from genwright.gateway.types import Call, Told, Wire
from genwright.messages import user
from genwright.testing.provider import Fault, Reply, ScriptedProvider
from money_site import ADMIN, IN, OUT, Site


@pytest.fixture
async def shop(home, database_url):
    with ScriptedProvider(api_key="sk-upstream") as provider:
        site = await Site(home, database_url).open(provider)
        site.provider = provider
        yield site
        await site.close()


async def test_a_budget_reserves_settles_and_refuses(shop):
    limit = await shop.limit(usd="0.05")
    await shop.ask("a b c", max_tokens=4)
    burn = await shop.burn(limit.id)
    (row,) = await shop.rows()
    assert row.nano_usd == 3 * IN + row.output_tokens * OUT
    assert (burn.used, burn.held, burn.left) == (row.nano_usd, 0, limit.amount - row.nano_usd)
    assert shop.provider.calls[0].body["max_tokens"] == 4
    with pytest.raises(RateLimited, match="budget") as refused:
        await shop.ask("x", max_tokens=1_000)
    assert refused.value.code == "budget_exceeded"
    assert len(shop.provider.calls) == 1
    assert (await shop.burn(limit.id)).used == row.nano_usd
    assert await shop.holds() == 0


async def test_a_cap_is_sent_and_reserved_where_the_caller_sets_none(shop):
    await shop.limit(usd="100")
    await shop.ask()
    assert shop.provider.calls[-1].body["max_tokens"] == 4096
    await shop.ask(max_completion_tokens=7)
    assert shop.provider.calls[-1].body["max_tokens"] == 7


async def test_without_a_limit_nothing_is_reserved_or_added(shop):
    await shop.ask()
    assert "max_tokens" not in shop.provider.calls[-1].body
    assert await shop.holds() == 0


async def test_a_hold_is_on_disk_before_the_provider_is_asked(shop):
    limit = await shop.limit(usd="1")
    shop.provider.script([Reply("one two", fault=Fault.slow(0.3))])
    task = asyncio.create_task(shop.ask(max_tokens=10))
    while not shop.provider.calls:
        await asyncio.sleep(0.01)
    burn = await shop.burn(limit.id)
    assert await shop.holds() == 1
    assert burn.used == 0
    assert burn.held >= 3 * IN + 10 * OUT
    await task
    assert await shop.holds() == 0


async def test_the_nearer_count_is_asked_before_a_call_is_refused(shop):
    """400 words are 2,000 bytes; by bytes it would not fit, by tokens it does."""
    text = "word " * 400
    limit = await shop.limit(usd="1.2")
    await shop.ask(text, max_tokens=5)
    assert (await shop.burn(limit.id)).used == 400 * IN + 5 * OUT


async def test_no_price_under_a_hard_budget_is_refused_and_under_a_soft_one_not(shop):
    await shop.gateway.prices.set(ADMIN, {"test/*": None})
    limit = await shop.limit(usd="1")
    with pytest.raises(Invalid) as refused:
        await shop.ask()
    assert refused.value.code == "no_price"
    assert not shop.provider.calls
    await shop.limit(usd="1", hard=False)
    await shop.ask()
    assert (await shop.burn(limit.id)).used == 0
    assert (await shop.rows())[-1].nano_usd is None


async def test_model_patterns_choose_the_calls(shop):
    limit = await shop.limit(usd="0", models="test/dear-*")
    await shop.ask(model="test/cheap-1")
    with pytest.raises(RateLimited):
        await shop.ask(model="test/dear-1")
    assert (await shop.burn(limit.id)).used == 0


async def test_requests_and_places(shop):
    rpm = await shop.limit(metric="requests", window="hour", amount=3)
    for _ in range(3):
        await shop.ask()
    with pytest.raises(RateLimited) as refused:
        await shop.ask()
    assert refused.value.code == "rate_limit_exceeded"
    assert 0 < refused.value.retry <= 3600
    assert (await shop.burn(rpm.id)).used == 3
    await shop.gateway.limits.remove(ADMIN, rpm.id)
    await shop.limit(metric="concurrent", amount=2)
    shop.provider.always(Reply("x", fault=Fault.slow(0.2)))
    done = await asyncio.gather(*(shop.ask() for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, RateLimited) for one in done) == 3
    shop.provider.always(None)
    await shop.ask()


async def test_tokens_are_taken_at_most_and_given_back(shop):
    limit = await shop.limit(metric="tokens", window="day", amount=1_000)
    for _ in range(10):
        await shop.ask("a b c", max_tokens=40)
    assert (await shop.burn(limit.id)).used == sum(row.input_tokens + row.output_tokens for row in await shop.rows())
    with pytest.raises(RateLimited):
        await shop.ask("a", max_tokens=1_000)


async def test_terms_bind_what_the_caller_names(shop):
    actor = msgspec.structs.replace(ADMIN, terms=Terms(models=("route/*",), operations=("chat",)))

    def call(model):
        return Call(model, told=Told())

    with pytest.raises(Forbidden, match="may not call"):
        await shop.money.admit(actor, call("test/m"), "chat")
    with pytest.raises(Forbidden, match="embeddings"):
        await shop.money.admit(actor, call("route/x"), "embeddings")
    (await shop.money.admit(actor, call("route/x"), "chat")).close()


async def test_percentages_are_told_once(shop):
    limit = await shop.limit(usd="0.1", warn_at=[10, 50], hard=False)
    for _ in range(6):
        await shop.ask("a b c", max_tokens=3)
    events = await shop.gateway.limits.events(ADMIN)
    assert sorted((event.kind, event.percent) for event in events) == [("warning", 10), ("warning", 50)]
    assert {event.limit_id for event in events} == {limit.id}


async def test_an_outlier_is_flagged(shop):
    for _ in range(40):
        await shop.ask(max_tokens=3)
    shop.provider.script([Reply("x", input_tokens=50_000)])
    await shop.ask()
    (event,) = await shop.gateway.limits.events(ADMIN)
    assert (event.kind, event.node, event.used) == ("outlier", "key:key_admin", 50_001)


async def test_raising_a_limit_holds_at_once_and_keeps_what_was_used(shop):
    limit = await shop.limit(metric="requests", window="hour", amount=1)
    await shop.ask()
    with pytest.raises(RateLimited):
        await shop.ask()
    again = await shop.limit(metric="requests", window="hour", amount=2)
    assert again.id == limit.id
    await shop.ask()
    with pytest.raises(RateLimited):
        await shop.ask()


async def test_one_bad_row_does_not_take_others_with_it(shop, caplog):
    def row(number, model="rows"):
        return LedgerRow(
            "default", "default", f"att_{number}", 1, "k", "t", "", "p", model, "chat", "ok", 1, 1, 0, 0, False, 0, 0
        )

    shop.money.book.book(row(1))
    await shop.gateway.flush()
    for one in (row(2), row(1), row(3, None), row(4)):
        shop.money.book.book(one)
    await shop.gateway.flush()
    assert [one.id for one in await shop.rows()] == ["att_1", "att_2", "att_4"]
    assert shop.money.book.lost == 1, "att_1 was there already; a row without a model cannot be written"
    assert "att_3" in caplog.text


async def test_costs_of_other_kinds_and_refunds_count_in_budgets(shop):
    limit = await shop.limit(usd="5", window="total")
    await shop.gateway.charge(ADMIN, Cost("gpu_second", 1_500_000_000, "fine_tune", {"gpu_second": 3600}, tags={"team": "red"}))
    assert (await shop.burn(limit.id)).used == 1_500_000_000
    (row,) = await shop.rows()
    assert (row.cost_kind, row.operation, row.units, row.tags) == (
        "gpu_second",
        "fine_tune",
        {"gpu_second": 3600},
        {"team": "red"},
    )
    answer = await shop.ask(max_tokens=4)
    await shop.gateway.refund(ADMIN, answer.trace_id, "chat")
    assert (await shop.burn(limit.id)).used == 1_500_000_000
    assert [row.nano_usd for row in await shop.rows()] == [1_500_000_000, answer.cost_nano_usd, -answer.cost_nano_usd]


def test_the_cap_goes_out_under_the_name_that_each_dialect_knows():
    """In the caller's own body and in a translated one."""
    plain = Call("x", [user("a")])
    own = {
        "openai": Wire("openai", {"messages": [{"role": "user", "content": "a"}]}),
        "gemini": Wire("gemini", {"contents": [{"parts": [{"text": "a"}]}]}),
    }
    for call in (plain, *(msgspec.structs.replace(plain, wire=wire) for wire in own.values())):
        capped = worst.with_cap(call, 77)
        openai = msgspec.json.decode(OpenAICompatible().request(capped, "gpt-4o", False))
        newer = msgspec.json.decode(OpenAICompatible().request(capped, "gpt-5", False))
        gemini = msgspec.json.decode(Gemini().request(capped, "gemini-2.5-flash", False))
        anthropic = msgspec.json.decode(Anthropic().request(capped, "claude-sonnet-4-5", False))
        assert (openai["max_tokens"], anthropic["max_tokens"]) == (77, 77)
        assert newer["max_completion_tokens"] == 77
        assert "max_tokens" not in newer
        assert gemini["generationConfig"]["maxOutputTokens"] == 77
        assert "max_tokens" not in gemini
