"""The migrations make exactly the tables that the code knows, from nothing and from every earlier schema."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from genwright import app, migrate  # noqa: F401 (importing the roof makes all tables known)
from genwright.db import METADATA, Database
from genwright.errors import Invalid


@pytest.fixture(params=sorted(METADATA))
def database(request, tmp_path):
    database = Database(request.param, f"sqlite:///{tmp_path / 'x.sqlite'}")
    yield database
    database.close()


def test_migrations_make_the_tables_of_the_code(database):
    migrate.migrate(database)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": migrate.version_table(database.name)})
        assert compare_metadata(context, METADATA[database.name]) == [], "run: python tools/new_migration.py"


def test_migrating_twice_changes_nothing_and_every_step_can_be_taken_alone(database):
    for version in migrate.versions(database.name):
        migrate.migrate(database, version)
    migrate.migrate(database)
    with database.engine.connect() as connection:
        assert migrate.current(connection, database.name) == migrate.versions(database.name)[-1]


def test_a_newer_database_is_refused_and_left_alone(database):
    migrate.migrate(database)
    table = migrate.version_table(database.name)
    with database.engine.connect() as connection:
        connection.exec_driver_sql(f"UPDATE {table} SET version_num = '9999'")
    with pytest.raises(Invalid, match="9999"):
        migrate.migrate(database)
