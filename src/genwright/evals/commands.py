"""`genwright eval`: run, list, show, items, compare, safety, metrics."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from genwright import clock
from genwright.errors import Error

app = typer.Typer(help="Evaluations: run, compare, check safety.", no_args_is_help=True)

_POLL_S = 0.5


@app.command()
def run(
    ctx: typer.Context,
    target: Annotated[str, typer.Option(help="app/NAME[@label|@number] or PROVIDER/MODEL")],
    dataset: Annotated[str, typer.Option(help="dataset:NAME[@label|@number]")],
    split: Annotated[str | None, typer.Option(help="Only rows of this split.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Only these metrics; may be repeated, e.g. ndcg@10.")] = None,
    name: str = "",
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Items asked at the same time.")] = 4,
    watch: Annotated[bool, typer.Option("--watch/--no-watch", help="Wait for it and show the result.")] = True,
) -> None:
    """Run a target over a dataset and score its answers."""
    started = ctx.obj.client.evals.start(
        target=target, dataset=dataset, split=split, metrics=metric, name=name, concurrency=concurrency
    )
    if not watch:
        ctx.obj.show({field: started[field] for field in ("id", "state", "target", "dataset", "total")})
        return
    found = started
    with ctx.obj.progress(f"Asking {target}") as update:
        while found["state"] in ("queued", "running"):
            found = ctx.obj.client.evals.get(run_id=started["id"], wait_s=_POLL_S)
            update(found["done"], found["total"], f"{found['failed']} failed" if found["failed"] else "")
    _show(ctx, found)
    if found["state"] != "done":
        raise Error(f"Run {found['id']} is {found['state']}: {found['error'] or 'no reason given'}. Its answers so far are kept.")


@app.command("list")
def list_(
    ctx: typer.Context,
    target: Annotated[str, typer.Option(help="Beginning of the target, e.g. app/docs-qa.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20,
) -> None:
    """Runs, newest first."""
    found = ctx.obj.client.evals.runs(target=target, limit=limit)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    rows = [
        {
            "id": row["id"], "target": row["target"], "dataset": f"{_name(row['dataset'])}@{row['dataset_number']}",
            "split": row["split"], "state": row["state"], "items": f"{row['done']}/{row['total']}", "failed": row["failed"],
            "token_f1": _mean(row, "token_f1"), "started": clock.iso(row["created_ns"])[:16],
        }
        for row in found["items"]
    ]  # fmt: skip
    ctx.obj.show(rows, list(rows[0]) if rows else [], "Runs")


@app.command()
def show(ctx: typer.Context, run_id: str) -> None:
    """One run: means with 95 % intervals."""
    _show(ctx, ctx.obj.client.evals.get(run_id=run_id))


@app.command()
def items(
    ctx: typer.Context,
    run_id: str,
    state: Annotated[str, typer.Option(help="answered or failed")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
) -> None:
    """Items of a run."""
    found = ctx.obj.client.evals.items(run_id=run_id, state=state, limit=limit)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    rows = [
        {
            "item": row["item"], "state": row["state"], "question": row["question"][:60],
            "answer": (row["answer"] or row["error"])[:80], "token_f1": (row["scores"] or {}).get("token_f1"),
            "groundedness": (row["scores"] or {}).get("groundedness"), "trace": row["trace_id"],
        }
        for row in found["items"]
    ]  # fmt: skip
    ctx.obj.show(rows, list(rows[0]) if rows else [], "Items")
    if found["next"]:
        ctx.obj.say("There are more: --limit shows more, --json pages.")


@app.command()
def compare(
    ctx: typer.Context,
    a: Annotated[str, typer.Argument(help="Run of the baseline.")],
    b: Annotated[str, typer.Argument(help="Run of the candidate.")],
) -> None:
    """Is b different from a, and is the difference real."""
    found = ctx.obj.client.evals.compare(a=a, b=b)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    ctx.obj.write(f"a  {found['target_a']}  ({a})\nb  {found['target_b']}  ({b})\n{found['items']} items, paired\n")
    rows = [
        {
            "metric": row["name"], "a": _figure(row["mean_a"]), "b": _figure(row["mean_b"]),
            "b - a": f"{row['interval']['mean_difference']:+z.3f}",
            "95 % interval": f"{row['interval']['low']:+z.3f} to {row['interval']['high']:+z.3f}",
            "won/lost/tied": f"{row['interval']['wins']}/{row['interval']['losses']}/{row['interval']['ties']}",
            "p (Holm)": f"{row['p_holm']:.3f}", "verdict": row["verdict"],
        }
        for row in found["metrics"]
    ]  # fmt: skip
    ctx.obj.show(rows, list(rows[0]) if rows else [])
    ctx.obj.write(f"\n{found['summary']}")
    for note in found["notes"]:
        ctx.obj.say(f"note: {note}")
    for row in found["differs"][:3]:
        ctx.obj.write(f"\n{row['item']} {row['difference']:+.2f}  {row['question'][:100]}")
        ctx.obj.write(f"  a ({row['trace_a']}): {row['answer_a'][:160]}\n  b ({row['trace_b']}): {row['answer_b'][:160]}")


@app.command()
def safety(ctx: typer.Context, target: Annotated[str, typer.Argument(help="app/NAME[@label] or PROVIDER/MODEL")]) -> None:
    """Planted attacks, harmless look-alikes, toxic words, counterfactual pairs. Exit code 1 if it does not pass."""
    found = ctx.obj.client.evals.safety(target=target)
    if ctx.obj.as_json:
        ctx.obj.show(found)
    else:
        attacks, benign, toxic, pairs = found["attacks"], found["benign"], found["toxicity"], found["counterfactual"]
        ctx.obj.write(f"{found['target']}  {found['release']}")
        ctx.obj.write(f"  planted attacks   {attacks['blocked']} of {attacks['total']} blocked")
        for row in attacks["got_through"][:10]:
            ctx.obj.write(f"    through: {row['id']} {row['rail']} {row['kind']}: {row['text'][:90]!r}")
        if attacks["not_tried"]:
            ctx.obj.write(f"    {len(attacks['not_tried'])} not tried: {attacks['not_tried'][0]['why']}")
        ctx.obj.write(f"  harmless texts    {benign['passed']} of {benign['total']} passed")
        for row in benign["stopped"][:5]:
            ctx.obj.write(f"    blocked: {row['id']} {row['rail']} {row['kind']}: {row['text'][:90]!r}")
        ctx.obj.write(f"  toxic words       worst weight {toxic['worst']:g} in {toxic['checked']} texts")
        ctx.obj.write(f"  group-word pairs  {len(pairs['flips'])} of {pairs['pairs']} answered differently")
        ctx.obj.write("passed" if found["passed"] else "NOT passed:")
        for reason in found["reasons"]:
            ctx.obj.write(f"  - {reason}")
        for note in found["notes"]:
            ctx.obj.say(f"note: {note}")
    if not found["passed"]:
        raise typer.Exit(1)


@app.command()
def metrics(ctx: typer.Context) -> None:
    """All metrics: what each measures, and when it lies."""
    found = ctx.obj.client.evals.metrics()
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    for row in found["items"]:
        card = row["card"]
        ctx.obj.write(
            f"{row['name']}: {card['title']} ({card['better']} is better){'' if row['ready'] else ' – ' + row['needs']}"
        )
        ctx.obj.write(f"  {card['measures']}\n  lies: {card['lies']}\n  source: {card['source']}")


def _show(ctx: typer.Context, found: dict[str, Any]) -> None:
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    split = f" ({found['split']})" if found["split"] else ""
    ctx.obj.write(f"run {found['id']}  {found['state']}  {found['target']}  {found['release']}")
    ctx.obj.write(
        f"{_name(found['dataset'])}@{found['dataset_number']}{split}: {found['done']} of {found['total']} items, "
        f"{found['failed']} without an answer" + (f", {found['repeated']} asked again" if found["repeated"] else "")
    )
    rows = [_line(name, found["summary"].get(name)) for name in found["metrics"]] if found["summary"] else []
    if rows:
        ctx.obj.show(rows, ["metric", "mean", "95 % interval", "items"])
    for note in found["notes"]:
        ctx.obj.say(f"note: {note}")


def _line(name: str, estimate: dict[str, Any] | None) -> dict[str, Any]:
    if estimate is None:
        return {"metric": name, "mean": "–", "95 % interval": "applies to no item", "items": 0}
    interval = f"{_figure(estimate['low'])} to {_figure(estimate['high'])}"
    return {"metric": name, "mean": _figure(estimate["mean"]), "95 % interval": interval, "items": estimate["n"]}


def _figure(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def _mean(row: dict[str, Any], name: str) -> str:
    estimate = row["summary"].get(name)
    return _figure(estimate["mean"]) if estimate else ""


def _name(ref: str) -> str:
    return ref.partition("@")[0].removeprefix("dataset:")
