"""Pages of access: the tree of keys and the audit log (teams, people, projects: tree_pages.py).

A secret is shown once, in the answer that made it.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from genwright import clock
from genwright.access import tree_pages
from genwright.access.outline import SHOWN, groups
from genwright.access.service import needs
from genwright.access.tree_pages import named_role, pairs, words
from genwright.access.types import OPERATIONS, Actor, Key, Under
from genwright.errors import Error, Invalid
from genwright.web.forms import address, read_form

router = APIRouter(prefix="/w/{workspace}/access", include_in_schema=False)
router.include_router(tree_pages.router)

DAY_NS = 86_400_000_000_000
PAGE = 50
DAYS = {"": "never", "7": "in 7 days", "30": "in 30 days", "90": "in 90 days", "365": "in a year"}
CAPTURES = {"full": "everything", "metadata": "no texts, only figures", "off": "nothing"}
GONE = {"cancel": "end the call", "drain": "read it to its end, billed exactly"}
EMPTY = {
    "name": "", "under": "", "role": "caller", "models": "", "days": "", "capture": "full", "operations": "",
    "max_output_tokens": "", "on_disconnect": "cancel", "tags": "",
}  # fmt: skip
"""The form of a new key before anything is typed."""
OVERLAPS = {"86400": "24 hours longer", "3600": "an hour longer", "604800": "7 days longer", "0": "no longer: it ends at once"}


@router.get("")
async def keys(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """The tree of keys; only administrators see it."""
    return await _keys(request, actor)


@router.post("")
async def create(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Make a key; the answer holds its secret, the only time."""
    form = await read_form(request)
    days = form.get("days", "")
    if days not in DAYS:
        raise Invalid(f"'{days[:40]}' is no choice of days. Nothing was made.", field="days")
    expires_ns = clock.now_ns() + int(days) * DAY_NS if days else None
    try:
        own = (form.get("name", ""), form.get("role", ""), form.get("capture", "full"), expires_ns)
        key, secret = await request.app.state.access.create_key(actor, *own, under=_under(form))
    except Error as problem:
        return await _keys(request, actor, block="keys", form=form, error=problem.message)
    return await _keys(request, actor, block="keys", secret=secret, about=key)


@router.post("/{key_id}/revoke")
async def revoke(request: Request, key_id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """End a key at once."""
    key = await request.app.state.access.revoke_key(actor, key_id)
    response = await _keys(request, actor, block="keys")
    return request.app.state.pages.toast(response, f"Revoked: {key.name}. Calls with it are refused from now on.")


@router.post("/{key_id}/rotate")
async def rotate(request: Request, key_id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """Another secret for a key; the answer holds it, the only time."""
    overlap = (await read_form(request)).get("overlap", "")
    if overlap not in OVERLAPS:
        raise Invalid(f"'{overlap[:40]}' is no choice of an overlap. Nothing was changed.", field="overlap")
    try:
        key, secret = await request.app.state.access.rotate_key(actor, key_id, int(overlap))
    except Error as problem:
        return await _keys(request, actor, block="keys", rotating=key_id, error=problem.message)
    return await _keys(request, actor, block="keys", secret=secret, about=key)


@router.get("/audit")
async def audit(
    request: Request, by: str = "", action: str = "", before: int = 0, actor: Actor = Depends(needs("admin"))
) -> Response:
    """Who did what, newest first."""
    fields = {"by": by.strip(), "action": action.strip()}
    events = await request.app.state.audit.list(actor.scope, **fields, before=max(0, before), limit=PAGE + 1)
    following = events[PAGE - 1].number if len(events) > PAGE else 0
    return request.app.state.pages.render(
        request,
        "access/audit.html",
        events=events[:PAGE],
        fields=fields,
        next_url=address(request.url.path, {**fields, "before": following}) if following else "",
        first_url=address(request.url.path, fields) if before else "",
    )


@router.get("/audit/verify")
async def verify(request: Request, actor: Actor = Depends(needs("admin"))) -> Response:
    """Walk the whole chain; the verdict as a part of the page."""
    found = await request.app.state.audit.verify(actor.scope)
    return request.app.state.pages.render(request, "access/verdict.html", found=found)


def _under(form: dict[str, str]) -> Under:
    """Where a form hangs a key, and its bounds. Raises Invalid for a cap that is no number."""
    kind, _, id = form.get("under", "").partition(":")
    if kind not in ("", "team", "member", "service"):
        raise Invalid(f"A key hangs under no '{kind[:40]}'. Nothing was made.", field="under")
    cap = form.get("max_output_tokens", "").strip()
    if cap and not (cap.isascii() and cap.isdigit() and len(cap) < 10):
        raise Invalid(f"'{cap[:40]}' is no number of tokens. Nothing was made.", field="max_output_tokens")
    gone = form.get("on_disconnect", "cancel")
    return Under(
        **({kind: id} if kind else {}),
        models=words(form.get("models", "")),
        operations=words(form.get("operations", "")),
        default_max_output_tokens=int(cap or 0),
        on_disconnect="drain" if gone == "drain" else "cancel",
        tags=pairs(form.get("tags", "")),
    )


async def _keys(request: Request, actor: Actor, block: str | None = None, **shown: Any) -> Response:
    """`shown`: what an answer adds: secret and about, the form and its error, rotating (a key's id)."""
    admin, asked = actor.may("admin"), request.query_params
    access, now_ns = request.app.state.access, clock.now_ns()
    everything = await access.list_keys(actor) if admin else []
    nodes = await access.tree.nodes(actor) if admin else []
    people = await access.tree.members(actor) if admin else []
    word, state, team = asked.get("q", "").strip(), asked.get("state", ""), asked.get("team", "")
    listed = [key for key in everything if state == "all" or _in_use(key, now_ns)]
    drawn = groups(listed, people, nodes, 1000 if team else SHOWN)
    if word:
        drawn = _matching(listed, people, nodes, word.lower())
    if team:
        drawn = [group for group in drawn if (group.team.id if group.team else "none") == team]
    rotating = shown.pop("rotating", asked.get("rotate", ""))
    return request.app.state.pages.render(
        request,
        "access/keys.html",
        block=block,
        status=422 if shown.get("error") else 200,
        groups=drawn,
        count=sum(group.keys for group in drawn),
        hidden=len(everything) - len(listed),
        asked={"q": word, "state": state, "team": team},
        admin=admin,
        now_ns=now_ns,
        roles=[(role, named_role(role)) for role in ("caller", "viewer", "reviewer", "editor", "releaser", "admin")],
        places=[("", "the project"), *((f"{n.kind}:{n.id}", f"{n.kind}: {n.name}") for n in nodes)]
        + [(f"member:{one.id}", f"member: {one.name}") for one in people],
        operations=OPERATIONS,
        captures=list(CAPTURES.items()),
        days=list(DAYS.items()),
        gone=list(GONE.items()),
        overlaps=list(OVERLAPS.items()),
        rotated=next((key for key in everything if key.id == rotating and key.revoked_ns is None), None),
        me=actor.id,
        form=EMPTY | {"under": asked.get("under", "")} | shown.pop("form", {}),
        **{"error": "", "secret": "", "about": None, **shown},
    )


def _in_use(key: Key, now_ns: int) -> bool:
    return key.revoked_ns is None and (key.expires_ns is None or key.expires_ns > now_ns)


def _matching(keys: list[Key], people: list[Any], nodes: list[Any], word: str) -> list[Any]:
    """The groups with only what has the word in its name, its id or its secret's first characters."""
    named = {one.id for one in [*people, *nodes] if word in one.name.lower() or one.id == word}
    found = [key for key in keys if word in f"{key.name} {key.hint} {key.id}".lower() or {key.holder, key.team} & named]
    drawn = groups(
        found, people, [node for node in nodes if node.kind == "team" or node.id in named | {key.holder for key in found}]
    )
    return [group for group in drawn if group.lines or (group.team and group.team.id in named)]
