"""A limit at work: which calls it covers, its window, and what this server may still hand out of it without asking the ledger.

A lease is a piece of a limit on requests or tokens that was taken from its counter in one transaction and is used up here, in
memory. What is free is shared by SHARE: the nearer to the end, the smaller the pieces, down to one call a transaction. A piece
whose server dies is not handed out again in its window. Knows no call and no SQL.
"""

from __future__ import annotations

import asyncio
import re
from fnmatch import translate
from functools import lru_cache
from typing import Any, NamedTuple

from genwright.access.types import Actor
from genwright.gateway.money.book import Book
from genwright.gateway.money.posting import Move
from genwright.gateway.money.types import Limit
from genwright.gateway.money.windows import FOREVER, SECOND, window, zone

METRICS = ("concurrent", "requests", "tokens", "usd")
SHARE = 16
KEEP_NS = {"second": 60 * SECOND, "minute": 3600 * SECOND, "hour": 7 * 86400 * SECOND}
"""How long counters of short windows are kept after their end; those of longer ones stay."""


@lru_cache(4096)
def pattern(text: str) -> Any:
    """A name's pattern, `*` for any letters."""
    return re.compile(translate(text.replace("[", "[[]"))).match


def allowed(patterns: tuple[str, ...], name: str) -> bool:
    """Whether one of the patterns matches; no patterns allow all."""
    return not patterns or any(pattern(text)(name) for text in patterns)


class Rule:
    """One limit. Kept as long as the limit is, so that what was leased is not forgotten when another limit changes."""

    def __init__(self, limit: Limit):
        self.limit = limit
        self.begins_ns, self.ends_ns = 0, 0
        self.left = 0
        """Leased and not used, of the window that is now."""
        self.free = limit.amount
        """What the counter still had when it was last read: for telling, not for deciding."""
        self.busy = 0
        """Calls under way here (concurrent)."""
        self.retired = False
        self._matches = pattern(limit.models) if limit.models else None
        self._zone = zone(limit.timezone)
        self._lock = asyncio.Lock()
        self.watch = (limit.node, limit.amount, tuple(limit.warn_at)) if limit.warn_at else None

    def covers(self, *names: str) -> bool:
        """Whether a call of a model so named falls under it."""
        return self._matches is None or any(self._matches(name) for name in names)

    def enter(self, now_ns: int) -> bool:
        """Look at the time; True where a new window has begun."""
        if self.begins_ns <= now_ns < self.ends_ns:
            return False
        if self.limit.metric == "concurrent":
            self.begins_ns, self.ends_ns = 0, FOREVER
        else:
            self.begins_ns, self.ends_ns = window(self.limit.window, self._zone, now_ns)
        self.left, self.free = 0, self.limit.amount
        return True

    def move(self, spent: int = 0, held: int = 0, leased: int = 0, window_ns: int | None = None) -> Move:
        limit = self.limit
        begins_ns = self.begins_ns if window_ns is None else window_ns
        return Move(limit.workspace, limit.project, limit.id, begins_ns, spent, held, leased, self.watch if spent else None)

    async def draw(self, book: Book, amount: int) -> int | None:
        """Take `amount` out of the lease, asking the ledger for more where it is too small: the window it came from.

        None: there is no more.
        """
        while self.left < amount:
            async with self._lock:  # one transaction for all who wait
                if self.left >= amount:
                    break
                # shielded: what the ledger hands out is ours, even if who asked is gone
                if not await asyncio.shield(asyncio.ensure_future(self._more(book, amount))):
                    return None
        self.left -= amount
        return self.begins_ns

    async def _more(self, book: Book, amount: int) -> bool:
        """Ask the ledger for more. True where asking the lease again may help."""
        begins_ns = self.begins_ns
        granted, free = await book.lease(self.move(leased=amount - self.left), self.limit.amount, SHARE)
        if begins_ns != self.begins_ns:
            return True  # the window ended meanwhile, and what was granted with it
        self.left += granted
        self.free = free
        return self.left >= amount

    def put_back(self, amount: int, window_ns: int, book_it: list[Move]) -> None:
        """Return what was drawn and not used: to the lease, or to the counter where little is left or the window is over."""
        if not self.retired and window_ns == self.begins_ns and self.free >= self.left + amount:
            self.left += amount
        else:
            book_it.append(self.move(leased=-amount, window_ns=window_ns))

    def surrender(self) -> Move | None:
        """Give the lease back: the limit was changed, or the server stops."""
        left, self.left, self.retired = self.left, 0, True
        return self.move(leased=-left) if left else None


class Plan(NamedTuple):
    """The rules that cover one actor."""

    actor: Actor
    generation: int
    concurrent: tuple[Rule, ...]
    requests: tuple[Rule, ...]
    tokens: tuple[Rule, ...]
    usd: tuple[Rule, ...]
    team: str
    member: str
    """Id of the member or service the actor hangs on."""
    all_models: bool
    """Whether every rule on money and tokens covers every model."""


def plan(actor: Actor, generation: int, rules: list[Rule]) -> Plan:
    """The rules on any node of the actor, outermost first."""
    nodes = nodes_of(actor)
    place = {node: number for number, node in enumerate(nodes)}
    mine = sorted((rule for rule in rules if rule.limit.node in place), key=lambda rule: place[rule.limit.node])
    of = [tuple(rule for rule in mine if rule.limit.metric == metric) for metric in METRICS]
    kinds = {node.partition(":")[0]: node.partition(":")[2] for node in nodes}
    who = kinds.get("member", "") or kinds.get("service", "")
    all_models = not any(rule.limit.models for rule in (*of[2], *of[3]))
    return Plan(actor, generation, of[0], of[1], of[2], of[3], kinds.get("team", ""), who, all_models)


def nodes_of(actor: Actor) -> tuple[str, ...]:
    """The actor's place in the tree; that of sessions and of the house itself ends with the project."""
    if actor.nodes:
        return actor.nodes
    top = (f"workspace:{actor.scope.workspace}", f"project:{actor.scope.project}")
    return (*top, f"key:{actor.id}") if actor.kind == "key" else top
