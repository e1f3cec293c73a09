"""Pages of costs, prices, limits and live traffic: what the ledger holds, forms that come back, who may do what."""

import asyncio
import json

import pytest

from genwright.gateway.reports import live_pages
from genwright.gateway.reports.live import KEPT, WAITING, Live
from genwright.gateway.types import Call
from genwright.messages import say
from genwright.vocab import Scope
from page_site import PLANTED


async def calls(site, count=3, **more):
    for _ in range(count):
        await site.house.gateway.complete(site.actor, Call("local/extractive", [say("user", "What is a list?")], **more))


async def test_costs_are_what_the_ledger_holds(site):
    assert "No calls in this time" in await site.get("/gateway/costs")
    await calls(site, 3, user="ada", tags={"team": "red"})
    html = await site.get("/gateway/costs", since="24h")
    assert "extractive" in html
    assert '<td class="num">3</td>' in html
    assert "data-chart" in html
    assert "by=model" in html, "the CSV's address asks for the same"
    html = await site.get("/gateway/costs", **{"by": "user", "and": "tag:team", "since": "24h"})
    assert "ada" in html
    assert "red" in html
    assert "No calls fit" in await site.get("/gateway/costs", user=PLANTED, since="24h")
    assert "is no dimension" in await site.get("/gateway/costs", 422, by="colour")


async def test_prices_are_set_compared_and_taken_away(site):
    assert "No prices of your own" in await site.get("/gateway/prices")
    await calls(site, 2)
    answer = await site.post("/gateway/prices", model="local/extractive", request="1.5", note=PLANTED)
    assert "$1.5 per thousand requests" in answer.text
    await calls(site, 2)
    html = await site.get("/gateway/prices/model", model="local/extractive")
    assert "price book default@1" in html
    wrong = await site.post("/gateway/prices", 422, model="local/extractive", input="cheap", note=PLANTED)
    assert "does not fit" in wrong.text
    assert "cheap" in wrong.text, "the form comes back as it was"
    html = await site.get("/gateway/prices/reprice", book="1", since="")
    assert "$0.006" in html, "four calls under the new price"
    assert "$0.003" in html, "two were booked with it"
    await site.post("/gateway/prices/take-away", model="local/extractive")
    assert "No prices of your own" in await site.get("/gateway/prices")
    assert "per thousand" in await site.get("/gateway/prices", version="1")
    viewer = await site.as_role("viewer")
    await viewer.post("/gateway/prices", 403, model="a/b", input="1")
    assert "hx-post" not in await viewer.get("/gateway/prices")


async def test_a_budget_is_set_changed_seen_burning_and_removed(site):
    assert "No budgets" in await site.get("/gateway/limits")
    await site.post("/gateway/prices", model="local/extractive", request="100")
    answer = await site.post(
        "/gateway/limits", node="project:default", metric="usd", amount="$1.00", window="day", warn_at="50, 100 %", hard="no"
    )
    assert "$1.00 a day" in answer.text
    await calls(site, 6)
    html = await site.get("/gateway/limits")
    assert "$0.6" in html
    assert "$0.4" in html
    assert "50 % of $1.00 a day was used" in html
    assert "data-chart" in html
    limit = (await site.house.gateway.limits.all(site.actor))[0]
    html = await site.get("/gateway/limits", edit=limit.id)
    assert 'value="50, 100"' in html
    wrong = await site.post("/gateway/limits", 422, node="project:default", metric="tokens", amount="many", window="day")
    assert "whole number" in wrong.text
    await site.post("/gateway/limits", node="project:default", metric="concurrent", amount="7", window="minute")
    await site.post(f"/gateway/limits/{limit.id}/remove")
    html = await site.get("/gateway/limits")
    assert "No budgets" in html
    assert "Calls at once" in html
    viewer = await site.as_role("viewer")
    await viewer.post("/gateway/limits", 403, node="project:default", metric="usd", amount="1", window="day")


# -- live traffic


async def test_the_last_calls_are_listed_and_filtered(site):
    assert "No calls yet" in await site.get("/gateway/live")
    await calls(site, 2, user=PLANTED)
    html = await site.get("/gateway/live")
    assert html.count("row-link") == 2
    assert (await site.get("/gateway/live", model="local/*")).count("row-link") == 2
    assert (await site.get("/gateway/live", status="failed")).count("row-link") == 0


def row(number, status="ok", workspace="default"):
    from genwright.gateway.money.types import LedgerRow

    return LedgerRow(
        workspace, "default", f"att_{number}", number, "key_1", "t", "s", "p", "m", "chat", status, 1, 2, 0, 5, False, 0, 7
    )


async def events(live, fields, count):
    """The first `count` data events of an onlooker."""

    class Anybody:
        scope = Scope()

    found = []
    stream = live_pages._events(live, Anybody(), dict.fromkeys(live_pages.FILTERS, "") | fields, {})
    async for piece in stream:
        if piece.startswith(b"data:"):
            found.append(json.loads(piece[6:]))
        if len(found) == count:
            await stream.aclose()
            return found
    return found


async def test_thousands_of_calls_a_second_become_a_few_rows_and_a_count():
    live = Live()

    async def traffic():
        while not len(live):
            await asyncio.sleep(0)
        for number in range(5_000):
            live.tell(row(number))

    told = asyncio.create_task(traffic())
    (found,) = await events(live, {}, 1)
    await told
    assert len(found["rows"]) == live_pages.AT_ONCE
    assert found["seen"] == 5_000
    assert found["unlisted"] == 5_000 - live_pages.AT_ONCE
    assert found["rows"][0]["at_ns"] == 4_999, "the newest first"
    assert len(live) == 0, "who leaves is forgotten"
    assert len(live.last(Scope())) == KEPT
    assert WAITING < 5_000


async def test_who_looks_on_hears_of_his_own_project_alone_until_the_server_stops():
    live = Live()

    async def traffic():
        while not len(live):
            await asyncio.sleep(0)
        live.tell(row(1, workspace="other"))
        live.tell(row(2, "upstream"))
        live.tell(row(3))
        await asyncio.sleep(0)
        live.stop()

    told = asyncio.create_task(traffic())
    found = await events(live, {"status": "failed"}, 5)
    await told
    assert [each["at_ns"] for event in found for each in event["rows"]] == [2]
    assert sum(event["seen"] for event in found) == 2


@pytest.mark.parametrize("path", ["/gateway/costs", "/gateway/prices", "/gateway/limits", "/gateway/live"])
async def test_every_page_names_the_others(site, path):
    html = await site.get(path)
    for other in ("costs", "prices", "limits", "live", "models"):
        assert f'/gateway/{other}"' in html
