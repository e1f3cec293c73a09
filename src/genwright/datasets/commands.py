"""`genwright datasets`: list, show, put, add-trace."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from genwright.errors import Invalid

app = typer.Typer(help="Versioned datasets.", no_args_is_help=True)


@app.command("list")
def list_(ctx: typer.Context, query: str = "") -> None:
    """The datasets of this project."""
    ctx.obj.show(ctx.obj.client.datasets.list(query=query), ["name", "newest", "labels", "description"], "Datasets")


@app.command()
def show(
    ctx: typer.Context,
    ref: Annotated[str, typer.Argument(help="NAME[@label|@number]")],
    split: Annotated[str | None, typer.Option(help="Only rows of this split.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 10,
) -> None:
    """A version: its fields and its first rows."""
    version = ctx.obj.client.datasets.get(ref=ref)
    page = ctx.obj.client.datasets.items(ref=f"dataset:{version['name']}@{version['digest']}", split=split, limit=limit)
    if ctx.obj.as_json:
        ctx.obj.show({"version": version, **page})
        return
    content = version["content"]
    ctx.obj.write(f"dataset:{version['name']}@{version['number']}  {version['digest']}  {', '.join(version['labels'])}")
    ctx.obj.write(f"{content['rows']} rows; fields: " + ", ".join(f"{name} ({kind})" for name, kind in content["fields"].items()))
    if content["splits"]:
        ctx.obj.write("splits: " + ", ".join(f"{name} {count}" for name, count in content["splits"].items()))
    for row in page["items"]:
        ctx.obj.write(json.dumps(row, ensure_ascii=False))
    if page["next"]:
        ctx.obj.say(f"{page['total'] - len(page['items'])} more rows: --limit shows more, --json pages.")


@app.command()
def put(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="JSONL file, one object a line; - for standard input")],
    name: Annotated[str, typer.Option(help="Name of the dataset; else the file's name.")] = "",
    note: str = "",
    label: Annotated[str, typer.Option(help="Move this label to the new version.")] = "",
) -> None:
    """Save a new version from a file."""
    if not name and file == "-":
        raise Invalid("Standard input has no name: say --name.")
    items = read_lines(file)
    name = name or Path(file).name.removesuffix(".jsonl")
    version = ctx.obj.client.datasets.put(name=name, items=items, note=note)
    if label:
        ctx.obj.client.registry.label(kind="dataset", name=name, label=label, number=version["number"])
    ctx.obj.show({**{field: version[field] for field in ("name", "number", "digest")}, "rows": version["content"]["rows"]})


@app.command("add-trace")
def add_trace(
    ctx: typer.Context,
    trace: Annotated[str, typer.Argument(help="Trace id")],
    name: Annotated[str, typer.Argument(help="Dataset that gets the row; made when it is not there.")],
    answer: Annotated[str, typer.Option(help="What should have been answered.")] = "",
    topic: Annotated[list[str] | None, typer.Option(help="Document that answers it; may be repeated.")] = None,
    split: str = "report",
) -> None:
    """Keep a trace's question as a test case."""
    version = ctx.obj.client.datasets.add_trace(trace=trace, name=name, answer=answer, topics=topic or [], split=split)
    ctx.obj.show({**{field: version[field] for field in ("name", "number", "digest")}, "rows": version["content"]["rows"]})


def read_lines(file: str) -> list[Any]:
    """The objects of a JSONL file. Raises Invalid naming the line."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{file} cannot be read: {error}. Nothing was saved.") from error
    items = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                items.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise Invalid(f"Line {number} of {file} is not JSON: {error}. Nothing was saved.") from error
    return items
