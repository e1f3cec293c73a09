"""REST of the cache. One service call a route."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from genwright.access.service import needs
from genwright.access.types import Actor
from genwright.gateway.cache.rules import PutRule
from genwright.web.api import read_body, reply

router = APIRouter(prefix="/api/gateway/cache", tags=["gateway"])


class PutLabel(msgspec.Struct, frozen=True):
    """Two questions, and whether one answer may serve both."""

    asked: str
    question: str
    same: bool


class TryPair(msgspec.Struct, frozen=True):
    """Two questions, and the rule whose threshold counts; without one, the lowest in force."""

    asked: str
    question: str
    rule: str = ""


class JudgeHit(msgspec.Struct, frozen=True):
    verdict: str
    """right or wrong."""


class Clear(msgspec.Struct, frozen=True):
    """What to delete: the answer kept from a trace, those of a rule, or everything of the project."""

    trace: str = ""
    rule: str = ""
    everything: bool = False


@router.get("/rules", operation_id="gateway.cache_rules")
async def rules(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Rules of the cache by name, those switched off too."""
    return reply({"items": await request.app.state.gateway.cache.rules(actor), "next": None})


@router.post("/rules", operation_id="gateway.put_cache_rule", openapi_extra={"fields": list(PutRule.__struct_fields__)})
async def put_rule(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """A new rule, or the next version of one; what is left out stays as it is."""
    return reply(await request.app.state.gateway.cache.put_rule(actor, await read_body(request, PutRule)), 201)


@router.delete("/rules/{name}", operation_id="gateway.remove_cache_rule")
async def remove_rule(request: Request, name: str, actor: Actor = Depends(needs("write"))) -> Response:
    """End a rule and delete what it kept; its history stays."""
    return reply(await request.app.state.gateway.cache.remove_rule(actor, name))


@router.get("/rules/{name}/history", operation_id="gateway.cache_rule_history")
async def history(request: Request, name: str, actor: Actor = Depends(needs("read"))) -> Response:
    """A rule's versions, newest first."""
    return reply({"items": await request.app.state.gateway.cache.history(actor, name), "next": None})


@router.get("/quality", operation_id="gateway.cache_quality")
async def quality(
    request: Request, since_ns: Annotated[int, Query(ge=0, lt=2**63)] = 0, actor: Actor = Depends(needs("read"))
) -> Response:
    """By rule: entries, hits, money and time saved since then; false hits with a 95 % interval."""
    return reply({"items": await request.app.state.gateway.cache.quality(actor, since_ns), "next": None})


@router.get("/hits", operation_id="gateway.cache_hits")
async def hits(
    request: Request, how: str = "", rule: str = "", limit: int = 50, actor: Actor = Depends(needs("read"))
) -> Response:
    """Answers served from the cache, newest first; `how`: exact or semantic."""
    return reply({"items": await request.app.state.gateway.cache.hits(actor, how, rule, limit), "next": None})


@router.post("/hits/{id}", operation_id="gateway.judge_cache_hit", openapi_extra={"fields": list(JudgeHit.__struct_fields__)})
async def judge_hit(request: Request, id: str, actor: Actor = Depends(needs("score"))) -> Response:
    """Say whether a hit was right: it counts in the rule's false-hit rate and is a labelled pair from then on."""
    body = await read_body(request, JudgeHit)
    return reply(await request.app.state.gateway.cache.judge_hit(actor, id, body.verdict))


@router.get("/labels", operation_id="gateway.cache_labels")
async def labels(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """Labelled pairs of questions, newest first."""
    return reply({"items": await request.app.state.gateway.cache.labels(actor), "next": None})


@router.post("/labels", operation_id="gateway.label_cache", openapi_extra={"fields": list(PutLabel.__struct_fields__)})
async def label(request: Request, actor: Actor = Depends(needs("score"))) -> Response:
    """Say whether two questions may share an answer; from 100 pairs on, thresholds are fitted to your own."""
    body = await read_body(request, PutLabel)
    return reply(await request.app.state.gateway.cache.label(actor, body.asked, body.question, body.same), 201)


@router.post("/test", operation_id="gateway.test_cache", openapi_extra={"fields": list(TryPair.__struct_fields__)})
async def try_pair(request: Request, actor: Actor = Depends(needs("read"))) -> Response:
    """What the verifier says about two questions. Nothing is kept."""
    body = await read_body(request, TryPair)
    return reply(await request.app.state.gateway.cache.try_pair(actor, body.asked, body.question, body.rule))


@router.post("/clear", operation_id="gateway.clear_cache", openapi_extra={"fields": list(Clear.__struct_fields__)})
async def clear(request: Request, actor: Actor = Depends(needs("write"))) -> Response:
    """Delete kept answers of a trace, of a rule, or all of the project."""
    body = await read_body(request, Clear)
    return reply({"deleted": await request.app.state.gateway.cache.clear(actor, body.trace, body.rule, body.everything)})
