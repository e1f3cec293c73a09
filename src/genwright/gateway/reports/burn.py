"""A budget's burn-down as a chart: what was used since its window began, the pace until its end, the amount."""

from __future__ import annotations

from typing import Any

from genwright.access.types import Actor
from genwright.gateway.money.hours import HOUR_NS
from genwright.gateway.money.types import Burn
from genwright.gateway.reports.service import Reports, time_of
from genwright.gateway.reports.store import DAY_NS
from genwright.gateway.reports.types import CostQuery

KINDS = {"team": "team", "member": "member", "service": "member", "key": "key"}
"""Kind of node → dimension of the ledger."""
MOST = 800
"""Points of a chart."""


def paced(burn: Burn, now_ns: int) -> bool:
    """Whether enough of the window is over, since the budget was set, to speak of a pace: a twentieth."""
    span = burn.ends_ns - burn.begins_ns
    return bool(burn.ends_ns) and now_ns - max(burn.begins_ns, burn.limit.created_ns) >= span / 20


async def burn_down(reports: Reports, actor: Actor, burn: Burn, now_ns: int) -> dict[str, Any] | None:
    """The chart's data, or None where the ledger of this project cannot tell: budgets of the whole workspace, of routes, without
    a window's end, and of less than an hour."""
    where = _where(burn)
    if where is None or not burn.ends_ns or burn.ends_ns - burn.begins_ns < 3 * HOUR_NS:
        return None
    unit, size = ("hour", HOUR_NS) if burn.ends_ns - burn.begins_ns <= 8 * DAY_NS else ("day", DAY_NS)
    since = max(burn.begins_ns, burn.limit.created_ns)
    found = await reports.costs(actor, CostQuery((unit,), since, now_ns + 1, where, 100_000))
    spent = {line.by[unit]: line.sums.nano_usd / 1e9 for line in found.lines}
    times = list(range(burn.begins_ns - burn.begins_ns % size, burn.ends_ns, size))[:MOST]
    used, total = [], 0.0
    for at in times:
        total += spent.get(time_of(unit, at), 0.0)
        used.append(round(total, 9) if at <= now_ns else None)
    now = sum(value is not None for value in used) - 1
    pace = burn.per_day * size / DAY_NS / 1e9
    amount = burn.limit.amount / 1e9
    lines: dict[str, list[float | None]] = {"used": used, "budget": [amount] * len(times)}
    if paced(burn, now_ns):
        top = max(amount, total) * 1.5
        ahead = [None if place < now else round(total + pace * (place - now), 9) for place in range(len(times))]
        lines["at this pace"] = [value if value is None or value <= top else None for value in ahead]
    series = [{"name": name, "values": values} for name, values in lines.items()]
    return {"kind": "line", "x": [_iso(at) for at in times], "series": series, "unit": "$"}


def _where(burn: Burn) -> dict[str, str] | None:
    kind, _, node = burn.limit.node.partition(":")
    where: dict[str, str] = {}
    if kind == "workspace" or "/" not in (burn.limit.models or "a/b") or burn.limit.models.startswith(("route/", "app/")):
        return None
    if kind in KINDS:
        where[KINDS[kind]] = node
    if burn.limit.models:
        where["provider"], _, where["model"] = burn.limit.models.partition("/")
    return where


def _iso(ns: int) -> str:
    return time_of("hour", ns).replace(":00Z", ":00:00Z")
