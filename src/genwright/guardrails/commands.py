"""`genwright policies`: list, show, save, and try a policy on a text."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from genwright.errors import Invalid

app = typer.Typer(help="Guardrail policies: a signal, no security boundary.", no_args_is_help=True)


@app.command("list")
def list_(ctx: typer.Context, query: str = "") -> None:
    """The policies of this project."""
    ctx.obj.show(ctx.obj.client.guardrails.list(query=query), ["name", "newest", "labels", "description"], "Policies")


@app.command()
def show(ctx: typer.Context, ref: Annotated[str, typer.Argument(help="NAME[@label|@number]")]) -> None:
    """One version: its limits, and the guards of each rail."""
    name, _, selector = ref.removeprefix("policy:").partition("@")
    version = ctx.obj.client.guardrails.get(name=name, selector=selector)
    if ctx.obj.as_json:
        ctx.obj.show(version)
        return
    ctx.obj.write(f"policy:{version['name']}@{version['number']}  {version['digest']}  {', '.join(version['labels'])}")
    content = version["content"]
    for limit, chars in content.get("limits", {}).items():
        ctx.obj.write(f"{limit}: {chars:,}")
    for rail, rules in content.get("rails", {}).items():
        ctx.obj.write(f"\n[{rail}]")
        for rule in rules:
            parameters = json.dumps(rule["parameters"], ensure_ascii=False) if rule.get("parameters") else ""
            ctx.obj.write(f"{rule['action']:7} {rule['guard']} {parameters}".rstrip())


@app.command()
def put(
    ctx: typer.Context,
    name: str,
    file: Annotated[str, typer.Argument(help="JSON file with limits and rails; - for standard input")],
    note: str = "",
    label: Annotated[str, typer.Option(help="Move this label to the new version.")] = "",
) -> None:
    """Save a new version."""
    text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise Invalid(f"{file} is not JSON: {error}. Nothing was saved.") from error
    version = ctx.obj.client.guardrails.put(name=name, content=content, note=note)
    if label:
        ctx.obj.client.registry.label(kind="policy", name=name, label=label, number=version["number"])
    ctx.obj.show({field: version[field] for field in ("name", "number", "digest")})


@app.command()
def check(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(help="The text; - for standard input")],
    rail: str = "input",
    policy: Annotated[str, typer.Option(help="NAME[@label|@number]; the policy in force without.")] = "",
) -> None:
    """What a policy says about a text, and why."""
    given = sys.stdin.read() if text == "-" else text
    verdict = ctx.obj.client.guardrails.check(text=given, rail=rail, policy=policy)
    if ctx.obj.as_json:
        ctx.obj.show(verdict)
        return
    ctx.obj.write(f"{verdict['action']} ({verdict['ms']:.2f} ms)")
    for finding in verdict["findings"]:
        place = f"{finding['start']}-{finding['end']}"
        ctx.obj.write(f"{finding['action']:6} {finding['guard']}/{finding['kind']} at {place}: {finding['reason']}")
    if verdict["action"] == "change":
        ctx.obj.write(f"\n{verdict['text']}")
