"""What learned routers saw of live prompts, by hour and server (registry database), and every query on it."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from genwright.db import REGISTRY, Json, scoped
from genwright.vocab import Scope

hours = sa.Table(
    "gateway_router_hours",
    REGISTRY,
    *scoped(),
    sa.Column("weights", sa.Text, nullable=False),
    sa.Column("hour_ns", sa.BigInteger, nullable=False),
    sa.Column("server", sa.Text, nullable=False),
    sa.Column("calls", sa.BigInteger, nullable=False),
    sa.Column("far", sa.BigInteger, nullable=False),
    sa.Column("gains", Json, nullable=False),
    sa.Column("near", Json, nullable=False),
    sa.PrimaryKeyConstraint("workspace", "project", "weights", "hour_ns", "server"),
)
"""Each server writes its own row of an hour, so that replicas never meet."""


class Hour(msgspec.Struct):
    """One row. `gains` and `near`: calls in each tenth of the rows fitted."""

    workspace: str
    project: str
    weights: str
    hour_ns: int
    server: str
    calls: int
    far: int
    gains: list[int]
    near: list[int]


def put(connection: Connection, found: list[Hour]) -> None:
    """Write rows in place of those of the same hour and server."""
    for row in found:
        values = msgspec.structs.asdict(row)
        key = [hours.c[name] == values[name] for name in ("workspace", "project", "weights", "hour_ns", "server")]
        connection.execute(hours.delete().where(*key))
        connection.execute(hours.insert().values(**values))


def since(connection: Connection, scope: Scope, weights: str, since_ns: int) -> list[Hour]:
    """Rows of a router's weights, oldest first."""
    query = (
        sa.select(hours)
        .where(hours.c.workspace == scope.workspace, hours.c.project == scope.project, hours.c.weights == weights)
        .where(hours.c.hour_ns >= since_ns)
        .order_by(hours.c.hour_ns)
    )
    return [Hour(*row) for row in connection.execute(query)]
