"""Tracing: makes own spans, takes foreign ones in, finds and shows them, keeps scores, answers why, impact and traffic."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any

from genwright import clock
from genwright.access.types import Actor
from genwright.db import Database
from genwright.errors import Invalid, Missing, Unavailable
from genwright.tracing import queries
from genwright.tracing.impact import touched
from genwright.tracing.intake import Intake
from genwright.tracing.otlp import Answer
from genwright.tracing.spans import LiveSpan, Parent, Tracer, current, parse_traceparent
from genwright.tracing.types import Impact, Score, Source, Stats, Trace, TraceFilter, TracePage, Why
from genwright.tracing.why import explain
from genwright.vocab import IDENT, Scope

if TYPE_CHECKING:
    from genwright.blobs import Blobs
    from genwright.registry.service import Registry

__all__ = ["LiveSpan", "Tracing", "current", "parse_traceparent"]

FRESH_S = 2.0
"""Longest wait of a reader for spans that are queued."""

Ids = list[str]  # in the class below, `list` is a verb
Scores = list[Score]


class Tracing:
    """`database` is the spans database. One instance a process; `close` writes what is queued."""

    def __init__(self, database: Database, registry: Registry, blobs: Blobs | None = None, max_body_bytes: int = 20_000_000):
        self.database = database
        self.registry = registry
        self.blobs = blobs
        self.tracer = Tracer(database)
        self.intake = Intake(database, max_body_bytes)

    # -- own spans

    def span(self, actor: Actor, name: str, *, operation: str = "", parent: Parent = None) -> LiveSpan:
        """A span as a context manager. Its parent is `parent` ((trace id, span id) or a traceparent header), else the span
        that is open in this task, else it is a root."""
        return LiveSpan(self.tracer, actor.scope, actor.capture, name, operation, parent)

    async def flush(self) -> None:
        """Returns when all own spans ended so far are on disk."""
        await asyncio.shield(asyncio.wrap_future(self.tracer.flush()))  # a caller who goes must not cancel the writer's future

    def health(self) -> dict[str, Any]:
        """{"waiting", "dropped", "written", "lag_s", "failed"} of the own spans' queue; "intake_bytes", "intake_refused"
        (messages answered 503) of OTLP."""
        return {**self.tracer.health(), "intake_bytes": self.intake.waiting_bytes, "intake_refused": self.intake.refused}

    def close(self) -> None:
        self.tracer.close()
        self.intake.close()

    # -- foreign spans

    async def ingest(self, actor: Actor, body: bytes, content_type: str, encoding: str = "") -> Answer:
        """One OTLP message; (status, headers, body) to answer with. 200 means that every span counted as taken is on disk."""
        return await self.intake.ingest(actor, body, content_type, encoding)

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """POST /v1/traces as a plain ASGI application; the door has put the actor into the scope."""
        await self.intake.asgi(scope, receive, send)

    # -- reading

    async def trace(self, scope: Scope, trace_id: str) -> Trace:
        """One trace with all its spans and scores, also of an answer given this moment. Raises Missing."""
        with contextlib.suppress(Unavailable, TimeoutError):  # what is on disk can be read even where writing fails
            await asyncio.wait_for(self.flush(), FRESH_S)
        return await self.database.read(queries.read_trace, scope, _ident(trace_id))

    async def list(self, scope: Scope, want: TraceFilter | None = None, cursor: str | None = None, limit: int = 50) -> TracePage:
        """A page of traces, newest first."""
        return await self.database.read(queries.list_traces, scope, want or TraceFilter(), cursor, limit)

    async def scores_of(self, scope: Scope, trace_ids: Ids) -> dict[str, Scores]:
        """Scores by trace, for one page of a list."""
        return await self.database.read(queries.read_scores_of, scope, trace_ids) if trace_ids else {}

    async def stats(self, scope: Scope, since_ns: int = 0) -> Stats:
        """Traffic by hour, app and model since a moment."""
        return await self.database.read(_stats, scope, since_ns)

    async def why(self, scope: Scope, trace_id: str) -> Why:
        """Everything that led to an answer. Raises Missing."""
        return await explain(self.registry, scope, await self.trace(scope, trace_id))

    async def impact(self, scope: Scope, ref: str, cursor: str | None = None, limit: int = 50) -> Impact:
        """What a version, document or model has touched: versions, releases, answers. Raises Missing, Invalid."""
        return await touched(self.database, self.registry, scope, ref, cursor, limit)

    # -- scores

    async def score(
        self,
        actor: Actor,
        trace_id: str,
        name: str,
        value: float | bool | str | None,
        *,
        span_id: str = "",
        source: Source = "metric",
        comment: str = "",
        run: str = "",
    ) -> Score:
        """Judge a trace or a span. `value`: a finite number, true or false (1 or 0), or a label. Raises Missing, Invalid."""
        score = Score(
            trace_id=_ident(trace_id), span_id=span_id, name=name, source=source, comment=comment, by=actor.id, run=run,
            at_ns=clock.now_ns(),
        )  # fmt: skip
        if isinstance(value, str):
            score.text = value
        elif value is not None and math.isfinite(value):
            score.value = float(value)
        elif value is not None:
            raise Invalid(f"A score is a finite number or a label, not {value}. Nothing was kept.", code="bad_score")
        _check_texts(score)
        if not await self.database.read(queries.has_trace, actor.scope, trace_id, span_id):
            await self.flush()  # the answer is out, its span may still be queued
            if not await self.database.read(queries.has_trace, actor.scope, trace_id, span_id):
                what = f"span {span_id!r} in trace {trace_id!r}" if span_id else f"trace {trace_id!r}"
                raise Missing(f"There is no {what} here. The score was not kept.", code="no_trace")
        return await self.database.write(queries.write_score, actor.scope, score)


def _stats(connection: Any, scope: Scope, since_ns: int) -> Stats:
    hours = queries.read_hours(connection, scope, since_ns)
    return Stats(
        since_ns=since_ns,
        total=queries.read_total(connection, scope, since_ns, hours),
        hours=hours,
        models=queries.read_traffic(connection, scope, since_ns, "model"),
        apps=queries.read_traffic(connection, scope, since_ns, "app"),
    )


def _ident(trace_id: str) -> str:
    if not IDENT.match(trace_id):
        raise Missing(f"{trace_id[:64]!r} is not a trace id (32 hex digits).", code="no_trace")
    return trace_id.lower()


def _check_texts(score: Score) -> None:
    if not score.name or len(score.name) > 200:
        raise Invalid("A score needs a name of at most 200 characters. Nothing was kept.", code="bad_score")
    if len(score.comment) > 20_000 or len(score.text) > 1_000:
        raise Invalid("A score's label has at most 1,000 characters, its comment 20,000. Nothing was kept.", code="bad_score")
    for text in (score.name, score.comment, score.text, score.span_id, score.run):
        if "\x00" in text:
            raise Invalid("A score's texts hold no NUL characters. Nothing was kept.", code="bad_score")
