"""Pages of datasets: the list, one version's rows, and keeping a trace as a row."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.datasets.types import AddTrace
from genwright.errors import Error
from genwright.web.forms import address, read_form

router = APIRouter(prefix="/w/{workspace}/datasets", include_in_schema=False)

PAGE = 50
FIRST = ("question", "answer", "topics", "split")
"""Fields that are shown first, where rows have them."""
MAX_FIELDS = 7


@router.get("")
async def list_(request: Request, q: str = "", cursor: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """The datasets of a project."""
    page = await request.app.state.datasets.list(actor.scope, q.strip(), cursor=cursor or None, limit=PAGE)
    path = request.url.path
    return request.app.state.pages.render(
        request,
        "datasets/list.html",
        items=page.items,
        q=q,
        next_url=address(path, {"q": q, "cursor": page.next}) if page.next else "",
        first_url=address(path, {"q": q}) if cursor else "",
    )


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
    request: Request, name: str, v: str = "", split: str = "", cursor: str = "", actor: Actor = Depends(needs("read"))
) -> Response:
    """One version's rows."""
    state, scope = request.app.state, actor.scope
    ref = f"{name}@{v}" if v else name
    version = await state.datasets.get(scope, ref)
    page = await state.datasets.page(scope, version.ref, split=split or None, cursor=cursor or None, limit=PAGE)
    known = [field for field in version.content.get("fields", {}) if field != "id"]
    fields = [*(field for field in FIRST if field in known), *(field for field in known if field not in FIRST)]
    path = request.url.path
    here = {"v": v, "split": split}
    return state.pages.render(
        request,
        "datasets/dataset.html",
        version=version,
        rows=page.items,
        total=page.total,
        fields=fields[:MAX_FIELDS],
        split=split,
        v=v,
        versions=await state.registry.versions(scope, "dataset", version.name),
        base=f"/w/{scope.workspace}/datasets/{quote(version.name)}",
        next_url=address(path, {**here, "cursor": page.next}) if page.next else "",
        first_url=address(path, here) if cursor else "",
    )
