"""`genwright routes` and `genwright aliases`: ways to models, and bare names for them."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from genwright import yamls
from genwright.errors import Invalid

routes = typer.Typer(help="Ways to models: fallback, weights, conditions, cascades, experiments.", no_args_is_help=True)
aliases = typer.Typer(help="Bare model names that stand for app/…, route/… or PROVIDER/MODEL.", no_args_is_help=True)


def _content(file: str) -> dict[str, Any]:
    """A route from a YAML, JSON or TOML file, or standard input."""
    text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    if not file.endswith(".toml"):
        return yamls.read(text, file)
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise Invalid(f"{file} cannot be read: {error}. Nothing was kept.") from error


def _pairs(texts: list[str]) -> dict[str, str]:
    for text in texts:
        if "=" not in text:
            raise Invalid(f"'{text}' is no NAME=VALUE. Nothing was done.")
    return dict(text.split("=", 1) for text in texts)


@routes.command("list")
def list_(ctx: typer.Context, query: str = "") -> None:
    """The routes of this project."""
    ctx.obj.show(ctx.obj.client.gateway.routes(query=query), ["name", "newest", "labels", "description"], "Routes")


@routes.command()
def put(
    ctx: typer.Context,
    name: str,
    file: Annotated[
        str, typer.Argument(help="YAML, JSON or TOML file with a node, or {root, description}; - for standard input")
    ],
    note: str = "",
    label: Annotated[str, typer.Option(help="Move this label to the new version.")] = "",
) -> None:
    """Save a new version; an error names the place in the tree."""
    version = ctx.obj.client.gateway.put_route(name=name, content=_content(file), note=note)
    if label:
        ctx.obj.client.registry.label(kind="route", name=name, label=label, number=version["number"])
    ctx.obj.show({field: version[field] for field in ("name", "number", "digest")})


@routes.command()
def show(ctx: typer.Context, ref: Annotated[str, typer.Argument(help="NAME[@label|@number]")]) -> None:
    """A route as a tree, with the health of its models."""
    name, _, selector = ref.removeprefix("route/").partition("@")
    version = ctx.obj.client.gateway.route(name=name, selector=selector)
    drawn = ctx.obj.client.gateway.drawn_route(name=name, selector=selector)["items"]
    if ctx.obj.as_json:
        ctx.obj.show({**version, "nodes": drawn})
        return
    ctx.obj.write(f"route/{version['name']}@{version['number']}  {version['digest']}  {', '.join(version['labels'])}")
    depth = {"": -1}
    for node in drawn:
        depth[node["at"]] = depth[node["parent"]] + 1
        health = node["health"]
        words = [
            f"[{node['edge']}]" if node["edge"] else "",
            node["title"],
            node["model"] or node["ref"] or node["kind"],
            node["says"],
        ]
        words += [f"({health['state']}, p50 {health['p50_s']:.2f} s, {health['calls']} calls)" if health else ""]
        ctx.obj.write("  " * depth[node["at"]] + "  ".join(filter(None, words)))


@routes.command()
def versions(ctx: typer.Context, name: str) -> None:
    """All versions of a route, newest first."""
    ctx.obj.show(ctx.obj.client.gateway.route_versions(name=name), ["number", "labels", "note", "created_by", "digest"], name)


@routes.command()
def label(ctx: typer.Context, name: str, label: str, number: int) -> None:
    """Move a label to a version: the next call takes it (production), or route/NAME@LABEL does."""
    ctx.obj.show(ctx.obj.client.registry.label(kind="route", name=name, label=label, number=number))


@routes.command("test")
def try_route(ctx: typer.Context, ref: str, text: Annotated[str, typer.Argument(help="What to say.")] = "Say hello.") -> None:
    """One real call through a route: who answered, how quickly, at what cost."""
    result = ctx.obj.client.gateway.test_route(name=ref.removeprefix("route/"), text=text)
    ctx.obj.show(result)


@routes.command()
def explain(
    ctx: typer.Context,
    ref: Annotated[str, typer.Argument(help="NAME[@label|@number], or a file ending in .yaml, .json or .toml.")],
    text: Annotated[str, typer.Option(help="What the user says.")] = "",
    tokens: Annotated[int, typer.Option(help="As if the conversation were this long.")] = 0,
    modality: Annotated[list[str] | None, typer.Option(help="image, audio, video or file; may be repeated.")] = None,
    session: str = "",
    user: str = "",
    tag: Annotated[list[str] | None, typer.Option(help="NAME=VALUE; may be repeated.")] = None,
) -> None:
    """Which way a call would go and why, without asking anybody."""
    sample = {
        "text": text,
        "tokens": tokens,
        "modality": modality or [],
        "session": session,
        "user": user,
        "tags": _pairs(tag or []),
    }
    is_file = ref.endswith((".yaml", ".yml", ".json", ".toml"))
    where: dict[str, Any] = {"content": _content(ref)} if is_file else {"name": ref.removeprefix("route/")}
    found = ctx.obj.client.gateway.explain_route(**where, call=sample)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    ctx.obj.write("  ".join(f"{name}={value}" for name, value in found["facts"].items() if value not in (None, "", 0)))
    for number, step in enumerate(found["steps"], 1):
        more = [f"mirrored to {', '.join(step['mirrored_to'])}"] if step["mirrored_to"] else []
        more += [f"hedged to {step['hedged_to']}"] if step["hedged_to"] else []
        more += ["judged before it is given"] if step["hold_back"] else []
        ctx.obj.write(f"{number}. {step['model']}  ({step['step']}){'  ' + ', '.join(more) if more else ''}")
        for line in step["why"]:
            ctx.obj.write(f"     {line}")
    for one in found["skipped"]:
        ctx.obj.write(f"-  {one['model']} skipped: {one['why']}")
    if found["error"]:
        ctx.obj.write(found["error"])


@routes.command()
def health(ctx: typer.Context) -> None:
    """How each model asked of late does."""
    columns = [
        "provider",
        "model",
        "state",
        "breaker",
        "retry_in_s",
        "in_flight",
        "calls",
        "failed",
        "share",
        "p50_s",
        "p95_s",
        "reason",
    ]
    ctx.obj.show(ctx.obj.client.gateway.health(), columns, "Health")


@aliases.command("list")
def aliases_list(ctx: typer.Context) -> None:
    """Bare names and what they stand for."""
    ctx.obj.show(ctx.obj.client.gateway.aliases(), ["name", "target"], "Aliases")


@aliases.command("put")
def aliases_put(ctx: typer.Context, name: str, target: str) -> None:
    """Make or change an alias: `genwright aliases put gpt-4o route/support`."""
    made = ctx.obj.client.gateway.put_alias(name=name, target=target)
    ctx.obj.show({field: made[field] for field in ("name", "target")})


@aliases.command("remove")
def aliases_remove(ctx: typer.Context, name: str) -> None:
    """Forget an alias."""
    ctx.obj.show(ctx.obj.client.gateway.remove_alias(name=name))
