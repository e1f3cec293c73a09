"""Why and impact over a real registry: an answer's causes found, and what a document or prompt has touched."""

from __future__ import annotations

import pytest

from genwright.errors import Invalid, Missing
from genwright.registry.types import Edge
from genwright.tracing.commands import why_lines
from genwright.vocab import Scope, digest_bytes

SCOPE = Scope()
DOCUMENT = digest_bytes(b"lambda.txt")
OTHER_DOCUMENT = digest_bytes(b"with.txt")


@pytest.fixture
async def house(tracing, registry, actor):
    """An app with a corpus, an index, a prompt, a policy and a promoted release; one answer and its scores."""
    from types import SimpleNamespace

    documents = {"lambda.txt": DOCUMENT, "with.txt": OTHER_DOCUMENT}
    edges = [Edge("built_from", "", digest, name) for name, digest in documents.items()]
    corpus = await registry.put(actor, "corpus", "docs", {"documents": documents}, edges=edges)
    content = {"corpus": corpus.digest, "chunker": {"name": "headings"}, "embedding": {"model": "local/minilm"}, "chunks": 9}
    index = await registry.put(actor, "index", "docs", content, edges=[Edge("built_from", "", corpus.digest)])
    prompt = await registry.put(actor, "prompt", "docs-qa", {"messages": [{"role": "user", "content": "{{question}}"}]})
    policy = await registry.put(actor, "policy", "default", {"rails": {}})
    app = await registry.put(actor, "app", "docs-qa", {"steps": []}, edges=[Edge("uses", "", prompt.digest)])
    pins = {f"{v.kind}:{v.name}@production": {"digest": v.digest} for v in (prompt, index, policy)}
    release = await registry.put(
        actor,
        "release",
        "docs-qa",
        {"app": {"name": "docs-qa", "digest": app.digest}, "pins": pins},
        edges=[Edge("uses", "", version.digest) for version in (app, prompt, index, policy)],
    )
    await registry.label(actor, "release", "docs-qa", "production", release.number, note="passed its gate")
    made = SimpleNamespace(
        corpus=corpus, index=index, prompt=prompt, policy=policy, app=app, release=release, tracing=tracing, actor=actor
    )
    made.trace_id = answer(made)
    await tracing.flush()
    await tracing.score(actor, made.trace_id, "groundedness", 0.5)
    return made


def answer(house, **extra) -> str:
    """One call of the app, with the spans that agents, retrieval, prompts, guards and the gateway make."""
    tracing, actor = house.tracing, house.actor
    passages = [
        {"id": "c1", "n": 1, "document": DOCUMENT, "name": "lambda.txt", "heading": "Lambdas", "start": 5, "end": 40,
         "score": 0.75, "text": "A lambda is a small function."},
        {"id": "c2", "n": 2, "document": OTHER_DOCUMENT, "name": "with.txt", "start": 0, "end": 9, "score": 0.25, "text": "BAD"},
    ]  # fmt: skip
    with tracing.span(actor, "app docs-qa", operation="invoke_agent") as root:
        root.set("genwright.release", house.release.ref)
        root.set("genwright.app", "docs-qa")
        for key, value in extra.items():
            root.set(key, value)
        root.input, root.output = "What is a lambda?", "A small function [1]."
        with tracing.span(actor, "retrieval docs", operation="retrieval") as span:
            span.input = "What is a lambda?"
            span.set("genwright.index", house.index.ref)
            span.set("genwright.mode", "vector")
            span.set("genwright.k", 2)
            span.set("gen_ai.retrieval.documents", passages)
        with tracing.span(actor, "guard passages", operation="guard") as span:
            span.set("genwright.rail", "passages")
            span.set("genwright.policy", house.policy.ref)
            span.set("genwright.action", "block")
            span.set("genwright.findings", [{"guard": "injection", "kind": "override", "reason": "says ignore", "passage": 2}])
            span.output = passages[:1]
        with tracing.span(actor, "render_prompt", operation="render_prompt") as span:
            span.set("genwright.prompt", house.prompt.ref)
            span.input = {"question": "What is a lambda?"}
        with tracing.span(actor, "chat", operation="chat") as span:
            span.set("genwright.prompt", house.prompt.ref)
            span.set("genwright.route", "local/extractive")
            span.set("gen_ai.provider.name", "local")
            span.set("gen_ai.request.model", "extractive")
            span.set("gen_ai.request.temperature", 0.0)
            span.set("gen_ai.usage.input_tokens", 40)
            span.set("gen_ai.usage.output_tokens", 5)
    return root.trace_id


async def test_why_names_every_cause(house):
    why = await house.tracing.why(SCOPE, house.trace_id)
    assert (why.input, why.output) == ("What is a lambda?", "A small function [1].")
    assert why.release["number"] == 1
    moved = why.release["promoted"][0]
    assert (moved["label"], moved["by"], moved["note"]) == ("production", house.actor.id, "passed its gate")
    assert moved["at_ns"] > 0
    prompt = why.prompts[0]
    assert (prompt["ref"], prompt["number"], prompt["variables"]) == (house.prompt.ref, 1, {"question": "What is a lambda?"})
    index = why.indexes[0]
    assert (index["ref"], index["mode"], index["k"], index["embedding_model"]) == (house.index.ref, "vector", 2, "local/minilm")
    assert (index["corpus"]["ref"], index["corpus"]["documents"]) == (house.corpus.ref, 2)
    first, second = why.passages
    assert (first.n, first.name, first.heading, first.start, first.end, first.score, first.cited) == (
        1, "lambda.txt", "Lambdas", 5, 40, 0.75, True,
    )  # fmt: skip
    assert (second.n, second.cited) == (0, False)  # dropped by the guard
    model = why.models[0]
    assert (model["route"], model["provider"], model["model"], model["parameters"]) == (
        "local/extractive", "local", "extractive", {"temperature": 0.0},
    )  # fmt: skip
    assert (model["tokens_in"], model["tokens_out"]) == (40, 5)
    assert why.guards[0]["findings"][0]["reason"] == "says ignore"
    assert [score.name for score in why.scores] == ["groundedness"]
    assert why.missing == ["cost: the price of extractive is not known"]


async def test_why_draws_a_connected_graph(house):
    why = await house.tracing.why(SCOPE, house.trace_id)
    ids = {node.id for node in why.nodes}
    assert all(edge.source in ids and edge.target in ids for edge in why.edges)
    reached, waiting = set(), ["answer"]
    while waiting:
        at = waiting.pop()
        reached.add(at)
        waiting += [edge.target for edge in why.edges if edge.source == at and edge.target not in reached]
    assert reached == ids
    triples = {(edge.source, edge.relation, edge.target) for edge in why.edges}
    assert ("answer", "released_in", house.release.ref) in triples
    assert (house.release.ref, "pins", house.prompt.ref) in triples
    assert ("answer", "cites", "passage:c1") in triples
    assert ("answer", "dropped", "passage:c2") in triples
    assert ("passage:c1", "part_of", f"document:{DOCUMENT}") in triples
    assert (house.index.ref, "built_from", house.corpus.ref) in triples
    by_id = {node.id: node for node in why.nodes}
    assert by_id[house.prompt.ref].title == "docs-qa @1"
    assert by_id[house.prompt.ref].href.startswith("/prompts/docs-qa")


async def test_why_reads_well_as_text(house):
    import msgspec

    text = "\n".join(why_lines(msgspec.to_builtins(await house.tracing.why(SCOPE, house.trace_id))))
    for part in ("production by key_test", "[1] cited: lambda.txt, characters 5–40 (Lambdas), score 0.75", "40 → 5 tokens",
                 "dropped by a guard", "groundedness: 0.5", "Not known:", "says ignore"):  # fmt: skip
        assert part in text


async def test_why_names_what_is_not_known(tracing, actor, actor_in, house):
    unknown = "sha256:" + "9" * 64
    with tracing.span(actor_in(capture="metadata"), "chat", operation="chat", parent=("ab" * 16, "cd" * 8)) as span:
        span.set("genwright.prompt", f"prompt:gone@{unknown}")
        span.input = "SECRET"
    await tracing.flush()
    why = await tracing.why(SCOPE, span.trace_id)
    text = "\n".join(why.missing)
    for part in ("release: none", f"prompt:gone@{unknown} is not in", "cd" * 8, "capture=metadata", "reported no usage"):
        assert part in text
    with pytest.raises(Missing):
        await tracing.why(Scope("other"), house.trace_id)


async def test_impact_follows_a_document_to_versions_releases_and_answers(house):
    found = await house.tracing.impact(SCOPE, f"document:{DOCUMENT}")
    assert [(v.kind, v.depth) for v in found.versions] == [("corpus", 1), ("index", 2)]
    assert [(v.ref, v.depth, v.labels) for v in found.releases] == [(house.release.ref, 3, ["production"])]
    assert (found.traces, [row.trace_id for row in found.items]) == (1, [house.trace_id])


async def test_impact_of_prompts_models_and_releases(house):
    found = await house.tracing.impact(SCOPE, "prompt:docs-qa@1")
    assert {v.kind for v in found.versions} == {"app"}
    assert [v.ref for v in found.releases] == [house.release.ref]
    assert found.traces == 1
    assert (await house.tracing.impact(SCOPE, "model:extractive")).traces == 1
    assert (await house.tracing.impact(SCOPE, "release:docs-qa@production")).traces == 1
    assert (await house.tracing.impact(SCOPE, house.policy.digest)).traces == 1
    assert (await house.tracing.impact(SCOPE, "model:never-used")).traces == 0
    with pytest.raises(Missing):
        await house.tracing.impact(SCOPE, "prompt:docs-qb")
    with pytest.raises(Missing):
        await house.tracing.impact(SCOPE, "document:sha256:" + "0" * 64)
    with pytest.raises(Invalid):
        await house.tracing.impact(SCOPE, "document:lambda.txt")
    assert (await house.tracing.impact(Scope("other"), "model:extractive")).traces == 0


async def test_impact_pages_newest_first(house):
    more = [answer(house) for _ in range(6)]
    await house.tracing.flush()
    expected = [*reversed(more), house.trace_id]
    seen, cursor = [], None
    while True:
        found = await house.tracing.impact(SCOPE, "prompt:docs-qa", cursor, 3)
        assert found.traces == 7
        seen += [row.trace_id for row in found.items]
        cursor = found.next
        if cursor is None:
            break
    assert seen == expected
