"""Costs that are no call to a model (training, GPU time, storage, labelling) and refunds, booked into the same ledger.

They count in the budgets that cover their actor, and are never refused: what was used is used. Who wants to know before, asks
what is left (`Limits.used`).
"""

from __future__ import annotations

import msgspec

from genwright import clock
from genwright.access.types import Actor
from genwright.gateway.money.desk import Desk
from genwright.gateway.money.posting import Item
from genwright.gateway.money.types import CostKind, LedgerRow
from genwright.gateway.money.windows import window, zone
from genwright.vocab import new_id


class Cost(msgspec.Struct, frozen=True):
    """What was used, and for what."""

    kind: CostKind
    nano_usd: int
    operation: str
    """What was done: `fine_tune`, `store_index` …"""
    units: dict[str, float] = {}
    """How much of what: {"gpu_second": 3600}, {"gigabyte_month": 2.5}, {"label": 40}."""
    provider: str = ""
    model: str = ""
    app: str = ""
    trace: str = ""
    tags: dict[str, str] = {}
    price_source: str = ""
    estimated: bool = False


async def charge(desk: Desk, actor: Actor, cost: Cost) -> LedgerRow:
    """Book a cost; the row as it is written."""
    plan, scope = await desk.plan(actor), actor.scope
    row = LedgerRow(
        scope.workspace, scope.project, new_id("cost"), clock.now_ns(), actor.id, cost.trace, "", cost.provider, cost.model,
        cost.operation, "ok", 0, 0, 0, cost.nano_usd, cost.estimated, 0, 0, cost.kind, plan.team, plan.member, cost.app,
        price_source=cost.price_source, tags={**cost.tags, **actor.terms.tags} or None, units=cost.units or None,
    )  # fmt: skip
    await book(desk, actor, row, desk.time.now_ns())
    return row


async def refund(desk: Desk, actor: Actor, row: LedgerRow) -> None:
    """Book back what a row cost, in the budgets' windows it was counted in. A row is added, none is changed."""
    back = {name: -value for name, value in (row.units or {}).items()}
    changes = {"id": row.id + "_back", "at_ns": clock.now_ns(), "status": "refunded", "nano_usd": -(row.nano_usd or 0)}
    await book(desk, actor, msgspec.structs.replace(row, **changes, units=back or None), row.at_ns)


async def book(desk: Desk, actor: Actor, row: LedgerRow, at_ns: int) -> None:
    """Put a row into the ledger, counted in the budgets of its actor as of `at_ns`."""
    plan, name = await desk.plan(actor), f"{row.provider}/{row.model}"
    moves = []
    for rule in plan.usd:
        if rule.covers(name) and row.nano_usd:
            begins_ns = window(rule.limit.window, zone(rule.limit.timezone), at_ns)[0]
            moves.append(rule.move(spent=row.nano_usd, window_ns=begins_ns))
    desk.settle(Item(row, tuple(moves)))
