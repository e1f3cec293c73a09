"""`genwright releases`: create, list, show, promote, rollback, gate, history."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from genwright.errors import Invalid

app = typer.Typer(help="Releases: everything an app runs with, pinned.", no_args_is_help=True)


def code_here() -> dict[str, str]:
    """Commit and uncommitted difference of the working folder's git repository; empty where there is none.

    New files that git does not know yet belong to the difference: each by name and digest.
    """

    def git(*words: str, given: str = "") -> str:
        try:
            done = subprocess.run(["git", *words], input=given, capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout if done.returncode == 0 else ""

    commit = git("rev-parse", "HEAD").strip()
    if not commit:
        return {"commit": "", "diff": ""}
    names = git("ls-files", "--others", "--exclude-standard")
    digests = git("hash-object", "--stdin-paths", given=names) if names else ""
    new = [f"new file {digest} {name}\n" for name, digest in zip(names.splitlines(), digests.splitlines(), strict=False)]
    return {"commit": commit, "diff": git("diff", "HEAD") + "".join(new)}


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The app.")],
    note: str = "",
    dataset: Annotated[list[str] | None, typer.Option(help="Dataset refs it was tested on.")] = None,
    suite: Annotated[list[str] | None, typer.Option(help="Suite refs it was tested with.")] = None,
) -> None:
    """Pin the app as it stands now, with this folder's commit and what is not committed."""
    version = ctx.obj.client.releases.create(app=name, note=note, code=code_here(), datasets=dataset or [], suites=suite or [])
    ctx.obj.show({field: version[field] for field in ("name", "number", "digest")})


@app.command("list")
def list_(ctx: typer.Context, name: Annotated[str, typer.Argument(help="An app; all without.")] = "") -> None:
    """Apps with releases, or the releases of one app."""
    if name:
        found = ctx.obj.client.releases.versions(app=name)
        ctx.obj.show(found, ["number", "labels", "note", "created_by", "digest"], f"Releases of {name}")
    else:
        ctx.obj.show(ctx.obj.client.releases.list(), ["name", "newest", "labels"], "Releases")


@app.command()
def show(ctx: typer.Context, ref: Annotated[str, typer.Argument(help="APP[@label|@number]")]) -> None:
    """One release with everything it pins."""
    name, _, selector = ref.removeprefix("release:").partition("@")
    version = ctx.obj.client.releases.get(app=name, selector=selector)
    if ctx.obj.as_json:
        ctx.obj.show(version)
        return
    content = version["content"]
    ctx.obj.write(f"release:{version['name']}@{version['number']}  {version['digest']}  {', '.join(version['labels'])}")
    rows = [{"ref": ref, "version": pin["number"], "digest": pin["digest"]} for ref, pin in _pins(content)]
    ctx.obj.show(rows, title="Pins")
    code = content["code"]
    ctx.obj.show(
        {"models": content["models"], "commit": code["commit"], "dirty": code["dirty"], "difference": code["diff_digest"],
         "lock": content["lock"], "configuration": content["configuration"]}
    )  # fmt: skip


def _pins(content: dict) -> list[tuple[str, dict]]:
    own = [(f"app:{content['app']['name']}", content["app"])]
    return own + [pair for part in ("pins", "datasets", "suites") for pair in content[part].items()]


@app.command()
def promote(
    ctx: typer.Context,
    name: str,
    number: int,
    label: str = "production",
    run: Annotated[str, typer.Option(help="Evaluation run of this release.")] = "",
    baseline: Annotated[str, typer.Option(help="Evaluation run of what it replaces.")] = "",
    gate: Annotated[str, typer.Option(help="Ref of a gate; gate:APP where it exists.")] = "",
    note: str = "",
) -> None:
    """Move a label to a release, if its gate lets it pass. Exit code 1 when it is refused."""
    evidence = {"run": run, "baseline": baseline, "gate": gate}
    result = ctx.obj.client.releases.promote(app=name, number=number, label=label, note=note, evidence=evidence)
    _tell(ctx, result)
    if not result["promoted"]:
        raise typer.Exit(1)


@app.command()
def rollback(ctx: typer.Context, name: str, label: str = "production", note: str = "") -> None:
    """Put a label back on the release it stood on before."""
    _tell(ctx, ctx.obj.client.releases.rollback(app=name, label=label, note=note))


@app.command()
def gate(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The app.")],
    file: Annotated[
        Path | None, typer.Argument(help="JSON file: not_worse, margin, minimum, safety … Without it, the gate is shown.")
    ] = None,
    note: str = "",
) -> None:
    """Show what a release must pass to become production, or set it."""
    registry = ctx.obj.client.registry
    if file is None:
        ctx.obj.show(registry.get(ref=f"gate:{name}")["content"])
        return
    import msgspec

    from genwright.evals.types import GateSpec

    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        msgspec.convert(content, GateSpec)
    except (OSError, ValueError) as error:  # msgspec's is a ValueError too
        raise Invalid(f"{file} is no gate: {error}. Nothing was saved.") from error
    version = registry.put(kind="gate", name=name, content=content, note=note)
    ctx.obj.show({field: version[field] for field in ("name", "number", "digest")})


@app.command()
def history(ctx: typer.Context, name: str) -> None:
    """Who moved which label, when and why."""
    ctx.obj.show(
        ctx.obj.client.releases.history(app=name), ["label", "from_number", "to_number", "by", "note"], f"Labels of {name}"
    )


def _tell(ctx: typer.Context, result: dict) -> None:
    if ctx.obj.as_json:
        ctx.obj.show(result)
        return
    word = f"now {result['label']}" if result["promoted"] else "refused, nothing was moved"
    ctx.obj.write(f"release:{result['release']['name']}@{result['release']['number']}: {word}")
    for reason in result["reasons"]:
        ctx.obj.write(f"  {reason}")
