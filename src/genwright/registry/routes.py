"""REST of the registry. One service call a route; names have slashes, so they stand in the query or the body."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.errors import Invalid
from genwright.registry.types import Edge
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/registry", tags=["registry"])

Number = Annotated[int, msgspec.Meta(ge=1, le=999_999_999)]
Seen = Annotated[int, msgspec.Meta(ge=0, le=999_999_999)]
"""What the writer saw: a version number, 0 for none."""
Limit = Annotated[int, Query(ge=1, le=500)]


MADE_BY = {
    "prompt": "prompts.put", "policy": "guardrails.put", "app": "agents.put", "dataset": "datasets.put",
    "corpus": "retrieval.add_document", "index": "retrieval.build", "release": "releases.create",
    "price_book": "gateway.set_prices",
}  # fmt: skip
"""Kinds whose content a room checks or makes: what they hold is trusted afterwards, so no caller writes it directly."""


class NewEdge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a new version depends on."""

    relation: str
    target: str
    target_ref: str = ""


class PutVersion(msgspec.Struct, frozen=True):
    kind: str
    name: str
    content: dict[str, Any]
    note: str = ""
    edges: list[NewEdge] = []
    tags: list[str] = []
    expected: Seen | None = None


class MoveLabel(msgspec.Struct, frozen=True):
    kind: str
    name: str
    label: str
    number: Number
    expected: Seen | None = None
    note: str = ""


class Describe(msgspec.Struct, frozen=True):
    kind: str
    name: str
    description: str | None = None
    tags: list[str] | None = None


def _fields(shape: type[msgspec.Struct]) -> dict[str, Any]:
    return {"fields": list(shape.__struct_fields__)}


@router.get("/artifacts", operation_id="registry.list")
async def list_(
    request: Request,
    kind: str = "",
    query: str = "",
    tag: str = "",
    cursor: str | None = None,
    limit: Limit = 50,
    actor: Actor = Depends(needs("read")),
) -> Response:
    """Artifacts by kind and name; `query` looks in name and description, `tag` on artifacts and their versions."""
    return reply(await request.app.state.registry.list(actor.scope, kind, query, tag, cursor, limit))


@router.post("/artifacts", operation_id="registry.describe", openapi_extra=_fields(Describe))
async def describe(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Change an artifact's description or tags; what is left out stays."""
    body = await read_body(request, Describe)
    return reply(await request.app.state.registry.describe(actor, body.kind, body.name, body.description, body.tags))


@router.get("/artifacts/versions", operation_id="registry.versions")
async def versions(request: Request, kind: str, name: str, actor: Actor = Depends(needs("read"))) -> Response:
    """All versions of an artifact, newest first, without their contents."""
    return reply({"items": await request.app.state.registry.versions(actor.scope, kind, name), "next": None})


@router.get("/versions", operation_id="registry.get")
async def get(request: Request, ref: str, actor: Actor = Depends(needs("read"))) -> Response:
    """One version: `kind:name`, with `@label`, `@number` or `@sha256:…`; without, the newest."""
    return reply(await request.app.state.registry.get(actor.scope, ref))


@router.post("/versions", operation_id="registry.put", openapi_extra=_fields(PutVersion))
async def put(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Store a version, or get the newest one back if it has this content already."""
    body = await read_body(request, PutVersion)
    if body.kind in MADE_BY:
        raise Invalid(f"A version of kind {body.kind} is made by {MADE_BY[body.kind]}. Nothing was stored.", code="wrong_door")
    edges = [Edge(edge.relation, "", edge.target, edge.target_ref) for edge in body.edges]
    version = await request.app.state.registry.put(
        actor, body.kind, body.name, body.content, note=body.note, edges=edges, tags=body.tags, expected=body.expected
    )
    return reply(version, 201)


@router.get("/labels", operation_id="registry.labels")
async def labels(request: Request, kind: str, name: str, actor: Actor = Depends(needs("read"))) -> Response:
    """Labels of an artifact and the versions they stand on."""
    return reply({"items": await request.app.state.registry.labels(actor.scope, kind, name), "next": None})


@router.post("/labels", operation_id="registry.label", openapi_extra=_fields(MoveLabel))
async def label(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Put a label on a version; `expected` says where you saw it. `production` needs the permission promote."""
    body = await read_body(request, MoveLabel)
    if body.kind == "release":
        raise Invalid(
            "A release's labels are moved by releases.promote, which asks its gate. Nothing was moved.", code="wrong_door"
        )
    move = await request.app.state.registry.label(
        actor, body.kind, body.name, body.label, body.number, expected=body.expected, note=body.note
    )
    return reply(move)


@router.get("/history", operation_id="registry.history")
async def history(request: Request, kind: str, name: str, limit: Limit = 500, actor: Actor = Depends(needs("read"))) -> Response:
    """Moves of an artifact's labels, newest first."""
    return reply({"items": await request.app.state.registry.history(actor.scope, kind, name, limit), "next": None})


@router.get("/edges", operation_id="registry.edges")
async def edges(
    request: Request,
    digest: str,
    direction: Literal["back", "forward"] = "back",
    depth: Annotated[int, Query(ge=1, le=20)] = 1,
    actor: Actor = Depends(needs("read")),
) -> Response:
    """Lineage of a version: back to what it depends on, or forward to what depends on it."""
    registry = request.app.state.registry
    walk = registry.edges_forward if direction == "forward" else registry.edges_back
    return reply({"items": await walk(actor.scope, digest, depth), "next": None})
