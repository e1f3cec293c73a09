"""`genwright models`: what can be called, what is known of it, what is allowed, and whether it is still what it was."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from genwright.errors import Invalid

models = typer.Typer(help="Models: their cards, rules on them, canary runs.", no_args_is_help=True)
rules = typer.Typer(help="What models of this project must be like.", no_args_is_help=True)
models.add_typer(rules, name="rules")


@models.command("list")
def list_(ctx: typer.Context, query: Annotated[str, typer.Argument(help="Words of the name.")] = "") -> None:
    """Cards of all models that can be called by name."""
    found = ctx.obj.client.gateway.catalogue(query=query)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    rows = [
        {**row, "model": f"{row['provider']}/{row['model']}", "reads": " ".join(row["input"]), "usd_in": _shown(row["usd_in"]),
         "usd_out": _shown(row["usd_out"]), "context": row["context"] or "", "ends": row["retires"]}
        for row in found["items"]
    ]  # fmt: skip
    columns = ["model", "operation", "reads", "context", "usd_in", "usd_out", "licence", "region", "ends"]
    ctx.obj.show(rows, columns, "Models (US dollars for a million tokens)")


@models.command()
def show(ctx: typer.Context, model: Annotated[str, typer.Argument(help="PROVIDER/MODEL")]) -> None:
    """One model's card, with where each field is from."""
    ctx.obj.show(ctx.obj.client.gateway.model_card(model=model))


@models.command("set")
def set_(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="PROVIDER/MODEL")],
    fields: Annotated[
        list[str], typer.Argument(help='FIELD=VALUE: region=eu-central-1 context=128000 input=\'["text","image"]\'')
    ],
) -> None:
    """Set fields of a model's card for this project; FIELD= takes the own value away."""
    ctx.obj.show(ctx.obj.client.gateway.set_model(model=model, fields=dict(_field(text) for text in fields)))


@models.command()
def canary(
    ctx: typer.Context,
    model: Annotated[list[str], typer.Argument(help="PROVIDER/MODEL, one or more")],
    wait: Annotated[bool, typer.Option(help="Until it is done; exit code 1 if a model changed.")] = True,
) -> None:
    """Ask the fixed prompts at temperature 0 and compare with the last run: is it still the same model?"""
    job = ctx.obj.client.gateway.run_canaries(models=model)
    if not wait:
        ctx.obj.show(job)
        return
    with ctx.obj.progress("Asking") as update:
        while job["state"] in ("queued", "running"):
            job = ctx.obj.client.jobs.get(job_id=job["id"], wait_s=0.5)
            update(job["done"], job["total"] or None, job["message"])
    runs = [run for name in model for run in ctx.obj.client.gateway.canary_runs(model=name, limit=1)["items"]]
    if ctx.obj.as_json:
        ctx.obj.show({"items": runs})
    else:
        _show_runs(ctx, runs)
    if job["state"] != "done" or any(run["verdict"] in ("changed", "failed") for run in runs):
        raise typer.Exit(1)


@models.command()
def canaries(ctx: typer.Context, model: Annotated[str, typer.Argument(help="PROVIDER/MODEL; all without it")] = "") -> None:
    """Canary runs so far, the newest first."""
    found = ctx.obj.client.gateway.canary_runs(model=model)
    if ctx.obj.as_json:
        ctx.obj.show(found)
    else:
        _show_runs(ctx, found["items"])


@rules.command("list")
def list_rules(ctx: typer.Context) -> None:
    """The rules."""
    ctx.obj.show(ctx.obj.client.gateway.model_rules(), ["name", "models", "condition"], "Rules on models")


@rules.command()
def put(
    ctx: typer.Context,
    name: str,
    condition: Annotated[str, typer.Argument(help='On a card\'s fields, e.g. \'{"area": "eu", "retention_days": {"lte": 30}}\'')],
    models: Annotated[str, typer.Option(help="Names it is for, PROVIDER/MODEL with *.")] = "*",
) -> None:
    """Only models whose card meets the condition may be called."""
    try:
        read = msgspec.json.decode(condition)
    except msgspec.DecodeError as error:
        raise Invalid(f"The condition is no JSON: {error}. Nothing was stored.") from error
    ctx.obj.show(ctx.obj.client.gateway.put_model_rule(name=name, condition=read, models=models))


@rules.command()
def remove(ctx: typer.Context, name: str) -> None:
    """Take a rule away."""
    ctx.obj.show(ctx.obj.client.gateway.remove_model_rule(name=name))


def _field(text: str) -> tuple[str, Any]:
    """JSON where it is some (numbers, lists, true), else text; nothing is null."""
    name, equals, value = text.partition("=")
    if not equals:
        raise Invalid(f"'{text}' is no FIELD=VALUE. Nothing was stored.")
    if not value:
        return name, None
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _shown(usd: float | None) -> str:
    return "" if usd is None else f"{usd:g}"


def _show_runs(ctx: typer.Context, runs: list[dict[str, Any]]) -> None:
    rows = [
        {"model": f"{run['provider']}/{run['model']}", "at": run["at_ns"], "verdict": run["verdict"], "why": run["why"],
         "alike": "" if run["similarity"] is None else f"{run['similarity']:.2f}",
         "fingerprint": " ".join(run["fingerprint"].values())}
        for run in runs
    ]  # fmt: skip
    ctx.obj.show(rows, ["model", "verdict", "alike", "fingerprint", "why"], "Canary runs")
