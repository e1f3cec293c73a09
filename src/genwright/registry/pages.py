"""Pages of the registry: artifacts of every kind, and one with its versions, labels, content and lineage."""

from __future__ import annotations

from collections import Counter
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.registry.types import Edge, Version
from genwright.vocab import KINDS, Ref
from genwright.web import graph, links
from genwright.web.forms import address

router = APIRouter(prefix="/w/{workspace}/registry", include_in_schema=False)

PAGE = 50
DEPTH = 4
MAX_DRAWN = 40
"""Arrows drawn in the lineage; nearest first."""
MAX_DOCUMENTS = 10
"""Documents drawn beside a corpus that holds many; its content names them all."""
MAX_TEXT = 200_000


@router.get("")
async def list_(
    request: Request, q: str = "", kind: str = "", tag: str = "", cursor: str = "", actor: Actor = Depends(needs("read"))
) -> Response:
    """Artifacts by kind and name."""
    page = await request.app.state.registry.list(actor.scope, kind or None, q.strip(), tag.strip(), cursor or None, PAGE)
    path, fields = request.url.path, {"q": q, "kind": kind, "tag": tag}
    return request.app.state.pages.render(
        request,
        "registry/list.html",
        items=page.items,
        fields=fields,
        kinds=KINDS,
        next_url=address(path, {**fields, "cursor": page.next}) if page.next else "",
        first_url=address(path, fields) if cursor else "",
    )


@router.get("/{kind}/{name:path}")
async def artifact(request: Request, kind: str, name: str, v: str = "", actor: Actor = Depends(needs("read"))) -> Response:
    """One version: content, lineage both ways; beside it all versions and moves of labels."""
    registry, scope = request.app.state.registry, actor.scope
    version = await registry.get(scope, Ref.parse(f"{name}@{v}" if v else name, kind))
    back = await registry.edges_back(scope, version.digest, DEPTH)
    forward = await registry.edges_forward(scope, version.digest, DEPTH)
    drawn = _drawn([*back, *forward])
    nodes, edges = lineage(scope.workspace, version, drawn)
    text = msgspec.json.format(msgspec.json.encode(version.content), indent=2).decode()
    return request.app.state.pages.render(
        request,
        "registry/artifact.html",
        version=version,
        artifact=await registry.artifact(scope, kind, name),
        versions=await registry.versions(scope, kind, name),
        history=await registry.history(scope, kind, name, 100),
        text=text[:MAX_TEXT],
        cut=max(0, len(text) - MAX_TEXT),
        nodes=nodes,
        edges=edges,
        more=len(back) + len(forward) - len(drawn),
        base=f"/w/{scope.workspace}/registry/{kind}/{quote(name)}",
        own_page=links.artifact(scope.workspace, version.ref) if kind in links.OWN_PAGES else "",
    )


def _drawn(edges: list[Edge]) -> list[Edge]:
    """The nearest arrows, with few of the documents a corpus was made from."""
    kept, documents = [], Counter[str]()
    for edge in edges:
        if _is_document(edge.target_ref):
            documents[edge.source] += 1
            if documents[edge.source] > MAX_DOCUMENTS:
                continue
        kept.append(edge)
    return kept[:MAX_DRAWN]


def _is_document(ref: str) -> bool:
    """Documents stand in lineage by their name in the corpus, everything else by a ref."""
    return ref.partition(":")[0] not in KINDS


def lineage(workspace: str, version: Version, edges: list[Edge]) -> tuple[list[graph.Node], list[graph.Edge]]:
    """Nodes and arrows, causes left: what the version depends on, and what depends on it."""
    nodes = {version.digest: graph.Node(version.digest, f"{version.name} @{version.number}", version.kind, focus=True)}
    arrows = []
    for edge in edges:
        for digest, ref in ((edge.target, edge.target_ref), (edge.source, edge.source_ref)):
            if digest not in nodes:
                nodes[digest] = _node(workspace, digest, ref)
        arrows.append(graph.Edge(edge.target, edge.source, edge.relation.replace("_", " ")))
    return list(nodes.values()), arrows


def _node(workspace: str, digest: str, ref: str) -> graph.Node:
    if _is_document(ref):
        return graph.Node(digest, ref.rpartition("/")[2] or digest.removeprefix("sha256:")[:12], "document")
    kind, _, rest = ref.partition(":")
    name, _, selector = rest.partition("@")
    note = selector[7:15] if selector.startswith("sha256:") else selector
    return graph.Node(digest, name, kind, note, links.artifact(workspace, f"{kind}:{name}@{digest}"))
