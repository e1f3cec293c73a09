"""Brings a database to the newest schema by Alembic; loads Alembic only when there is something to do.

Each database has its own line of migrations in `migrations/<name>/versions/`, named `0001_….py`, and its own version table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from genwright.db import METADATA, Database
from genwright.errors import NEVER, Invalid, Unavailable

FOLDER = Path(__file__).parent / "migrations"


def open_databases(home: Path, database_url: str = "") -> dict[str, Database]:
    """The three databases by name, at the newest schema; files in `home`, or all in the one PostgreSQL database.

    Raises Unavailable for one that is damaged or cannot be reached, naming it; it is left as it is.
    """
    databases = {}
    for name in METADATA:
        databases[name] = Database(name, database_url or f"sqlite:///{home / (name + '.sqlite')}")
        try:
            migrate(databases[name])
        except sa.exc.DatabaseError as error:
            where = "at GENWRIGHT_DATABASE_URL" if database_url else f"in {home / (name + '.sqlite')}"
            advice = "Is the server up?" if database_url else "Restore the file from a backup; `genwright doctor` checks them."
            why = str(error.orig).strip().split("\n")[0]
            raise Unavailable(
                f"The {name} database {where} cannot be opened: {why}. Nothing was changed. {advice}", retry=NEVER
            ) from error
    return databases


def versions(name: str) -> list[str]:
    """Revision ids of one database, oldest first."""
    return sorted(file.stem.partition("_")[0] for file in (FOLDER / name / "versions").glob("[0-9]*.py"))


def current(connection: sa.Connection, name: str) -> str | None:
    """The revision a database stands at, or None for an empty one."""
    table = version_table(name)
    if not sa.inspect(connection).has_table(table):
        return None
    return connection.execute(sa.select(sa.column("version_num")).select_from(sa.table(table))).scalar()


def version_table(name: str) -> str:
    return f"schema_version_{name}"


def migrate(database: Database, target: str = "head") -> None:
    """Upgrade if needed. Refuses a database that is newer than this program, without touching it."""
    known = versions(database.name)
    with database.engine.connect() as connection:
        at = current(connection, database.name)
        if at is not None and at not in known:
            raise Invalid(
                f"The {database.name} database has schema {at}; this program knows {known[-1]}. "
                "Nothing was changed. Install the newer Genwright again, or restore a backup."
            )
        if at == (known[-1] if target == "head" else target):
            return
    _alembic(database, target)


def _alembic(database: Database, target: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("version_locations", str(FOLDER / database.name / "versions"))
    config.set_main_option("path_separator", "os")
    attributes: dict[str, Any] = {"database": database}
    config.attributes.update(attributes)
    command.upgrade(config, target)
