"""Documents in, index versions built, passages out: through the real rooms and the bundled model."""

from pydoc_data.topics import topics
from types import SimpleNamespace

import pytest

from genwright.access.types import SYSTEM
from genwright.errors import Forbidden, Invalid, Missing, Unavailable
from genwright.retrieval.types import Chunker, IndexSpec
from genwright.vocab import Scope

NAMES = ("assert", "break", "with", "lambda", "global")


async def add(rooms, names=NAMES, corpus="docs"):
    return [
        await rooms.retrieval.add_document(rooms.actor, corpus, f"python/{name}.txt", topics[name].encode()) for name in names
    ]


async def build(rooms, corpus="docs", index="docs", **options):
    job = await rooms.retrieval.build(rooms.actor, corpus, index, **options)
    job = await rooms.jobs.wait(rooms.scope, job.id, 60)
    assert job.state == "done", job.error
    return job


async def test_from_documents_to_passages(rooms):
    rows = await add(rooms)
    assert [row.state for row in rows] == ["ok"] * 5
    assert rows[0].title == 'The "assert" statement'
    job = await build(rooms, label="production")
    assert job.result["documents"] == 5
    version = await rooms.registry.get(rooms.scope, "index:docs@production")
    assert version.ref == job.result["index"]
    for mode in ("vector", "text", "hybrid"):
        with rooms.tracing.span(rooms.actor, "test") as root:
            found = await rooms.retrieval.search(
                rooms.actor, "index:docs@production", "How do I leave a loop early?", mode=mode, k=3
            )
        assert found[0].name == "python/break.txt", mode
        assert [passage.n for passage in found] == list(range(1, len(found) + 1))
        text = await rooms.retrieval.document_text(rooms.scope, found[0].document)
        assert text[found[0].start : found[0].end] == found[0].text
        assert set(found[0].scores) == {"vector": {"vector"}, "text": {"text"}, "hybrid": {"vector", "text"}}[mode]
    await rooms.tracing.flush()
    spans = (await rooms.tracing.trace(rooms.scope, root.trace_id)).spans
    span = next(span for span in spans if span.operation == "retrieval")
    assert span.attributes["genwright.index"] == version.ref
    assert span.attributes["genwright.embedding_model"] == "local/minilm"
    assert span.attributes["gen_ai.retrieval.documents"][0]["name"] == "python/break.txt"
    assert any(span.operation == "embeddings" for span in spans)


async def test_lineage_goes_from_index_to_corpus_to_document(rooms):
    rows = await add(rooms)
    job = await build(rooms)
    back = await rooms.registry.edges_back(rooms.scope, job.result["digest"], depth=3)
    assert {row.digest for row in rows} <= {edge.target for edge in back}
    forward = await rooms.registry.edges_forward(rooms.scope, rows[0].digest, depth=3)
    assert job.result["index"] in {edge.source_ref for edge in forward}


async def test_the_same_again_changes_nothing(rooms):
    await add(rooms)
    first = await build(rooms)
    rows = await add(rooms)
    again = await build(rooms)
    assert again.result["digest"] == first.result["digest"]
    assert again.result["number"] == first.result["number"]
    folders = list((rooms.home / "indexes" / "default").iterdir())
    assert len(folders) == 1
    assert (await rooms.retrieval.documents(rooms.scope, "docs")) == sorted(rows, key=lambda row: row.name)


async def test_a_changed_document_replaces_and_old_versions_stay(rooms):
    await add(rooms)
    first = await build(rooms)
    changed = topics["break"].replace("loop", "carousel").encode()
    await rooms.retrieval.add_document(rooms.actor, "docs", "python/break.txt", changed)
    await rooms.retrieval.remove_document(rooms.actor, "docs", "python/with.txt")
    second = await build(rooms)
    assert second.result["number"] == 2
    assert second.result["documents"] == 4
    new = await rooms.retrieval.search(rooms.actor, second.result["index"], "carousel", mode="text")
    old = await rooms.retrieval.search(rooms.actor, first.result["index"], "carousel", mode="text")
    assert [passage.name for passage in new][:1] == ["python/break.txt"]
    assert old == []
    gone = await rooms.retrieval.search(rooms.actor, first.result["index"], "context manager with statement", k=1)
    assert gone[0].name == "python/with.txt"
    assert await rooms.retrieval.document_text(rooms.scope, gone[0].document), "a removed document can still be read"
    with pytest.raises(Missing):
        await rooms.retrieval.remove_document(rooms.actor, "docs", "python/with.txt")


async def test_what_cannot_be_read_is_listed_and_skipped(rooms):
    await add(rooms, ("break",))
    for name, data, code in (
        ("empty.md", b"", "empty_document"),
        ("blank.txt", b" \n\t\n", "empty_document"),
        ("noise.bin", bytes(range(256)) * 30, "binary"),
        ("half.txt", "\ufeffGrüße".encode("utf-16-le") + b"\x00\xd8x", "encoding"),
        ("broken.pdf", b"%PDF-1.7\nnothing", "broken"),
        ("broken.docx", b"PK\x03\x04nothing", "broken"),
        ("broken.json", b"{", "broken"),
    ):
        row = await rooms.retrieval.add_document(rooms.actor, "docs", name, data)
        assert (row.state, row.code) == ("skipped", code), (name, row)
        assert row.reason
    assert len(await rooms.retrieval.documents(rooms.scope, "docs", state="skipped")) == 7
    assert (await build(rooms)).result["documents"] == 1


async def test_bad_requests_are_refused_by_name(rooms):
    await add(rooms, ("break",))
    service, actor = rooms.retrieval, rooms.actor
    with pytest.raises(Missing, match="docs"):
        await service.build(actor, "dosc", "docs")
    with pytest.raises(Invalid, match="chunk size"):
        await service.build(actor, "docs", "docs", IndexSpec(chunker=Chunker(size=300)))
    with pytest.raises(Invalid, match="name"):
        await service.add_document(actor, "docs", "a\x00b", b"x")
    job = await build(rooms)
    with pytest.raises(Invalid, match="Modes are"):
        await service.search(actor, job.result["index"], "x", mode="magic")
    with pytest.raises(Invalid, match="empty"):
        await service.search(actor, job.result["index"], "  ")
    with pytest.raises(Missing):
        await service.search(actor, "index:dox", "x")
    viewer = SimpleNamespace(scope=Scope(), need=_refuse)
    with pytest.raises(Forbidden):
        await service.add_document(viewer, "docs", "a.txt", b"x")


def _refuse(permission):
    raise Forbidden(permission)


async def test_a_long_query_is_searched_and_the_span_says_what_was_read(rooms):
    await add(rooms)
    job = await build(rooms)
    with rooms.tracing.span(rooms.actor, "test") as root:
        assert await rooms.retrieval.search(rooms.actor, job.result["index"], "leave the loop " * 200, mode="vector")
    await rooms.tracing.flush()
    spans = (await rooms.tracing.trace(rooms.scope, root.trace_id)).spans
    span = next(span for span in spans if span.operation == "retrieval")
    assert 0 < span.attributes["genwright.query_read_chars"] < 3000


async def test_a_damaged_index_is_refused(rooms):
    await add(rooms, ("break",))
    job = await build(rooms)
    version = await rooms.registry.get(rooms.scope, job.result["index"])
    folder = rooms.home / "indexes" / "default" / version.content["folder"][7:]
    (folder / "chunks.bin").write_bytes(b"short")
    with pytest.raises(Unavailable, match=r"chunks\.bin"):
        await rooms.retrieval.search(rooms.actor, version, "loop")


async def test_another_workspace_sees_nothing(rooms):
    await add(rooms, ("break",))
    job = await build(rooms)
    other = Scope("other", "default")
    digest = (await rooms.retrieval.documents(rooms.scope, "docs"))[0].digest
    assert await rooms.retrieval.documents(other, "docs") == []
    assert await rooms.retrieval.corpora(other) == []
    with pytest.raises(Missing):
        await rooms.retrieval.document_text(other, digest)
    with pytest.raises(Missing):
        await rooms.jobs.get(other, job.id)


TRICKS = (
    "{workspace}/{hex}", "../{workspace}/{hex}", "sha256:../{workspace}/{hex}", "sha256:{hex}/../../{workspace}/{hex}", "{hex}",
    "sha256:{hex}/", "sha256:{hex}\n", "SHA256:{hex}", "sha256:", "", "sha256:{short}", "sha256:{hex}\0",
)  # fmt: skip


async def test_an_index_version_names_no_folder_of_another_workspace(rooms):
    """Whoever may write artifacts can put any content into an index version; it opens only folders of its own workspace."""
    await add(rooms)
    ours = await rooms.registry.get(rooms.scope, (await build(rooms)).result["index"])
    stranger = SYSTEM(Scope("other"))
    digest = ours.content["folder"]
    where = {"workspace": rooms.scope.workspace, "hex": digest[7:], "short": digest[7:-1]}
    assert (rooms.home / "indexes" / rooms.scope.workspace / where["hex"]).is_dir()
    for number, folder in enumerate((digest, str(rooms.home), *(trick.format(**where) for trick in TRICKS))):
        stolen = await rooms.registry.put(stranger, "index", f"stolen{number}", {**ours.content, "folder": folder})
        with pytest.raises((Invalid, Missing, Unavailable)) as refused:
            await rooms.retrieval.search(stranger, f"index:{stolen.name}", "How do I leave a loop early?", k=3)
        assert isinstance(refused.value, Invalid) == (folder != digest), folder
    found = await rooms.retrieval.search(rooms.actor, ours.ref, "How do I leave a loop early?", k=3)
    assert found[0].name == "python/break.txt"
