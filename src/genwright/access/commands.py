"""`genwright keys`: make, list and revoke API keys; a new log-in link; the audit log's check."""

from __future__ import annotations

from typing import Annotated

import typer

from genwright import clock

keys = typer.Typer(help="API keys and log-in links.", no_args_is_help=True)

DAY_NS = 86_400 * 1_000_000_000


@keys.command("create")
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    role: Annotated[str, typer.Option(help="caller, viewer, reviewer, editor, releaser or admin.")] = "caller",
    capture: Annotated[str, typer.Option(help="What traces keep of its calls: full, metadata or off.")] = "full",
    days: Annotated[float | None, typer.Option(help="Days until it expires; unset: never.", min=0)] = None,
) -> None:
    """Make a key. Its secret is printed once and cannot be shown again."""
    expires_ns = None if days is None else clock.now_ns() + round(days * DAY_NS)
    made = ctx.obj.client.access.create_key(name=name, role=role, capture=capture, expires_ns=expires_ns)
    key = made["key"]
    ctx.obj.show({"id": key["id"], "name": key["name"], "role": key["role"], "secret": made["secret"]})
    ctx.obj.say("Keep the secret now: only its code is stored.")


@keys.command("list")
def list_(ctx: typer.Context) -> None:
    """Keys of this project, revoked ones too."""
    found = ctx.obj.client.access.list_keys()
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    rows = [{**key, "created": clock.iso(key["created_ns"])[:16], "state": _state(key)} for key in found["items"]]
    ctx.obj.show(rows, ["id", "name", "role", "capture", "hint", "created", "created_by", "state"], "Keys")


def _state(key: dict) -> str:
    if key["revoked_ns"] is not None:
        return "revoked " + clock.iso(key["revoked_ns"])[:16]
    if key["expires_ns"] is None:
        return "valid"
    word = "expired" if key["expires_ns"] <= clock.now_ns() else "valid until"
    return f"{word} {clock.iso(key['expires_ns'])[:16]}"


@keys.command("revoke")
def revoke(ctx: typer.Context, key_id: Annotated[str, typer.Argument(help="Id of the key, from `genwright keys list`.")]) -> None:
    """End a key at once; sessions opened with it end too."""
    key = ctx.obj.client.access.revoke_key(key_id=key_id)
    ctx.obj.show({"id": key["id"], "name": key["name"], "revoked": clock.iso(key["revoked_ns"])})


@keys.command("link")
def link(ctx: typer.Context) -> None:
    """Print a new one-time log-in link for an administrator, good for an hour."""
    client = ctx.obj.client
    token = client.access.admin_link()["token"]
    ctx.obj.show({"link": f"{client.url}/login?token={token}"})


@keys.command("audit")
def audit(
    ctx: typer.Context,
    action: Annotated[str, typer.Option(help="Only this action, e.g. registry.label.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
) -> None:
    """Who did what, newest first, and whether the log is whole."""
    found = ctx.obj.client.access.audit(action=action, limit=limit)
    verdict = ctx.obj.client.access.verify_audit()
    if ctx.obj.as_json:
        ctx.obj.show({**found, "verification": verdict})
        return
    rows = [{**event, "at": clock.iso(event["at_ns"])} for event in found["items"]]
    ctx.obj.show(rows, ["number", "at", "by", "action", "target"], "Audit log")
    whole = f"The log is whole: {verdict['checked']} events." if verdict["sound"] else f"THE LOG IS BROKEN: {verdict['reason']}."
    ctx.obj.say(whole)
