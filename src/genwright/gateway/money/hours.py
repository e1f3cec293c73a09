"""Hourly sums of the ledger, kept in the transaction that writes its rows, so that reports over many calls are quick.

Exactly what the rows themselves add up to; `reports/store.py` reads both. What has many values (users, sessions, tags) is not
summed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from genwright.db import LEDGER, scoped
from genwright.gateway.money.types import LedgerRow

HOUR_NS = 3_600_000_000_000
ROLLED = ("provider", "model", "operation", "cost_kind", "key", "team", "member", "app", "route")
"""Dimensions of the sums."""
SUMS = (
    "calls", "failed", "cached", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens",
    "nano_usd", "unpriced", "estimated", "duration_ns",
)  # fmt: skip
"""Columns that add up."""
FINE = ("ok", "cached")
"""States of entries that did not fail."""

hours = sa.Table(
    "gateway_hours",
    LEDGER,
    *scoped(),
    sa.Column("hour_ns", sa.BigInteger, nullable=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in ROLLED),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in SUMS),
    sa.PrimaryKeyConstraint("workspace", "project", "hour_ns", *ROLLED),
    sqlite_with_rowid=False,
)

_KEY = ("workspace", "project", "hour_ns", *ROLLED)
ADD = (
    f"INSERT INTO gateway_hours ({', '.join((*_KEY, *SUMS))}) VALUES ({', '.join('?' * len((*_KEY, *SUMS)))}) "  # noqa: S608
    f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = gateway_hours.{name} + excluded.{name}" for name in SUMS)
)
"""Constant names only; in `?` style."""
_AT = {name: LedgerRow.__struct_fields__.index(name) for name in LedgerRow.__struct_fields__}
_PICKED = tuple(_AT[name] for name in ROLLED)
_STATUS, _TIME, _NANO, _ESTIMATED, _DURATION = (_AT[name] for name in ("status", "at_ns", "nano_usd", "estimated", "duration_ns"))
_TOKENS = tuple(_AT[name] for name in SUMS[3:8])


def add(cursor: Any, statement: str, rows: Iterable[Sequence[Any]]) -> None:
    """Add rows just inserted into the ledger, in the order of LedgerRow, to their hours. In the same transaction, and once."""
    found: dict[tuple, list[int]] = {}
    for row in rows:
        at = row[_TIME]
        key = (row[0], row[1], at - at % HOUR_NS, *[row[place] for place in _PICKED])
        sums = found.get(key)
        if sums is None:
            sums = found[key] = [0] * len(SUMS)
        status, nano = row[_STATUS], row[_NANO]
        sums[0] += 1
        sums[1] += status not in FINE
        sums[2] += status == "cached"
        for place, column in enumerate(_TOKENS, 3):
            sums[place] += row[column]
        sums[8] += nano or 0
        sums[9] += nano is None
        sums[10] += bool(row[_ESTIMATED])
        sums[11] += row[_DURATION]
    cursor.executemany(statement, [(*key, *sums) for key, sums in found.items()])
