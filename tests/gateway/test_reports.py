"""Costs by any dimension are exactly what the ledger's rows add up to; old calls under other prices; CSV; the price book."""

import csv
import io
import random

import pytest

from genwright.access.types import Actor
from genwright.errors import Forbidden, Invalid, Missing
from genwright.gateway.money import hours, posting
from genwright.gateway.money.types import LedgerRow
from genwright.gateway.reports import asked, store, table
from genwright.gateway.reports.books import PriceBooks
from genwright.gateway.reports.service import Reports
from genwright.gateway.reports.types import CostQuery, Sums
from genwright.registry.service import Registry
from genwright.vocab import Scope

HOUR, DAY = 3_600 * 10**9, 86_400 * 10**9
START = 1_760_000_000 * 10**9 // DAY * DAY
FOREVER = 2**63 - 1


def some(count: int, seed: int = 7) -> list[LedgerRow]:
    """Rows over four days, with everything that can be asked for; every fifth of another project or workspace."""
    pick = random.Random(seed)
    rows = []
    for number in range(count):
        provider, model = pick.choice(
            [("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("mine", "llama_3%"), ("mine", "llamaX3%")]
        )
        scope = pick.choice([("default", "default")] * 8 + [("default", "other"), ("elsewhere", "default")])
        row = LedgerRow(
            *scope, f"att_{number}", START + pick.randrange(4 * DAY), pick.choice(["key_a", "key_b"]), "t" * 32, "s" * 16,
            provider, model, pick.choice(["chat", "embeddings"]), pick.choice(["ok"] * 3 + ["cached", "cancelled", "upstream"]),
            pick.randrange(10_000), pick.randrange(2_000), pick.randrange(500), pick.choice([None, 0, pick.randrange(10**10)]),
            pick.random() < 0.3, 5, pick.randrange(10**10), pick.choice(["inference", "judge"]), pick.choice(["team_x", ""]),
            "mem_1", pick.choice(["docs-qa", ""]), pick.choice(["fast", ""]), pick.choice(["s1", "s2"]),
            pick.choice(["ada", "=1+1"]), "list", pick.randrange(9), pick.randrange(9),
            pick.choice([None, {"team": "red", "env": "a"}, {"team": "blue"}]),
        )  # fmt: skip
        rows.append(row)
    return rows


def expected(rows: list[LedgerRow], by, keep=lambda row: True) -> dict[tuple, Sums]:
    """The same sums by plain addition."""
    found: dict[tuple, Sums] = {}
    for row in rows:
        if (row.workspace, row.project) != ("default", "default") or not keep(row):
            continue
        one = Sums(
            1, row.status not in ("ok", "cached"), row.status == "cached", row.input_tokens, row.output_tokens, row.cached_tokens,
            row.cache_write_tokens, row.reasoning_tokens, row.nano_usd or 0, row.nano_usd is None, row.estimated, row.duration_ns,
        )  # fmt: skip
        key = tuple(by(row)) if callable(by) else tuple(getattr(row, name) for name in by)
        found[key] = found.get(key, Sums()) + one
    return found


async def nothing(*_):
    return {}


@pytest.fixture
async def ledger(databases):
    """`reports, rows`: two thousand rows, booked in groups as calls are."""
    rows, database = some(2_000), databases["ledger"]
    statements = posting.Statements(database.sql)
    for at in range(0, len(rows), 64):
        await database.write_raw(posting.settle, statements, [posting.Item(row) for row in rows[at : at + 64]], 0)
    registry = Registry(databases["registry"])
    return Reports(database, nothing, PriceBooks(registry, False), _Directory(), nothing), rows


class _Directory:
    """What re-pricing asks of the directory: whose prices a provider's are."""

    async def providers(self, scope):
        return []


def lines(report) -> dict[tuple, Sums]:
    return {tuple(line.by.values()): line.sums for line in report.lines}


@pytest.mark.parametrize(
    "by",
    [
        ("model",), ("app", "model"), ("key", "cost_kind"), ("team", "member", "route", "operation"), ("user",),
        ("session", "status"), ("provider", "price_source"),
    ],
)  # fmt: skip
async def test_any_dimensions_add_up_to_the_rows(ledger, actor, by):
    reports, rows = ledger
    since, until = START + DAY // 2 + 12_345, START + 3 * DAY + 77
    for span in ((0, FOREVER), (since, until), (since, since + 5)):
        report = await reports.costs(actor, CostQuery(by, *span))
        assert lines(report) == expected(rows, by, lambda row, span=span: span[0] <= row.at_ns < span[1])
        assert report.total == sum((line.sums for line in report.lines), Sums())


async def test_time_filters_patterns_and_tags(ledger, actor):
    reports, rows = ledger
    report = await reports.costs(actor, CostQuery(("day", "model"), where={"app": "docs-qa", "model": "llama_3*"}))
    keep = lambda row: row.app == "docs-qa" and row.model == "llama_3%"  # noqa: E731
    assert {day for day, _ in lines(report)} == {f"2025-10-{9 + number:02d}" for number in range(4)}
    assert list(lines(report)) == sorted(lines(report)), "time goes first"
    assert report.total == expected(rows, (), keep)[()]
    tagged = await reports.costs(actor, CostQuery(("tag:team",)))
    assert lines(tagged) == expected(rows, lambda row: [(row.tags or {}).get("team", "")])
    red = await reports.costs(actor, CostQuery(("key",), where={"tag:team": "r*"}))
    assert lines(red) == expected(rows, ("key",), lambda row: (row.tags or {}).get("team") == "red")
    hours_ = await reports.costs(actor, CostQuery(("hour",), limit=3))
    assert len(hours_.lines) == 3
    assert hours_.left_out == 93
    assert hours_.total == expected(rows, ())[()]


async def test_the_hourly_sums_are_the_rows_sums_for_every_scope(ledger, databases):
    _, rows = ledger

    def read(connection):
        return connection.exec_driver_sql(
            "SELECT workspace, project, sum(calls), sum(nano_usd) FROM gateway_hours GROUP BY 1, 2"
        ).all()

    found = {(row[0], row[1]): (int(row[2]), int(row[3])) for row in await databases["ledger"].read(read)}
    for place in found:
        own = [row for row in rows if (row.workspace, row.project) == place]
        assert found[place] == (len(own), sum(row.nano_usd or 0 for row in own))
    assert len(found) == 3


@pytest.mark.parametrize(
    "query",
    [
        CostQuery(("colour",)), CostQuery(()), CostQuery(("model", "model")), CostQuery(where={"tags": "x"}), CostQuery(limit=0),
        CostQuery(since_ns=5, until_ns=5), CostQuery(("tag:",)),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_is_refused(ledger, actor, query):
    with pytest.raises(Invalid):
        await ledger[0].costs(actor, query)
    with pytest.raises(Forbidden):
        await ledger[0].costs(Actor(Scope(), "k", "k", "key", "caller"), CostQuery())


async def test_csv_is_exact_and_runs_nothing_in_a_spreadsheet(ledger, actor):
    reports, rows = ledger
    report = await reports.costs(actor, CostQuery(("user", "model")))
    read = list(csv.DictReader(io.StringIO(table.write_csv(report))))
    assert {row["user"] for row in read} == {"ada", "'=1+1"}
    whole = expected(rows, ())[()]
    assert sum(int(row["nano_usd"]) for row in read) == whole.nano_usd
    from decimal import Decimal

    assert sum(Decimal(row["usd"]) for row in read) == Decimal(whole.nano_usd).scaleb(-9)


def test_times_as_people_write_them(clock):
    assert asked.moment("7d", 0) == clock.now_ns - 7 * DAY
    assert (
        asked.moment("2026-11-01", 0) == asked.moment("2026-11-01T00:00:00+00:00", 0) == asked.moment("2026-11-01T02:00+02:00", 0)
    )
    assert asked.moment("1760000000000000000", 0) == 1760000000000000000
    assert asked.query({"by": " app, model ", "app": "x"}, ["team=red"]).where == {"app": "x", "tag:team": "red"}
    for wrong in ("soon", "5", "٧d"):
        with pytest.raises(Invalid):
            asked.moment(wrong, 0)
    with pytest.raises(Invalid):
        asked.query({}, ["team"])


# -- the price book


async def test_versions_of_the_price_book(databases, actor):
    books = PriceBooks(Registry(databases["registry"]), False)
    assert await books.book(actor.scope) is None
    first = await books.set(actor, {"mine/llama-*": {"input": 1, "output": "2.50"}}, note="contract")
    assert (first.number, first.prices) == (1, {"mine/llama-*": {"input": "1", "output": "2.50"}})
    book = await books.book(actor.scope)
    assert book is not None
    assert book.number == 1
    second = await books.set(actor, {"mine/pictures": {"image": "0.04"}})
    assert set(second.prices) == {"mine/llama-*", "mine/pictures"}
    assert (await books.book(actor.scope)).number == 2, "in force at once"
    third = await books.set(actor, {"mine/pictures": None})
    assert third.prices == first.prices
    assert [version.number for version in await books.history(actor)] == [3, 2, 1]
    assert (await books.show(actor, 2)).prices == second.prices
    with pytest.raises(Missing, match="llama"):
        await books.set(actor, {"mine/llama": None})
    with pytest.raises(Invalid, match="mine/x"):
        await books.set(actor, {"mine/x": {"input": "cheap"}})
    with pytest.raises(Forbidden):
        await books.set(Actor(Scope(), "k", "k", "key", "editor"), {"a/b": {"input": "0"}})
    assert (await books.book(Scope("elsewhere"))) is None


async def test_a_price_set_at_one_server_reaches_the_other_within_a_second(databases, actor, monkeypatch):
    one, other = (PriceBooks(Registry(databases["registry"]), True) for _ in range(2))
    await one.set(actor, {"a/b": {"input": "1"}})
    assert (await other.book(actor.scope)).number == 1
    await one.set(actor, {"a/b": {"input": "2"}})
    import genwright.clock

    now = genwright.clock.monotonic()
    monkeypatch.setattr(genwright.clock, "monotonic", lambda: now + 0.9)
    assert (await other.book(actor.scope)).number == 2


async def test_a_model_says_where_its_price_stands(databases, actor):
    books = PriceBooks(Registry(databases["registry"]), False)
    listed = await books.price_of(actor.scope, "openai", "openai", "gpt-4o")
    assert listed.usd["input"] == "2.5"
    assert listed.source.startswith("genai-prices")
    await books.set(actor, {"openai/gpt-4o": {"input": {"0": "2", "200000": "3"}, "request": "1.5"}})
    own = await books.price_of(actor.scope, "openai", "openai", "gpt-4o")
    assert own.usd == {"input": "2", "input above 200000": "3", "request": "1.5"}
    assert own.source == "price book default@1: openai/gpt-4o"
    assert not (await books.price_of(actor.scope, "x", "x", "y")).source
    assert (await books.price_of(actor.scope, "local", "local", "minilm")).note


async def test_old_calls_under_another_version_leave_the_ledger_alone(ledger, actor, databases, monkeypatch):
    monkeypatch.setattr(store, "PART", 7)  # so that they are read in many parts
    reports, rows = ledger
    before = (await reports.costs(actor, CostQuery())).total
    await reports._books.set(actor, {"mine/*": {"input": "1", "output": "0"}})
    since = START + DAY
    found = {line.model: line for line in (await reports.reprice(actor, 1, since)).lines}
    own = [row for row in rows if row.provider == "mine" and row.at_ns >= since and row.status != "cached"]
    for model in ("llama_3%", "llamaX3%"):
        mine = [row for row in own if row.model == model and (row.workspace, row.project) == ("default", "default")]
        line = found[f"mine/{model}"]
        assert line.calls == len(mine)
        assert line.repriced_nano_usd == sum(
            (max(row.input_tokens - row.cached_tokens - row.cache_write_tokens, 0) + row.cached_tokens + row.cache_write_tokens)
            * 1_000
            for row in mine
        )
        assert line.booked_nano_usd == sum(row.nano_usd or 0 for row in mine)
        assert (line.unpriced_before, line.unpriced_after) == (sum(row.nano_usd is None for row in mine), 0)
    assert (await reports.costs(actor, CostQuery())).total == before
    bundled = {line.model: line for line in (await reports.reprice(actor, 0, since)).lines}
    assert bundled["mine/llama_3%"].unpriced_after == bundled["mine/llama_3%"].calls
    assert Sums.__struct_fields__ == hours.SUMS
    with pytest.raises(Missing):
        await reports.reprice(actor, 9, since)


def test_hourly_sums_of_an_older_ledger_are_made_of_its_rows(tmp_path):
    from genwright import migrate
    from genwright.db import Database

    database = Database("ledger", f"sqlite:///{tmp_path / 'x.sqlite'}")
    migrate.migrate(database, "0002")
    rows = some(200)
    names = ", ".join(f'"{name}"' for name in LedgerRow.__struct_fields__)
    with database.engine.connect() as connection:
        for row in rows:
            marks = ", ".join("?" * len(LedgerRow.__struct_fields__))
            connection.exec_driver_sql(f"INSERT INTO gateway_attempts ({names}) VALUES ({marks})", posting.as_row(row))
    migrate.migrate(database)
    with database.engine.connect() as connection:
        query = "SELECT model, sum(calls), sum(failed), sum(nano_usd), sum(unpriced), sum(estimated) FROM gateway_hours "
        found = connection.exec_driver_sql(query + "WHERE workspace = 'default' AND project = 'default' GROUP BY model").all()
    database.close()
    sums = {key[0]: one for key, one in expected(rows, ("model",)).items()}
    assert {row[0]: tuple(row[1:]) for row in found} == {
        model: (one.calls, one.failed, one.nano_usd, one.unpriced, one.estimated) for model, one in sums.items()
    }
