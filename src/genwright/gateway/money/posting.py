"""The ledger's transactions, on a raw cursor inside the one writer: hold, lease, settle, and what a dead server left.

Everything that is read here and written back is safe without further locks: writers are one at a time, among servers too (db.py).
Knows no call and no clock.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from genwright.gateway.money import hours
from genwright.gateway.money.types import LedgerRow, LimitEvent

Key = tuple[str, str, int]
"""Workspace, limit, begin of the window: one counter."""
_COLUMNS = (*LedgerRow.__struct_fields__,)
MANY = (64, 16, 4, 1)
"""Rows that one INSERT takes."""
_encode = msgspec.json.Encoder().encode


class Part(NamedTuple):
    """What a hold takes from one counter."""

    limit_id: str
    window_ns: int
    amount: int
    ceiling: int
    """What the counter may come to; not kept."""
    spends: bool
    """Whether a hold whose server died counts as used: money and tokens do, places of calls under way do not."""


class Hold(NamedTuple):
    """A reservation, on disk before what it is for begins."""

    workspace: str
    project: str
    id: str
    parts: tuple[Part, ...]
    attempt: LedgerRow | None
    """How the ledger books it if nobody settles it; its id is the hold's. None: a place among calls under way."""


class Held(NamedTuple):
    """A hold that was given, and the row it stands in: those of one commit and workspace share one, and end with the last."""

    workspace: str
    batch: str


class Refused(NamedTuple):
    """Why a hold was not given."""

    part: Part
    used: int
    held: int


class Move(NamedTuple):
    """A change of one counter. `watch`: (node, amount, percents) where passing a percentage is told."""

    workspace: str
    project: str
    limit_id: str
    window_ns: int
    spent: int = 0
    held: int = 0
    leased: int = 0
    watch: tuple[str, int, tuple[int, ...]] | None = None


class Item(NamedTuple):
    """What ends an attempt: its row, the hold that ends with it, and what moves. Any part may be missing."""

    row: LedgerRow | None = None
    moves: tuple[Move, ...] = ()
    ends: Held | None = None
    """The row of holds that ends with it."""
    event: LimitEvent | None = None


class Statements:
    """Constant SQL in an engine's placeholder style (`sql` is Database.sql)."""

    def __init__(self, sql: Any):
        names = ", ".join(f'"{name}"' for name in _COLUMNS)
        marks = ", ".join("?" * len(_COLUMNS))
        self.attempts = {
            many: sql(f"INSERT INTO gateway_attempts ({names}) VALUES " + ", ".join([f"({marks})"] * many))  # noqa: S608 (columns)
            for many in MANY
        }
        self.hours = sql(hours.ADD)
        self.known = sql("SELECT 1 FROM gateway_attempts WHERE workspace = ? AND id = ?")
        self.hold = sql(
            "INSERT INTO gateway_holds (workspace, project, id, server, at_ns, parts, attempt) VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        self.unhold = sql("DELETE FROM gateway_holds WHERE workspace = ? AND id = ?")
        self.holds = sql("SELECT workspace, project, id, parts, attempt FROM gateway_holds WHERE server = ?")
        self.read = sql("SELECT spent, held, leased FROM gateway_counters WHERE workspace = ? AND limit_id = ? AND window_ns = ?")
        self.move = sql(
            "UPDATE gateway_counters SET spent = spent + ?, held = held + ?, leased = leased + ? "
            "WHERE workspace = ? AND limit_id = ? AND window_ns = ? RETURNING spent"
        )
        self.begin = sql(
            "INSERT INTO gateway_counters (workspace, project, limit_id, window_ns, spent, held, leased) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        self.event = sql(
            "INSERT INTO gateway_limit_events (workspace, project, id, at_ns, kind, limit_id, node, window_ns, percent, used, "
            "amount, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        )
        self.prune = sql("DELETE FROM gateway_counters WHERE workspace = ? AND limit_id = ? AND window_ns < ? AND held = 0")
        self.server = sql(
            "INSERT INTO gateway_servers (id, beat) VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET beat = gateway_servers.beat + 1"
        )
        self.servers = sql("SELECT id, beat FROM gateway_servers")
        self.no_server = sql("DELETE FROM gateway_servers WHERE id = ?")
        self.unanswered = sql("DELETE FROM gateway_answers WHERE server = ? AND status = 0")
        self.holders = sql("SELECT DISTINCT server FROM gateway_holds")


def as_row(row: LedgerRow) -> tuple[Any, ...]:
    """Values in the order of columns."""
    values = msgspec.structs.astuple(row)
    tags, units = row.tags, row.units
    if tags is None and units is None:
        return values
    return (*values[:-2], _encode(tags) if tags else None, _encode(units) if units else None)


def hold(cursor: Any, sql: Statements, server: str, batch: str, at_ns: int, asked: list[Hold]) -> list[Refused | Held]:
    """Give what fits, in the order of asking: all parts of a hold or none. Each counter is read and written once."""
    state: dict[Key, list[int]] = {}
    added: dict[Key, int] = {}
    out: list[Refused | Held] = []
    rows: dict[Held, tuple[str, list[Any], list[Any]]] = {}
    for one in asked:
        refused = None
        for part in one.parts:
            key = (one.workspace, part.limit_id, part.window_ns)
            counter = state.get(key)
            if counter is None:
                counter = state[key] = _read(cursor, sql, key)
            if counter[0] + counter[1] + counter[2] + part.amount > part.ceiling:
                refused = Refused(part, counter[0], counter[1] + counter[2])
                break
        if refused is not None:
            out.append(refused)
            continue
        for part in one.parts:
            key = (one.workspace, part.limit_id, part.window_ns)
            state[key][1] += part.amount
            added[key] = added.get(key, 0) + part.amount
        held = Held(one.workspace, one.id if one.attempt is None else batch)
        out.append(held)
        _, parts, attempts = rows.setdefault(held, (one.project, [], []))
        parts.append([(part.limit_id, part.window_ns, part.amount, part.spends) for part in one.parts])
        attempts.append(None if one.attempt is None else msgspec.structs.astuple(one.attempt))
    for held, (project, parts, attempts) in rows.items():
        cursor.execute(sql.hold, (held.workspace, project, held.batch, server, at_ns, _encode(parts), _encode(attempts)))
    project = asked[0].project
    for key, amount in added.items():
        _move(cursor, sql, Move(key[0], project, key[1], key[2], held=amount))
    return out


def lease(cursor: Any, sql: Statements, move: Move, ceiling: int, share: int) -> tuple[int, int]:
    """(handed out, still free) of a counter: at least `move.leased`, up to a `share`-th of what is free; 0 if it is not there."""
    spent, held, leased = _read(cursor, sql, (move.workspace, move.limit_id, move.window_ns))
    free = ceiling - spent - held - leased
    if free < move.leased:
        return 0, max(free, 0)
    granted = max(move.leased, free // share)
    _move(cursor, sql, move._replace(leased=granted))
    return granted, free - granted


def settle(cursor: Any, sql: Statements, items: list[Item], at_ns: int) -> list[LimitEvent]:
    """Book many ends at once; each counter is written once. Returns what is to be told."""
    rows = [as_row(item.row) for item in items if item.row is not None]
    if rows:
        _insert(cursor, sql, rows)
        hours.add(cursor, sql.hours, rows)
    ended = [item.ends for item in items if item.ends is not None]
    if ended:
        cursor.executemany(sql.unhold, ended)
    moves: dict[Key, Move] = {}
    for item in items:
        for move in item.moves:
            key = (move.workspace, move.limit_id, move.window_ns)
            known = moves.get(key)
            moves[key] = move if known is None else _sum(known, move)
    events = [item.event for item in items if item.event is not None]
    for move in moves.values():
        spent = _move(cursor, sql, move)
        if move.watch is not None and move.spent > 0:
            events += _passed(move, spent, at_ns)
    for event in events:
        cursor.execute(sql.event, msgspec.structs.astuple(event))
    return events


def _insert(cursor: Any, sql: Statements, rows: list[tuple[Any, ...]]) -> None:
    """Many rows a statement: the driver lets other threads run between statements, which costs more than a row."""
    done = 0
    for many in MANY:
        while len(rows) - done >= many:
            cursor.execute(sql.attempts[many], [value for row in rows[done : done + many] for value in row])
            done += many


def settle_each(cursor: Any, sql: Statements, items: list[Item], at_ns: int) -> list[LimitEvent]:
    """The same after a failure, one after the other: nothing is booked twice, should it have been booked already."""
    events: list[LimitEvent] = []
    for item in items:
        if item.row is not None:
            cursor.execute(sql.known, (item.row.workspace, item.row.id))
            if cursor.fetchone() is not None:
                continue
        events += settle(cursor, sql, [item], at_ns)
    return events


def beat(cursor: Any, sql: Statements, server: str) -> list[tuple[str, int]]:
    """Say that this server lives; all servers and their beats, with those that hold something and never said so."""
    cursor.execute(sql.server, (server,))
    cursor.execute(sql.servers)
    found = {str(row[0]): int(row[1]) for row in cursor.fetchall()}
    cursor.execute(sql.holders)
    for (name,) in cursor.fetchall():
        found.setdefault(str(name), 0)
    return list(found.items())


def bury(cursor: Any, sql: Statements, server: str, at_ns: int) -> list[LimitEvent]:
    """Book what a dead server held: money and tokens as reserved, marked estimated; places are free again.

    An attempt whose row is there was settled: its hold stood only because others of its batch were still under way.
    """
    cursor.execute(sql.holds, (server,))
    events: list[LimitEvent] = []
    for workspace, project, batch, parts, attempts in cursor.fetchall():
        held = msgspec.json.decode(bytes(parts), type=list[list[tuple[str, int, int, bool]]])
        for taken, values in zip(held, msgspec.json.decode(bytes(attempts)), strict=True):
            row = None if values is None else LedgerRow(*values)
            moves = tuple(
                Move(workspace, project, limit_id, window_ns, amount if spends else 0, -amount)
                for limit_id, window_ns, amount, spends in taken
            )
            events += settle_each(cursor, sql, [Item(row, moves, event=None if row is None else _lost(row, at_ns))], at_ns)
        cursor.execute(sql.unhold, (workspace, batch))
    cursor.execute(sql.unanswered, (server,))
    cursor.execute(sql.no_server, (server,))
    return events


def prune(cursor: Any, sql: Statements, workspace: str, limit_id: str, before_ns: int) -> None:
    """Forget windows of a limit that are long over."""
    cursor.execute(sql.prune, (workspace, limit_id, before_ns))


def _read(cursor: Any, sql: Statements, key: Key) -> list[int]:
    cursor.execute(sql.read, key)
    row = cursor.fetchone()
    return [0, 0, 0] if row is None else [int(value) for value in row]


def _move(cursor: Any, sql: Statements, move: Move) -> int:
    """What is spent afterwards."""
    cursor.execute(sql.move, (move.spent, move.held, move.leased, move.workspace, move.limit_id, move.window_ns))
    rows = cursor.fetchall()
    if rows:
        return int(rows[0][0])
    cursor.execute(sql.begin, (move.workspace, move.project, move.limit_id, move.window_ns, move.spent, move.held, move.leased))
    return move.spent


def _sum(one: Move, other: Move) -> Move:
    return one._replace(
        spent=one.spent + other.spent,
        held=one.held + other.held,
        leased=one.leased + other.leased,
        watch=other.watch or one.watch,
    )


def _passed(move: Move, spent: int, at_ns: int) -> list[LimitEvent]:
    """Percentages that this change has passed."""
    assert move.watch is not None
    node, amount, percents = move.watch
    before, out = spent - move.spent, []
    for percent in percents:
        edge = amount * percent
        if before * 100 < edge <= spent * 100:
            kind, words = ("reached", "is used up") if percent >= 100 else ("warning", f"has passed {percent} %")
            out.append(
                LimitEvent(
                    move.workspace, move.project, f"{move.limit_id}:{move.window_ns}:{percent}", at_ns, kind, move.limit_id, node,
                    move.window_ns, percent, spent, amount, f"{move.limit_id} of {node} {words}.",
                )
            )  # fmt: skip
    return out


def _lost(row: LedgerRow, at_ns: int) -> LimitEvent:
    return LimitEvent(
        row.workspace, row.project, f"lost:{row.id}", at_ns, "lost", "", f"key:{row.key}", 0, 0, row.nano_usd or 0, 0,
        f"The server of attempt {row.id} ended in the middle of it: booked as reserved.",
    )  # fmt: skip
