"""The cache's verbs: look up, keep, forget, judge, and how well it does. Off unless a rule switches it on (rules.py).

A look-up: the call's hard scope and question as digests (keys.py); the same call → the kept answer. In a semantic rule: the
nearest questions of the same scope (index.py), ordered by late interaction (pairs.py), the best one served if the verifier finds
it likely enough (verify.py). Nothing of it may fail a call: a cache that cannot be read is a miss, said in the log.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from genwright import clock
from genwright.access.types import Actor
from genwright.errors import Error, Invalid
from genwright.gateway.cache import keys, quality, replay, store
from genwright.gateway.cache.judge import Judge
from genwright.gateway.cache.rules import InForce, PutRule, Rules
from genwright.gateway.cache.shelves import Shelves
from genwright.gateway.cache.types import About, Entry, Found, Hit, How, Label, Quality, Rule, Trial
from genwright.gateway.types import Answer, Call, Chunk
from genwright.messages import ToolCall
from genwright.vocab import Scope, new_id

if TYPE_CHECKING:
    from genwright.gateway.cache.pairs import Question

__all__ = ["About", "Cache", "Found", "PutRule"]

MAX_BYTES = 1_000_000
"""Largest answer that is kept, packed."""
PRUNE_EVERY = 64
HITS_KEPT_NS = 90 * 86_400 * 1_000_000_000
_FAILURES = (Error, sa.exc.SQLAlchemyError)
log = logging.getLogger("genwright.gateway.cache")


class _Notes(msgspec.Struct):
    """What a look-up found out, for `keep`."""

    actor: Actor
    rule: Rule
    key: keys.Key
    about: About
    ttl_s: int
    began_ns: int
    question: Question | None = None


class Cache:
    def __init__(self, databases: dict, settings: Any):
        self._database = databases["spans"]
        self._rules = Rules(databases["registry"])
        self._shelves = Shelves(self._database)
        self.judge = Judge(self._database, self._rules)
        self._keeping: set[asyncio.Task[None]] = set()
        self._writing: set[Future[None]] = set()
        self._kept: dict[Scope, int] = {}

    # -- on a call's way

    async def find(self, actor: Actor, call: Call, about: About) -> Found | None:
        """What an earlier call left. None: no rule covers the call, or it asked for no cache; a Found of how=miss: to be kept."""
        if call.cache == "off" or actor.capture != "full":  # of a key that keeps no texts none are kept here, either
            return None
        try:
            known = self._rules.known(actor.scope) or await self._rules.in_force(actor.scope)
            rule = known.covering(about.target)
            if rule is None or not _covered(rule, call):
                return None
            return await self._look(_notes(actor, call, about, rule), call, known)
        except _FAILURES as error:
            log.error("A cache look-up failed, the call goes on without it: %s", error)
            return None

    async def _look(self, notes: _Notes, call: Call, known: InForce) -> Found:
        fresh = call.cache == "refresh"
        if not fresh:
            kept = await self._database.read(store.get_entry, notes.actor.scope, notes.key.id, clock.now_ns())
            if kept is not None:
                return self._hit(notes, call, kept, None)
        if notes.rule.mode == "semantic" and call.cache != "exact" and notes.key.question:
            from genwright.gateway.cache import candidates

            room = await self._shelves.room(notes.actor.scope)
            notes.question, near = await asyncio.to_thread(candidates.nearest, room, notes.key)
            if near and not fresh:
                found = await self._verified(notes, call, near, known.thresholds.get(notes.rule.name, 1.0))
                if found is not None:
                    return found
        return Found("miss", notes=notes)

    async def _verified(self, notes: _Notes, call: Call, near: list[str], threshold: float) -> Found | None:
        """The best of the nearest questions, if the verifier lets it pass."""
        from genwright.gateway.cache import candidates

        scope = notes.actor.scope
        assert notes.question is not None
        asked = candidates.Asked(scope, notes.key.scope, notes.question, threshold)
        gone, kept, probability = await self._database.read(candidates.verified, asked, near, clock.now_ns())
        self._forget(scope, gone)
        if kept is None:
            return None
        return self._hit(notes, call, kept, None if kept[0].id == notes.key.id else probability)  # kept while we were looking

    def _hit(self, notes: _Notes, call: Call, kept: tuple[Entry, bytes], probability: float | None) -> Found:
        """A hit, noted down. `probability` None: the very same call."""
        entry, content = kept[0], replay.unpack(kept[1])
        now_ns = clock.now_ns()
        how: How = "exact" if probability is None else "semantic"
        texts = ("", "") if probability is None else (notes.key.question, entry.question)
        hit = Hit(
            entry.workspace, entry.project, new_id("hit"), now_ns, entry.id, notes.rule.name, notes.rule.number, how,
            notes.about.target, notes.about.trace, notes.actor.id, *texts, 1.0 if probability is None else probability,
            entry.nano_usd, max(0, entry.duration_ns - (clock.perf_ns() - notes.began_ns)), "", "", 0,
        )  # fmt: skip
        future = self._database.submit(store.add_hit, hit)
        self._writing.add(future)
        future.add_done_callback(self._written)
        if probability is not None:
            self.judge.later(notes.rule, hit, call, content.answer)
        age_s = (now_ns - entry.created_ns) / 1e9
        return Found(how, content.answer, hit.similarity, age_s, entry.nano_usd, content.chunks, notes)

    def keep(self, found: Found, answer: Answer, chunks: list[Chunk] | None = None) -> None:
        """Remember the answer of a miss; returns at once and never raises. `chunks` as the client got them, for a stream."""
        notes: _Notes | None = found.notes
        if notes is None or found.answer is not None or not _worth(notes.rule, answer):
            return
        took_ns = clock.perf_ns() - notes.began_ns
        task = asyncio.get_running_loop().create_task(self._keep(notes, answer, list(chunks or ()), took_ns))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _keep(self, notes: _Notes, answer: Answer, chunks: list[Chunk], took_ns: int) -> None:
        scope, now_ns = notes.actor.scope, clock.now_ns()
        try:
            content = await asyncio.to_thread(replay.pack, answer, chunks)
            if len(content) > MAX_BYTES:
                return
            read = None if notes.question is None else _packed(notes.key.id, notes.question)
            entry = Entry(
                scope.workspace, scope.project, notes.key.id, notes.key.scope, notes.key.question, notes.rule.name,
                notes.about.target, answer.trace_id, notes.actor.id, now_ns, now_ns + notes.ttl_s * 1_000_000_000, now_ns, 0,
                answer.cost_nano_usd or 0, took_ns, len(content) + (0 if read is None else len(read.rows) + len(read.vector)),
            )  # fmt: skip
            await self._database.write(store.put_entry, entry, read, content)
            if notes.question is not None:
                (await self._shelves.room(scope)).add(notes.key.scope, notes.key.id, notes.question.vector)
            await self._prune(scope)
        except _FAILURES as error:
            log.error("An answer was not kept in the cache: %s", error)

    async def _prune(self, scope: Scope) -> None:
        """Now and then: what has expired, and what is too much."""
        self._kept[scope] = self._kept.get(scope, 0) + 1
        if self._kept[scope] % PRUNE_EVERY:
            return
        limits = {rule.name: rule.max_entries for rule in (await self._rules.in_force(scope)).rules}
        self._forget(scope, await self._database.write(store.prune, scope, limits, clock.now_ns()))
        await self._database.write(store.prune_hits, scope, clock.now_ns() - HITS_KEPT_NS)

    def _forget(self, scope: Scope, ids: list[str]) -> None:
        room = self._shelves.known(scope)
        if room is not None and ids:
            room.remove(ids)

    def _written(self, future: Future[None]) -> None:
        """Runs in the writer's thread."""
        self._writing.discard(future)
        error = None if future.cancelled() else future.exception()
        if error is not None:
            log.error("A cache hit was not written down: %s", error)

    async def flush(self) -> None:
        """Return when all answers are kept and all hits written down."""
        while self._keeping:
            await asyncio.wait(self._keeping)  # gather does not let the loop turn where all have just ended
        await asyncio.gather(*(asyncio.wrap_future(future) for future in list(self._writing)), return_exceptions=True)

    async def close(self) -> None:
        """The same; judgements under way are given up."""
        self.judge.stop()
        await self.flush()

    # -- rules, labels, verdicts

    async def put_rule(self, actor: Actor, asked: PutRule) -> Rule:
        """A new rule, or the next version of one."""
        return await self._rules.put(actor, asked)

    async def remove_rule(self, actor: Actor, name: str) -> Rule:
        """End a rule and delete what it kept; its history stays."""
        removed = await self._rules.remove(actor, name)
        self._forget(actor.scope, await self._database.write(store.delete, actor.scope, "", name, ""))
        return removed

    async def rules(self, actor: Actor) -> list[Rule]:
        """By name, those switched off too."""
        return await self._rules.all(actor)

    async def history(self, actor: Actor, name: str) -> list[Rule]:
        """A rule's versions, newest first."""
        return await self._rules.history(actor, name)

    async def label(self, actor: Actor, asked: str, question: str, same: bool) -> Label:
        """Say whether two questions may share an answer."""
        return await self._rules.label(actor, asked, question, same)

    async def labels(self, actor: Actor) -> list[Label]:
        """Labelled pairs, newest first."""
        return await self._rules.labels(actor)

    async def judge_hit(self, actor: Actor, id: str, verdict: str) -> Hit:
        """A person's verdict on a hit: right or wrong. It replaces a machine's and is a labelled pair from then on."""
        actor.need("score")
        if verdict not in ("right", "wrong"):
            raise Invalid(f"The verdict is '{verdict[:50]}'; it must be right or wrong. Nothing was kept.", field="verdict")
        hit = await self.judge.verdict(actor.scope, id, verdict, actor.id)
        if hit.how == "semantic" and hit.asked and hit.question:
            await self._rules.label(actor, hit.asked, hit.question, verdict == "right")
        return hit

    async def hits(self, actor: Actor, how: str = "", rule: str = "", limit: int = 50) -> list[Hit]:
        """Newest first."""
        actor.need("read")
        return await self._database.read(store.latest_hits, actor.scope, how, rule, max(1, min(limit, 500)))

    async def answer(self, actor: Actor, entry: str) -> str:
        """Text of a kept answer; empty where it is not there any more."""
        actor.need("read")
        kept = await self._database.read(store.get_entry, actor.scope, entry, clock.now_ns())
        return "" if kept is None else replay.unpack(kept[1]).answer.message.text

    async def clear(self, actor: Actor, trace: str = "", rule: str = "", everything: bool = False) -> int:
        """Delete kept answers of a trace, of a rule, or all of the project; how many went. Raises Invalid where none is named."""
        actor.need("write")
        if not (trace or rule or everything):
            raise Invalid("Say what to delete: a trace, a rule, or everything. Nothing was deleted.", field="everything")
        gone = await self._database.write(store.delete, actor.scope, trace, rule, "")
        self._forget(actor.scope, gone)
        return len(gone)

    async def try_pair(self, actor: Actor, asked: str, question: str, rule: str = "") -> Trial:
        """What the verifier says about two questions, and whether a rule would serve the one's answer to the other."""
        actor.need("read")
        from genwright.gateway.cache import candidates

        known = await self._rules.in_force(actor.scope)
        if rule:
            await self._rules.get(actor, rule)
            threshold = known.thresholds.get(rule, 1.0)
        else:
            threshold = min(known.thresholds.values(), default=await asyncio.to_thread(candidates.usual))
        return await asyncio.to_thread(candidates.trial, asked, question, threshold)

    async def quality(self, actor: Actor, since_ns: int = 0) -> list[Quality]:
        """How each rule does: what it holds, served and saved since then; its false hits under its present version."""
        actor.need("read")
        known = await self._rules.in_force(actor.scope)
        return await quality.measured(self._database, known, actor.scope, since_ns)


def _notes(actor: Actor, call: Call, about: About, rule: Rule) -> _Notes:
    ttl_s = min(call.cache_ttl or rule.ttl_s, rule.ttl_s)
    return _Notes(actor, rule, keys.key(actor, call, about, rule.share), about, ttl_s, clock.perf_ns())


def _covered(rule: Rule, call: Call) -> bool:
    """Whether the rule means calls of this kind."""
    return bool(call.messages) and (rule.sampled or not call.parameters.get("temperature"))


def _worth(rule: Rule, answer: Answer) -> bool:
    """Finished, with something in it, and no call of a tool where the rule does not want those."""
    messages = [answer.message, *answer.others]
    calls = any(isinstance(part, ToolCall) for message in messages for part in message.parts)
    text = any(message.text for message in messages)
    return answer.finish_reason in ("", "stop", "length", "tool_calls") and (calls or text) and (rule.tools or not calls)


def _packed(id: str, question: Question) -> store.Read:
    from genwright.gateway.cache.candidates import packed

    return packed(id, question)
