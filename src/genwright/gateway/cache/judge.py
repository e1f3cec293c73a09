"""Judges a sample of semantic hits in the background, and ends a rule whose false hits surely pass its target.

A hit is judged by a named model, or by asking for a fresh answer and comparing it with the one that was served. Both are opinions
of machines: a person's verdict on the page replaces them. What it costs is booked as `judge`, on nobody's key.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable

import msgspec

from genwright import clock
from genwright.access.types import SYSTEM, Actor
from genwright.db import Database
from genwright.errors import Error, Missing
from genwright.gateway.cache import store
from genwright.gateway.cache.rules import Rules
from genwright.gateway.cache.types import Hit, Rule
from genwright.gateway.types import Answer, Call
from genwright.messages import system, user
from genwright.vocab import Scope, new_trace_id

Ask = Callable[[Actor, Call], Awaitable[Answer]]
AT_ONCE, WAITING = 2, 100
"""Judgements at work, and those waiting: more are left out."""
ENOUGH = 10
"""Judged hits before a rule can end itself."""
ALIKE = 0.8
"""Cosine from which two answers say the same."""
INSTRUCTION = (
    "A cache answered question A with the answer that was given to question B. Say whether that answer answers question A "
    "rightly and completely. Reply with one word: yes or no."
)
log = logging.getLogger("genwright.gateway.cache")


class Judge:
    def __init__(self, database: Database, rules: Rules):
        self._database, self._rules = database, rules
        self.ask: Ask | None = None
        """gateway.complete; handed in when the gateway is made."""
        self._random = random.Random()  # noqa: S311 (a sample, no secret)
        self._tasks: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(AT_ONCE)

    def later(self, rule: Rule, hit: Hit, call: Call, answer: Answer) -> None:
        """Judge this hit in a while, if it is drawn."""
        if self.ask is None or self._random.random() >= rule.sample or len(self._tasks) >= WAITING:
            return
        task = asyncio.get_running_loop().create_task(self._run(rule, hit, call, answer.message.text))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Return when all that were drawn are judged."""
        while self._tasks:
            await asyncio.wait(self._tasks)  # gather does not let the loop turn where all have just ended

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _run(self, rule: Rule, hit: Hit, call: Call, served: str) -> None:
        async with self._free:
            try:
                if rule.judge:
                    right, by = await self._by_model(rule, hit, served), rule.judge
                else:
                    right, by = await self._by_fresh_answer(hit, call, served), "fresh answer"
                await self.verdict(Scope(hit.workspace, hit.project), hit.id, "right" if right else "wrong", by)
            except Error as error:
                log.warning("A cache hit could not be judged: %s", error.message)

    async def verdict(self, scope: Scope, id: str, verdict: str, by: str) -> Hit:
        """Write it down and look at the rule. Raises Missing for an unknown hit."""
        hit = await self._database.write(store.judge, scope, id, verdict, by, clock.now_ns())
        if hit is None:
            raise Missing(f"There is no cache hit '{id[:80]}'. Nothing was kept.", code="unknown_hit")
        await self._look(scope, hit)
        return hit

    async def _look(self, scope: Scope, hit: Hit) -> None:
        """End the rule where even the lower bound of its false-hit rate is above its target."""
        from genwright.stats import proportion_interval

        rule = next((rule for rule in (await self._rules.in_force(scope)).rules if rule.name == hit.rule), None)
        if rule is None or not rule.enabled or rule.number != hit.number:
            return
        judged, wrong = await self._database.read(store.verdicts, scope, rule.name, rule.number)
        if judged < ENOUGH:
            return
        low, high = proportion_interval(wrong, judged)
        if low > rule.target:
            note = (
                f"Switched itself off: {wrong} of {judged} judged hits were wrong ({wrong / judged:.0%}, 95 % interval "
                f"{low:.0%} to {high:.0%}), over its target of {rule.target:.0%}. Label pairs or raise the threshold, "
                "then switch it on again."
            )
            log.error("Cache rule '%s' of %s/%s: %s", rule.name, scope.workspace, scope.project, note)
            await self._rules.switch_off(rule, note)

    async def _by_model(self, rule: Rule, hit: Hit, served: str) -> bool:
        text = f"Question A:\n{hit.asked}\n\nQuestion B:\n{hit.question}\n\nAnswer:\n{served}"
        call = Call(rule.judge, [system(INSTRUCTION), user(text)], {"temperature": 0, "max_tokens": 16})
        answer = await self._ask(hit, call)
        return re.search(r"\byes\b", answer.message.text.lower()) is not None

    async def _by_fresh_answer(self, hit: Hit, call: Call, served: str) -> bool:
        again = msgspec.structs.replace(call, model=hit.model, prompt=None, told=None, deadline=0.0, tools=call.tools)
        answer = await self._ask(hit, again)
        return await asyncio.to_thread(alike, served, answer.message.text)

    async def _ask(self, hit: Hit, call: Call) -> Answer:
        assert self.ask is not None
        quiet = msgspec.structs.replace(
            call,
            cache="off",
            parent=(new_trace_id(), ""),
            attributes={"genwright.cost_kind": "judge", "genwright.cache_hit": hit.id},
        )
        return await self.ask(SYSTEM(Scope(hit.workspace, hit.project)), quiet)


def alike(one: str, other: str) -> bool:
    """Whether two answers say the same: the same words, or near in meaning with the same numbers. Slow enough for a thread."""
    from genwright import embed
    from genwright.gateway.cache.pairs import NUMBER

    if one.split() == other.split():
        return True
    here, there = set(NUMBER.findall(one)), set(NUMBER.findall(other))
    if here - there and there - here:
        return False
    left, right = embed.embed_texts([_beginning(one), _beginning(other)])
    return float(left @ right) >= ALIKE


def _beginning(text: str) -> str:
    """As much as the model reads."""
    from genwright import embed

    text = text[:5_000]
    places = embed.pieces(text)
    most = embed.MAX_TOKENS - 2
    return text if len(places) <= most else text[: places[most - 1][1]]
