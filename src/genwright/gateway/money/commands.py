"""`genwright limits` and `genwright budgets`: what keys, people, teams, projects may use, and how much of it is used."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from genwright import clock

limits = typer.Typer(help="Limits on requests, tokens and calls at once, on any node of the key tree.", no_args_is_help=True)
budgets = typer.Typer(help="Budgets in dollars on any node of the key tree.", no_args_is_help=True)

NODE = Annotated[str, typer.Argument(help="workspace, project, team:NAME, member:NAME, service:NAME or key:NAME (or an id).")]
WINDOW = Annotated[str, typer.Option("--per", help="second, minute, hour, day, week, month or total.")]
MODELS = Annotated[str, typer.Option(help="Only these models: openai/gpt-*, route/support …")]
SOFT = Annotated[bool, typer.Option("--soft", help="Only tell, refuse nothing.")]
WARN = Annotated[str, typer.Option(help="Percentages at which an event is written, with commas.")]
ZONE = Annotated[str, typer.Option(help="Time zone of days, weeks and months, e.g. Europe/Berlin.")]


@limits.command("set")
def set_limit(
    ctx: typer.Context,
    node: NODE,
    metric: Annotated[str, typer.Argument(help="requests, tokens or concurrent.")],
    amount: Annotated[int, typer.Argument(min=0)],
    window: WINDOW = "minute",
    models: MODELS = "",
    soft: SOFT = False,
    warn: WARN = "",
    timezone: ZONE = "UTC",
) -> None:
    """Set a limit, or another amount: `genwright limits set team:search requests 600 --per minute`."""
    fields: dict[str, Any] = {"node": node, "metric": metric, "window": window, "amount": amount, "models": models}
    _set(ctx, {**fields, "hard": not soft, "timezone": timezone}, warn)


@budgets.command("set")
def set_budget(
    ctx: typer.Context,
    node: NODE,
    usd: Annotated[str, typer.Argument(help="Dollars, e.g. 250 or 12.50.")],
    window: WINDOW = "month",
    models: MODELS = "",
    soft: SOFT = False,
    warn: WARN = "80,100",
    timezone: ZONE = "UTC",
) -> None:
    """Set a budget, or another amount: `genwright budgets set team:search 250 --per month --timezone Europe/Berlin`."""
    fields: dict[str, Any] = {"node": node, "metric": "usd", "window": window, "usd": usd, "models": models}
    _set(ctx, {**fields, "hard": not soft, "timezone": timezone}, warn)


@limits.command("list")
def list_limits(ctx: typer.Context) -> None:
    """Limits that are no budgets."""
    _list(ctx, [item for item in ctx.obj.client.gateway.limits()["items"] if item["metric"] != "usd"], "Limits")


@budgets.command("list")
def list_budgets(ctx: typer.Context) -> None:
    """Budgets."""
    _list(ctx, ctx.obj.client.gateway.limits(metric="usd")["items"], "Budgets")


@limits.command("remove")
def remove_limit(ctx: typer.Context, id: str) -> None:
    """End a limit."""
    ctx.obj.show(ctx.obj.client.gateway.remove_limit(id=id))


@budgets.command("remove")
def remove_budget(ctx: typer.Context, id: str) -> None:
    """End a budget."""
    ctx.obj.show(ctx.obj.client.gateway.remove_limit(id=id))


@limits.command("show")
def show_limits(ctx: typer.Context) -> None:
    """What is used of each limit in its window now."""
    items = [item for item in ctx.obj.client.gateway.limits_used()["items"] if item["limit"]["metric"] != "usd"]
    _show(ctx, items, "Limits")


@budgets.command("show")
def show_budgets(ctx: typer.Context) -> None:
    """What is spent of each budget, what is reserved, and when it will be used up at this pace."""
    _show(ctx, ctx.obj.client.gateway.limits_used(metric="usd")["items"], "Budgets")


@limits.command("events")
def events(ctx: typer.Context, limit: Annotated[int, typer.Option(min=1, max=500)] = 50) -> None:
    """Percentages passed, limits reached, requests far beyond the usual, calls lost with their server."""
    found = ctx.obj.client.gateway.limit_events(limit=limit)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    rows = [{**item, "at": clock.iso(item["at_ns"])} for item in found["items"]]
    ctx.obj.show(rows, ["at", "kind", "node", "percent", "message"], "Events")


@limits.command("ledger")
def ledger(ctx: typer.Context) -> None:
    """Whether what is used reaches the ledger: rows waiting, rows lost, calls that passed unmetered."""
    found = ctx.obj.client.gateway.ledger()
    ctx.obj.show(found)
    if not found["ok"]:
        raise typer.Exit(1)


def _set(ctx: typer.Context, fields: dict[str, Any], warn: str) -> None:
    percents = [int(part) for part in warn.split(",") if part.strip().isdigit()]
    done = ctx.obj.client.gateway.set_limit(**fields, **({"warn_at": percents} if warn else {}))
    if ctx.obj.as_json:
        ctx.obj.show(done)
    else:
        ctx.obj.show(_row(done))


def _list(ctx: typer.Context, items: list[dict[str, Any]], title: str) -> None:
    if ctx.obj.as_json:
        ctx.obj.show({"items": items, "next": None})
        return
    ctx.obj.show(
        [_row(item) for item in items], ["id", "node", "amount", "window", "models", "hard", "warn_at", "timezone"], title
    )


def _show(ctx: typer.Context, items: list[dict[str, Any]], title: str) -> None:
    if ctx.obj.as_json:
        ctx.obj.show({"items": items, "next": None})
        return
    rows = []
    for item in items:
        limit = item["limit"]
        words = {name: _amount(limit["metric"], item[name]) for name in ("used", "held", "left")}
        pace = f"{_amount(limit['metric'], round(item['per_day']))} a day" if item["per_day"] else ""
        ends = "" if not item["ends_ns"] else clock.iso(item["ends_ns"])
        empty = clock.iso(item["empty_ns"]) if item["empty_ns"] else ""
        rows.append({**_row(limit), **words, "pace": pace, "ends": ends, "used up": empty})
    ctx.obj.show(rows, ["id", "node", "amount", "window", "used", "held", "left", "pace", "ends", "used up"], title)


def _row(limit: dict[str, Any]) -> dict[str, Any]:
    return {**limit, "amount": _amount(limit["metric"], limit["amount"]), "warn_at": ",".join(map(str, limit["warn_at"]))}


def _amount(metric: str, value: int) -> str:
    if metric == "usd":
        return f"${value / 1e9:,.6f}".rstrip("0").rstrip(".")
    return f"{value:,}" + (" at once" if metric == "concurrent" else f" {metric}")
