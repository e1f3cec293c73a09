"""Commands of access: API keys, log-in links and the audit log; workspaces, projects, members, teams, service accounts."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from genwright import clock
from genwright.errors import Invalid

keys = typer.Typer(help="API keys and log-in links.", no_args_is_help=True)
workspaces = typer.Typer(help="Workspaces: tenants of this server, a wall between them.", no_args_is_help=True)
projects = typer.Typer(
    help="Projects: the parts of a workspace, each with its own artifacts, traces and keys.", no_args_is_help=True
)
members = typer.Typer(help="People of a project, their roles and log-in links.", no_args_is_help=True)
teams = typer.Typer(help="Teams: what their members, service accounts and keys may do at most.", no_args_is_help=True)
services = typer.Typer(help="Service accounts: callers that are no person.", no_args_is_help=True)

DAY_NS = 86_400 * 1_000_000_000
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

Role = Annotated[str, typer.Option(help="caller, viewer, reviewer, editor, releaser or admin.")]
MaybeRole = Annotated[str | None, typer.Option(help="caller, viewer, reviewer, editor, releaser or admin.")]
Of = Annotated[str, typer.Option("--project", help="Another project of the workspace, for its administrators.")]
Models = Annotated[
    list[str] | None, typer.Option(help="Only these models, e.g. 'openai/gpt-*'; several, or commas. '' lifts it.")
]
Operations = Annotated[list[str] | None, typer.Option(help="Only these operations, e.g. chat,embeddings. '' lifts it.")]
Tags = Annotated[list[str] | None, typer.Option(help="Tags for chargeback: cost_center=4711.")]
Team = Annotated[str | None, typer.Option(help="Id of the team; '' for none.")]


# -- keys


@keys.command("create")
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    role: Role = "caller",
    capture: Annotated[str, typer.Option(help="What traces keep of its calls: full, metadata or off.")] = "full",
    days: Annotated[float | None, typer.Option(help="Days until it expires; unset: never.", min=0)] = None,
    expires: Annotated[str, typer.Option(help="The same as a time: 12h, 30d, or 2027-01-31.")] = "",
    team: Annotated[str, typer.Option(help="Id of the team it hangs under.")] = "",
    member: Annotated[str, typer.Option(help="Id of the member it is for.")] = "",
    service: Annotated[str, typer.Option(help="Id of the service account it is for.")] = "",
    models: Models = None,
    operations: Operations = None,
    max_output_tokens: Annotated[int, typer.Option(help="Cap for calls that set none; 0: the server's.", min=0)] = 0,
    on_disconnect: Annotated[str, typer.Option(help="When a client goes away: cancel the call, or drain it.")] = "cancel",
    tags: Tags = None,
    project: Of = "",
) -> None:
    """Make a key. Its secret is printed once and cannot be shown again."""
    expires_ns = None if days is None else clock.now_ns() + round(days * DAY_NS)
    made = ctx.obj.client.access.create_key(
        name=name, role=role, capture=capture, expires_ns=moment(expires) if expires else expires_ns,
        team=team, member=member, service=service, models=words(models), operations=words(operations),
        default_max_output_tokens=max_output_tokens, on_disconnect=on_disconnect, tags=pairs(tags), project=project,
    )  # fmt: skip
    key = made["key"]
    ctx.obj.show({"id": key["id"], "name": key["name"], "role": key["role"], "secret": made["secret"]})
    ctx.obj.say("Keep the secret now: only its code is stored.")


@keys.command("list")
def list_(ctx: typer.Context, project: Of = "") -> None:
    """Keys of this project, revoked ones too."""
    found = ctx.obj.client.access.list_keys(project=project)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    rows = [
        {**key, "under": key["holder"] or key["team"], "used": short(key["used_ns"]) or "never", "state": _state(key)}
        for key in found["items"]
    ]
    ctx.obj.show(rows, ["id", "name", "role", "under", "models", "hint", "used", "state"], "Keys")


def _state(key: dict) -> str:
    if key["revoked_ns"] is not None:
        return "revoked " + short(key["revoked_ns"])
    if key["expires_ns"] is None:
        return "valid"
    word = "expired" if key["expires_ns"] <= clock.now_ns() else "valid until"
    return f"{word} {short(key['expires_ns'])}"


@keys.command("rotate")
def rotate(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(help="Id of the key, from `genwright keys list`.")],
    overlap: Annotated[str, typer.Option(help="How long the secret before stays valid: 24h, 7d; 0: it ends at once.")] = "0",
    project: Of = "",
) -> None:
    """Give a key another secret; its id, limits and budgets go on. The secret is printed once."""
    made = ctx.obj.client.access.rotate_key(key_id=key_id, overlap_s=seconds(overlap), project=project)
    key = made["key"]
    ctx.obj.show({"id": key["id"], "name": key["name"], "secret": made["secret"], "old_until": short(key["old_until_ns"])})
    ctx.obj.say("Keep the secret now: only its code is stored.")


@keys.command("revoke")
def revoke(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(help="Id of the key, from `genwright keys list`.")],
    project: Of = "",
) -> None:
    """End a key at once; sessions opened with it end too."""
    key = ctx.obj.client.access.revoke_key(key_id=key_id, project=project)
    ctx.obj.show({"id": key["id"], "name": key["name"], "revoked": clock.iso(key["revoked_ns"])})


@keys.command("link")
def link(ctx: typer.Context) -> None:
    """Print a new one-time log-in link for the workspace's administrator, good for an hour."""
    _show_link(ctx, ctx.obj.client.access.admin_link()["token"])


def _show_link(ctx: typer.Context, token: str, **more: Any) -> None:
    ctx.obj.show({**more, "link": f"{ctx.obj.client.url}/login?token={token}"})


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


# -- workspaces and projects


@workspaces.command("create")
def create_workspace(ctx: typer.Context, name: Annotated[str, typer.Argument(help="Small letters, digits and '-'.")]) -> None:
    """Make a workspace (who runs the server may). Prints its first key and log-in link once."""
    made = ctx.obj.client.access.create_workspace(name=name)
    _show_link(ctx, made["token"], workspace=made["workspace"], key_id=made["key"]["id"], secret=made["secret"])
    ctx.obj.say("Hand both to its administrator now: neither is shown again. The link works once, within an hour.")


@workspaces.command("list")
def list_workspaces(ctx: typer.Context) -> None:
    """All workspaces for who runs the server; your own otherwise."""
    _show_places(ctx, ctx.obj.client.access.workspaces(), ["workspace", "created", "created_by"], "Workspaces")


@workspaces.command("link")
def link_workspace(ctx: typer.Context, name: str) -> None:
    """Print a one-time log-in link for a workspace's administrator, for when nobody of it can get in."""
    _show_link(ctx, ctx.obj.client.access.workspace_link(name=name)["token"], workspace=name)


@projects.command("create")
def create_project(ctx: typer.Context, name: Annotated[str, typer.Argument(help="Small letters, digits and '-'.")]) -> None:
    """Make a project in your workspace (its administrators may). Prints its first key once."""
    made = ctx.obj.client.access.create_project(name=name)
    ctx.obj.show({"project": made["project"], "key_id": made["key"]["id"], "secret": made["secret"]})
    ctx.obj.say("Keep the secret now: only its code is stored. Administrators of the workspace may enter the project.")


@projects.command("list")
def list_projects(ctx: typer.Context) -> None:
    """Projects of your workspace that you can be in."""
    _show_places(ctx, ctx.obj.client.access.projects(), ["project", "workspace", "created"], "Projects")


def _show_places(ctx: typer.Context, found: dict, columns: list[str], title: str) -> None:
    if ctx.obj.as_json:
        ctx.obj.show(found)
    else:
        ctx.obj.show([{**row, "created": short(row["created_ns"])} for row in found["items"]], columns, title)


# -- members


@members.command("add")
def add_member(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The person's name: one person has one name in the whole workspace.")],
    role: Role = "viewer",
    team: Team = None,
    models: Models = None,
    operations: Operations = None,
    tags: Tags = None,
    project: Of = "",
) -> None:
    """Add a person to a project; `genwright members link ID` lets him in."""
    bounds = {"models": words(models), "operations": words(operations), "tags": pairs(tags)}
    made = ctx.obj.client.access.add_member(name=name, role=role, team=team or "", project=project, **bounds)
    ctx.obj.show(made if ctx.obj.as_json else {name: made[name] for name in ("id", "name", "project", "role", "team")})


@members.command("list")
def list_members(ctx: typer.Context, project: Of = "") -> None:
    """People of a project, by name."""
    ctx.obj.show(ctx.obj.client.access.members(project=project), ["id", "name", "role", "team", "models"], "Members")


@members.command("role")
def member_role(ctx: typer.Context, member_id: str, role: str, project: Of = "") -> None:
    """Give a member another role; his keys can do no more than it allows, at once."""
    _changed(ctx, ctx.obj.client.access.change_member(member_id=member_id, role=role, project=project))


@members.command("set")
def set_member(
    ctx: typer.Context,
    member_id: str,
    team: Team = None,
    models: Models = None,
    operations: Operations = None,
    tags: Tags = None,
    project: Of = "",
) -> None:
    """Change a member's team or bounds; what is not named stays."""
    changes = _changes(team=team, models=models, operations=operations, tags=tags)
    _changed(ctx, ctx.obj.client.access.change_member(member_id=member_id, project=project, **changes))


@members.command("remove")
def remove_member(ctx: typer.Context, member_id: str, project: Of = "") -> None:
    """Take a person out of a project; his keys and sessions in it end."""
    _changed(ctx, ctx.obj.client.access.remove_member(member_id=member_id, project=project))


@members.command("link")
def link_member(ctx: typer.Context, member_id: str, project: Of = "") -> None:
    """Print a one-time log-in link for a member, good for an hour."""
    _show_link(ctx, ctx.obj.client.access.member_link(member_id=member_id, project=project)["token"], member=member_id)


# -- teams and service accounts


@teams.command("create")
def create_team(
    ctx: typer.Context,
    name: str,
    role: Annotated[str, typer.Option(help="The most that anybody in it may be.")] = "releaser",
    models: Models = None,
    operations: Operations = None,
    tags: Tags = None,
    project: Of = "",
) -> None:
    """Make a team. Its members, service accounts and keys can do at most what it may."""
    bounds = {"models": words(models), "operations": words(operations), "tags": pairs(tags)}
    _changed(ctx, ctx.obj.client.access.create_team(name=name, role=role, project=project, **bounds))


@teams.command("list")
def list_teams(ctx: typer.Context, project: Of = "") -> None:
    """Teams of a project, by name."""
    ctx.obj.show(ctx.obj.client.access.teams(project=project), ["id", "name", "role", "models", "operations", "tags"], "Teams")


@teams.command("set")
def set_team(
    ctx: typer.Context,
    team_id: str,
    role: MaybeRole = None,
    models: Models = None,
    operations: Operations = None,
    tags: Tags = None,
    project: Of = "",
) -> None:
    """Change a team's bounds; what hangs under it is bound by them at once. What is not named stays."""
    changes = _changes(role=role, models=models, operations=operations, tags=tags)
    _changed(ctx, ctx.obj.client.access.change_team(team_id=team_id, project=project, **changes))


@teams.command("remove")
def remove_team(ctx: typer.Context, team_id: str, project: Of = "") -> None:
    """End a team that nobody belongs to any more, and the keys on it."""
    _changed(ctx, ctx.obj.client.access.remove_team(team_id=team_id, project=project))


@services.command("create")
def create_service(
    ctx: typer.Context,
    name: str,
    role: Role = "caller",
    team: Team = None,
    models: Models = None,
    operations: Operations = None,
    tags: Tags = None,
    project: Of = "",
) -> None:
    """Make a service account; `genwright keys create NAME --service ID` makes its keys."""
    bounds = {"models": words(models), "operations": words(operations), "tags": pairs(tags)}
    _changed(ctx, ctx.obj.client.access.create_service(name=name, role=role, team=team or "", project=project, **bounds))


@services.command("list")
def list_services(ctx: typer.Context, project: Of = "") -> None:
    """Service accounts of a project, by name."""
    columns = ["id", "name", "team", "role", "models", "operations", "tags"]
    ctx.obj.show(ctx.obj.client.access.services(project=project), columns, "Service accounts")


@services.command("set")
def set_service(
    ctx: typer.Context,
    service_id: str,
    role: MaybeRole = None,
    team: Team = None,
    models: Models = None,
    operations: Operations = None,
    tags: Tags = None,
    project: Of = "",
) -> None:
    """Change a service account's team or bounds; what is not named stays."""
    changes = _changes(role=role, team=team, models=models, operations=operations, tags=tags)
    _changed(ctx, ctx.obj.client.access.change_service(service_id=service_id, project=project, **changes))


@services.command("remove")
def remove_service(ctx: typer.Context, service_id: str, project: Of = "") -> None:
    """End a service account and its keys."""
    _changed(ctx, ctx.obj.client.access.remove_service(service_id=service_id, project=project))


def _changed(ctx: typer.Context, row: dict) -> None:
    shown = ("id", "name", "role", "team", "models", "operations", "tags")
    ctx.obj.show(row if ctx.obj.as_json else {name: row[name] for name in shown if row[name]})


def _changes(**given: Any) -> dict[str, Any]:
    """What was named on the command line; an empty word lifts a bound."""
    read = {"models": words, "operations": words, "tags": pairs}
    return {name: read[name](value) if name in read else value for name, value in given.items() if value is not None}


# -- how things are written on the command line


def words(given: list[str] | None) -> list[str]:
    """`a,b` and `a` `b` alike; empty words count for nothing."""
    return [word.strip() for part in given or [] for word in part.split(",") if word.strip()]


def pairs(given: list[str] | None) -> dict[str, str]:
    """`name=value`, several or with commas. Raises Invalid for a word without `=`."""
    found = {}
    for word in words(given):
        name, equals, value = word.partition("=")
        if not equals:
            raise Invalid(f"'{word}' is no tag. Nothing was changed. Write name=value.", field="tags")
        found[name.strip()] = value.strip()
    return found


def seconds(text: str) -> float:
    """`90`, `30m`, `24h`, `7d`, `2w`. Raises Invalid for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", text.strip())
    if match is None:
        raise Invalid(f"'{text}' is no length of time. Nothing was changed. Write 30m, 24h, 7d or 2w.", field="time")
    return float(match[1]) * UNITS[match[2] or "s"]


def moment(text: str) -> int:
    """Nanoseconds of a moment: from now on (`30d`), or a day or time in UTC (`2027-01-31`)."""
    from datetime import UTC, datetime

    if re.match(r"\d{4}-", text):
        try:
            at = datetime.fromisoformat(text)
        except ValueError as error:
            raise Invalid(f"'{text}' is no date: {error}. Nothing was made. Write 2027-01-31.", field="expires") from error
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000
    return clock.now_ns() + round(seconds(text) * 1e9)


def short(at_ns: int | None) -> str:
    return "" if at_ns is None else clock.iso(at_ns)[:16]
