"""A price book of one's own: exact amounts, nearest name, time, size, units, and what it refuses."""

from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genwright.errors import Invalid
from genwright.price_book import Book, plain, read
from genwright.prices import Price, Usage, price


def ns(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp()) * 1_000_000_000


NOW = ns(2026, 11, 1)


def book(**prices) -> Book:
    return Book({"prices": prices}, "price book default@7", 7)


def cost(own: Book, model: str, usage: Usage, at: int = NOW, provider: str = "openai-compatible") -> int | None:
    found = price(provider, model, usage, at, own, "mine")
    return None if found is None else found.nano_usd


def test_a_price_of_ones_own_goes_before_the_list_and_says_so():
    own = Book({"prices": {"openai/gpt-4o": {"input": "2", "output": "8"}}}, "price book default@7")
    assert price("openai", "gpt-4o", Usage(1_000_000, 500_000), NOW).nano_usd == 7_500_000_000
    found = price("openai", "gpt-4o", Usage(1_000_000, 500_000), NOW, own)
    assert found == Price(6_000_000_000, "price book default@7: openai/gpt-4o")
    assert price("openai", "gpt-4o-mini", Usage(10), NOW, own).source.startswith("genai-prices"), "others keep their price"


def test_the_nearest_name_wins_and_the_providers_own_name_goes_first():
    own = Book(
        {
            "prices": {
                "*/*": {"input": "1"}, "mine/*": {"input": "2"}, "mine/llama-*": {"input": "3"}, "mine/llama-3": {"input": "4"},
                "openai/gpt-4o": {"input": "9"},
            }
        }
    )  # fmt: skip
    costs = [cost(own, model, Usage(1_000_000)) for model in ("llama-3", "llama-2", "qwen")]
    assert costs == [4 * 10**9, 3 * 10**9, 2 * 10**9]
    assert price("openai", "gpt-4o", Usage(1_000_000), NOW, own, "azure-eu").nano_usd == 9 * 10**9
    assert price("openai", "gpt-4", Usage(1_000_000), NOW, own, "mine").nano_usd == 2 * 10**9


def test_a_price_holds_from_and_until_and_by_size():
    own = book(
        **{
            "mine/m": [
                {"input": "1", "until": "2026-01-01"},
                {"input": {"0": "2", "200000": "4"}, "output": "0", "from": "2026-01-01T00:00:00+00:00"},
            ]
        }
    )
    assert cost(own, "m", Usage(1000), ns(2025, 12, 31, 23)) == 1_000_000
    assert cost(own, "m", Usage(1000), ns(2026, 1, 1)) == 2_000_000
    assert cost(own, "m", Usage(200_000)) == 400_000_000
    assert cost(own, "m", Usage(200_001)) == 800_004_000
    closed = book(**{"mine/m": {"input": "1", "until": "2026-01-01"}})
    assert cost(closed, "m", Usage(1)) is None, "outside its time the book says nothing"


def test_what_is_no_token_is_priced_by_the_unit():
    own = book(**{"mine/pictures": {"image": "0.04"}, "mine/ears": {"audio_second": "0.0001", "request": "5"}})
    assert cost(own, "pictures", Usage(12, units={"image": 3})) == 120_000_000, "tokens are in the price of the image"
    assert cost(own, "ears", Usage(units={"audio_second": 12.5})) == 1_250_000 + 5_000_000
    assert cost(own, "pictures", Usage(12)) is None, "no image was made: what is read has no price"
    assert cost(own, "pictures", Usage(units={"page": 1})) is None
    assert Usage(1, units={"image": 1}) + Usage(2, units={"image": 2, "page": 1}) == Usage(3, units={"image": 3, "page": 1})


def test_own_costs_of_local_models_count():
    own = book(**{"local/extractive": {"request": "0.5"}})
    assert price("local", "extractive", Usage(9), NOW, own).nano_usd == 500_000
    assert price("local", "minilm", Usage(9), NOW, own) == Price(0, "local")


amount = st.decimals(0, 1000, places=6, allow_nan=False)


@given(amount, amount, amount, st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_any_price_is_exact_to_the_nano_dollar(fresh, out, cached, inputs, outputs, hits):
    own = book(**{"mine/m": {"input": f"{fresh:f}", "output": f"{out:f}", "cached": f"{cached:f}"}})
    exact = (Fraction(fresh) * inputs + Fraction(cached) * hits + Fraction(out) * outputs) * 1000
    assert cost(own, "m", Usage(inputs + hits, outputs, hits)) == round(exact)


@pytest.mark.parametrize(
    ("prices", "says"),
    [
        ({"gpt": {"input": "1"}}, "PROVIDER/MODEL"),
        ({"a/b": {"input": "-1"}}, "digits"),
        ({"a/b": {"input": "1e3"}}, "digits"),
        ({"a/b": {"input": "١"}}, "digits"),
        ({"a/b": {"input": "0.0000000000001"}}, "digits"),
        ({"a/b": {"input": "99999999"}}, "more than"),
        ({"a/b": {"imput": "1"}}, "imput"),
        ({"a/b": {"note": "free"}}, "no price is given"),
        ({"a/b": {"input": {"5": "1"}}}, "'0' among them"),
        ({"a/b": {"input": "1", "from": "soon"}}, "dates"),
        ({"a/b": {"input": "1", "from": "2026-02-01", "until": "2026-01-01"}}, "not after"),
        ({"a/b": "1"}, "object"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(prices, says):
    with pytest.raises(Invalid, match=says):
        read({"prices": prices})


def test_numbers_become_the_digits_they_were_written_with():
    rows = read({"prices": {"a/b": {"input": 0.1, "output": 3, "cached": 0.0000001, "cache_write": {0: 1.5, 200000: 2}}}})
    assert plain(rows) == {
        "prices": {"a/b": {"input": "0.1", "output": "3", "cached": "0.0000001", "cache_write": {"0": "1.5", "200000": "2"}}}
    }
