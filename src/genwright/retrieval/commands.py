"""`genwright ingest` and `genwright documents`. Walks folders on this side and uploads; the server opens no path of ours."""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from genwright import clock
from genwright.errors import Error, Invalid, TooLarge

app = typer.Typer(help="Documents and index versions: list, show, search, remove, build.", no_args_is_help=True)

AT_ONCE = 4
NEVER = frozenset({"node_modules", "__pycache__", "venv", "dist", "build", "target", "site-packages"})
"""Folders that hold no documents of the user's; hidden ones are left out too."""
Files = dict[str, Path | bytes]
Label = Annotated[str, typer.Option(help="Label to put on the new index version.")]
Size = Annotated[int, typer.Option(help="Most word pieces in a chunk.")]
Overlap = Annotated[int, typer.Option(help="Word pieces a chunk repeats of the one before.")]
Model = Annotated[str, typer.Option(help="PROVIDER/MODEL that makes the vectors.")]


def ingest(
    ctx: typer.Context,
    path: Annotated[Path | None, typer.Argument(help="A file, or a folder with everything in it.")] = None,
    corpus: Annotated[str, typer.Option(help="Corpus to put the documents into.")] = "docs",
    index: Annotated[str, typer.Option(help="Index to build; by default named as the corpus.")] = "",
    label: Label = "",
    size: Size = 200,
    overlap: Overlap = 0,
    embedding_model: Model = "local/minilm",
    python_docs: Annotated[
        bool, typer.Option("--python-docs", help="The Python language reference that ships with Python.")
    ] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove documents of the corpus that are not in PATH any more.")] = False,
    build: Annotated[bool, typer.Option(help="Build an index version afterwards.")] = True,
) -> None:
    """Put documents into a corpus (only new and changed ones are sent) and build an index version from it."""
    files = _python_docs() if python_docs else _walk(path)
    report = _upload(ctx, corpus, files, prune)
    if build and report["documents"]:
        options = {"size": size, "overlap": overlap, "embedding_model": embedding_model}
        job = ctx.obj.client.retrieval.build(corpus=corpus, index=index or corpus, label=label, **options)
        result = wait(ctx, job)["result"]
        report.update(index=result["index"], number=result["number"], chunks=result["chunks"])
        report["skipped"] += result["skipped"]
    _show(ctx, report)
    if not report["documents"]:
        raise typer.Exit(1)


def _show(ctx: typer.Context, report: dict[str, Any]) -> None:
    if ctx.obj.as_json:
        ctx.obj.show(report)
        return
    if report["skipped"]:
        ctx.obj.show(report["skipped"], ["name", "reason"], f"{len(report['skipped'])} skipped")
    ctx.obj.say(
        f"Corpus {report['corpus']}: {report['added']} added, {report['changed']} changed, {report['unchanged']} unchanged, "
        f"{report['removed']} removed, {len(report['skipped'])} skipped; {report['documents']} documents."
    )
    if "index" in report:
        ctx.obj.say(f"Index version {report['number']} with {report['chunks']} chunks:")
        ctx.obj.write(report["index"])
    elif not report["documents"]:
        ctx.obj.say("No document could be read, so no index was built.")


def wait(ctx: typer.Context, job: dict[str, Any]) -> dict[str, Any]:
    """The job when it is done, its progress shown. Raises its error when it failed."""
    with ctx.obj.progress("Building the index") as update:
        while job["state"] in ("queued", "running"):
            update(job["done"], job["total"] or None, job["message"])
            job = ctx.obj.client.jobs.get(job_id=job["id"], wait_s=0.5)
        update(job["total"], job["total"] or None, job["state"])
    if job["state"] != "done":
        raise Error(f"Job {job['id']} is {job['state']}: {job['error'] or 'somebody stopped it'}. The documents are kept.")
    return job


# -- which files


def _python_docs() -> Files:
    from pydoc_data.topics import topics

    return {f"python-reference/{topic}.txt": text.encode() for topic, text in sorted(topics.items())}


def _walk(path: Path | None) -> Files:
    """Name in the corpus → file. Hidden files, those a .gitignore names, and folders in NEVER are left out."""
    if path is None:
        raise Invalid("Say what to take in: genwright ingest PATH (or --python-docs).")
    if not path.exists():
        raise Invalid(f"There is no file or folder {path}. Nothing was sent.")
    if path.is_file():
        return {path.name: path}
    files = {found.relative_to(path).as_posix(): found for found in _files(path, [])}
    if not files:
        raise Invalid(f"{path} holds no files that are not hidden or ignored. Nothing was sent.")
    return dict(sorted(files.items()))


def _files(folder: Path, ignored: list[tuple[Path, str]]) -> Iterator[Path]:
    rules = [*ignored, *((folder, line) for line in _ignore_lines(folder / ".gitignore"))]
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        found = Path(entry.path)
        if entry.name.startswith(".") or _matches(found, entry.is_dir(follow_symlinks=False), rules):
            continue
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in NEVER:
                yield from _files(found, rules)
        elif entry.is_file():
            yield found


def _ignore_lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip() and not line.startswith(("#", "!"))]


def _matches(found: Path, is_folder: bool, rules: list[tuple[Path, str]]) -> bool:
    """The common part of .gitignore: names, `*`, a folder's trailing slash, paths from the file's own folder."""
    for base, rule in rules:
        if rule.endswith("/") and not is_folder:
            continue
        pattern = rule.rstrip("/")
        below = found.relative_to(base).as_posix()
        name = below if "/" in pattern else found.name
        if fnmatch.fnmatch(name, pattern.lstrip("/")):
            return True
    return False


# -- sending


def _upload(ctx: typer.Context, corpus: str, files: Files, prune: bool) -> dict[str, Any]:
    known = _known(ctx, corpus)
    report: dict[str, Any] = {"corpus": corpus, "added": 0, "changed": 0, "unchanged": 0, "removed": 0, "skipped": []}
    readable = {name for name, row in known.items() if row["state"] == "ok"}
    with ctx.obj.progress("Uploading documents") as update, ThreadPoolExecutor(AT_ONCE) as pool:
        pending = pool.map(lambda item: _send(ctx, corpus, item[0], item[1], known.get(item[0])), files.items())
        for number, (name, what, row) in enumerate(pending, 1):
            if row["state"] == "ok":
                report[what] += 1
                readable.add(name)
            else:
                report["skipped"].append({"name": name, "code": row["code"], "reason": row["reason"]})
                readable.discard(name)
            update(number, len(files), name)
    for name in sorted(set(known) - set(files)) if prune else ():
        ctx.obj.client.retrieval.remove_document(corpus=corpus, name=name)
        readable.discard(name)
        report["removed"] += 1
    report["documents"] = len(readable)
    return report


def _known(ctx: typer.Context, corpus: str) -> dict[str, dict[str, Any]]:
    """The corpus's documents by name."""
    rows: dict[str, dict[str, Any]] = {}
    cursor: str | None = ""
    while cursor is not None:
        part = ctx.obj.client.retrieval.documents(corpus=corpus, cursor=cursor, limit=500)
        rows.update({row["name"]: row for row in part["items"]})
        cursor = part["next"]
    return rows


def _send(
    ctx: typer.Context, corpus: str, name: str, source: Path | bytes, known: dict[str, Any] | None
) -> tuple[str, str, dict[str, Any]]:
    """(name, added | changed | unchanged, the document's row)."""
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        return name, "added", {"state": "skipped", "code": "unreadable", "reason": f"It cannot be opened: {error.strerror}."}
    if known and known["state"] != "failed" and known["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}":
        return name, "unchanged", known
    try:
        row = ctx.obj.client.retrieval.add_document(corpus=corpus, name=name, data=data)
    except TooLarge:
        row = {"state": "skipped", "code": "too_large", "reason": f"It has {len(data):,} bytes; the server takes fewer."}
    except Invalid as error:
        row = {"state": "skipped", "code": error.code, "reason": error.message}
    return name, "changed" if known else "added", row


# -- genwright documents …


@app.command("list")
def list_(
    ctx: typer.Context,
    corpus: Annotated[str, typer.Argument(help="Name of a corpus; without it all corpora are listed.")] = "",
    state: Annotated[str, typer.Option(help="ok, skipped or failed.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
    cursor: Annotated[str, typer.Option(help="Where the last list ended.")] = "",
) -> None:
    """Corpora, or the documents of one."""
    if not corpus:
        ctx.obj.show(ctx.obj.client.retrieval.corpora(), ["name", "documents", "skipped", "bytes"], "Corpora")
        return
    found = ctx.obj.client.retrieval.documents(corpus=corpus, state=state, limit=limit, cursor=cursor)
    ctx.obj.show(found, ["name", "title", "state", "chars", "reason"], f"Documents of {corpus}")
    if found["next"]:
        ctx.obj.say(f"There are more: --cursor '{found['next']}'")


@app.command()
def show(
    ctx: typer.Context,
    digest: Annotated[str, typer.Argument(help="Digest of a document (sha256:…): `documents list CORPUS --json` has it.")],
) -> None:
    """A document's text."""
    found = ctx.obj.client.retrieval.document(digest=digest)
    if ctx.obj.as_json:
        ctx.obj.show(found)
    else:
        ctx.obj.write(found["text"])


@app.command()
def remove(ctx: typer.Context, corpus: str, name: str) -> None:
    """Take a document out of a corpus; index versions stay as they are."""
    ctx.obj.show(ctx.obj.client.retrieval.remove_document(corpus=corpus, name=name))


@app.command()
def build(
    ctx: typer.Context,
    corpus: str,
    index: Annotated[str, typer.Option(help="Index to build; by default named as the corpus.")] = "",
    label: Label = "",
    size: Size = 200,
    overlap: Overlap = 0,
    embedding_model: Model = "local/minilm",
) -> None:
    """Build an index version from what a corpus holds now."""
    options = {"size": size, "overlap": overlap, "embedding_model": embedding_model}
    job = wait(ctx, ctx.obj.client.retrieval.build(corpus=corpus, index=index or corpus, label=label, **options))
    ctx.obj.show(job["result"])


@app.command()
def indexes(ctx: typer.Context, name: Annotated[str, typer.Argument(help="Only this index.")] = "") -> None:
    """Index versions, newest first."""
    found = ctx.obj.client.retrieval.indexes(name=name)["items"]
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    rows = [
        {
            **row,
            "version": f"{row['name']}@{row['number']}",
            "model": row["content"]["embedding"]["model"],
            "created": clock.iso(row["created_ns"])[:16],
            "digest": row["digest"][:19],
        }
        for row in found
    ]
    ctx.obj.show(rows, ["version", "labels", "model", "created", "digest"], "Index versions")


@app.command()
def search(
    ctx: typer.Context,
    index: Annotated[str, typer.Argument(help="index:NAME, with @label or @number if you like.")],
    query: str,
    mode: Annotated[str, typer.Option(help="vector, text or hybrid.")] = "hybrid",
    k: Annotated[int, typer.Option(min=1, max=100)] = 5,
) -> None:
    """The passages that answer a question best."""
    found = ctx.obj.client.retrieval.search(index=index, query=query, mode=mode, k=k)
    if ctx.obj.as_json:
        ctx.obj.show(found)
        return
    rows = [{**row, "text": " ".join(row["text"].split())[:160]} for row in found["items"]]
    ctx.obj.show(rows, ["n", "score", "name", "heading", "text"])
