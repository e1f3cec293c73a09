"""Alembic's environment: one transaction per upgrade, on the engine of the database that asks."""

from typing import Any

from alembic import context

from genwright.db import METADATA, Json
from genwright.migrate import version_table


def render(kind: str, item: Any, _: Any) -> Any:
    """A migration names no type of ours: it must mean the same after the code has changed."""
    return "sa.LargeBinary()" if kind == "type" and isinstance(item, Json) else False


def own_tables(item: Any, name: str | None, kind: str, reflected: bool, _: Any) -> bool:
    """On PostgreSQL all databases share one schema: only this one's tables count."""
    return kind != "table" or not reflected or name in METADATA[database.name].tables


database = context.config.attributes["database"]
engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
with engine.connect() as connection:
    connection.exec_driver_sql("BEGIN")
    context.configure(
        connection=connection,
        target_metadata=METADATA[database.name],
        version_table=version_table(database.name),
        transaction_per_migration=False,
        render_item=render,
        include_object=own_tables,
    )
    context.run_migrations()
    connection.exec_driver_sql("COMMIT")
    connection.commit()
