"""`genwright costs` and `genwright prices`: what calls cost by any dimension, under other prices, and the own price book."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from genwright import clock
from genwright.errors import Invalid

costs = typer.Typer(help="What calls cost, by any dimension, from the ledger.", invoke_without_command=True)
prices = typer.Typer(help="Your own prices: they go before the bundled list, version by version.", no_args_is_help=True)

FILTERS = (
    "provider", "model", "operation", "cost_kind", "key", "team", "member", "app", "route", "user", "session", "status",
    "price_source",
)  # fmt: skip


@costs.callback()
def sums(
    ctx: typer.Context,
    by: Annotated[
        str,
        typer.Option(
            help="One to four, with commas: model, provider, app, key, team, member, user, session, route, cost_kind, "
            "operation, status, hour, day, month, tag:NAME."
        ),
    ] = "model",
    since: Annotated[str, typer.Option(help="24h, 7d, 2026-11-01; empty: from the beginning.")] = "30d",
    until: Annotated[str, typer.Option(help="The same; empty: until now.")] = "",
    where: Annotated[list[str], typer.Option("--where", "-w", help="DIMENSION=VALUE, * for any letters; again for more.")] = [],  # noqa: B006
    tag: Annotated[list[str], typer.Option(help="NAME=VALUE of a tag; again for more.")] = [],  # noqa: B006
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, exact to the nano-dollar.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 1_000,
) -> None:
    """Calls, tokens and cost: `genwright costs --by app,model --since 7d --csv`."""
    if ctx.invoked_subcommand:
        return
    fields: dict[str, Any] = {"by": by, "since": since, "until": until, "tag": tag, "limit": limit, **_filters(where)}
    if as_csv:
        ctx.obj.write(ctx.obj.client.gateway.costs_csv(**fields), end="")
        return
    found = ctx.obj.client.gateway.costs(**fields)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    names = [part for name in found["by"] for part in (name, f"{name}_name") if any(part in row for row in found["items"])]
    columns = [*names, "calls", "failed", "input_tokens", "output_tokens", "usd", "unpriced"]
    ctx.obj.show([{**row, "usd": _short(row["usd"])} for row in found["items"]], columns, "Costs")
    total = found["total"]
    ctx.obj.say(f"Total: {total['calls']:,} calls, ${total['nano_usd'] / 1e9:,.6f}"
                + (f", {total['unpriced']:,} calls without a price" if total["unpriced"] else "")
                + (f"; {found['left_out']:,} lines more: --limit" if found["left_out"] else ""))  # fmt: skip


@costs.command("reprice")
def reprice(
    ctx: typer.Context,
    book: Annotated[int, typer.Option(min=0, help="Version of the price book; 0: the bundled list alone.")],
    since: Annotated[str, typer.Option(help="24h, 7d, 2026-11-01 …")] = "30d",
    until: Annotated[str, typer.Option()] = "",
) -> None:
    """What old calls would have cost under a version of the price book. The ledger stays as it is."""
    found = ctx.obj.client.gateway.reprice(book=book, since=since, until=until)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    rows = []
    for line in found["lines"]:
        booked, under = line["booked_nano_usd"], line["repriced_nano_usd"]
        known = line["unpriced_after"] < line["calls"]
        shown = {
            "booked_usd": f"{booked / 1e9:.6f}",
            f"usd_under_{book}": f"{under / 1e9:.6f}" if known else "unknown",
            "difference": f"{(under - booked) / 1e9:+.6f}" if known else "",
        }
        missing = f"{line['unpriced_before']} → {line['unpriced_after']}"
        rows.append({"model": line["model"], "calls": line["calls"], **shown, "no price": missing})
    ctx.obj.show(rows, [], f"Under price book {book}" if book else "Under the bundled list")


def _filters(where: list[str]) -> dict[str, str]:
    found = {}
    for each in where:
        name, equals, value = each.partition("=")
        if not equals or name not in FILTERS:
            raise Invalid(f"'{each}' is no filter: write DIMENSION=VALUE with one of {', '.join(FILTERS)}.")
        found[name] = value
    return found


def _short(usd: str) -> str:
    return usd[:-3] if usd.endswith("000") else usd


# -- the price book


@prices.command("show")
def show(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="PROVIDER/MODEL: what it costs now, and where that stands.")] = "",
    version: Annotated[int, typer.Option(min=0, help="Another version than the one in force.")] = 0,
) -> None:
    """The price book in force, another version, or the price of one model."""
    if model:
        found = ctx.obj.client.gateway.price_of(model=model)
        facts = {"model": found["model"], "price from": found["source"] or "unknown", **found["usd"], "note": found["note"]}
        ctx.obj.show(found if ctx.obj.as_json else {name: value for name, value in facts.items() if value != ""})
        return
    found = ctx.obj.client.gateway.prices(version=version)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    rows = [
        {"model": name, **row} for name, rows in found["prices"].items() for row in (rows if isinstance(rows, list) else [rows])
    ]
    columns = list(dict.fromkeys(field for row in rows for field in row))
    ctx.obj.show(rows, columns, f"Price book, version {found['number']}" if found["number"] else "Price book")


@prices.command("set")
def set_(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="PROVIDER/MODEL, * for any letters.")] = "",
    price: Annotated[
        list[str], typer.Argument(help="input=1.25 output=10 cached=0.125 (per million tokens), image=0.04, from=2026-01-01 …")
    ] = [],  # noqa: B006
    file: Annotated[Path | None, typer.Option(help="Prices in YAML or JSON; - reads standard input.")] = None,
    replace: Annotated[bool, typer.Option(help="Keep nothing of the version before.")] = False,
    remove: Annotated[bool, typer.Option(help="Take the model's own price away.")] = False,
    note: Annotated[str, typer.Option(help="Why; kept in the history.")] = "",
) -> None:
    """A new version of the price book; in force at once, for calls that begin after it."""
    from genwright.gateway.reports.books import read_file

    changes: dict[str, Any] = {}
    if file is not None:
        changes = read_file(sys.stdin.read() if str(file) == "-" else file.read_text())
    if model:
        changes[model] = None if remove else dict(_price(part) for part in price)
    if not changes and not replace:
        raise Invalid("Nothing to set. Give PROVIDER/MODEL input=… output=…, or --file prices.yaml.")
    made = ctx.obj.client.gateway.set_prices(prices=changes, replace=replace, note=note)
    ctx.obj.show({"version": made["number"], "models": len(made["prices"])} if not ctx.obj.as_json else made)


def _price(part: str) -> tuple[str, str]:
    field, equals, amount = part.partition("=")
    if not equals:
        raise Invalid(f"'{part}' is no price: write input=1.25, output=10 … Nothing was stored.")
    return field.strip(), amount.strip()


@prices.command("history")
def history(ctx: typer.Context) -> None:
    """Versions of the price book, newest first."""
    found = ctx.obj.client.gateway.price_history()
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    rows = [{**row, "at": clock.iso(row["created_ns"])[:19]} for row in found["items"]]
    ctx.obj.show(rows, ["number", "at", "created_by", "note", "digest"], "Price book")
