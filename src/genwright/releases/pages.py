"""Pages of releases: apps with their releases, one app with pins, evidence, history, promotion and rollback."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Error, Invalid, Missing
from genwright.registry.types import Version
from genwright.releases import starter_pages
from genwright.releases.service import PRODUCTION, before
from genwright.releases.types import CreateRelease, Evidence, Promotion
from genwright.vocab import Ref
from genwright.web.forms import address, go, read_form

router = APIRouter(prefix="/w/{workspace}/releases", include_in_schema=False)
router.include_router(starter_pages.router)

PAGE = 50


def _page(actor: Actor, app: str) -> str:
    return f"/w/{actor.scope.workspace}/releases/{quote(app)}"


@router.get("")
async def list_(request: Request, q: str = "", cursor: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Apps with their newest release and where labels stand."""
    registry = request.app.state.registry
    page = await registry.list(actor.scope, "app", q.strip(), cursor=cursor or None, limit=PAGE)
    rows = [(app, await _artifact(registry, actor, app.name)) for app in page.items]
    path = request.url.path
    return request.app.state.pages.render(
        request,
        "releases/list.html",
        rows=rows,
        q=q,
        may_write=actor.may("write"),
        next_url=address(path, {"q": q, "cursor": page.next}) if page.next else "",
        first_url=address(path, {"q": q}) if cursor else "",
    )


@router.post("")
async def create(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Pin an app as it stands now, and show the release."""
    form = await read_form(request)
    app = form.get("app", "").strip()
    datasets = [name.strip() for name in form.get("datasets", "").split(",") if name.strip()]
    wanted = CreateRelease(app=app, note=form.get("note", "").strip(), datasets=datasets)
    try:
        version = await request.app.state.releases.create(actor, wanted)
    except Error as problem:
        return await _show(request, actor, app, "", error=problem.message)
    return go(address(_page(actor, app), {"v": version.number}))


@router.post("/promote")
async def promote(request: Request, actor: Actor = Depends(needs("promote"))) -> Response:
    """Move a label if the gate lets it pass; a refusal shows its reasons and changes nothing."""
    form = await read_form(request)
    app, number = form.get("app", "").strip(), form.get("number", "")
    if not number.isdigit() or len(number) > 9:
        raise Invalid("Choose a release. Nothing was moved.", field="number")
    evidence = Evidence(run=form.get("run", "").strip(), baseline=form.get("baseline", "").strip())
    label = form.get("label", "").strip() or PRODUCTION
    service = request.app.state.releases
    try:
        done = await service.promote(actor, app, int(number), label=label, note=form.get("note", "").strip(), evidence=evidence)
    except Error as problem:
        return await _show(request, actor, app, number, error=problem.message)
    return await _show(request, actor, app, number, promotion=done)


@router.post("/rollback")
async def rollback(request: Request, actor: Actor = Depends(needs("promote"))) -> Response:
    """Put the label back where it stood before."""
    form = await read_form(request)
    app = form.get("app", "").strip()
    try:
        done = await request.app.state.releases.rollback(
            actor, app, label=form.get("label", "").strip() or PRODUCTION, note=form.get("note", "").strip()
        )
    except Error as problem:
        return await _show(request, actor, app, "", error=problem.message)
    return await _show(request, actor, app, str(done.release.number), promotion=done)


@router.get("/{app:path}")
async def releases(request: Request, app: str, v: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """One app's releases; `v` is a number, label or digest, without it what is in production, else the newest."""
    return await _show(request, actor, app, v)


async def _show(
    request: Request, actor: Actor, app: str, selector: str, *, promotion: Promotion | None = None, error: str = ""
) -> Response:
    state = request.app.state
    registry, scope = state.registry, actor.scope
    artifact = await _artifact(registry, actor, app)
    known = await registry.artifact(scope, "app", app)
    release: Version | None = None
    if artifact is not None:
        wanted = selector or (PRODUCTION if PRODUCTION in artifact.labels else "")
        release = await registry.get(scope, Ref.parse(f"{app}@{wanted}" if wanted else app, "release"))
    history = await registry.history(scope, "release", app) if artifact else []
    versions = await registry.versions(scope, "release", app) if artifact else []
    runs = await _runs(state, actor, app)
    production = artifact.labels.get(PRODUCTION) if artifact else None
    stands = next((version.ref for version in versions if version.number == production), "")
    refused = error or (promotion is not None and not promotion.promoted)
    return state.pages.render(
        request,
        "releases/app.html",
        status=409 if refused else 200,
        app=app,
        known=known,
        artifact=artifact,
        release=release,
        versions=versions,
        history=history,
        back_to=before(history, PRODUCTION),
        gate=await _gate(registry, actor, app),
        runs=runs,
        baselines=_baselines(runs, release, stands),
        production=production,
        promotion=promotion,
        error=error,
        actor=actor,
        base=_page(actor, app),
    )


async def _artifact(registry: Any, actor: Actor, app: str) -> Any:
    try:
        return await registry.artifact(actor.scope, "release", app)
    except Missing:
        return None


async def _gate(registry: Any, actor: Actor, app: str) -> Version | None:
    try:
        found: Version = await registry.get(actor.scope, Ref("gate", app))
        return found
    except Missing:
        return None


async def _runs(state: Any, actor: Actor, app: str) -> list[Any]:
    """Finished runs of releases of this app, newest first: what a promotion can rest on."""
    page = await state.evals.runs(actor.scope, target=f"app/{app}", limit=200)
    return [run for run in page.items if run.state == "done" and run.release.startswith(f"release:{app}@")]


def _baselines(runs: list[Any], release: Version | None, stands: str) -> list[Any]:
    """Runs of what stands in production; first those over the data of the newest run of this release."""
    newest = next((run for run in runs if release and run.release == release.ref), None)
    found = [run for run in runs if run.release == stands]
    return sorted(found, key=lambda run: newest is None or (run.dataset, run.split) != (newest.dataset, newest.split))
