"""`genwright apply` and `genwright export`: a folder in git compared with a server, and the other way round."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from genwright.gateway.files import folder as folders
from genwright.gateway.files import plan
from genwright.gateway.files.kinds import KINDS
from genwright.gateway.files.types import Change, Wanted

FOLDER = Annotated[Path, typer.Argument(help="A folder of YAML files.")]
MAX_LINES = 60
"""Lines of one difference that are shown."""


def export(ctx: typer.Context, folder: FOLDER) -> None:
    """Write providers, routes, limits, budgets, policies, prompts … as files, for git. Of secrets only variables are named."""
    have = {kind: row.have(ctx.obj.client) for kind, row in KINDS.items()}
    written = folders.write(folder, have)
    unwritten = [f"{kind} {name}: labels {', '.join(data['others'])}"
                 for kind in ("prompt", "policy", "route") for name, data in have[kind].items() if data["others"]]  # fmt: skip
    if ctx.obj.as_json:
        ctx.obj.show({"folder": str(folder), "written": written, "not_written": unwritten})
        return
    for name in written:
        ctx.obj.write(name)
    for line in unwritten:
        ctx.obj.say(f"not written: {line}")
    keys = sorted({data["key_env"] for data in have["provider"].values() if "key_env" in data})
    if keys:
        ctx.obj.say(f"Keys are not written. To apply to another server, set: {', '.join(keys)}")


def apply(
    ctx: typer.Context,
    folder: FOLDER,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Make the changes; without, the plan is only shown.")] = False,
    prune: Annotated[bool, typer.Option(help="Remove what the server has and the files do not name.")] = False,
) -> None:
    """Make a server as the files say: shows what differs first, and changes nothing without --yes."""
    wanted = folders.read(folder)
    carry_out(ctx, wanted, yes, prune)


def carry_out(ctx: typer.Context, wanted: Wanted, yes: bool, prune: bool = False) -> None:
    """Show the plan, and with `yes` (or an answer at the terminal) make it so."""
    client = ctx.obj.client
    changes = plan.make(client, wanted, prune)
    todo = [change for change in changes if change.action in ("create", "change", "remove")]
    problems = [change for change in todo if change.problem]
    if not ctx.obj.as_json:
        _show(ctx, changes, wanted)
    if not todo or problems or not (yes or _asked(ctx, len(todo))):
        _report(ctx, changes, [], None, "", len(todo))
        if problems:
            ctx.obj.say(f"{len(problems)} of {len(todo)} changes cannot be made as they are. Nothing was changed.")
            raise typer.Exit(1)
        if todo and not yes:
            ctx.obj.say("Nothing was changed. Make it so with --yes.")
        return
    done = plan.apply(client, changes, lambda change: None if ctx.obj.as_json else ctx.obj.say(f"done: {plan.words(change)}"))
    _report(ctx, changes, done.done, done.failed, done.error, len(todo))
    if done.failed is not None:
        ctx.obj.say(
            f"Failed: {plan.words(done.failed)}: {done.error}\n{len(done.done)} changes were made and are kept; "
            f"{len(done.left)} were not tried. Mend it and apply again: what is done already will be the same."
        )
        raise typer.Exit(1)
    ctx.obj.say(f"{len(done.done)} changes made.")


def _asked(ctx: typer.Context, count: int) -> bool:
    if ctx.obj.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return typer.confirm(f"Make {'this change' if count == 1 else f'these {count} changes'}?")


def _show(ctx: typer.Context, changes: list[Change], wanted: Wanted) -> None:
    counts: dict[str, int] = {}
    for change in changes:
        counts[change.action] = counts.get(change.action, 0) + 1
        if change.action in ("create", "change", "remove"):
            ctx.obj.write(plan.words(change))
            lines = plan.difference(change)
            for line in lines[:MAX_LINES]:
                ctx.obj.write(f"    {line}")
            if len(lines) > MAX_LINES:
                ctx.obj.write(f"    … {len(lines) - MAX_LINES} lines more")
        elif change.action == "stays":
            ctx.obj.write(plan.words(change))
    for name in wanted.unread:
        ctx.obj.say(f"not read: {name}")
    said = {"create": "to make", "change": "to change", "remove": "to remove", "same": "the same", "stays": "only on the server"}
    ctx.obj.say(
        ", ".join(f"{counts[action]} {text}" for action, text in said.items() if action in counts) or "Nothing to compare."
    )


def _report(ctx: typer.Context, changes: list[Change], done: list[Change], failed: Change | None, error: str, todo: int) -> None:
    if not ctx.obj.as_json:
        return
    made = {(change.kind, change.name) for change in done}
    rows: list[dict[str, Any]] = []
    for change in changes:
        row: dict[str, Any] = {
            "kind": change.kind,
            "name": change.name,
            "action": change.action,
            "done": (change.kind, change.name) in made,
        }
        if change.action in ("create", "change", "remove"):
            row["difference"] = plan.difference(change)
        rows.append({**row, **({"problem": change.problem} if change.problem else {})})
    failure = None if failed is None else {"kind": failed.kind, "name": failed.name, "message": error}
    ctx.obj.show({"changes": rows, "to_do": todo, "done": len(done), "failed": failure})
