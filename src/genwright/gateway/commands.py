"""`genwright providers`: add, list, test and remove what models are reached through; what was used."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from genwright.errors import Invalid

app = typer.Typer(help="Model providers and what they were used for.", no_args_is_help=True)


@app.command("add")
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="First part of the model names, e.g. openai.")],
    kind: Annotated[str, typer.Option(help="A known service (`providers kinds`) or openai-compatible; else the name.")] = "",
    url: Annotated[str, typer.Option(help="Its address, where it is not the usual one, e.g. http://host:8000/v1.")] = "",
    key: Annotated[str, typer.Option(help="Its API key; - reads it from standard input.")] = "",
    key_env: Annotated[str, typer.Option(help="Read the key from this variable of your shell.")] = "",
    key_file: Annotated[Path | None, typer.Option(help="Read the credential from this file (a service account's JSON).")] = None,
    region: Annotated[str, typer.Option(help="Region of a cloud (bedrock, vertex), e.g. eu-central-1.")] = "",
) -> None:
    """Store a provider, or change one. Another address without a new key voids the stored key."""
    if key_env and key_env not in os.environ:
        raise Invalid(f"The variable {key_env} is not set. Nothing was stored.")
    secret = os.environ[key_env] if key_env else sys.stdin.readline().strip() if key == "-" else key
    if key_file is not None:
        secret = key_file.read_text(encoding="utf-8")
    added = ctx.obj.client.gateway.add_provider(name=name, kind=kind, base_url=url, api_key=secret, region=region)
    ctx.obj.show({field: added[field] for field in ("name", "kind", "base_url", "has_key")})
    if added["note"]:
        ctx.obj.say(added["note"])


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """Stored providers, those of the server's environment, and local."""
    ctx.obj.show(ctx.obj.client.gateway.list_providers(), ["name", "kind", "base_url", "source", "has_key"], "Providers")


@app.command("kinds")
def kinds(ctx: typer.Context) -> None:
    """Services known by name."""
    ctx.obj.show(ctx.obj.client.gateway.kinds(), ["kind", "base_url", "key_env", "url_env"], "Services")


@app.command("test")
def try_provider(
    ctx: typer.Context,
    name: str,
    quick: Annotated[bool, typer.Option("--quick", help="Only its list of models: no model is called.")] = False,
    model: Annotated[str, typer.Option(help="Chat model to call; else the first it is known for.")] = "",
    embeddings: Annotated[str, typer.Option(help="Embeddings model to call.")] = "",
) -> None:
    """What works: models, a tiny chat, stream, tools, JSON output, embeddings; exit code 1 if something tried fails."""
    result = ctx.obj.client.gateway.test_provider(name=name, quick=quick, model=model, embeddings=embeddings)
    if ctx.obj.as_json:
        ctx.obj.show(result)
    else:
        rows = [{**row, "ms": f"{row['ms']:.0f}", "said": row["said"] or row["error"]} for row in result["checks"]]
        ctx.obj.show(rows, ["name", "outcome", "ms", "model", "said"], f"Test of {name}")
    if not result["ok"]:
        raise typer.Exit(1)


@app.command("remove")
def remove(ctx: typer.Context, name: str) -> None:
    """Forget a stored provider and its key."""
    ctx.obj.show(ctx.obj.client.gateway.remove_provider(name=name))


@app.command("models")
def models(ctx: typer.Context) -> None:
    """Everything that can be called by name."""
    ctx.obj.show(ctx.obj.client.gateway.models(), ["id", "operation"], "Models")


@app.command("usage")
def usage(ctx: typer.Context) -> None:
    """Calls, tokens and cost by provider and model."""
    found = ctx.obj.client.gateway.usage()
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    rows = [{**row, "usd": f"{row['nano_usd'] / 1e9:.6f}"} for row in found["items"]]
    ctx.obj.show(rows, ["provider", "model", "calls", "failed", "input_tokens", "output_tokens", "usd", "unpriced"], "Usage")
