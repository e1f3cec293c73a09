"""`genwright apply` and `genwright export`: a folder in git compared with a server, and the other way round."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from genwright.gateway.files import folder as folders
from genwright.gateway.files import plan
from genwright.gateway.files.kinds import KINDS
from genwright.gateway.files.types import Change, Done, Wanted

FOLDER = Annotated[Path, typer.Argument(help="A folder of YAML files.")]
STATES = ("taken", "partly", "not taken", "not needed")
WITHOUT = Annotated[bool, typer.Option("--without-keys", help="Store providers whose variable is not set, without a key.")]
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
    without_keys: WITHOUT = False,
) -> None:
    """Make a server as the files say: shows what differs first, and changes nothing without --yes."""
    wanted = folders.read(folder)
    changes = plan.make(ctx.obj.client, wanted, prune, without_keys)
    carry_out(ctx, wanted, changes, yes)


def carry_out(
    ctx: typer.Context, wanted: Wanted, changes: list[Change], yes: bool, notes: list[dict[str, str]] | None = None
) -> None:
    """Show the plan, and with `yes` (or an answer at the terminal) make it so."""
    todo = [change for change in changes if change.action in ("create", "change", "remove")]
    problems = [change for change in todo if change.problem]
    if not ctx.obj.as_json:
        _show(ctx, changes, wanted)
    if not todo or problems or not (yes or _asked(ctx, len(todo))):
        _report(ctx, changes, Done([]), len(todo), notes)
        if problems:
            ctx.obj.say(f"{len(problems)} of {len(todo)} changes cannot be made as they are. Nothing was changed.")
            raise typer.Exit(1)
        if todo and not yes:
            ctx.obj.say("Nothing was changed. Make it so with --yes.")
        return
    done = plan.apply(
        ctx.obj.client, changes, lambda change: None if ctx.obj.as_json else ctx.obj.say(f"done: {plan.words(change)}")
    )
    _report(ctx, changes, done, len(todo), notes)
    if done.secrets and not ctx.obj.as_json:
        for name, secret in done.secrets.items():
            ctx.obj.write(f"key {name}: {secret}")
        ctx.obj.say("Keep these secrets now: only their codes are stored.")
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


def _report(ctx: typer.Context, changes: list[Change], done: Done, todo: int, notes: list[dict[str, str]] | None) -> None:
    if not ctx.obj.as_json:
        return
    made = {(change.kind, change.name) for change in done.done}
    rows: list[dict[str, Any]] = []
    for change in changes:
        row: dict[str, Any] = {"kind": change.kind, "name": change.name, "action": change.action}
        row["done"] = (change.kind, change.name) in made
        if change.action in ("create", "change", "remove"):
            row["difference"] = plan.difference(change)
        rows.append({**row, **({"problem": change.problem} if change.problem else {})})
    failed = done.failed
    failure = None if failed is None else {"kind": failed.kind, "name": failed.name, "message": done.error}
    said: dict[str, Any] = {"notes": notes} if notes is not None else {}
    if done.secrets:
        said["secrets"] = done.secrets
    ctx.obj.show({"changes": rows, "to_do": todo, "done": len(done.done), "failed": failure, **said})


imports = typer.Typer(help="Take over from another gateway.", no_args_is_help=True)


@imports.callback()
def _imports() -> None:
    """Take over from another gateway."""


@imports.command("litellm")
def litellm(
    ctx: typer.Context,
    config: Annotated[Path, typer.Argument(help="LiteLLM proxy's config.yaml.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Make it so; without, the plan is only shown.")] = False,
    to: Annotated[Path | None, typer.Option(help="Write a folder for `genwright apply` instead.")] = None,
    keys: Annotated[Path | None, typer.Option(help="What GET /key/list?return_full_object=true answered, as JSON.")] = None,
    teams: Annotated[Path | None, typer.Option(help="What GET /team/list answered, as JSON.")] = None,
    without_keys: WITHOUT = False,
) -> None:
    """Models, fallbacks, limits and budgets of a LiteLLM configuration, its keys and teams; says what was not understood."""
    from genwright import yamls
    from genwright.gateway.files.litellm.keys import read_keys, read_teams
    from genwright.gateway.files.litellm.read import read

    found = read(yamls.read(config.read_text(), config.name), os.environ)
    named: dict[str, str] = {}
    if teams is not None:
        named = read_teams(yamls.read(teams.read_text(), teams.name), found.targets, found.wanted, found.notes)
    if keys is not None:
        read_keys(yamls.read(keys.read_text(), keys.name), found.targets, named, found.wanted, found.notes)
    if not ctx.obj.as_json:
        for note in sorted(found.notes, key=lambda note: STATES.index(note.state)):
            ctx.obj.write(f"{note.state:<10}  {note.where}: {note.text}")
        ctx.obj.write("")
    if to is not None:
        written = folders.write(to, folders.cleaned(found.wanted))
        if ctx.obj.as_json:
            ctx.obj.show({"folder": str(to), "written": written, "notes": found.notes_as_dicts()})
        else:
            ctx.obj.write("\n".join(written))
        if found.keys:
            ctx.obj.say(f"Keys stood in the file and are not written. Set before applying: {', '.join(found.keys)}")
        return
    if found.keys:
        ctx.obj.say(f"{len(found.keys)} keys stand in the file itself; they are sealed at the server.")
        os.environ.update(found.keys)  # where the plan looks for a provider's key; for this process alone
    changes = plan.make(ctx.obj.client, found.wanted, without_keys=without_keys)
    changes = [change for change in changes if change.action != "stays"]  # the file does not speak for the whole server
    carry_out(ctx, found.wanted, changes, yes, found.notes_as_dicts())
