"""`genwright artifacts`: everything that has versions, of every kind: list, show, history, label."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from genwright import clock
from genwright.vocab import Ref

app = typer.Typer(
    help="Versions and labels of prompts, apps, indexes, datasets, releases and all other kinds.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="kind:name, e.g. prompt:docs-qa")]


@app.command("list")
def list_(
    ctx: typer.Context,
    kind: Annotated[str, typer.Option(help="Only this kind.")] = "",
    query: Annotated[str, typer.Option(help="Text in name or description.")] = "",
    tag: Annotated[str, typer.Option(help="Only with this tag.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
    cursor: Annotated[str | None, typer.Option(help="Where the last list ended.")] = None,
) -> None:
    """Artifacts of this project."""
    found = ctx.obj.client.registry.list(kind=kind, query=query, tag=tag, limit=limit, cursor=cursor)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    rows = [{**row, "labels": _labels(row["labels"]), "updated": clock.iso(row["updated_ns"])[:16]} for row in found["items"]]
    ctx.obj.show(rows, ["kind", "name", "newest", "labels", "tags", "updated", "description"], "Artifacts")
    if found["next"]:
        ctx.obj.say(f"There are more: --cursor {found['next']}")


def _labels(labels: dict[str, int]) -> str:
    return ", ".join(f"{label}@{number}" for label, number in labels.items())


@app.command()
def show(
    ctx: typer.Context, ref: Annotated[str, typer.Argument(help="kind:name, with @label, @number or @sha256:… if you like")]
) -> None:
    """One version with its content and what it depends on."""
    version = ctx.obj.client.registry.get(ref=ref)
    edges = ctx.obj.client.registry.edges(digest=version["digest"])["items"]
    if ctx.obj.as_json:
        ctx.obj.show({**version, "edges": edges})
        return
    ctx.obj.show(
        {
            "version": f"{version['kind']}:{version['name']}@{version['number']}",
            "digest": version["digest"],
            "labels": version["labels"],
            "tags": version["tags"],
            "created": f"{clock.iso(version['created_ns'])} by {version['created_by']}",
            "note": version["note"],
            **{f"{edge['relation']} {number}": edge["target_ref"] or edge["target"] for number, edge in enumerate(edges, 1)},
        }
    )
    ctx.obj.write("\n" + json.dumps(version["content"], indent=2, ensure_ascii=False))


@app.command()
def history(ctx: typer.Context, name: Name) -> None:
    """Versions of an artifact and every move of its labels, newest first."""
    ref = Ref.parse(name)
    versions = ctx.obj.client.registry.versions(kind=ref.kind, name=ref.name)["items"]
    moves = ctx.obj.client.registry.history(kind=ref.kind, name=ref.name)["items"]
    if ctx.obj.as_json:
        ctx.obj.show({"versions": versions, "moves": moves})
        return
    ctx.obj.show(
        [_dated(row, "created_ns") for row in versions], ["number", "at", "created_by", "labels", "note", "digest"], name
    )
    if moves:
        columns = ["label", "from_number", "to_number", "at", "by", "note"]
        ctx.obj.show([_dated(row, "at_ns") for row in moves], columns, "Label moves")


def _dated(row: dict[str, Any], field: str) -> dict[str, Any]:
    return {**row, "at": clock.iso(row[field])[:19]}


@app.command()
def label(
    ctx: typer.Context,
    name: Name,
    label: Annotated[str, typer.Argument(help="The label, e.g. production")],
    number: Annotated[int, typer.Argument(help="The version it shall stand on", min=1)],
    expected: Annotated[int | None, typer.Option(help="Move it only if it stands on this version (0: on none).", min=0)] = None,
    note: Annotated[str, typer.Option(help="Why; kept in the history.")] = "",
) -> None:
    """Move a label to a version: what follows the label uses it at once."""
    ref = Ref.parse(name)
    move = ctx.obj.client.registry.label(kind=ref.kind, name=ref.name, label=label, number=number, expected=expected, note=note)
    ctx.obj.show({"label": f"{name}@{label}", "from": move["from_number"], "to": move["to_number"], "by": move["by"]})
