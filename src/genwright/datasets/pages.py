"""Pages of datasets: which there are, the rows of a version, one row, and new versions from pasted rows or a kept trace."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.datasets.types import AddTrace
from genwright.errors import Error, Invalid
from genwright.web.forms import address, go, read_form

router = APIRouter(prefix="/w/{workspace}/datasets", include_in_schema=False)

PAGE = 50
COLUMNS = ("question", "answer", "input", "expected", "topics", "split")
"""Fields shown in the list where rows have them, in this order; others are in the row's drawer."""


@router.get("")
async def datasets(request: Request, q: str = "", cursor: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Datasets by name with their size."""
    state = request.app.state
    page = await state.datasets.list(actor.scope, q.strip(), cursor or None, PAGE)
    rows = [(item, (await state.datasets.get(actor.scope, item.name)).content) for item in page.items]
    return _list(request, actor, rows, q.strip(), cursor, page.next)


@router.post("")
async def put(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """A dataset, or a new version of one, from rows pasted as JSON Lines."""
    form = await read_form(request)
    name = form.get("name", "").strip()
    try:
        version = await request.app.state.datasets.put(actor, name, _lines(form.get("rows", "")), form.get("note", "").strip())
    except Invalid as problem:
        return _list(request, actor, [], "", "", None, form=form, error=problem.message)
    return go(address(f"/w/{actor.scope.workspace}/datasets/{name}", {"v": version.number}))


@router.post("/add-trace")
async def add_trace(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Keep a trace's question as a row; answers with what came of it, for the dialog that asked."""
    form = await read_form(request)
    topics = [name.strip() for name in form.get("topics", "").split(",") if name.strip()]
    wanted = AddTrace(
        trace=form.get("trace", ""), name=form.get("name", "").strip(), answer=form.get("answer", "").strip(), topics=topics
    )
    version, error = None, ""
    try:
        version = await request.app.state.datasets.add_trace(actor, wanted)
    except Error as problem:
        error = problem.message
    return request.app.state.pages.render(
        request, "datasets/added.html", version=version, error=error, status=422 if error else 200
    )


@router.get("/{name:path}")
async def dataset(
    request: Request,
    name: str,
    v: str = "",
    split: str = "",
    cursor: str = "",
    row: int = -1,
    actor: Actor = Depends(needs("read")),
) -> Response:
    """Rows of a version; with `row` the one at this place, for the drawer."""
    state = request.app.state
    ref = f"{name}@{v}" if v else name
    if row >= 0:
        one = await state.datasets.page(actor.scope, ref, split=split or None, cursor=str(row), limit=1)
        return state.pages.render(request, "datasets/row.html", row=one.items[0] if one.items else None, number=row + 1)
    version = await state.datasets.get(actor.scope, ref)
    page = await state.datasets.page(actor.scope, version.ref, split=split or None, cursor=cursor or None, limit=PAGE)
    fields = {"v": v, "split": split}
    return state.pages.render(
        request,
        "datasets/dataset.html",
        version=version,
        versions=await state.registry.versions(actor.scope, "dataset", version.name),
        page=page,
        first=int(cursor) if cursor.isdigit() else 0,
        columns=[column for column in COLUMNS if column in version.content["fields"]] or list(version.content["fields"])[:4],
        split=split,
        here=request.url.path,
        next_url=address(request.url.path, {**fields, "cursor": page.next}) if page.next else "",
        first_url=address(request.url.path, fields) if cursor else "",
    )


def _list(
    request: Request,
    actor: Actor,
    rows: list[Any],
    q: str,
    cursor: str,
    following: str | None,
    form: dict[str, str] | None = None,
    error: str = "",
) -> Response:
    path = request.url.path
    return request.app.state.pages.render(
        request,
        "datasets/list.html",
        status=422 if error else 200,
        rows=rows,
        q=q,
        form=form or {},
        error=error,
        may_write=actor.may("write"),
        next_url=address(path, {"q": q, "cursor": following}) if following else "",
        first_url=address(path, {"q": q}) if cursor else "",
    )


def _lines(text: str) -> list[Any]:
    """Rows of JSON Lines; empty lines do not count."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found.append(msgspec.json.decode(line))
        except (msgspec.DecodeError, RecursionError) as problem:
            raise Invalid(f"Line {number} is no JSON: {problem}. Nothing was kept.", code="invalid_json") from problem
    if not found:
        raise Invalid("There are no rows. Nothing was kept. Paste one JSON object a line.", code="no_rows")
    return found
