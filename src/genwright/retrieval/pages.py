"""Pages of documents: corpora, what each holds, a document's text, index versions, and a bench to try searches.

Files are uploaded by the browser through REST (`data-upload`), one request a file.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Error, Invalid, Missing
from genwright.retrieval.types import DEFAULT_MODEL, MODES, Chunker, IndexSpec
from genwright.retrieval.view import WINDOW, outline, pieces, window
from genwright.web.forms import address, go, read_form

router = APIRouter(prefix="/w/{workspace}/documents", include_in_schema=False)

PAGE = 100
VERSIONS = 50
STATES = ("ok", "skipped", "failed")


@router.get("")
async def corpora(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Corpora with their sizes."""
    found = await request.app.state.retrieval.corpora(actor.scope)
    return request.app.state.pages.render(request, "retrieval/corpora.html", corpora=found, may_write=actor.may("write"))


@router.get("/new")
async def named(corpus: str = "", actor: Actor = Depends(needs("write"))) -> Response:
    """The page of a corpus by the name typed: corpora come to be by their first document."""
    return go(f"/w/{actor.scope.workspace}/documents/corpora/{quote(corpus.strip() or 'docs')}")


@router.get("/corpora/{corpus:path}")
async def documents(
    request: Request, corpus: str, state: str = "", cursor: str = "", actor: Actor = Depends(needs("read"))
) -> Response:
    """Documents of one corpus by name, the skipped ones with the reason."""
    service, scope = request.app.state.retrieval, actor.scope
    rows = await service.documents(scope, corpus, state=state if state in STATES else "", cursor=cursor, limit=PAGE + 1)
    counts = next((row for row in await service.corpora(scope) if row["name"] == corpus), None)
    if counts is None and not actor.may("write"):
        raise Missing(f"There is no corpus '{corpus[:100]}' here.")
    following = rows[PAGE - 1].name if len(rows) > PAGE else ""
    return request.app.state.pages.render(
        request,
        "retrieval/documents.html",
        corpus=corpus,
        counts=counts,
        rows=rows[:PAGE],
        state=state,
        states=STATES,
        may_write=actor.may("write"),
        next_url=address(request.url.path, {"state": state, "cursor": following}) if following else "",
        first_url=address(request.url.path, {"state": state}) if cursor else "",
    )


@router.post("/corpora/{corpus:path}")
async def remove(request: Request, corpus: str, actor: Actor = Depends(needs("write"))) -> Response:
    """Take a document out; its row goes away."""
    state, form = request.app.state, await read_form(request)
    await state.retrieval.remove_document(actor, corpus, form.get("name", ""))
    response = Response("")
    return state.pages.toast(response, "Removed. Index versions that hold it stay as they are; build a new one to leave it out.")


@router.get("/text/{digest}")
async def text(
    request: Request,
    digest: str,
    name: str = "",
    start: int = 0,
    end: int = 0,
    at: int = -1,
    actor: Actor = Depends(needs("read")),
) -> Response:
    """A document's text around a passage, marked, or from a heading on; htmx asks for further pieces of it."""
    state = request.app.state
    found, parsed = await state.retrieval.parsed(actor.scope, digest, name)
    size = len(parsed.text)
    start, end = max(0, min(start, size)), max(0, min(end, size))
    marked = (start, end) if end > start else None
    further = at >= 0 and bool(request.headers.get("hx-request"))
    first, last = (min(at, size), min(size, at + WINDOW)) if further else window(parsed, at if at >= 0 else start, end)
    return state.pages.render(
        request,
        "retrieval/text.html",
        block="piece" if further else None,
        digest=digest,
        name=found,
        parsed=parsed,
        marked=marked,
        pieces=pieces(parsed, first, last, marked),
        first=first,
        last=last,
        size=size,
        outline=outline(parsed),
        window=WINDOW,
        base=f"/w/{actor.scope.workspace}/documents/text/{digest}",
        fields={"name": found, "start": start, "end": end} if marked else {"name": found},
    )


@router.get("/indexes")
async def indexes(request: Request, index: str = "", job: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """Index versions, newest first, and the form that builds one."""
    return await _indexes(request, actor, index=index, job=job)


@router.post("/indexes")
async def build(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Start building; the page then follows the job."""
    form = await read_form(request)
    try:
        spec = IndexSpec(
            Chunker(_whole(form, "size", Chunker().size), _whole(form, "overlap", 0)),
            form.get("embedding_model", "").strip() or DEFAULT_MODEL,
        )
        corpus = form.get("corpus", "")
        name = form.get("index", "").strip() or corpus
        job = await request.app.state.retrieval.build(actor, corpus, name, spec, form.get("label", "").strip())
    except Error as problem:
        return await _indexes(request, actor, form=form, error=problem.message)
    return go(address(request.url.path, {"job": job.id}))


async def _indexes(
    request: Request, actor: Actor, *, index: str = "", job: str = "", form: dict[str, str] | None = None, error: str = ""
) -> Response:
    state = request.app.state
    rows = await state.retrieval.indexes(actor.scope, index) if index else await state.retrieval.indexes(actor.scope)
    models = [model.id for model in await state.gateway.models(actor) if model.operation == "embeddings"]
    return state.pages.render(
        request,
        "retrieval/indexes.html",
        status=422 if error else 200,
        rows=rows[:VERSIONS],
        hidden=max(0, len(rows) - VERSIONS),
        names=sorted({row.name for row in rows}),
        index=index,
        corpora=[row["name"] for row in await state.retrieval.corpora(actor.scope)],
        models=models,
        job=await _job(request, actor, job),
        form=form or {},
        error=error,
        may_write=actor.may("write"),
        default=Chunker(),
    )


async def _job(request: Request, actor: Actor, job_id: str) -> Any:
    """The job the page follows: the one just started, or a build at work."""
    jobs = request.app.state.jobs
    if job_id:
        return await jobs.get(actor.scope, job_id)
    running = await jobs.list(actor.scope, state="running", kind="retrieval.build", limit=1)
    return running[0] if running else None


@router.get("/search")
async def search(request: Request, q: str = "", index: str = "", k: int = 5, actor: Actor = Depends(needs("read"))) -> Response:
    """One query in every mode, side by side, with the scores."""
    state = request.app.state
    rows = await state.retrieval.indexes(actor.scope)
    refs = [f"{row.name}@{row.number}" for row in rows[:VERSIONS]]
    index = index or (refs[0] if refs else "")
    k = max(1, min(k, 20))
    columns: list[dict[str, Any]] = []
    error = ""
    if q.strip() and index:
        try:
            columns = [
                {"mode": mode, "passages": await state.retrieval.search(actor, index, q, mode=mode, k=k)} for mode in MODES
            ]
        except Error as problem:
            error = problem.message
    places = _places(columns)
    return state.pages.render(
        request, "retrieval/search.html", status=422 if error else 200, q=q, index=index, k=k, refs=refs, columns=columns,
        places=places, error=error, may_call=actor.may("call"),
    )  # fmt: skip


def _places(columns: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Passage id → mode → its rank there, so that each hit can say where else it was found."""
    found: dict[str, dict[str, int]] = {}
    for column in columns:
        for passage in column["passages"]:
            found.setdefault(passage.id, {})[column["mode"]] = passage.n
    return found


def _whole(form: dict[str, str], name: str, default: int) -> int:
    text = form.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise Invalid(f"'{text[:40]}' is no whole number for {name}. Nothing was built.", field=name)
    return int(text)
