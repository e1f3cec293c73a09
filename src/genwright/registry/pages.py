"""Pages of the registry: artifacts of every kind, and one with its versions, labels, content and lineage."""

from __future__ import annotations

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
    nodes, edges = lineage(scope.workspace, version, back, forward)
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
        more=max(0, len(back) + len(forward) - MAX_DRAWN),
        base=f"/w/{scope.workspace}/registry/{kind}/{quote(name)}",
        own_page=links.artifact(scope.workspace, version.ref) if kind in links.OWN_PAGES else "",
    )


def lineage(workspace: str, version: Version, back: list[Edge], forward: list[Edge]) -> tuple[list[graph.Node], list[graph.Edge]]:
    """Nodes and arrows, causes left: what the version depends on, and what depends on it."""
    nodes = {version.digest: graph.Node(version.digest, f"{version.name} @{version.number}", version.kind, focus=True)}
    arrows = []
    for edge in [*back, *forward][:MAX_DRAWN]:
        for digest, ref in ((edge.target, edge.target_ref), (edge.source, edge.source_ref)):
            if digest not in nodes:
                nodes[digest] = _node(workspace, digest, ref)
        arrows.append(graph.Edge(edge.target, edge.source, edge.relation.replace("_", " ")))
    return list(nodes.values()), arrows


def _node(workspace: str, digest: str, ref: str) -> graph.Node:
    kind, _, rest = ref.partition(":")
    name, _, selector = rest.partition("@")
    if not name:
        return graph.Node(digest, digest.removeprefix("sha256:")[:12], "blob")
    note = selector[7:15] if selector.startswith("sha256:") else selector
    return graph.Node(digest, name, kind, note, links.artifact(workspace, f"{kind}:{name}@{digest}"))
