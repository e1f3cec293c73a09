"""The first page: empty, with traffic; and its chart's bars."""

from genwright.tracing.types import Hour
from genwright.web.overview import HOUR_NS, chart
from page_site import PLANTED


async def test_an_empty_server_says_how_to_begin(site):
    html = await site.get("")
    assert "Welcome to Genwright" in html
    for words in ("genwright demo", "genwright ingest", "http://127.0.0.1/v1", "/w/default/documents", "/w/default/access"):
        assert words in html


async def test_traffic_apps_and_traces_are_shown(site):
    await site.released()
    await site.answered("What is a list?")
    await site.answered(PLANTED, fail=f"cut {PLANTED}")
    for since in ("24h", "7d", "30d", "nonsense"):
        html = await site.get("", since=since)
        assert "50.0 % of calls" in html
    assert html.count('class="row-link" href="/w/default/tracing/') == 2
    assert "not released" in html
    await site.house.registry.label(site.actor, "release", "docs-qa", "production", 1)
    assert "release 1" in await site.get("")
    assert "default" in await (await site.as_role("viewer")).get("")


def test_bars_add_up_hours_and_empty_ones_are_zero():
    hours = [
        Hour(start_ns=0, calls=3, errors=1),
        Hour(start_ns=5 * HOUR_NS, calls=4),
        Hour(start_ns=6 * HOUR_NS, calls=1, errors=1),
    ]
    hours += [Hour(start_ns=-HOUR_NS, calls=9), Hour(start_ns=24 * HOUR_NS, calls=9)]  # outside
    drawn = chart(hours, 0, 24, 6)
    assert [series["values"] for series in drawn["series"]] == [[6, 0, 0, 0], [1, 1, 0, 0]]
    assert drawn["x"][0] == "Jan 01 00:00"
    assert chart([], 0, 24, 1)["x"][23] == "23:00"
