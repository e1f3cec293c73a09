"""What a learned route cost, from its ledger rows, beside what its strongest model alone would have cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright import clock, prices
from genwright.gateway.learned.node import Learned
from genwright.gateway.learned.types import Saving
from genwright.gateway.money.store import attempts
from genwright.prices import Usage
from genwright.vocab import Scope

if TYPE_CHECKING:
    from genwright.gateway.service import Gateway


class Sums(NamedTuple):
    """Of one provider and model."""

    provider: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    nano_usd: int
    unpriced: int

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"


async def realised(gateway: Gateway, scope: Scope, about: tuple[str, Learned, int], sums: list[Sums]) -> Saving:
    """By the ledger where the strong model has a price; else both sides by the costs given at the fit.

    `about`: the route's name, its node, since when.
    """
    name, node, since_ns = about
    strong = next(arm for arm in node.arms if arm.name == node.strong)
    leaf = next(iter(strong.node.leaves()), None)
    provider, model = (leaf.provider, leaf.name) if leaf is not None else (strong.name.partition("/")[0], strong.name)
    service = await gateway.reports.service_of(scope, provider)
    book = await gateway.prices.book(scope)

    def at_strong(row: Sums) -> int | None:
        """A call of the mean size: prices by size of input are chosen a call."""
        count = max(1, row.calls)
        usage = Usage(row.input_tokens // count, row.output_tokens // count, row.cached_tokens // count)
        found = prices.price(service, model, usage, clock.now_ns(), book, provider)
        return None if found is None else found.nano_usd * row.calls

    known = [(row, at_strong(row)) for row in sums if row.unpriced < row.calls]
    if known and all(other is not None for _, other in known):
        usd, strong_usd = sum(row.nano_usd for row, _ in known) / 1e9, sum(other or 0 for _, other in known) / 1e9
        basis, shown = "ledger", {row.name: row.nano_usd / 1e9 for row in sums}
    else:
        given = {arm_model: arm.usd for arm in node.arms for arm_model in _names(arm)}
        shown = {row.name: given.get(row.name, strong.usd) * row.calls for row in sums}
        usd, strong_usd, basis = sum(shown.values()), strong.usd * sum(row.calls for row in sums), "given"
    return Saving(
        route=f"route/{name}", since_ns=since_ns, calls=sum(row.calls for row in sums), usd=usd, strong=node.strong,
        strong_usd=strong_usd, saving=1 - usd / strong_usd if strong_usd > 0 else None, basis=basis,
        unpriced=sum(row.unpriced for row in sums) if basis == "ledger" else 0,
        models=[{"model": row.name, "calls": row.calls, "usd": shown[row.name]} for row in sums],
    )  # fmt: skip


def _names(arm: Any) -> list[str]:
    return [f"{leaf.provider}/{leaf.name}" for leaf in arm.node.leaves()]


def sums(connection: Connection, scope: Scope, route: str, since_ns: int) -> list[Sums]:
    """Calls that were answered, by model, the most first; routes called by label or number count too."""
    table = attempts.c
    total = sa.func.sum
    query = (
        sa.select(
            table.provider,
            table.model,
            sa.func.count(),
            total(table.input_tokens),
            total(table.output_tokens),
            total(table.cached_tokens),
            sa.func.coalesce(total(table.nano_usd), 0),
            total(sa.case((table.nano_usd.is_(None), 1), else_=0)),
        )
        .where(table.workspace == scope.workspace, table.project == scope.project, table.at_ns >= since_ns)
        .where(sa.or_(table.route == route, table.route.startswith(f"{route}@", autoescape=True)), table.status == "ok")
        .group_by(table.provider, table.model)
        .order_by(sa.func.count().desc(), table.provider, table.model)
    )
    return [Sums(row[0], row[1], *(int(value) for value in row[2:])) for row in connection.execute(query)]
