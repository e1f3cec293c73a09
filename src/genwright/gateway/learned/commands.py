"""`genwright router`: fit a router to answers, look at what it is worth, choose a point, see what it saved."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from genwright import clock
from genwright.errors import Error, Invalid

router = typer.Typer(help="Learned routes: the cheapest model that is good enough for each prompt.", no_args_is_help=True)
DAY_NS = 86_400 * 1_000_000_000
Keep = Annotated[float | None, typer.Option(help="Share of the strongest model's quality to keep, e.g. 0.95.")]
Gap = Annotated[float | None, typer.Option(help="Share of the way from the cheapest to the strongest model's quality, e.g. 0.8.")]
Usd = Annotated[float | None, typer.Option(help="At most so many dollars a call.")]
Pairs = Annotated[list[str] | None, typer.Option(help="PROVIDER/MODEL=DOLLARS a call; only ratios matter. May be repeated.")]
Names = Annotated[list[str] | None, typer.Option(help="NAME-IN-ROWS=PROVIDER/MODEL or =route/NAME. May be repeated.")]


@router.command("fit")
def fit(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the route that is written: it is called as route/NAME.")],
    rows: Annotated[str, typer.Argument(help="JSONL file, - for standard input, or dataset:NAME@….")],
    cost: Pairs = None,
    model: Names = None,
    keep: Keep = None,
    gap: Gap = None,
    usd: Usd = None,
) -> None:
    """Fit to rows of {"prompt": …, "answers": {"PROVIDER/MODEL": {"score": 0…1, "cost_usd": …, "latency_s": …}, …}}."""
    data, source = _rows(ctx, rows)
    fields: dict[str, Any] = {"cost": cost or None, "model": model or None, "keep": keep, "gap": gap, "usd": usd}
    job = ctx.obj.client.gateway.fit_router(name=name, source=source, data=data, **fields)
    _wait(ctx, job, name)


@router.command("fit-traces")
def fit_traces(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the route that is written.")],
    score: Annotated[str, typer.Option(help="Score that says how good an answer was, 0 … 1.")],
    app: Annotated[str, typer.Option(help="Only traces of this app.")] = "",
    days: Annotated[float, typer.Option(help="Only traces of the last so many days; 0: all.")] = 0,
    cost: Pairs = None,
    model: Names = None,
    keep: Keep = None,
) -> None:
    """Fit to traces that have a score."""
    costs = {one: _number(value) for one, value in _split(cost or []).items()}
    since = clock.now_ns() - int(days * DAY_NS) if days else 0
    point = {} if keep is None else {"keep": keep}
    job = ctx.obj.client.gateway.fit_router_from_traces(
        name=name, score=score, app=app, since_ns=since, costs=costs, models=_split(model or []), point=point
    )
    _wait(ctx, job, name)


@router.command("list")
def list_(ctx: typer.Context) -> None:
    """Learned routes."""
    found = ctx.obj.client.gateway.routers()
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    rows = [{**item, **_figures(item["chosen"])} for item in found["items"]]
    ctx.obj.show(rows, ["name", "number", "models", "kept", "saving", "unsure"], "Learned routes")


@router.command("show")
def show(ctx: typer.Context, ref: Annotated[str, typer.Argument(help="NAME[@label|@number]")]) -> None:
    """A router's card: what it was fitted to, how well it chooses, when it lies."""
    found = _get(ctx, ref)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    card = found["card"]
    ctx.obj.show(
        {
            "route": f"route/{found['name']}@{found['number']}", "rows": card["rows"], "data": card["data"],
            "method": card["method"], "fitted in": f"{card['seconds']:.0f} s",
            "APGR": f"{_interval(card['apgr'])}; random 0.5, ridge on the embedding {card['apgr_ridge']:.3f}",
            "calibration error": f"{card['calibration_error']:.3f}", "unsure goes to": found["unsure"],
            **_figures(found["chosen"]),
        }
    )  # fmt: skip
    ctx.obj.show(card["models"], ["model", "quality", "usd", "source", "latency_s", "answers"], "Models")
    rows = [{"of the gap": f"{row['gap']:.0%}", "strong calls": _percent(row["strong_share"])} for row in card["table"]]
    ctx.obj.show(rows, ["of the gap", "strong calls"], "Quality kept against strong calls")
    for note in card["notes"]:
        ctx.obj.say(f"* {note}")


@router.command("frontier")
def frontier(ctx: typer.Context, ref: Annotated[str, typer.Argument(help="NAME[@label|@number]")], every: int = 5) -> None:
    """Points from the cheapest to the best: what is kept, what is saved."""
    card = _get(ctx, ref)["card"]
    if ctx.obj.as_json:
        ctx.obj.show(card["frontier"])
        return
    names = [cost["model"] for cost in card["models"]]
    points = card["frontier"][:: max(1, every)] + card["frontier"][-1:]
    rows = [
        {
            "kept": f"{point['kept']:.1%}", "of the gap": f"{point['gap']:.0%}", "saving": f"{point['saving']:.1%}",
            "usd": f"{point['usd']:.6f}",
            **{name: f"{share:.0%}" for name, share in zip(names, point["shares"], strict=True)},
        }
        for point in points
    ]  # fmt: skip
    ctx.obj.show(rows, ["kept", "of the gap", "saving", "usd", *names], "Frontier")


@router.command("use")
def use(
    ctx: typer.Context,
    ref: Annotated[str, typer.Argument(help="NAME[@label|@number]")],
    keep: Keep = None,
    gap: Gap = None,
    usd: Usd = None,
    per_second: Annotated[float, typer.Option(help="Score that a second is worth.")] = 0.0,
    unsure: Annotated[str, typer.Option(help="Model asked where the router cannot judge.")] = "",
    label: Annotated[str, typer.Option(help="Move this label to the new version.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would be worth.")] = False,
) -> None:
    """Choose a point: a new version of the route over the same weights."""
    name, selector = _ref(ref)
    asked = {"name": name, "selector": selector, "keep": keep, "gap": gap, "usd": usd, "per_second": per_second}
    if dry_run:
        ctx.obj.show(_figures(ctx.obj.client.gateway.router_point(**asked)))
        return
    version = ctx.obj.client.gateway.use_router(**asked, unsure=unsure)
    if label:
        ctx.obj.client.registry.label(kind="route", name=version["name"], label=label, number=version["number"])
    if ctx.obj.as_json:
        ctx.obj.show(version)
        return
    found = ctx.obj.client.gateway.router(name=name, selector=str(version["number"]))
    ctx.obj.show({"route": f"route/{version['name']}@{version['number']}", **_figures(found["chosen"])})


@router.command("saving")
def saving(ctx: typer.Context, name: str, days: Annotated[float, typer.Option(help="Of the last days; 0: all.")] = 0) -> None:
    """What the route cost, beside its strongest model alone (an estimate)."""
    found = ctx.obj.client.gateway.router_saving(name=name, since_ns=clock.now_ns() - int(days * DAY_NS) if days else 0)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    ctx.obj.show({word: found[word] for word in ("route", "calls", "usd", "strong", "strong_usd", "saving", "basis", "unpriced")})
    ctx.obj.show(found["models"], ["model", "calls", "usd"], "Models")


@router.command("drift")
def drift(ctx: typer.Context, name: str) -> None:
    """Whether live prompts are still like those fitted. Exit status 1 on drift."""
    found = ctx.obj.client.gateway.router_drift(name=name)
    ctx.obj.show(found)
    if found["drifted"]:
        raise typer.Exit(1)


# -- within


def _rows(ctx: typer.Context, rows: str) -> tuple[bytes, str]:
    """(JSONL, where it is from)."""
    if rows == "-":
        return sys.stdin.buffer.read(), ""
    if rows.startswith("dataset:"):
        return _of_dataset(ctx, rows)
    path = Path(rows)
    if not path.is_file():
        raise Invalid(f"There is no file {rows}. Nothing was fitted.")
    return path.read_bytes(), path.name


def _of_dataset(ctx: typer.Context, ref: str) -> tuple[bytes, str]:
    """(JSONL, the version's ref by digest): its rows that have `answers`, and a `prompt`, `question` or `input`."""
    lines, cursor = [], None
    while True:
        page = ctx.obj.client.datasets.items(ref=ref, cursor=cursor, limit=500)
        for item in page["items"]:
            prompt = next((item[name] for name in ("prompt", "question", "input") if isinstance(item.get(name), str)), "")
            if prompt and isinstance(item.get("answers"), dict):
                lines.append(json.dumps({"prompt": prompt, "answers": item["answers"]}).encode())
        cursor = page["next"]
        if cursor is None:
            return b"\n".join(lines), page["ref"]


def _wait(ctx: typer.Context, job: dict[str, Any], name: str) -> None:
    with ctx.obj.progress("Fitting") as update:
        while job["state"] in ("queued", "running"):
            job = ctx.obj.client.jobs.get(job_id=job["id"], wait_s=0.5)
            update(job["done"], job["total"] or None, job["message"])
    if job["state"] != "done":
        raise Error(job["error"] or f"The fit is {job['state']}.", code="fit_failed")
    if ctx.obj.as_json:
        ctx.obj.show(job["result"])
        return
    show(ctx, f"{name}@{job['result']['number']}")


def _get(ctx: typer.Context, ref: str) -> Any:
    name, selector = _ref(ref)
    return ctx.obj.client.gateway.router(name=name, selector=selector)


def _ref(ref: str) -> tuple[str, str]:
    name, _, selector = ref.removeprefix("route/").partition("@")
    return name, selector


def _split(texts: list[str]) -> dict[str, str]:
    for text in texts:
        if "=" not in text:
            raise Invalid(f"'{text}' is no NAME=VALUE. Nothing was done.")
    return dict(text.split("=", 1) for text in texts)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise Invalid(f"'{text}' is no number of dollars. Nothing was done.") from error


def _figures(chosen: dict[str, Any]) -> dict[str, str]:
    """The point in use, in words."""
    if "point" not in chosen:
        return {}
    asked = ", ".join(f"{word} {value:g}" for word, value in chosen["asked"].items())
    return {"asked": asked, **{word: _percent(chosen[word]) for word in ("kept", "gap", "saving")}}


def _percent(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.1%} [{estimate['low']:.1%} … {estimate['high']:.1%}]"


def _interval(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.3f} [{estimate['low']:.3f} … {estimate['high']:.3f}]"
