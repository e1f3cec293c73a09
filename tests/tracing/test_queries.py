"""The list: order, pages, every filter, bounded scans; traffic with exact quantiles."""

from __future__ import annotations

import itertools
import json
import random

import pytest

from genwright.errors import Invalid
from genwright.tracing import queries
from genwright.tracing.queries import HOUR_NS
from genwright.tracing.types import TraceFilter
from genwright.vocab import Scope

SCOPE = Scope()
RELEASE = "release:docs-qa@sha256:" + "a" * 64


def trace_id(number: int) -> str:
    return f"{number + 1:032x}"


def span(number: int, start_ns: int, duration_ns: int = 1_000, *, failed: bool = False, child_model: str = "", **values) -> list:
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue"}
    attributes = [{"key": key.replace("__", "."), "value": {kinds[type(value)]: value}} for key, value in values.items()]
    times = {"startTimeUnixNano": str(start_ns), "endTimeUnixNano": str(start_ns + duration_ns)}
    root = {"traceId": trace_id(number), "spanId": "a" * 16, "name": "root", **times, "attributes": attributes}
    root["status"] = {"code": 2 if failed else 0}
    model = [{"key": "gen_ai.request.model", "value": {"stringValue": child_model}}]
    child = {**root, "spanId": "b" * 16, "parentSpanId": "a" * 16, "attributes": model, "status": {}}
    return [root, child] if child_model else [root]


async def send(tracing, actor, *groups) -> None:
    spans = list(itertools.chain.from_iterable(groups))
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    assert (await tracing.ingest(actor, body, "application/json"))[2] == b"{}"


async def numbers(tracing, want=None, limit=50, scope=SCOPE) -> list[int]:
    """Numbers of all traces found, over all pages."""
    found, cursor = [], None
    while True:
        page = await tracing.list(scope, want, cursor, limit)
        found += [int(row.trace_id, 16) - 1 for row in page.items]
        cursor = page.next
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_pages_hold_each_trace_once_newest_first(tracing, actor, limit):
    starts = [random.Random(7).randrange(1, 20) for _ in range(60)]  # many at the same moment
    await send(tracing, actor, *(span(n, start) for n, start in enumerate(starts)))
    expected = sorted(range(60), key=lambda n: (-starts[n], -n))
    assert await numbers(tracing, limit=limit) == expected


FILTERS = {
    "app": ({"app": "shop"}, {"genwright__app": "shop"}),
    "session": ({"session": "s1"}, {"session__id": "s1"}),
    "user": ({"user": "u1"}, {"user__id": "u1"}),
    "run": ({"run": "run_1"}, {"genwright__run": "run_1"}),
    "release": ({"release": RELEASE}, {"genwright__release": RELEASE}),
    "release by digest": ({"release": RELEASE.rpartition("@")[2]}, {"genwright__release": RELEASE}),
    "status": ({"status": "error"}, {"failed": True}),
    "cost": ({"min_cost_nano_usd": 50}, {"genwright__cost_nano_usd": 50}),
    "text": ({"text": "LAMBDA_%"}, {"input__value": "what is a lambda_% now"}),
    "text with umlauts": ({"text": "Über"}, {"input__value": "Was steht Über dem Tor?"}),
    "model of a child": ({"model": "m2"}, {"child_model": "m2"}),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_each_filter_finds_what_has_it_and_nothing_else(tracing, actor, name):
    want, having = FILTERS[name]
    lacking = {key: type(value)("x9" if isinstance(value, str) else 3) for key, value in having.items() if key != "failed"}
    has = {2, 5, 11}
    await send(tracing, actor, *(span(n, 1000 + n, **(having if n in has else lacking)) for n in range(20)))
    assert await numbers(tracing, TraceFilter(**want), limit=2) == [11, 5, 2]
    assert await numbers(tracing, TraceFilter(**want), scope=Scope("other")) == []


async def test_time_and_scores(tracing, actor):
    await send(tracing, actor, *(span(n, 1000 + n) for n in range(10)))
    assert await numbers(tracing, TraceFilter(since_ns=1003, until_ns=1006)) == [5, 4, 3]
    for n in range(10):
        await tracing.score(actor, trace_id(n), "grounded", n / 10)
    assert await numbers(tracing, TraceFilter(score="grounded < 0.3")) == [2, 1, 0]
    assert await numbers(tracing, TraceFilter(score="grounded>=0.8")) == [9, 8]
    assert await numbers(tracing, TraceFilter(score="grounded = 0.5")) == [5]
    assert len(await numbers(tracing, TraceFilter(score="grounded"))) == 10
    assert await numbers(tracing, TraceFilter(score="other")) == []
    for bad in ("grounded < 1.2.3", " " * 100_000, "x" * 100_000):
        with pytest.raises(Invalid):
            await tracing.list(SCOPE, TraceFilter(score=bad))
    for cursor in ("x", "5", "5-'; drop", "9" * 30 + "-ab"):
        with pytest.raises(Invalid):
            await tracing.list(SCOPE, None, cursor)


async def test_a_rare_filter_is_looked_for_in_bounded_windows(tracing, actor, monkeypatch):
    monkeypatch.setattr(queries, "WINDOW", 4)
    await send(tracing, actor, *(span(n, 1000 + n, genwright__cost_nano_usd=n) for n in range(50)))
    assert await numbers(tracing, TraceFilter(min_cost_nano_usd=10), limit=7) == list(range(49, 9, -1))
    monkeypatch.setattr(queries, "SCAN_S", -1.0)  # the second is over at once: empty pages with a cursor, nothing lost
    want = TraceFilter(text="never", min_cost_nano_usd=1)
    page = await tracing.list(SCOPE, want)
    assert (page.items, page.next) == ([], queries.cursor_of(1046, trace_id(46)))
    assert await numbers(tracing, TraceFilter(min_cost_nano_usd=10), limit=7) == list(range(49, 9, -1))


async def test_traffic_by_hour_model_and_app(tracing, actor):
    generator = random.Random(3)
    durations = [generator.randrange(1, 10_000) for _ in range(40)]
    groups = []
    for n, duration in enumerate(durations):
        start = 500_000 * HOUR_NS + (n % 2) * HOUR_NS + n
        groups.append(
            span(
                n,
                start,
                duration,
                failed=n % 10 == 0,
                genwright__app=f"app{n % 3}",
                gen_ai__usage__input_tokens=2,
                genwright__cost_nano_usd=5,
            )
        )
    await send(tracing, actor, *groups)
    stats = await tracing.stats(SCOPE, 500_000 * HOUR_NS)
    assert [hour.start_ns for hour in stats.hours] == [500_000 * HOUR_NS, 500_001 * HOUR_NS]
    for index, hour in enumerate(stats.hours):
        mine = sorted(durations[index::2])
        assert (hour.calls, hour.tokens_in, hour.cost_nano_usd) == (20, 40, 100)
        assert (hour.p50_ns, hour.p95_ns) == (mine[9], mine[18])
    everything = sorted(durations)
    total = stats.total
    assert (total.calls, total.errors, total.p50_ns, total.p95_ns) == (40, 4, everything[19], everything[37])
    assert [(app.name, app.calls) for app in stats.apps] == [("app0", 14), ("app1", 13), ("app2", 13)]
    assert (await tracing.stats(SCOPE, 500_002 * HOUR_NS)).total.calls == 0
    assert (await tracing.stats(Scope("other"))).hours == []
