"""Pages of routes: the list with health, a route drawn with its history, the editor with a dry run, aliases."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response

from genwright import yamls
from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Conflict, Error, Invalid
from genwright.gateway.routing.drawing import draw, tone
from genwright.gateway.routing.router import Router
from genwright.gateway.routing.sample import Sample
from genwright.gateway.routing.starts import BUILT, STARTS, build
from genwright.registry.types import Version
from genwright.web.forms import address, go, read_form

router = APIRouter(prefix="/w/{workspace}/gateway", include_in_schema=False)

PAGE = 50


def _router(request: Request) -> Router:
    return request.app.state.gateway.router


def _page(actor: Actor, name: str = "") -> str:
    return f"/w/{actor.scope.workspace}/gateway/routes" + (f"/{quote(name)}" if name else "")


@router.get("/routes")
async def list_(
    request: Request, q: str = "", cursor: str = "", new: str = "", actor: Actor = Depends(needs("read"))
) -> Response:
    """The routes, and how the models do that were asked of late; `new` is the editor, with an example of that name."""
    if new:
        fields = {"name": "", "note": "", "expected": "0", "content": _pretty(STARTS.get(new, STARTS["fallback"])[1])}
        return _form(request, actor, fields)
    page = await _router(request).list(actor.scope, q.strip(), cursor or None, PAGE)
    path, fields = request.url.path, {"q": q.strip()}
    return request.app.state.pages.render(
        request,
        "gateway/routes.html",
        items=page.items,
        healths=_router(request).healths(actor),
        tone=tone,
        q=q.strip(),
        starts=STARTS,
        may_write=actor.may("write"),
        base=_page(actor),
        next_url=address(path, {**fields, "cursor": page.next}) if page.next else "",
        first_url=address(path, fields) if cursor else "",
    )


@router.post("/routes")
async def save(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Save a new version. A mistake or a conflict shows the editor again, with everything that was typed."""
    form = await read_form(request)
    expected = form.get("expected", "")
    number = int(expected) if expected.isdigit() and len(expected) < 10 else None
    try:
        version = await _router(request).put(
            actor, form.get("name", "").strip(), _content(form), note=form.get("note", "").strip(), expected=number
        )
    except Conflict as conflict:
        newest = await request.app.state.registry.get(actor.scope, form.get("name", "").strip(), "route")
        return _form(request, actor, form, error=conflict.message, standing=newest, status=409)
    except Error as error:
        return _form(request, actor, form, error=error.message, status=422)
    return go(address(_page(actor, version.name), {"v": version.number}))


@router.post("/routes/-/build")
async def built(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """The editor's content made from a list of models."""
    form = await read_form(request)
    content, error = form.get("content", ""), ""
    try:
        content = _pretty(build(form.get("kind", ""), form.get("models", "")))
    except Error as problem:
        error = problem.message
    return request.app.state.pages.render(
        request, "gateway/route_content.html", content=content, error=error, status=422 if error else 200
    )


@router.post("/routes/-/check")
async def check(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """What was typed, drawn, and which way the sample call would go; or what is wrong. Nothing is kept."""
    form = await read_form(request)
    state, drawing, explanation, error = request.app.state, None, None, ""
    try:
        content, name = _content(form), form.get("name", "").strip()
        drawing = draw(await _router(request).check(actor, name, content))
        explanation = await _router(request).explain(actor, _sample(form).call(name), name, content)
    except Error as problem:
        error = problem.message
    return state.pages.render(
        request, "gateway/route_checked.html", drawing=drawing, found=explanation, error=error, status=422 if error else 200
    )


@router.post("/routes/-/explain")
async def explain(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Which way a sample call would go through a version that is kept."""
    form = await read_form(request)
    found, error = None, ""
    try:
        name = form.get("name", "")
        found = await _router(request).explain(actor, _sample(form).call(name), name)
    except Error as problem:
        error = problem.message
    return request.app.state.pages.render(
        request, "gateway/route_checked.html", drawing=None, found=found, error=error, status=422 if error else 200
    )


@router.post("/routes/-/label")
async def label(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Put a label on a version; it is undone by moving it back."""
    form = await read_form(request)
    name, number = form.get("name", ""), form.get("number", "")
    if not number.isdigit():
        raise Invalid("Choose a version. Nothing was moved.", field="number")
    await request.app.state.registry.label(
        actor, "route", name, form.get("label", "").strip(), int(number), note=form.get("note", "").strip()
    )
    return go(address(_page(actor, name), {"v": number}))


@router.get("/routes/{name:path}")
async def route(
    request: Request, name: str, v: str = "", edit: str = "", a: str = "", b: str = "", part: str = "",
    actor: Actor = Depends(needs("read")),
) -> Response:  # fmt: skip
    """One route: drawn with live health, its history; `edit=1` the editor; `a` and `b` the difference of two versions."""
    state, routing = request.app.state, _router(request)
    if a and b:
        return await _difference(request, actor, name, a, b)
    version = await routing.get(actor.scope, name, v)
    if edit:
        newest = await state.registry.get(actor.scope, name, "route")
        fields = {"name": name, "note": "", "expected": str(newest.number), "content": _pretty(version.content)}
        return _form(request, actor, fields, based_on=version)
    drawn, broken = None, ""
    try:
        drawn = await routing.drawn(actor.scope, version.name, str(version.number))
    except Error as error:
        broken = error.message
    models = {node.model for node in drawn or [] if node.model}
    return state.pages.render(
        request,
        "gateway/route.html",
        block="live" if part == "live" else None,
        version=version,
        drawing=draw(drawn) if drawn else None,
        broken=broken,
        healths=[one for one in routing.healths(actor) if f"{one.provider}/{one.model}" in models],
        tone=tone,
        versions=await state.registry.versions(actor.scope, "route", name),
        artifact=await state.registry.artifact(actor.scope, "route", name),
        pretty=_pretty,
        actor=actor,
        base=_page(actor, name),
        all_url=_page(actor),
    )


@router.get("/aliases")
async def aliases(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Bare names and what they stand for."""
    return await _aliases(request, actor)


@router.post("/aliases")
async def put_alias(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Make or change an alias; the form comes back where it does not fit."""
    form = await read_form(request)
    try:
        alias = await _router(request).put_alias(actor, form.get("name", "").strip(), form.get("target", "").strip())
    except Error as problem:
        return await _aliases(request, actor, block="list", form=form, error=problem.message)
    response = await _aliases(request, actor, block="list")
    return request.app.state.pages.toast(response, f"{alias.name} now stands for {alias.target}.", "good")


@router.post("/aliases/-/remove")
async def remove_alias(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Forget an alias."""
    form = await read_form(request)
    await _router(request).remove_alias(actor, form.get("name", ""))
    response = await _aliases(request, actor, block="list")
    return request.app.state.pages.toast(response, f"Removed: {form.get('name', '')}.")


async def _aliases(
    request: Request, actor: Actor, block: str | None = None, form: dict[str, str] | None = None, error: str = ""
) -> Response:
    return request.app.state.pages.render(
        request,
        "gateway/aliases.html",
        block=block,
        status=422 if error else 200,
        items=await _router(request).aliases(actor.scope),
        names=[model.id for model in await request.app.state.gateway.models(actor) if "/" in model.id][:500],
        form=form or {},
        error=error,
        may_write=actor.may("write"),
        base=f"/w/{actor.scope.workspace}/gateway/aliases",
    )


async def _difference(request: Request, actor: Actor, name: str, a: str, b: str) -> Response:
    routing = _router(request)
    old, new = await routing.get(actor.scope, name, a), await routing.get(actor.scope, name, b)
    return request.app.state.pages.render(
        request,
        "gateway/route_diff.html",
        old=old,
        new=new,
        texts=(_pretty(old.content), _pretty(new.content)),
        versions=await request.app.state.registry.versions(actor.scope, "route", name),
        base=_page(actor, name),
        all_url=_page(actor),
    )


def _form(
    request: Request,
    actor: Actor,
    fields: dict[str, str],
    *,
    error: str = "",
    standing: Version | None = None,
    based_on: Version | None = None,
    status: int = 200,
) -> Response:
    actor.need("write")
    return request.app.state.pages.render(
        request,
        "gateway/route_edit.html",
        status=status,
        fields=fields,
        error=error,
        standing=standing,
        standing_text=_pretty(standing.content) if standing else "",
        based_on=based_on,
        starts=STARTS,
        kinds=BUILT,
        all_url=_page(actor),
        base=_page(actor, fields.get("name", "")),
    )


def _content(form: dict[str, str]) -> dict[str, Any]:
    content = yamls.read(form.get("content", ""), "The content")
    if not isinstance(content, dict):
        raise Invalid("The content is no object: write type: …, or root: … Nothing was kept.", field="content")
    return content


def _sample(form: dict[str, str]) -> Sample:
    """The sample call's fields, tags as `plan=pro, team=x`."""
    tags = dict(pair.split("=", 1) for pair in form.get("tags", "").replace(" ", "").split(",") if "=" in pair)
    tokens = form.get("tokens", "")
    return Sample(
        text=form.get("text", ""),
        tokens=int(tokens) if tokens.isdigit() and len(tokens) < 8 else 0,
        modality=[form["modality"]] if form.get("modality") else [],
        session=form.get("session", ""),
        user=form.get("user", ""),
        tags=tags,
    )


def _pretty(content: Any) -> str:
    return yamls.write(content)
