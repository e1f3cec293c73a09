"""Pages of policies: which hold, what each rail does, and a box to try a text on them."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Error, Invalid
from genwright.guardrails.policy import DEFAULT_POLICY, GUARDS
from genwright.guardrails.service import IN_FORCE
from genwright.guardrails.types import RAILS
from genwright.web.forms import address, go, read_form

router = APIRouter(prefix="/w/{workspace}/guardrails", include_in_schema=False)

PAGE = 50
PRODUCTION = "production"
WHERE = {
    "input": "what the user says",
    "passages": "each passage that was found",
    "tool_definition": "each tool's description",
    "tool_call": "a tool call and its result",
    "output": "the whole answer",
    "stream": "the answer while it streams",
}


@router.get("")
async def policies(request: Request, cursor: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Policies by name, the one in force first of all."""
    state = request.app.state
    page = await state.registry.list(actor.scope, "policy", cursor=cursor or None, limit=PAGE)
    ref, content = await state.guardrails.default(actor.scope)
    return state.pages.render(
        request,
        "guardrails/policies.html",
        items=page.items,
        in_force=ref,
        rails=_rails(content or DEFAULT_POLICY),
        may_adopt=actor.may("write") and actor.may("promote"),
        choices=[("", "the policy in force" if ref else "the built-in policy")] + [(item.name, item.name) for item in page.items],
        rail_names=list(RAILS),
        next_url=address(request.url.path, {"cursor": page.next}) if page.next else "",
    )


@router.post("/adopt")
async def adopt(request: Request, actor: Actor = Depends(needs("promote"))) -> Response:
    """Put the built-in policy in force."""
    state = request.app.state
    version = await state.guardrails.put(actor, IN_FORCE, DEFAULT_POLICY, note="the built-in policy")
    await state.registry.label(actor, "policy", IN_FORCE, PRODUCTION, version.number)
    return go(f"/w/{actor.scope.workspace}/guardrails/{IN_FORCE}")


@router.post("/try")
async def try_out(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """What a policy says about a text; nothing is kept."""
    state, form = request.app.state, await read_form(request)
    verdict, error = None, ""
    try:
        verdict = await state.guardrails.try_out(
            actor.scope, form.get("policy", ""), form.get("rail", "input"), form.get("text", "")
        )
    except Error as problem:
        error = problem.message
    return state.pages.render(
        request,
        "guardrails/verdict.html",
        verdict=verdict,
        error=error,
        status=422 if error else 200,
        before=form.get("text", ""),
    )


@router.post("/label")
async def label(request: Request, actor: Actor = Depends(needs("promote"))) -> Response:
    """Put the label production on a version: it holds from the next call on."""
    form = await read_form(request)
    name, number = form.get("name", ""), form.get("number", "")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise Invalid(f"'{number[:40]}' is no version. Nothing was moved.", field="number")
    await request.app.state.registry.label(actor, "policy", name, PRODUCTION, int(number))
    return go(f"/w/{actor.scope.workspace}/guardrails/{name}")


@router.get("/{name:path}")
async def policy(request: Request, name: str, v: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """One version: its rails drawn, its content, its neighbours."""
    return await _policy(request, actor, name, v)


@router.post("/{name:path}")
async def put(request: Request, name: str, actor: Actor = Depends(needs("write"))) -> Response:
    """A new version from the content in the form; not in force before the label moves."""
    form = await read_form(request)
    text = form.get("content", "")
    try:
        content = _decode(text)
        version = await request.app.state.guardrails.put(actor, name, content, note=form.get("note", "").strip())
    except Invalid as problem:
        return await _policy(request, actor, name, "", error=problem.message, text=text)
    return go(address(f"/w/{actor.scope.workspace}/guardrails/{name}", {"v": version.number}))


async def _policy(request: Request, actor: Actor, name: str, v: str, error: str = "", text: str = "") -> Response:
    state = request.app.state
    version = await state.guardrails.get(actor.scope, name, v)
    return state.pages.render(
        request,
        "guardrails/policy.html",
        status=422 if error else 200,
        version=version,
        versions=await state.registry.versions(actor.scope, "policy", version.name),
        rails=_rails(version.content),
        limits=version.content.get("limits", {}),
        text=text or msgspec.json.format(msgspec.json.encode(version.content), indent=2).decode(),
        error=error,
        guards=sorted(GUARDS.names()),
        rail_names=list(RAILS),
        may_write=actor.may("write"),
        may_promote=actor.may("promote"),
    )


def _rails(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The six rails in the order in which a call passes them."""
    given = content.get("rails", {})
    return [
        {"name": rail, "where": WHERE[rail], "rules": given.get(rail, []), "as_output": rail == "stream" and rail not in given}
        for rail in RAILS
    ]


def _decode(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as problem:
        raise Invalid(f"The content is no JSON object: {problem}. Nothing was kept.", code="invalid_json") from problem
