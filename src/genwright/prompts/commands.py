"""`genwright prompts`: list, show, save, compare, label, render."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from genwright.errors import Invalid

app = typer.Typer(help="Versioned prompts.", no_args_is_help=True)


@app.command("list")
def list_(ctx: typer.Context, query: str = "") -> None:
    """The prompts of this project."""
    ctx.obj.show(ctx.obj.client.prompts.list(query=query), ["name", "newest", "labels", "description"], "Prompts")


@app.command()
def show(ctx: typer.Context, ref: Annotated[str, typer.Argument(help="NAME[@label|@number]")]) -> None:
    """One version, readable."""
    name, _, selector = ref.removeprefix("prompt:").partition("@")
    version = ctx.obj.client.prompts.get(name=name, selector=selector)
    if ctx.obj.as_json:
        ctx.obj.show(version)
        return
    ctx.obj.write(f"prompt:{version['name']}@{version['number']}  {version['digest']}  {', '.join(version['labels'])}")
    for message in version["content"]["messages"]:
        ctx.obj.write(f"\n[{message['role']}]\n{message['content']}")
    for field in ("variables", "parameters"):
        if version["content"].get(field):
            ctx.obj.write(f"\n{field}: {json.dumps(version['content'][field], ensure_ascii=False)}")


@app.command()
def put(
    ctx: typer.Context,
    name: str,
    file: Annotated[str, typer.Argument(help="JSON file with messages, variables, parameters; - for standard input")],
    note: str = "",
    label: Annotated[str, typer.Option(help="Move this label to the new version.")] = "",
) -> None:
    """Save a new version."""
    text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise Invalid(f"{file} is not JSON: {error}. Nothing was saved.") from error
    version = ctx.obj.client.prompts.put(name=name, content=content, note=note)
    if label:
        ctx.obj.client.registry.label(kind="prompt", name=name, label=label, number=version["number"])
    ctx.obj.show({field: version[field] for field in ("name", "number", "digest")})


@app.command()
def versions(ctx: typer.Context, name: str) -> None:
    """All versions of a prompt, newest first."""
    ctx.obj.show(ctx.obj.client.prompts.versions(name=name), ["number", "labels", "note", "created_by", "digest"], name)


@app.command()
def diff(ctx: typer.Context, name: str, before: str, after: str) -> None:
    """What changed between two versions, by word: [-gone-] {+new+}."""
    found = ctx.obj.client.prompts.diff(name=name, before=before, after=after)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    marks = {"equal": "{}", "delete": "[-{}-]", "insert": "{{+{}+}}"}
    for field in found["items"]:
        ctx.obj.write(f"{field['field']}:")
        ctx.obj.write("".join(marks[change["op"]].format(change["text"]) for change in field["changes"]) + "\n")


@app.command()
def label(ctx: typer.Context, name: str, label: str, number: int) -> None:
    """Move a label to a version: the next call uses it."""
    ctx.obj.show(ctx.obj.client.registry.label(kind="prompt", name=name, label=label, number=number))


@app.command()
def render(
    ctx: typer.Context, ref: str, variables: Annotated[str, typer.Option(help="JSON object of variables.")] = "{}"
) -> None:
    """A version with variables put in, as the model would get it."""
    name, _, selector = ref.removeprefix("prompt:").partition("@")
    rendered = ctx.obj.client.prompts.render(name=name, selector=selector, variables=json.loads(variables))
    if ctx.obj.as_json:
        ctx.obj.show(rendered)
        return
    for message in rendered["messages"]:
        ctx.obj.write(f"[{message['role']}]\n" + "".join(part.get("content", "") for part in message["parts"]) + "\n")
