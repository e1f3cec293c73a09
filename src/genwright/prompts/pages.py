"""Pages of prompts: the list, one prompt with its versions and labels, the difference of two, a form for a new version."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Conflict, Error, Invalid, Missing
from genwright.prompts import show
from genwright.registry.types import Version
from genwright.web.forms import address, go, read_form

router = APIRouter(prefix="/w/{workspace}/prompts", include_in_schema=False)

PAGE = 50
EMPTY = {
    "messages": [{"role": "system", "content": ""}, {"role": "user", "content": "{{question}}"}],
    "variables": {},
    "parameters": {},
}
SPARE = 1
"""Empty messages that the form offers at its end."""


def _page(actor: Actor, name: str) -> str:
    return f"/w/{actor.scope.workspace}/prompts/{quote(name)}"


@router.get("")
async def list_(
    request: Request, q: str = "", cursor: str = "", new: str = "", actor: Actor = Depends(needs("read"))
) -> Response:
    """The prompts, by name; `new=1` is the form for a new one."""
    state = request.app.state
    if new:
        return _form(request, actor, {"name": "", "note": "", "expected": "0"}, EMPTY)
    page = await state.registry.list(actor.scope, "prompt", q, cursor=cursor or None, limit=PAGE)
    path = request.url.path
    return state.pages.render(
        request,
        "prompts/list.html",
        items=page.items,
        q=q,
        may_write=actor.may("write"),
        next_url=address(path, {"q": q, "cursor": page.next}) if page.next else "",
        first_url=address(path, {"q": q}) if cursor else "",
    )


@router.post("")
async def save(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Save a new version. A mistake or a conflict shows the form again, with everything that was typed."""
    state, form = request.app.state, await read_form(request)
    name, expected = form.get("name", "").strip(), form.get("expected", "")
    number = int(expected) if expected.isdigit() and len(expected) < 10 else None
    try:
        content = show.content_of(form)
        version = await state.prompts.put(actor, name, content, note=form.get("note", "").strip(), expected=number)
    except Conflict as conflict:
        newest = await _newest(state, actor, name)
        return _form(request, actor, form, _typed(form), error=conflict.message, standing=newest, status=409)
    except Error as error:
        return _form(request, actor, form, _typed(form), error=error.message, status=422)
    return go(address(_page(actor, name), {"v": version.number}))


@router.post("/label")
async def label(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Put a label on a version; it is undone by moving it back."""
    state, form = request.app.state, await read_form(request)
    name, number, seen = form.get("name", ""), form.get("number", ""), form.get("expected", "")
    if not number.isdigit():
        raise Invalid("Choose a version. Nothing was moved.", field="number")
    move = await state.registry.label(
        actor, "prompt", name, form.get("label", "").strip(), int(number), expected=int(seen) if seen.isdigit() else None,
        note=form.get("note", "").strip(),
    )  # fmt: skip
    return go(address(_page(actor, name), {"v": number, "moved": move.label}))


@router.post("/try")
async def attempt(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Render a version with values, for the part of the page that shows it."""
    state, form = request.app.state, await read_form(request)
    rendered, error = None, ""
    try:
        version = await state.prompts.get(actor.scope, form.get("name", ""), form.get("number", ""))
        values = show.values_of(form, version.content.get("variables", {}))
        rendered = await state.prompts.render(actor.scope, version.name, str(version.number), values)
    except Error as problem:
        error = problem.message
    return state.pages.render(request, "prompts/rendered.html", rendered=rendered, error=error, status=422 if error else 200)


@router.get("/{name:path}")
async def prompt(
    request: Request, name: str, v: str = "", edit: str = "", a: str = "", b: str = "", moved: str = "",
    actor: Actor = Depends(needs("read")),
) -> Response:  # fmt: skip
    """One prompt: a version, its use, its history; `edit=1` the form; `a` and `b` the difference of two versions."""
    state = request.app.state
    if a and b:
        return await _difference(request, actor, name, a, b)
    version = await state.prompts.get(actor.scope, name, v)
    if edit:
        newest = version if not v else await state.prompts.get(actor.scope, name)
        fields = {"name": name, "note": "", "expected": str(newest.number)}
        return _form(request, actor, fields, version.content, based_on=version)
    history = await state.registry.history(actor.scope, "prompt", name, 100)
    last = next((move for move in history if move.label == moved), None)
    return state.pages.render(
        request,
        "prompts/prompt.html",
        version=version,
        versions=await state.registry.versions(actor.scope, "prompt", name),
        artifact=await state.registry.artifact(actor.scope, "prompt", name),
        history=history,
        moved=last,
        messages=[(message["role"], show.pieces(message["content"])) for message in version.content["messages"]],
        used=await _use(state, actor, version),
        pretty=show.pretty,
        actor=actor,
        base=_page(actor, name),
    )


async def _difference(request: Request, actor: Actor, name: str, a: str, b: str) -> Response:
    state = request.app.state
    old, new = await state.prompts.get(actor.scope, name, a), await state.prompts.get(actor.scope, name, b)
    fields = await state.prompts.diff(actor.scope, name, a, b)
    return state.pages.render(
        request,
        "prompts/diff.html",
        old=old,
        new=new,
        fields=[(field.field, _side(field.changes, "insert"), _side(field.changes, "delete")) for field in fields],
        versions=await state.registry.versions(actor.scope, "prompt", name),
        base=_page(actor, name),
    )


def _side(changes: Any, without: str) -> str:
    """One of the two texts of a word diff."""
    return "".join(change.text for change in changes if change.op != without)


async def _use(state: Any, actor: Actor, version: Version) -> Any:
    """What the version has touched; None where it cannot be said."""
    try:
        return await state.tracing.impact(actor.scope, version.ref, None, 8)
    except Missing:
        return None


async def _newest(state: Any, actor: Actor, name: str) -> Version | None:
    try:
        return await state.prompts.get(actor.scope, name)
    except Error:
        return None


def _typed(form: dict[str, str]) -> dict[str, Any]:
    """What was typed, as the form shows it again, whether or not it can be read."""
    numbers = range(show.MAX_MESSAGES)
    messages = [
        {"role": form.get(f"role-{n}", "user"), "content": form[f"content-{n}"]} for n in numbers if form.get(f"content-{n}", "")
    ]
    return {"messages": messages, "variables": form.get("variables", ""), "parameters": form.get("parameters", "")}


def _form(
    request: Request, actor: Actor, fields: dict[str, str], content: dict[str, Any], *, status: int = 200, **more: Any
) -> Response:
    actor.need("write")
    texts = {
        name: value if isinstance(value := content.get(name, {}), str) else show.pretty(value)
        for name in ("variables", "parameters")
    }
    spare = [{"role": "user", "content": ""}] * SPARE
    values = {"error": "", "standing": None, "based_on": None, **more}
    return request.app.state.pages.render(
        request, "prompts/edit.html", status=status, fields=fields, messages=content["messages"] + spare, texts=texts,
        standing_text=show.pretty(values["standing"].content) if values["standing"] else "",
        typed_text=_safely(fields) if values["standing"] else "", **values,
    )  # fmt: skip


def _safely(form: dict[str, str]) -> str:
    """What was typed as content, for the difference beside what stands."""
    try:
        return show.pretty(show.content_of(form))
    except Invalid:
        return ""
