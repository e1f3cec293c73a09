"""Pages of apps: which there are, and a chat with each. The chat itself talks to the gateway like any other client."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.agents import replay_pages
from genwright.errors import Error, Missing
from genwright.registry.types import Version
from genwright.web.forms import address

router = APIRouter(prefix="/w/{workspace}/chat", include_in_schema=False)
router.include_router(replay_pages.router)

PAGE = 50
PRODUCTION = "production"
DRAFT = "draft"
EXAMPLES = 4
LONGEST_EXAMPLE = 120
NEWEST = 20
"""Releases offered for choice."""


@router.get("")
async def list_(request: Request, q: str = "", cursor: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Apps by name with the release that answers their callers."""
    state = request.app.state
    page = await state.registry.list(actor.scope, "app", q.strip(), cursor=cursor or None, limit=PAGE)
    rows = []
    for app in page.items:
        newest = await state.registry.get(actor.scope, app.name, "app")
        rows.append((app, newest.content.get("description", ""), _production(await _releases(request, actor, app.name))))
    fields = {"q": q.strip()}
    return state.pages.render(
        request,
        "agents/chats.html",
        rows=rows,
        q=q.strip(),
        may_write=actor.may("write"),
        next_url=address(request.url.path, {**fields, "cursor": page.next}) if page.next else "",
        first_url=address(request.url.path, fields) if cursor else "",
    )


@router.get("/{app:path}")
async def chat(request: Request, app: str, release: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Talk to an app: its production release, or the one chosen in the address. Raises Missing."""
    state = request.app.state
    newest = await state.registry.get(actor.scope, app, "app")
    releases = await _releases(request, actor, newest.name)
    chosen = _choose(newest.name, releases, release)
    return state.pages.render(
        request,
        "agents/chat.html",
        app=newest,
        description=newest.content.get("description", ""),
        chosen=chosen,
        production=_production(releases),
        model=f"app/{newest.name}" + ("" if release == "" and chosen is not None else f"@{chosen.number if chosen else DRAFT}"),
        options=_options(releases),
        selected=str(chosen.number) if chosen else DRAFT,
        questions=await _examples(request, actor, chosen),
        may_call=actor.may("call"),
        feedback_url="/api/tracing/traces/{trace}/scores" if actor.may("score") else "",
    )


async def _releases(request: Request, actor: Actor, app: str) -> list[Version]:
    """Releases of an app, newest first; none is no error."""
    try:
        return await request.app.state.registry.versions(actor.scope, "release", app)
    except Missing:
        return []


def _production(releases: list[Version]) -> Version | None:
    return next((version for version in releases if PRODUCTION in version.labels), None)


def _choose(app: str, releases: list[Version], wanted: str) -> Version | None:
    """The release that is meant; None is the draft. Without a wish: production, or the draft where nothing is released."""
    if wanted == DRAFT:
        return None
    if not wanted:
        return _production(releases)
    found = next((version for version in releases if wanted == str(version.number) or wanted in version.labels), None)
    if found is None:
        raise Missing(f"The app '{app}' has no release '{wanted[:60]}'.", code="no_release")
    return found


def _options(releases: list[Version]) -> list[tuple[str, str]]:
    """(value, shown) for the choice of what answers."""
    shown = [(str(version.number), f"release {version.number}" + "".join(f" · {label}" for label in version.labels))
             for version in releases[:NEWEST]]  # fmt: skip
    return [*shown, (DRAFT, "draft (not released)")]


async def _examples(request: Request, actor: Actor, release: Version | None) -> list[str]:
    """Questions to start with: short ones of the dataset that the release is tested on; another's would be about other things."""
    state = request.app.state
    try:
        refs = []
        if release is not None:
            content = (await state.registry.get(actor.scope, release.ref)).content
            refs = [f"dataset:{pin['name']}@{pin['number']}" for pin in content.get("datasets", {}).values()]
        rows: list[dict[str, Any]] = (await state.datasets.page(actor.scope, refs[0], limit=50)).items if refs else []
    except Error:  # examples are an extra: a dataset that cannot be read must not close the chat
        return []
    texts = [row["question"] for row in rows if isinstance(row.get("question"), str)]
    return [text for text in texts if 0 < len(text) <= LONGEST_EXAMPLE][:EXAMPLES]
