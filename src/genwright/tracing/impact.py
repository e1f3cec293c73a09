"""What a document, prompt, model or any version has touched: forward along the registry's edges and into recorded answers."""

from __future__ import annotations

from genwright import vocab
from genwright.db import Database
from genwright.errors import Invalid, Missing
from genwright.registry.service import Registry
from genwright.tracing import queries
from genwright.tracing.types import Impact, ImpactVersion
from genwright.vocab import Ref, Scope

MAX_VERSIONS = 500
MAX_DEPTH = 20


async def touched(database: Database, registry: Registry, scope: Scope, ref: str, cursor: str | None, limit: int) -> Impact:
    """`ref`: a version's ref or digest, `document:sha256:…`, or `model:NAME` as spans have it. Raises Missing, Invalid."""
    key, digest, shown = await _key(registry, scope, ref.strip())
    versions = await _dependants(registry, scope, digest) if digest else []
    count, page = await database.read(queries.traces_with, scope, key, cursor, limit)
    if digest and not versions and not count and key != digest:
        known = await registry.edges_back(scope, digest)
        if not known and ref.startswith("document:"):
            raise Missing(f"{ref} is not known here: no corpus holds it and no answer used it. Look it up with its corpus.")
    return Impact(
        ref=shown,
        versions=[version for version in versions if version.kind != "release"],
        releases=[version for version in versions if version.kind == "release"],
        traces=count,
        counted_to=queries.COUNT_TO,
        items=page.items,
        next=page.next,
    )


async def _key(registry: Registry, scope: Scope, ref: str) -> tuple[str, str, str]:
    """(key in span_refs, digest to follow edges from or "", the ref to show)."""
    head, _, rest = ref.partition(":")
    if head == "document":
        if not vocab.DIGEST.match(rest):
            raise Invalid(f"'{ref[:100]}' names no document. Write document:sha256:<64 hex>, as a trace's passages show it.")
        return ref, rest, ref
    if vocab.DIGEST.match(ref):
        version = await registry.by_digest(scope, ref)
        return ref, ref, version.ref
    if head == "model" and "@" not in rest:
        try:
            version = await registry.get(scope, Ref.parse(ref))
        except (Missing, Invalid):  # a provider's model: known by name only
            return ref, "", ref
        return ref, version.digest, version.ref
    version = await registry.get(scope, Ref.parse(ref))
    return version.digest, version.digest, version.ref


async def _dependants(registry: Registry, scope: Scope, digest: str) -> list[ImpactVersion]:
    """Versions that depend on a digest, nearest first."""
    depths = {digest: 0}
    found: list[ImpactVersion] = []
    for edge in await registry.edges_forward(scope, digest, MAX_DEPTH):
        if edge.source in depths or len(found) >= MAX_VERSIONS:
            continue
        depths[edge.source] = depths.get(edge.target, 0) + 1
        version = await registry.by_digest(scope, edge.source)
        found.append(
            ImpactVersion(
                ref=version.ref, kind=version.kind, name=version.name, number=version.number, relation=edge.relation,
                depth=depths[edge.source], labels=version.labels,
            )
        )  # fmt: skip
    return found
