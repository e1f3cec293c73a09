"""Pages of access: API keys and the audit log. A secret is shown once, in the answer that made it."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from genwright import clock
from genwright.access.service import needs
from genwright.access.types import ROLES, Actor
from genwright.errors import Invalid
from genwright.web.forms import address, read_form

router = APIRouter(prefix="/w/{workspace}/access", include_in_schema=False)

DAY_NS = 86_400_000_000_000
PAGE = 50
DAYS = {"": "never", "7": "in 7 days", "30": "in 30 days", "90": "in 90 days", "365": "in a year"}
MEANING = {
    "caller": "calls models and apps; sees nothing",
    "viewer": "reads everything; calls nothing",
    "reviewer": "reads and scores answers",
    "editor": "reads, calls, scores, changes",
    "releaser": "editor, and puts releases into production",
    "admin": "everything, keys and providers too",
}
CAPTURES = {"full": "everything", "metadata": "no texts, only figures", "off": "nothing"}


@router.get("")
async def keys(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """API keys, newest first; only administrators see them."""
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
        _, secret = await request.app.state.access.create_key(
            actor, form.get("name", ""), form.get("role", ""), form.get("capture", "full"), expires_ns
        )
    except Invalid as problem:
        return await _keys(request, actor, block="keys", form=form, error=problem.message)
    return await _keys(request, actor, block="keys", secret=secret)


@router.post("/{key_id}/revoke")
async def revoke(request: Request, key_id: str, actor: Actor = Depends(needs("admin"))) -> Response:
    """End a key at once."""
    key = await request.app.state.access.revoke_key(actor, key_id)
    response = await _keys(request, actor, block="keys")
    return request.app.state.pages.toast(response, f"Revoked: {key.name}. Calls with it are refused from now on.")


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


async def _keys(
    request: Request,
    actor: Actor,
    block: str | None = None,
    form: dict[str, str] | None = None,
    error: str = "",
    secret: str = "",
) -> Response:
    admin = actor.may("admin")
    return request.app.state.pages.render(
        request,
        "access/keys.html",
        block=block,
        status=422 if error else 200,
        items=await request.app.state.access.list_keys(actor) if admin else [],
        admin=admin,
        now_ns=clock.now_ns(),
        roles=[(role, f"{role}: {MEANING.get(role, '')}") for role in ROLES],
        captures=list(CAPTURES.items()),
        days=list(DAYS.items()),
        form=form or {},
        error=error,
        secret=secret,
        me=actor.id,
    )
