"""The verbs of limits and budgets: set, list, remove, how much is used, what happened. A budget is a limit in usd.

Limits hang on nodes of the key tree (access). Those on the workspace itself are for its administrators; the others belong to the
project whose administrator set them. What a limit does to a call is the desk's.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, get_args

import msgspec
from sqlalchemy.engine import Connection

from genwright import audit, clock
from genwright.access.types import Actor
from genwright.errors import Forbidden, Invalid, Missing
from genwright.gateway.money import store
from genwright.gateway.money.desk import Desk
from genwright.gateway.money.types import Burn, LedgerHealth, Limit, LimitEvent, Metric, WindowKind
from genwright.gateway.money.windows import FOREVER, SECOND, window, zone
from genwright.vocab import nearest, new_id

NANO = 1_000_000_000
MAX_AMOUNT = 2**62
MAX_LIMITS = 10_000
DAY_NS = 86_400 * SECOND
WARN_AT = (80, 100)


class SetLimit(msgspec.Struct, frozen=True):
    """What is asked for. The same node, metric, window and models change the limit that is there; what was used stays."""

    node: str
    """`workspace`, `project`, or `team:`, `member:`, `service:`, `key:` and an id or name."""
    metric: str = "usd"
    """usd, requests, tokens or concurrent."""
    window: str = "month"
    """second, minute, hour, day, week, month or total; a calendar's, in `timezone`."""
    amount: int | None = None
    """A count; for usd, nano-dollars where `usd` is not given."""
    usd: str = ""
    """Dollars as decimal text, exact."""
    models: str = ""
    """Only calls of models so named, as PROVIDER/MODEL or as asked for (`route/…`), `*` for any letters."""
    hard: bool = True
    warn_at: list[int] | None = None
    """Percent at which an event is written; left out: 80 and 100."""
    timezone: str = "UTC"


class Limits:
    def __init__(self, databases: dict, access: Any, desk: Desk):
        self._registry = databases["registry"]
        self._ledger = databases["ledger"]
        self._access = access
        self._desk = desk

    async def set(self, actor: Actor, asked: SetLimit) -> Limit:
        """A new limit, or other words for the one at this place. It holds at once here, and within a second at other servers."""
        actor.need("admin")
        node = await self._node(actor, asked.node)
        limit = _checked(actor, node, asked)
        done = await self._registry.write(_put, actor, limit)
        await self._desk.changed(actor.scope.workspace)
        return done

    async def all(self, actor: Actor, metric: str = "") -> list[Limit]:
        """Of the workspace itself and of the actor's project, oldest first."""
        actor.need("read")
        found = await self._registry.read(store.all_limits, actor.scope.workspace)
        return [limit for limit in found if _visible(actor, limit) and metric in ("", limit.metric)]

    async def remove(self, actor: Actor, limit_id: str) -> Limit:
        """End a limit. What was used under it stays in the ledger."""
        actor.need("admin")
        limit = next((limit for limit in await self.all(actor) if limit.id == limit_id), None)
        if limit is None:
            raise Missing(f"There is no limit '{limit_id[:100]}' here. Nothing was removed. `genwright limits list` shows them.")
        _may_touch(actor, limit.node)
        await self._registry.write(_delete, actor, limit)
        await self._desk.changed(actor.scope.workspace)
        return limit

    async def used(self, actor: Actor, metric: str = "") -> list[Burn]:
        """What is used of each limit in the window that is now, and when it will be used up at this pace."""
        limits = await self.all(actor, metric)
        await self._desk.flush()
        self._desk.watch()
        now_ns = self._desk.time.now_ns()
        spans = {limit.id: _span(limit, now_ns) for limit in limits}
        keys = [(limit.id, spans[limit.id][0]) for limit in limits]
        found = await self._ledger.read(store.counted, actor.scope.workspace, keys)
        busy = {rule.limit.id: rule.busy for rule in self._desk.rules(actor.scope.workspace)}
        return [_burn(limit, spans[limit.id], found, busy, now_ns) for limit in limits]

    async def events(self, actor: Actor, before_ns: int = 0, limit: int = 100) -> list[LimitEvent]:
        """What happened to limits of the project and under them, newest first."""
        actor.need("read")
        await self._desk.flush()
        return await self._ledger.read(store.list_events, actor.scope, before_ns or FOREVER, min(max(limit, 1), 500))

    async def health(self, actor: Actor) -> LedgerHealth:
        """Whether what is used reaches the ledger, at this server."""
        actor.need("read")
        book, reason = self._desk.book, self._ledger.failed or self._desk.book.away
        waiting, unmetered = book.kept, self._desk.unmetered
        return LedgerHealth(not (book.lost or unmetered or reason), waiting, book.lost, unmetered, reason)

    async def names(self, actor: Actor) -> dict[str, str]:
        """What people call the nodes; empty for who may not see them."""
        return await self._access.tree.names(actor) if actor.may("admin") else {}

    async def _node(self, actor: Actor, text: str) -> str:
        """The node meant: by its id, or by its name."""
        kind, colon, rest = text.partition(":")
        if not colon and kind in ("workspace", "project"):
            rest = getattr(actor.scope, kind)
        names = await self._access.tree.names(actor)
        node = f"{kind}:{rest}"
        if node not in names:
            named = [known for known, name in names.items() if name == rest and known.startswith(f"{kind}:")]
            if len(named) > 1:
                raise Invalid(f"{len(named)} nodes are called '{text[:100]}'. Nothing was set. Name one by its id.", field="node")
            if not named:
                known = [f"{one.partition(':')[0]}:{name}" for one, name in names.items()]
                near = ", ".join(nearest(text, known)) or "workspace, project, team:…, member:…, service:…, key:…"
                raise Missing(f"There is no node '{text[:100]}' here. Nothing was set. Near it: {near}.")
            node = named[0]
        _may_touch(actor, node)
        return node


def _may_touch(actor: Actor, node: str) -> None:
    if node.startswith("workspace:") and not actor.manages_workspace:
        raise Forbidden("Limits of the whole workspace are its administrators' to set. Nothing was changed. Take the project.")


def _visible(actor: Actor, limit: Limit) -> bool:
    return limit.project == actor.scope.project or limit.node.startswith("workspace:")


def _checked(actor: Actor, node: str, asked: SetLimit) -> Limit:
    """The limit as it is stored. Raises Invalid naming the field."""
    for field, known in (("metric", get_args(Metric)), ("window", get_args(WindowKind))):
        value = getattr(asked, field)
        if value not in known:
            raise Invalid(f"'{value[:40]}' is no {field}. Nothing was set. They are: {', '.join(known)}.", field=field)
    zone(asked.timezone)
    warn_at = sorted(set(WARN_AT if asked.warn_at is None else asked.warn_at))
    if len(warn_at) > 20 or any(not 0 < percent <= 1000 for percent in warn_at):
        raise Invalid("Warnings are at most 20 percentages from 1 to 1000. Nothing was set.", field="warn_at")
    if len(asked.models) > 200 or not asked.models.isprintable():
        raise Invalid("A pattern of models has at most 200 printable characters. Nothing was set.", field="models")
    return Limit(
        actor.scope.workspace, actor.scope.project, new_id("lim"), node, asked.metric,  # type: ignore[arg-type]
        "total" if asked.metric == "concurrent" else asked.window, _amount(asked), asked.models, asked.hard, warn_at,  # type: ignore[arg-type]
        asked.timezone, clock.now_ns(), actor.id,
    )  # fmt: skip


def _amount(asked: SetLimit) -> int:
    amount = asked.amount
    if asked.usd:
        if asked.metric != "usd" or amount is not None:
            raise Invalid("'usd' is the amount of a budget, and instead of 'amount'. Nothing was set.", field="usd")
        try:
            exact = Decimal(asked.usd) * NANO
            amount = int(exact)
        except (InvalidOperation, ValueError, OverflowError):
            raise Invalid(
                f"'{asked.usd[:40]}' is no amount of dollars. Nothing was set. Write it as 12.50.", field="usd"
            ) from None
        if amount != exact:
            raise Invalid("An amount has at most nine decimals. Nothing was set.", field="usd")
    if amount is None or not 0 <= amount <= MAX_AMOUNT:
        raise Invalid(f"A limit needs an amount from 0 to {MAX_AMOUNT:,}. Nothing was set.", field="amount")
    return amount


def _span(limit: Limit, now_ns: int) -> tuple[int, int]:
    return (0, FOREVER) if limit.metric == "concurrent" else window(limit.window, zone(limit.timezone), now_ns)


def _burn(limit: Limit, span: tuple[int, int], found: dict, busy: dict[str, int], now_ns: int) -> Burn:
    begins_ns, ends_ns = span
    spent, held, _ = found.get((limit.id, begins_ns), (0, 0, 0))
    if limit.metric == "concurrent":
        spent, held = max(held, busy.get(limit.id, 0)), 0
    left = limit.amount - spent - held
    days = max(now_ns - max(begins_ns, limit.created_ns), SECOND) / DAY_NS
    per_day = 0.0 if limit.metric == "concurrent" else spent / days
    empty_ns = round(now_ns + max(left, 0) / per_day * DAY_NS) if per_day else 0
    if ends_ns != FOREVER and empty_ns >= ends_ns:
        empty_ns = 0
    return Burn(limit, begins_ns, 0 if ends_ns == FOREVER else ends_ns, spent, held, left, per_day, min(empty_ns, FOREVER))


def _put(connection: Connection, actor: Actor, limit: Limit) -> Limit:
    if len(store.all_limits(connection, limit.workspace)) >= MAX_LIMITS:
        raise Invalid(f"A workspace has at most {MAX_LIMITS:,} limits. Nothing was set. Remove some.")
    done = store.put_limit(connection, limit)
    details = {"node": done.node, "metric": done.metric, "window": done.window, "amount": done.amount, "hard": done.hard}
    audit.write(connection, actor.scope, actor.id, "gateway.set_limit", done.id, {**details, "models": done.models})
    return done


def _delete(connection: Connection, actor: Actor, limit: Limit) -> None:
    store.delete_limit(connection, limit.workspace, limit.id)
    audit.write(connection, actor.scope, actor.id, "gateway.remove_limit", limit.id, {"node": limit.node, "metric": limit.metric})
