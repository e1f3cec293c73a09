"""The replay part of a trace's page: a form in, a report out. Its address stands below that of the apps' pages."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Error
from genwright.web.forms import read_form

router = APIRouter()

CHANGES = ("prompt", "index", "model", "policy", "k")
SHOWN = 10
"""Runs whose texts are shown."""


@router.post("/replay/{trace_id}")
async def replay(request: Request, trace_id: str, actor: Actor = Depends(needs("call"))) -> Response:
    """Run a recorded answer again and show how it compares."""
    actor.need("read")
    form = await read_form(request)
    changes = {name: form[name].strip() for name in CHANGES if form.get(name, "").strip()}
    if form.get("search", "").strip():
        changes["mode"] = form["search"].strip()
    mode, n = form.get("mode", "recorded"), form.get("n", "1").strip()
    report, error = None, ""
    try:
        report = await request.app.state.agents.replay(
            actor, trace_id, mode=mode, n=int(n) if n.isdigit() and len(n) < 4 else 0, changes=changes
        )
    except Error as problem:
        error = problem.message
    return request.app.state.pages.render(
        request, "agents/replay.html", report=report, error=error, shown=SHOWN, status=422 if error else 200
    )
