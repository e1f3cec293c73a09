"""`genwright ask`, `genwright replay`, `genwright apps`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from genwright.errors import Invalid

app = typer.Typer(help="Apps: chains as data.", no_args_is_help=True)


def ask(
    ctx: typer.Context,
    question: str,
    app: Annotated[str, typer.Option(help="NAME[@label|@number|@draft]")] = "docs-qa",
    session: Annotated[str, typer.Option(help="Joins this call to a conversation.")] = "",
) -> None:
    """Ask an app; the answer streams, with its sources and its trace."""
    extra: dict = {}
    parts = []
    for event in ctx.obj.client.ask(question, app=app, metadata={"session": session} if session else {}):
        extra = event.get("genwright") or extra
        for choice in event.get("choices", []):
            text = (choice.get("delta") or {}).get("content") or ""
            parts.append(text)
            if not ctx.obj.as_json:
                ctx.obj.write(text, end="")
    if ctx.obj.as_json:
        ctx.obj.show({"answer": "".join(parts), **extra})
        return
    ctx.obj.write("")
    for passage in extra.get("passages", []):
        where = ", ".join(filter(None, (passage["name"], passage["heading"])))
        ctx.obj.say(f"  [{passage['n']}] {where} ({passage['start']}–{passage['end']})")
    if extra.get("trace"):
        ctx.obj.say(f"  trace {extra['trace']}   (genwright why {extra['trace']})")


def replay(
    ctx: typer.Context,
    trace: str,
    live: Annotated[bool, typer.Option("--live", help="Call everything again instead of feeding what was recorded.")] = False,
    n: Annotated[int, typer.Option("-n", help="How many times.")] = 1,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change one thing: prompt=NAME@2, k=3, mode=text …")] = None,
) -> None:
    """Run a recorded answer again: byte for byte, with a change, or live."""
    changes = {}
    for pair in set_ or []:
        name, equals, value = pair.partition("=")
        if not equals:
            raise Invalid(f"--set takes NAME=VALUE, not '{pair}'. Example: --set prompt=docs-qa@2")
        changes[name] = value
    mode = "live" if live else "recorded"
    report = ctx.obj.client.agents.replay(trace_id=trace, mode=mode, n=n, set=changes)
    if ctx.obj.as_json:
        ctx.obj.show(report)
        return
    runs = report["runs"]
    if report["mode"] == "recorded":
        ctx.obj.write(runs[0]["text"])
        ctx.obj.say(f"{'byte-equal to the recording' if runs[0]['equal'] else 'NOT equal to the recording'}; nothing was called")
    else:
        ctx.obj.say(f"recorded: {report['recorded']}")
        for number, run in enumerate(runs, 1):
            ctx.obj.say(
                f"run {number} ({run['duration_ms']:.0f} ms, {'equal' if run['equal'] else 'differs'}; trace {run['trace_id']})"
            )
            ctx.obj.write(run["error"] or run["text"])
        ctx.obj.say(f"{report['distinct']} different text(s) in {len(runs)} run(s)")
        for name, spread in report["spread"].items():
            interval = (
                f", 95 % interval of the mean {spread['low']:.3g}–{spread['high']:.3g}" if spread["low"] is not None else ""
            )
            ctx.obj.say(f"{name}: mean {spread['mean']:.3g}, from {spread['smallest']:.3g} to {spread['largest']:.3g}{interval}")
    for note in report["notes"]:
        ctx.obj.say(f"note: {note}")


@app.command("list")
def list_(ctx: typer.Context, query: str = "") -> None:
    """The apps of this project, and the release of each that its callers get."""
    apps = ctx.obj.client.agents.list(query=query)
    if not ctx.obj.as_json:
        released = {
            row["name"]: row["labels"].get("production") for row in ctx.obj.client.releases.list(query=query, limit=500)["items"]
        }
        for row in apps["items"]:
            row["production"] = f"release {released[row['name']]}" if released.get(row["name"]) else "–"
    ctx.obj.show(apps, ["name", "newest", "production"], "Apps")


@app.command()
def show(ctx: typer.Context, name: str) -> None:
    """An app as it stands now, with what its refs resolve to."""
    draft = ctx.obj.client.agents.draft(name=name)
    if ctx.obj.as_json:
        ctx.obj.show(draft)
        return
    rows = [
        {"step": step["id"], "type": step["type"], "with": {k: v for k, v in step.items() if k not in ("id", "type")}}
        for step in draft["app"]["steps"]
    ]
    ctx.obj.show(rows, title=f"app:{draft['name']}@{draft['number']}")
    pins = [{"ref": ref, "version": version["number"], "digest": version["digest"]} for ref, version in draft["pins"].items()]
    ctx.obj.show(pins, title="Resolves to")


@app.command()
def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="How it will be called: app/NAME.")],
    index: Annotated[
        str, typer.Option(help="index:NAME, with @label or @number if you like; may be left out if there is one.")
    ] = "",
    model: Annotated[str, typer.Option(help="PROVIDER/MODEL (genwright providers models lists them).")] = "",
    prompt: Annotated[str, typer.Option(help="A prompt that is there; without it one is made under the app's name.")] = "",
    description: str = "",
    mode: Annotated[str, typer.Option(help="vector, text or hybrid.")] = "hybrid",
    k: Annotated[int, typer.Option("-k", help="How many passages it answers from.")] = 5,
) -> None:
    """Make an app over your documents: prompt, policy, app and first release in one step."""
    options = {"index": index, "model": model, "prompt": prompt, "description": description, "mode": mode, "k": k}
    made = ctx.obj.client.releases.start(name=name, **options)
    if ctx.obj.as_json:
        ctx.obj.show(made)
        return
    ctx.obj.show({part: made[part] for part in ("index", "prompt", "policy", "model")})
    ctx.obj.write(f"release:{name}@{made['number']} {'is production' if made['promoted'] else 'is made, not promoted'}")
    if made["model"].startswith("local/"):
        ctx.obj.say(f"{made['model']} quotes the documents; for a model that writes: genwright providers add, then --model.")
    ctx.obj.say(f'Ask it: genwright ask "…" --app {name}{"" if made["promoted"] else "@draft"}')


@app.command()
def put(
    ctx: typer.Context,
    name: str,
    file: Annotated[Path, typer.Argument(help="JSON file with steps and policy; docs/tour.md has one")],
    note: str = "",
) -> None:
    """Save a new version of an app."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Invalid(f"{file} is not JSON: {error}. Nothing was saved.") from error
    version = ctx.obj.client.agents.put(name=name, content=content, note=note)
    ctx.obj.show({field: version[field] for field in ("name", "number", "digest")})
