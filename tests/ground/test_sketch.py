"""The sketch against exact order statistics, over distributions a latency can have."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genwright.errors import Invalid
from genwright.sketch import ERROR, Sketch

QUANTILES = (0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1)


def exact(values: list[float], q: float) -> float:
    return sorted(values)[int(q * (len(values) - 1))]


@pytest.mark.parametrize("kind", ["uniform", "lognormal", "pareto", "bimodal", "zeros", "constant"])
def test_quantiles_are_within_one_percent(kind):
    rng = random.Random(7)
    draw = {
        "uniform": lambda: rng.uniform(0, 5),
        "lognormal": lambda: rng.lognormvariate(3, 2),
        "pareto": lambda: rng.paretovariate(0.8),
        "bimodal": lambda: rng.choice([rng.gauss(20, 1), rng.gauss(5000, 100)]),
        "zeros": lambda: max(0.0, rng.gauss(0, 1)),
        "constant": lambda: 42.0,
    }[kind]
    values = [draw() for _ in range(20_000)]
    sketch = Sketch(values)
    for q in QUANTILES:
        assert sketch.quantile(q) == pytest.approx(exact(values, q), rel=ERROR * 1.0001, abs=1e-9), q


@given(st.lists(st.floats(1e-9, 1e12), min_size=1, max_size=50), st.floats(0, 1))
def test_any_values_are_within_one_percent(values, q):
    assert Sketch(values).quantile(q) == pytest.approx(exact(values, q), rel=ERROR * 1.0001)


def test_merging_in_any_order_gives_the_same_bytes():
    rng = random.Random(3)
    values = [rng.expovariate(0.01) for _ in range(3000)] + [0.0] * 10
    whole = Sketch(values)
    parts = [Sketch(values[n::7]) for n in range(7)]
    for seed in range(3):
        random.Random(seed).shuffle(parts)
        merged = Sketch()
        for part in parts:
            merged.merge(part)
        assert merged.to_bytes() == whole.to_bytes()
    assert merged.count == len(values)


def test_bytes_are_compact_and_come_back():
    rng = random.Random(5)
    sketch = Sketch(rng.lognormvariate(5, 1) for _ in range(10_000))
    data = sketch.to_bytes()
    assert len(data) < 1200
    again = Sketch.from_bytes(data)
    assert again.to_bytes() == data
    assert again.count == 10_000
    assert [again.quantile(q) for q in QUANTILES] == [sketch.quantile(q) for q in QUANTILES]
    assert len(Sketch([0.5]).to_bytes()) < 25
    assert Sketch.from_bytes(Sketch().to_bytes()).quantile(0.5) is None


def test_counts_merge_with_self_and_repeat():
    sketch = Sketch()
    sketch.add(10, 99)
    sketch.add(1000)
    assert sketch.quantile(0.5) == pytest.approx(10, rel=ERROR)
    sketch.merge(sketch)
    assert sketch.count == 200
    assert sketch.quantile(1) == 1000


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 1e301])
def test_odd_values_are_refused_and_change_nothing(value):
    sketch = Sketch([1])
    before = sketch.to_bytes()
    with pytest.raises(Invalid, match="Nothing was added"):
        sketch.add(value)
    assert sketch.to_bytes() == before
    sketch.add(1e300)
    assert sketch.quantile(0.5) == 1


def test_broken_bytes_are_refused():
    data = Sketch([1, 2, 3]).to_bytes()
    for broken in (b"", data[:5], data[:-1], data + b"\x01", b"\x09" + data[1:], data + b"\x80"):
        with pytest.raises(Invalid, match="no sketch"):
            Sketch.from_bytes(broken)
    with pytest.raises(Invalid, match="between 0 and 1"):
        Sketch().quantile(1.5)
