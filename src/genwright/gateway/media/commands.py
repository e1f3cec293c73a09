"""`genwright batch`: many requests from a file, answered by a job that goes on after restarts."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from genwright import clock
from genwright.errors import Invalid

batch = typer.Typer(help="Batches: many requests from a file, answered by one durable job.", no_args_is_help=True)

FINISHED = ("completed", "failed", "cancelled", "expired")
COLUMNS = ["id", "status", "endpoint", "answered", "failed", "total", "created"]


@batch.command()
def run(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="JSONL in OpenAI's batch form, or a question a line with --model; - reads stdin.")],
    model: Annotated[str, typer.Option(help="Every line that is no JSON is a question to this model.")] = "",
    endpoint: Annotated[str, typer.Option(help="What each line asks.")] = "/v1/chat/completions",
    output: Annotated[str, typer.Option("--output", "-o", help="Where answers go; else standard output.")] = "",
    wait: Annotated[bool, typer.Option(help="Wait for the end and fetch the answers.")] = True,
) -> None:
    """Begin a batch; Ctrl-C only ends the waiting."""
    text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    made = ctx.obj.client.gateway.create_batch(
        lines=as_lines(text, model), endpoint=endpoint, name=Path(file).name or "batch.jsonl"
    )
    if made["status"] == "failed":
        _refuse(made)
    if not wait:
        ctx.obj.show({"id": made["id"], "status": made["status"], "total": made["total"]})
        return
    ctx.obj.say(
        f"{made['id']}: {made['total']} lines. It goes on if you leave; `genwright batch results {made['id']}` fetches them."
    )
    ended = _wait(ctx, made["id"])
    if ended["status"] == "failed":
        _refuse(ended)
    _write(ctx, ended, output)


@batch.command("list")
def list_(ctx: typer.Context, limit: Annotated[int, typer.Option(min=1, max=500)] = 20) -> None:
    """Batches, newest first."""
    found = ctx.obj.client.gateway.batches(limit=limit)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    ctx.obj.show([{**row, "created": clock.iso(row["created_ns"])[:16]} for row in found["items"]], COLUMNS, "Batches")


@batch.command()
def show(ctx: typer.Context, batch_id: str) -> None:
    """One batch: how far it is, what was wrong with its file."""
    row = ctx.obj.client.gateway.batch(batch_id=batch_id)
    ctx.obj.show(row if ctx.obj.as_json else {name: row[name] for name in (*COLUMNS[:-1], "output_file", "error_file", "errors")})


@batch.command()
def cancel(ctx: typer.Context, batch_id: str) -> None:
    """Ask no further line; what was answered is kept."""
    row = ctx.obj.client.gateway.cancel_batch(batch_id=batch_id)
    ctx.obj.show({"id": row["id"], "status": row["status"]})


@batch.command()
def results(
    ctx: typer.Context,
    batch_id: str,
    output: Annotated[str, typer.Option("--output", "-o", help="A file; else stdout.")] = "",
) -> None:
    """The answers so far as JSONL: also while it is still at work."""
    _write(ctx, ctx.obj.client.gateway.batch(batch_id=batch_id), output)


def as_lines(text: str, model: str) -> str:
    """Batch lines; with a model, plain lines become questions. Raises Invalid for a plain line without a model."""
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        if line.lstrip().startswith("{"):
            lines.append(line)
            continue
        if not model:
            raise Invalid(
                f"Line {number} is no JSON. Nothing was sent. Give --model PROVIDER/MODEL to ask each line as a question."
            )
        body = {"model": model, "messages": [{"role": "user", "content": line.strip()}]}
        lines.append(json.dumps({"custom_id": f"line-{number}", "body": body}))
    return "\n".join(lines)


def _wait(ctx: typer.Context, batch_id: str) -> dict[str, Any]:
    pause = 0.1
    with ctx.obj.progress("Answering") as bar:
        while True:
            row = ctx.obj.client.gateway.batch(batch_id=batch_id)
            bar(row["answered"] + row["failed"], row["total"])
            if row["status"] in FINISHED:
                return row
            time.sleep(pause)
            pause = min(2.0, pause * 1.3)


def _write(ctx: typer.Context, row: dict[str, Any], output: str) -> None:
    count, target = 0, open(output, "w", encoding="utf-8") if output else sys.stdout  # noqa: SIM115
    try:
        after = 0
        while True:
            page = ctx.obj.client.gateway.batch_items(batch_id=row["id"], after=after, limit=500)
            for item in page["items"]:
                target.write(json.dumps({"custom_id": item["custom_id"], "status": item["status"], "body": item["body"]}) + "\n")
            count += len(page["items"])
            if not page["next"]:
                break
            after = int(page["next"])
    finally:
        if output:
            target.close()
    where = f" in {output}" if output else ""
    ctx.obj.say(
        f"{count} of {row['total']} lines answered{where}, {row['failed']} of them with an error; the batch is {row['status']}."
    )


def _refuse(row: dict[str, Any]) -> None:
    first = "; ".join(f"line {error['line']}: {error['message']}" for error in row["errors"][:3])
    raise Invalid(
        f"The file cannot be used. {first} ({len(row['errors'])} wrong in all). Nothing was sent. Mend it and run again."
    )
