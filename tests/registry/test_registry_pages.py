"""Pages of the registry: any artifact with content and lineage."""

from genwright.registry.pages import lineage
from genwright.registry.types import Edge
from page_site import PLANTED


async def test_artifacts_are_found_and_shown(site):
    release = await site.released()
    html = await site.get("/registry")
    assert "/w/default/registry/app/docs-qa" in html
    assert "/w/default/prompts/docs-qa" in html, "kinds with a page of their own lead there"
    assert "/w/default/registry/app/docs-qa" not in await site.get("/registry", kind="prompt")
    assert "No artifact fits" in await site.get("/registry", q="nothing")
    await site.get("/registry", 400, kind="nonsense")
    html = await site.get("/registry/app/docs-qa")
    assert "guard_input" in html
    assert release.digest[7:] in html, "forward to the release"
    await site.get("/registry/app/other", 404)


async def test_content_is_text(site):
    await site.house.registry.put(site.actor, "tool", "planted", {"text": PLANTED}, note=PLANTED)
    assert "&lt;script&gt;" in await site.get("/registry/tool/planted")


async def test_lineage_points_from_cause_to_effect(site):
    corpus = await site.house.registry.put(site.actor, "corpus", "docs", {"documents": {}})
    edge = Edge("built_from", "", corpus.digest, "corpus:docs@1")
    index = await site.house.registry.put(site.actor, "index", "docs", {"corpus": corpus.digest}, edges=[edge])
    forward = await site.house.registry.edges_forward(site.scope, corpus.digest, 2)
    nodes, arrows = lineage("default", corpus, forward)
    assert [(arrow.source, arrow.target, arrow.label) for arrow in arrows] == [(corpus.digest, index.digest, "built from")]
    assert {node.id: (node.kind, node.label, node.focus) for node in nodes} == {
        corpus.digest: ("corpus", "docs @1", True),
        index.digest: ("index", "docs", False),
    }


async def test_a_corpus_of_many_documents_is_drawn_with_some_of_them(site):
    edges = [Edge("built_from", "", f"sha256:{n:064x}", f"guide/page{n}.md") for n in range(30)]
    await site.house.registry.put(site.actor, "corpus", "many", {"documents": {}}, edges=edges)
    html = await site.get("/registry/corpus/many")
    assert "20 more not drawn" in html
    assert "page0.md" in html
    assert "page15.md" not in html
