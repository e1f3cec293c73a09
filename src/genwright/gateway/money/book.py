"""The book: what the gateway writes about money, in groups. Reservations are awaited, settling is not.

Reservations that are asked for while a group is being written form the next group: one transaction and one sync for all of
them. Rows of finished attempts wait up to DELAY_S for company. A row that cannot be written is kept and tried again while the
ledger is away, at most MAX_KEPT of them; what is lost beyond that is counted and logged. Knows no limit's meaning.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from genwright import clock
from genwright.db import Database
from genwright.errors import Unavailable
from genwright.gateway.money import posting
from genwright.gateway.money.posting import Held, Hold, Item, Move, Refused
from genwright.gateway.money.types import LedgerRow, LimitEvent
from genwright.vocab import new_id

DELAY_S = 0.015
"""Items settled within this time share one write."""
AGAIN_S = 0.5
CROWD = 4
GATHER_S = 0.002
MAX_KEPT = 100_000
log = logging.getLogger("genwright.gateway")


class Book:
    def __init__(self, database: Database, told: Callable[[LimitEvent], None] | None = None):
        self._database = database
        self._sql = posting.Statements(database.sql)
        self._told = told or (lambda event: None)
        self.server = new_id("srv")
        """This process, as holder of reservations."""
        self._asked: list[tuple[Hold, asyncio.Future[Refused | Held]]] = []
        self._asking = False
        self._batch = 0
        self._open: dict[Held, int] = {}
        """Rows of holds, and how many holds in each are not settled."""
        self._waiting: list[Item] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Future] = set()
        self._seen: dict[str, tuple[int, float]] = {}
        self._registered = False
        self.away = ""
        """Why the last write failed, if it did."""
        self.lost = 0
        """Rows that could not be written; each is in the log."""

    @property
    def kept(self) -> int:
        """Items not on disk yet."""
        return len(self._waiting)

    # -- before a call

    async def hold(self, hold: Hold) -> Refused | Held:
        """Put a reservation on disk; returns when it is there, or why it is not. Raises Unavailable if that cannot be done."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Refused | Held] = loop.create_future()
        self._asked.append((hold, future))
        if not self._asking:
            self._asking = True
            loop.call_soon(self._ask)
        try:
            return await future
        except asyncio.CancelledError:
            outcome = None if future.cancelled() or future.exception() is not None else future.result()
            if isinstance(outcome, Held):
                self.give_back(hold, outcome)  # given in the moment in which nobody waited any more
            raise

    def _ask(self) -> None:
        asked, self._asked = self._asked, []
        if not asked:
            self._asking = False
            return
        self._batch += 1
        batch, holds = f"{self.server}:{self._batch}", [hold for hold, _ in asked]
        written = self._database.submit(self._hold, batch, clock.now_ns(), holds, raw=True)
        asyncio.wrap_future(written).add_done_callback(partial(self._answer, asked))

    def _hold(self, cursor: object, batch: str, at_ns: int, holds: list[Hold]) -> list[Refused | Held]:
        if not self._registered:
            posting.beat(cursor, self._sql, self.server)
        return posting.hold(cursor, self._sql, self.server, batch, at_ns, holds)

    def _answer(self, asked: list[tuple[Hold, asyncio.Future[Refused | Held]]], done: asyncio.Future) -> None:
        error = done.exception()
        if error is not None:
            for _, future in asked:
                if not future.done():
                    future.set_exception(error)
        else:
            self._registered = True
            for outcome in done.result():
                if isinstance(outcome, Held):
                    self._open[outcome] = self._open.get(outcome, 0) + 1
            for (hold, future), outcome in zip(asked, done.result(), strict=True):
                if not future.done():
                    future.set_result(outcome)
                elif isinstance(outcome, Held):  # nobody waits for it any more
                    self.give_back(hold, outcome)
        # where many ask, the next group waits for a few more of them: a commit costs as much as ten holds
        if len(asked) >= CROWD:
            asyncio.get_running_loop().call_later(GATHER_S, self._ask)
        else:
            self._ask()

    def give_back(self, hold: Hold, held: Held) -> None:
        """End a hold that came to nothing."""
        moves = tuple(Move(hold.workspace, hold.project, part.limit_id, part.window_ns, held=-part.amount) for part in hold.parts)
        self.settle(Item(None, moves), held)

    async def lease(self, move: Move, ceiling: int, share: int) -> tuple[int, int]:
        """(handed out, still free): see posting.lease."""
        return await self._database.write_raw(posting.lease, self._sql, move, ceiling, share)

    # -- after a call

    def settle(self, item: Item, held: Held | None = None) -> None:
        """Keep the item, and end the hold it had; it is on disk within DELAY_S and one commit."""
        self._waiting.append(item if held is None else self._ended(item, held))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_S, self._write)

    def _ended(self, item: Item, held: Held) -> Item:
        left = self._open.get(held, 0) - 1
        if left > 0:
            self._open[held] = left
            return item
        self._open.pop(held, None)
        return item._replace(ends=held)

    def book(self, row: LedgerRow) -> None:
        """A row alone."""
        self.settle(Item(row))

    async def flush(self) -> None:
        """Return when everything settled so far is on disk, or the ledger has refused it."""
        if self._timer is not None:
            self._timer.cancel()
            self._write()
        while self._writing:
            await asyncio.wait(self._writing)

    async def close(self) -> None:
        """Write what can be written; what cannot is counted as lost."""
        await self.flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._lose(self._waiting, "the ledger cannot be written and the server stops")
        self._waiting = []

    def _write(self) -> None:
        self._timer = None
        items, self._waiting = self._waiting, []
        if items:
            self._submit(posting.settle, items)

    def _submit(self, function: Callable, items: list[Item]) -> None:
        future = asyncio.wrap_future(self._database.submit(function, self._sql, items, clock.now_ns(), raw=True))
        self._writing.add(future)
        future.add_done_callback(partial(self._written, function, items))

    def _written(self, function: Callable, items: list[Item], future: asyncio.Future) -> None:
        """One item that cannot be written must not take its group with it, and one that was written before is no failure."""
        self._writing.discard(future)
        error = future.exception()
        if error is None:
            self.away = ""
            for event in future.result():
                self._told(event)
        elif isinstance(error, Unavailable):
            self.away = error.message
            self._keep(items)
        elif function is posting.settle or len(items) > 1:
            for item in items:
                self._submit(posting.settle_each, [item])
        else:
            self._lose(items, str(error))
            if items[0].row is not None and (items[0].moves or items[0].ends):
                moved = items[0]._replace(row=None, event=None)  # what was reserved for it must not stay so
                self._submit(posting.settle_each, [moved])

    def _keep(self, items: list[Item]) -> None:
        room = max(0, MAX_KEPT - len(self._waiting))
        self._lose(items[room:], "the ledger was away for too long")
        self._waiting = items[:room] + self._waiting
        if self._timer is None and self._waiting:
            self._timer = asyncio.get_running_loop().call_later(AGAIN_S, self._write_one_by_one)

    def _write_one_by_one(self) -> None:
        """After a failure nobody knows which of them are written already."""
        self._timer = None
        items, self._waiting = self._waiting, []
        if items:
            self._submit(posting.settle_each, items)

    def _lose(self, items: list[Item], why: str) -> None:
        for item in items:
            if item.row is not None:
                self.lost += 1
                log.error("ledger row not written (%s): %r", why, item.row)

    # -- servers that died

    async def bury(self, ttl_s: float, alone: bool) -> int:
        """Say that we live, and book what dead servers held: others at once where we are `alone`, else those whose beat has
        stood still for `ttl_s` of our time. The number of servers buried."""
        found = await self._database.write_raw(posting.beat, self._sql, self.server)
        self._registered = True
        now, dead = clock.monotonic(), []
        for server, beat in found:
            if server == self.server:
                continue
            before = self._seen.get(server)
            if before is None or before[0] != beat:
                before = self._seen[server] = (beat, now)
            if alone or now - before[1] >= ttl_s:
                dead.append(server)
        for server in dead:
            for event in await self._database.write_raw(posting.bury, self._sql, server, clock.now_ns()):
                self._told(event)
            self._seen.pop(server, None)
        return len(dead)

    def forget(self, workspace: str, limit_id: str, before_ns: int) -> None:
        """Delete counters of windows long over; nobody waits for it, and a failure only leaves them lying."""
        self._database.submit(posting.prune, self._sql, workspace, limit_id, before_ns, raw=True)
