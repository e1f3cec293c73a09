"""Why an answer is as it is: follows the refs on a trace's spans into the registry, back to prompts, indexes and documents.

Pure but for reading versions and label moves. What is not known is named with its reason (`missing`), never guessed.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from genwright import vocab
from genwright.errors import Error
from genwright.registry.service import Registry
from genwright.registry.types import Version
from genwright.tracing import dialects
from genwright.tracing.dialect_messages import readable
from genwright.tracing.types import Span, Trace, Why, WhyEdge, WhyNode, WhyPassage
from genwright.vocab import Ref, Scope
from genwright.web import links

_CITED = re.compile(r"\[(\d{1,4}(?:\s*,\s*\d{1,4})*)\]")
_PARAMETERS = "gen_ai.request."
_NO_PARAMETERS = {"gen_ai.request.model"}
MAX_DRAWN = 12
"""Passages drawn in the graph; all of them are in the flat list."""


async def explain(registry: Registry, scope: Scope, trace: Trace) -> Why:
    """All causes of one answer."""
    return await _Explanation(registry, scope, trace).build()


class _Explanation:
    def __init__(self, registry: Registry, scope: Scope, trace: Trace):
        self.registry = registry
        self.scope = scope
        self.trace = trace
        self.why = Why(trace=trace.row, scores=trace.scores)
        self._versions: dict[str, Version | None] = {}
        self._nodes: dict[str, WhyNode] = {}

    async def build(self) -> Why:
        root = self._root()
        answered = self._answered(root)
        self.why.input, self.why.output = answered.input, answered.output
        self._node("answer", "answer", root.name, facts={"trace": root.trace_id}, href=f"/tracing/{root.trace_id}")
        await self._release(root)
        await self._prompts()
        await self._indexes()
        self._passages(readable(answered.output, 1_000_000))
        self._models()
        await self._routes()
        await self._guards()
        self._rest(root)
        self.why.nodes = list(self._nodes.values())
        return self.why

    def _root(self) -> Span:
        """The call itself: the span the roll-up takes its name from."""
        ids = {span.span_id for span in self.trace.spans}
        tops = [span for span in self.trace.spans if span.parent_id not in ids]
        return next((span for span in tops if not span.parent_id), (tops or self.trace.spans)[0])

    def _answered(self, root: Span) -> Span:
        """The span with what was asked and answered: a route's is that of the call it ended with."""
        step = root.attributes.get(vocab.ROUTE_STEP)
        if not step or root.output is not None:
            return root
        return next((span for span in reversed(self.trace.spans) if span.operation == "chat"
                     and span.attributes.get(vocab.ROUTE_STEP) == step), root)  # fmt: skip

    # -- parts

    async def _routes(self) -> None:
        for ref, holders in self._holders(vocab.ROUTE_REF).items():
            version = await self._version(ref, "route")
            attributes = holders[0].attributes
            taken = {"step": attributes.get(vocab.ROUTE_STEP, ""), "notes": attributes.get("genwright.route_notes", [])}
            self._artifact(ref, "route", version, {**_about(version), **taken})
            self._edge("answer", ref, "routed_by")
            self._pin(ref)

    async def _release(self, root: Span) -> None:
        ref = self.trace.row.release
        if not ref:
            self._miss("release: none; the call did not go to a released app")
            return
        version = await self._version(ref, "release")
        facts: dict[str, Any] = {"ref": ref, "app": self.trace.row.app}
        if version is not None:
            draft = version.kind != "release"  # an app that was called before it was released: no label was ever moved to it
            moves = [] if draft else await self.registry.history(self.scope, "release", version.name)
            promoted = [
                {"label": move.label, "by": move.by, "at_ns": move.at_ns, "note": move.note, "from_number": move.from_number}
                for move in moves
                if move.to_number == version.number
            ]
            facts |= {
                "number": version.number, "note": version.note, "created_by": version.created_by,
                "created_ns": version.created_ns, "labels": version.labels, "promoted": promoted,
                "pins": _pins(version.content), "code": version.content.get("code", {}),
            }  # fmt: skip
            if draft:
                self._miss("release: none; a draft of the app answered")
            elif not promoted:
                self._miss("promotion: no label has ever stood on this release; it was called by its number or digest")
        self.why.release = facts
        shown: dict[str, Any] = {key: facts[key] for key in ("number", "created_by", "labels") if key in facts}
        if facts.get("promoted"):
            shown |= {"promoted_by": facts["promoted"][0]["by"], "promoted_ns": facts["promoted"][0]["at_ns"]}
        self._artifact(ref, "release", version, shown)
        self._edge("answer", ref, "released_in")

    async def _prompts(self) -> None:
        for ref, holders in self._holders(vocab.PROMPT).items():
            version = await self._version(ref, "prompt")
            rendered = next((span for span in holders if span.operation == "render_prompt"), holders[0])
            facts = {"ref": ref, **_about(version), "variables": rendered.attributes.get("genwright.variables")}
            if facts["variables"] is None and rendered.operation == "render_prompt":
                facts["variables"] = rendered.input
            self.why.prompts.append(facts)
            self._artifact(ref, "prompt", version, _about(version))
            self._edge("answer", ref, "rendered_from")
            self._pin(ref)

    async def _indexes(self) -> None:
        for ref, holders in self._holders(vocab.INDEX).items():
            version = await self._version(ref, "index")
            content = version.content if version else {}
            first = holders[0].attributes
            embedding = first.get(dialects.EMBEDDING_MODEL) or (content.get("embedding") or {}).get("model", "")
            facts = {
                "ref": ref, **_about(version), "embedding_model": embedding, "mode": first.get("genwright.mode", ""),
                "k": first.get("genwright.k"), "chunker": content.get("chunker"), "chunks": content.get("chunks"),
                "query": readable(holders[0].input, 2_000) if holders[0].input is not None else "", "corpus": None,
            }  # fmt: skip
            self._artifact(ref, "index", version, {**_about(version), "mode": facts["mode"], "k": facts["k"]})
            self._edge("answer", ref, "retrieved_from")
            self._pin(ref)
            await self._corpus(ref, content, facts)
            if embedding:
                self._node(f"model:{embedding}", "embedding_model", embedding)
                self._edge(ref, f"model:{embedding}", "embedded_by")
            self.why.indexes.append(facts)

    async def _corpus(self, index: str, content: dict[str, Any], facts: dict[str, Any]) -> None:
        digest = content.get("corpus")
        if not isinstance(digest, str) or not vocab.DIGEST.match(digest):
            return
        version = await self._version(digest, "corpus")
        ref = version.ref if version else digest
        facts["corpus"] = {"ref": ref, **_about(version)}
        if version:
            facts["corpus"]["documents"] = len(version.content.get("documents", {}))
        self._artifact(ref, "corpus", version, _about(version))
        self._edge(index, ref, "built_from")

    def _passages(self, answer: str) -> None:
        cited = {int(number) for found in _CITED.findall(answer) for number in found.split(",")}
        for span in self.trace.spans:
            if span.operation != "retrieval":
                continue
            index = str(span.attributes.get(vocab.INDEX) or "answer")
            items = span.attributes.get(dialects.DOCUMENTS)
            for item in self._kept(items if isinstance(items, list) else span.output if isinstance(span.output, list) else []):
                passage = _passage(item, cited)
                self.why.passages.append(passage)
                if len(self.why.passages) <= MAX_DRAWN or passage.cited:
                    self._draw_passage(passage, index)

    def _kept(self, items: list[Any]) -> list[dict[str, Any]]:
        """The passages as the model saw them: a guard may have dropped some and numbered the rest anew."""
        found = [item for item in items if isinstance(item, dict)]
        guard = next((span for span in self.trace.spans if span.attributes.get("genwright.rail") == "passages"), None)
        if guard is None or not isinstance(guard.output, list):
            return found
        numbers = {item.get("id"): item.get("n") for item in guard.output if isinstance(item, dict)}
        return [{**item, "n": numbers.get(item.get("id"), 0)} for item in found]

    def _draw_passage(self, passage: WhyPassage, index: str) -> None:
        place = f"passage:{passage.id or passage.n}"
        facts = {"n": passage.n, "score": passage.score, "start": passage.start, "end": passage.end, "cited": passage.cited}
        title = passage.heading or passage.title or passage.name or f"passage {passage.n}"
        href = f"/tracing/{self.trace.row.trace_id}/passages/{passage.n}" if passage.n else ""
        self._node(place, "passage", f"[{passage.n}] {title}" if passage.n else title, facts=facts, href=href)
        self._edge("answer", place, "cites" if passage.cited else "was_given" if passage.n else "dropped")
        if index != "answer":
            self._edge(place, index, "found_in")
        if passage.document:
            document = f"document:{passage.document}"
            page = f"/documents/text/{passage.document}?" + urlencode({"name": passage.name})
            title = passage.name or passage.title or passage.document[:19]
            self._node(document, "document", title, facts={"digest": passage.document}, href=page)
            self._edge(place, document, "part_of")

    def _models(self) -> None:
        for span in self.trace.spans:
            if not dialects.is_model_call(span) or span.operation == "embeddings":
                continue
            attributes = span.attributes
            facts = {
                "span": span.span_id, "operation": span.operation, "route": attributes.get(vocab.ROUTE, ""), "model": span.model,
                "response_model": attributes.get("gen_ai.response.model", ""), "provider": span.provider, "status": span.status,
                "tokens_in": span.tokens_in, "tokens_out": span.tokens_out, "cost_nano_usd": span.cost_nano_usd,
                "duration_ns": span.duration_ns, "finish_reasons": attributes.get("gen_ai.response.finish_reasons"),
                "parameters": {
                    key.removeprefix(_PARAMETERS): value
                    for key, value in attributes.items()
                    if key.startswith(_PARAMETERS) and key not in _NO_PARAMETERS
                },
            }  # fmt: skip
            self.why.models.append(facts)
            place = f"model:{span.model or span.span_id}"
            self._node(
                place, "model", span.model or span.name, facts={key: facts[key] for key in ("route", "provider", "status")}
            )
            self._edge("answer", place, "written_by")
            if span.status == "ok" and span.cost_nano_usd is None:
                self._miss(f"cost: the price of {span.model or 'the model'} is not known")
            if span.status == "ok" and span.tokens_out is None:
                self._miss(f"tokens: {span.model or 'the model'} reported no usage")

    async def _guards(self) -> None:
        for span in self.trace.spans:
            if span.operation != "guard":
                continue
            attributes = span.attributes
            facts = {
                "span": span.span_id, "step": attributes.get(vocab.STEP, ""), "rail": attributes.get("genwright.rail", ""),
                "action": attributes.get("genwright.action", ""), "findings": attributes.get("genwright.findings") or [],
                "duration_ns": span.duration_ns, "status": span.status, "policy": attributes.get(vocab.POLICY, ""),
            }  # fmt: skip
            self.why.guards.append(facts)
            place = f"guard:{span.span_id}"
            if facts["findings"] or facts["action"] not in ("", "allow"):
                self._node(
                    place, "guard", f"{facts['rail']}: {facts['action'] or 'flag'}", facts={"findings": len(facts["findings"])}
                )
                self._edge("answer", place, "guarded_by")
        for ref in self._holders(vocab.POLICY):
            version = await self._version(ref, "policy")
            self._artifact(ref, "policy", version, _about(version))
            self._edge("answer", ref, "guarded_by")
            self._pin(ref)

    def _rest(self, root: Span) -> None:
        for name, kind, relation in ((vocab.RUN, "run", "asked_by"), (vocab.REPLAY_OF, "trace", "replays")):
            value = root.attributes.get(name)
            if value:
                href = f"/tracing/{value}" if kind == "trace" else ""
                self._node(f"{kind}:{value}", kind, str(value), href=href)
                self._edge("answer", f"{kind}:{value}", relation)
        for span in self.trace.spans:
            if span.status == "error":
                kind = span.attributes.get("error.type", "")
                self.why.errors.append({"span": span.span_id, "name": span.name, "error": span.error, "type": kind})
            elif span.status == "pending":
                self._miss(f"span {span.name!r}: it has begun, its end has not been received")
        ids = {span.span_id for span in self.trace.spans}
        if root.parent_id and root.parent_id not in ids:
            self._miss(f"the caller's span {root.parent_id}: it was not sent here")
        if any(span.capture != "full" for span in self.trace.spans):
            self._miss("input, output and passages' text: not recorded (capture=metadata)")
        elif root.input is None and root.output is None:
            self._miss("input and output: not recorded by what made the root span")

    # -- helpers

    def _holders(self, attribute: str) -> dict[str, list[Span]]:
        """Ref → spans that carry it in this attribute."""
        found: dict[str, list[Span]] = {}
        for span in self.trace.spans:
            value = span.attributes.get(attribute)
            if isinstance(value, str) and value:
                found.setdefault(value, []).append(span)
        return found

    async def _version(self, ref: str, kind: str) -> Version | None:
        """The version behind a ref or digest; None (and named as missing) where the registry does not know it."""
        if ref not in self._versions:
            digest = ref.rpartition("@")[2]
            try:
                if vocab.DIGEST.match(ref):
                    self._versions[ref] = await self.registry.by_digest(self.scope, digest)
                else:
                    self._versions[ref] = await self.registry.get(self.scope, Ref.parse(ref, kind))
            except Error:
                self._versions[ref] = None
                self._miss(f"{kind}: {ref} is not in this project's registry")
        return self._versions[ref]

    def _artifact(self, ref: str, kind: str, version: Version | None, facts: dict[str, Any]) -> None:
        title = f"{version.name} @{version.number}" if version else ref.partition("@")[0].partition(":")[2] or ref[:19]
        page = links.artifact(self.scope.workspace, version.ref) if version else ""
        self._node(
            ref,
            kind,
            title,
            ref=version.ref if version else ref,
            href=page.removeprefix(f"/w/{self.scope.workspace}"),
            facts=facts,
        )

    def _pin(self, ref: str) -> None:
        """A release pins what its answers use."""
        if self.why.release and self.trace.row.release in self._nodes:
            digest = ref.rpartition("@")[2]
            if digest in self.why.release.get("pins", []):
                self._edge(self.trace.row.release, ref, "pins")

    def _node(
        self, id: str, kind: str, title: str, *, ref: str = "", href: str = "", facts: dict[str, Any] | None = None
    ) -> None:
        self._nodes.setdefault(id, WhyNode(id=id, kind=kind, title=title, ref=ref, href=href, facts=facts or {}))

    def _edge(self, source: str, target: str, relation: str) -> None:
        edge = WhyEdge(source, target, relation)
        if edge not in self.why.edges:
            self.why.edges.append(edge)

    def _miss(self, text: str) -> None:
        if text not in self.why.missing:
            self.why.missing.append(text)


def _about(version: Version | None) -> dict[str, Any]:
    if version is None:
        return {}
    return {
        "name": version.name, "number": version.number, "labels": version.labels, "created_by": version.created_by,
        "created_ns": version.created_ns, "note": version.note,
    }  # fmt: skip


def _pins(content: dict[str, Any]) -> list[str]:
    pins = content.get("pins")
    pinned = [pin.get("digest") for pin in pins.values() if isinstance(pin, dict)] if isinstance(pins, dict) else []
    app = content.get("app")
    return [digest for digest in [*pinned, app.get("digest") if isinstance(app, dict) else None] if isinstance(digest, str)]


def _passage(item: dict[str, Any], cited: set[int]) -> WhyPassage:
    def text(key: str) -> str:
        value = item.get(key)
        return value if isinstance(value, str) else ""

    def whole(key: str) -> int:
        value = item.get(key)
        return value if isinstance(value, int) else 0

    score = item.get("score")
    scores = item.get("scores")
    return WhyPassage(
        n=whole("n"), id=text("id"), document=text("document"), name=text("name"), title=text("title"), heading=text("heading"),
        start=whole("start"), end=whole("end"), score=float(score) if isinstance(score, (int, float)) else None,
        scores=scores if isinstance(scores, dict) else {}, text=text("text") or text("content"), cited=whole("n") in cited,
    )  # fmt: skip
