"""The ledger's hot side: rows of finished attempts, written in groups a few milliseconds later. Never awaited by an answer.

The seam for budgets: `reserve` before a provider is called, `settle` after. A reservation costs nothing yet.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future

import msgspec

from genwright.db import Database
from genwright.errors import Unavailable
from genwright.gateway import store
from genwright.gateway.types import LedgerRow

DELAY_S = 0.015
"""Rows settled within this time share one write."""
log = logging.getLogger("genwright.gateway")


class Ledger:
    def __init__(self, database: Database):
        self._database = database
        self._statement = database.sql(store.INSERT_ATTEMPT)
        self._waiting: list[tuple] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[Future] = set()
        self.lost = 0
        """Rows the database refused; each is in the log."""

    def settle(self, row: LedgerRow) -> None:
        """Keep the row; it is on disk within DELAY_S and one commit."""
        self._waiting.append(msgspec.structs.astuple(row))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_S, self._write)

    async def flush(self) -> None:
        """Return when everything settled so far is on disk."""
        if self._timer is not None:
            self._timer.cancel()
            self._write()
        while self._writing:
            await asyncio.gather(*(asyncio.wrap_future(future) for future in list(self._writing)), return_exceptions=True)

    def _write(self) -> None:
        self._timer = None
        rows, self._waiting = self._waiting, []
        if rows:
            self._submit(rows)

    def _submit(self, rows: list[tuple]) -> None:
        future = self._database.submit(store.insert_attempts, self._statement, rows, raw=True)
        self._writing.add(future)
        future.add_done_callback(lambda done: self._written(done, rows))

    def _written(self, future: Future, rows: list[tuple]) -> None:
        """Runs in the writer's thread. One row that cannot be written must not take its group with it."""
        error = future.exception()
        if error is not None and len(rows) > 1 and not isinstance(error, Unavailable):
            for row in rows:
                self._submit([row])
        elif error is not None:
            self.lost += len(rows)
            for row in rows:
                log.error("ledger row not written (%s): %r", error, row)
        self._writing.discard(future)
