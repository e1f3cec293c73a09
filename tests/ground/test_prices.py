"""Money: against prices written out by hand, against exact fractions, and against genai-prices' own sums over its whole list."""

import subprocess
import sys
from datetime import UTC, datetime
from fractions import Fraction

import genai_prices
import pytest
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from genwright import prices
from genwright.prices import Price, Usage, price, round_half_even


def ns(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp()) * 1_000_000_000


NOW = ns(2026, 11, 1, 12)


def nano(provider: str, model: str, usage: Usage, at: int = NOW) -> int:
    found = price(provider, model, usage, at)
    assert found is not None
    return found.nano_usd


def test_prices_by_hand():
    # gpt-4o: 2.50 $/M in, 1.25 cached, 10 out, so 2,500, 1,250 and 10,000 nano-dollars a token.
    assert nano("openai", "gpt-4o", Usage(1, 0)) == 2_500
    assert nano("openai", "gpt-4o", Usage(1000, 100, cached_tokens=400)) == 600 * 2_500 + 400 * 1_250 + 100 * 10_000
    # Reasoning has no own price there and is part of the output.
    assert nano("openai", "gpt-4o", Usage(0, 100, reasoning_tokens=90)) == 100 * 10_000
    # sonar-deep-research: 8 $/M out, 3 $/M reasoning.
    used, without = Usage(0, 100, reasoning_tokens=90), Usage(0, 10)
    assert nano("perplexity", "sonar-deep-research", used) - nano("perplexity", "sonar-deep-research", without) == 90 * 3_000


def test_price_below_a_nano_dollar_is_rounded_once():
    # text-embedding-3-small: 0.02 $/M is 20 nano-dollars a token; deepseek by night 0.135 $/M in, 0.035 $/M cached.
    assert nano("openai", "text-embedding-3-small", Usage(7)) == 140
    found = price("openai", "gpt-4o", Usage(3, 1), NOW)
    assert found == Price(3 * 2_500 + 10_000, f"genai-prices {genai_prices.__version__}: openai/gpt-4o")


def test_large_inputs_pay_the_price_of_their_size():
    # claude-sonnet-4-5: 3 $/M in and 15 out, above 200,000 input tokens 6 and 22.50.
    assert nano("anthropic", "claude-sonnet-4-5", Usage(200_000, 10)) == 200_000 * 3_000 + 10 * 15_000
    assert nano("anthropic", "claude-sonnet-4-5", Usage(200_001, 10)) == 200_001 * 6_000 + 10 * 22_500


def test_the_price_is_the_one_of_that_day_and_hour():
    # o3 fell from 10/40 to 2/8 on 2025-06-10; deepseek-chat has an hour-dependent price.
    assert nano("openai", "o3", Usage(1, 1), ns(2025, 6, 9, 23)) == 50_000
    assert nano("openai", "o3", Usage(1, 1), ns(2025, 6, 10)) == 10_000
    day, night = (nano("deepseek", "deepseek-chat", Usage(1000, 0), ns(2026, 11, 1, hour)) for hour in (12, 20))
    assert day == 270_000
    assert night == 135_000


def test_local_models_are_free_and_unknown_ones_unpriced():
    assert price("local", "anything", Usage(10**9, 10**9), NOW) == Price(0, "local")
    assert price("openai", "gpt-nonsense", Usage(1, 1), NOW) is None
    assert price("my-own-openai", "gpt-4o", Usage(1, 1), NOW) is None
    assert price("", "", Usage(), NOW) is None


def test_what_has_no_price_of_its_own_is_not_given_away():
    # An embedding model lists no price of output; whisper none of tokens at all.
    assert price("openai", "text-embedding-3-small", Usage(5, 1), NOW) is None
    assert price("openai", "whisper-1", Usage(5), NOW) is None


def test_names_of_other_gateways_are_known():
    assert nano("gcp.gemini", "gemini-2.5-pro", Usage(1000)) == nano("google", "gemini-2.5-pro", Usage(1000)) > 0
    ids = {provider.id for provider in providers}
    assert set(prices.ALIASES.values()) <= ids
    assert not set(prices.ALIASES) & ids


@pytest.mark.parametrize(
    ("given_usage", "settled"),
    [
        (Usage(100, 10, cached_tokens=150), Usage(150, 10, cached_tokens=150)),
        (Usage(100, 10, reasoning_tokens=30), Usage(100, 30, reasoning_tokens=30)),
        (Usage(-5, 10), Usage(0, 10)),
        (Usage(100, 10, cached_tokens=-3), Usage(100, 10)),
    ],
)
def test_contradictory_counts_are_settled_and_marked(given_usage, settled):
    found, wanted = price("openai", "gpt-4o", given_usage, NOW), price("openai", "gpt-4o", settled, NOW)
    assert found is not None
    assert wanted is not None
    assert found.estimated
    assert not wanted.estimated
    assert found.nano_usd == wanted.nano_usd


@given(st.integers(0, 10**15), st.integers(1, 10**6))
def test_rounding_is_that_of_exact_fractions(numerator, denominator):
    assert round_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


def test_halves_go_to_the_even_neighbour():
    assert [round_half_even(n, 2) for n in (1, 3, 5, 7)] == [0, 2, 2, 4]


def test_the_whole_list_agrees_with_the_library():
    """Every model of every provider, priced by us and by genai-prices; differing only where we refuse an unpriced part."""
    usage = Usage(250_001, 777, cached_tokens=1001, cache_write_tokens=33, reasoning_tokens=55)
    theirs = genai_prices.Usage(
        input_tokens=250_001, output_tokens=777, cache_read_tokens=1001, cache_write_tokens=33, output_reasoning_tokens=55
    )
    moment = datetime.fromtimestamp(NOW / 1e9, UTC)
    compared = 0
    for provider in providers:
        for model in provider.models:
            listed = model.get_prices(moment)
            ours = prices._scaled_cost(prices._chooser(model.prices)(NOW), prices._consistent(usage)[0], usage.input_tokens)
            if listed.input_mtok is None or listed.output_mtok is None:
                assert ours is None, model.id
                continue
            wanted = Fraction(listed.calc_price(theirs)["total_price"]) * 1_000_000_000
            assert abs(ours - wanted) <= Fraction(1, 2), (provider.id, model.id)
            compared += 1
    assert compared > 1500


def test_usages_add_up():
    assert Usage(1, 2, 3, 4, 5) + Usage(10, 20, 30, 40, 50) == Usage(11, 22, 33, 44, 55)
    assert Usage(1, 2).total_tokens == 3


def test_names_from_callers_do_not_fill_memory():
    for number in range(5000):
        assert price("openai", f"no-such-model-{number}", Usage(1), NOW) is None
    assert prices._find.cache_info().currsize <= 4096


def test_import_is_lazy():
    code = "import sys, genwright.prices; print('genai_prices' in sys.modules, 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False False\n"
