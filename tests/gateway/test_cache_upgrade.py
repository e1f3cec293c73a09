"""Spans and rules written before there was a cache keep their rows; the cache's tables stand beside them, empty."""

import sqlalchemy as sa

from genwright import migrate
from genwright.db import Database
from genwright.gateway.cache import store
from genwright.vocab import Scope


def test_an_earlier_schema_of_spans_gets_the_caches_tables(tmp_path):
    database = Database("spans", f"sqlite:///{tmp_path / 'x.sqlite'}")
    migrate.migrate(database, "0001")
    with database.engine.connect() as connection:
        before = {name: sa.inspect(connection).get_columns(name) for name in sa.inspect(connection).get_table_names()}
    migrate.migrate(database)
    with database.engine.connect() as connection:
        names = set(sa.inspect(connection).get_table_names())
        assert names >= set(before) | {"gateway_cache_entries", "gateway_cache_hits"}
        assert store.latest_hits(connection, Scope(), "", "", 5) == []
        assert store.get_entry(connection, Scope(), "x", 0) is None
    database.close()


def test_an_earlier_registry_keeps_its_aliases_and_has_no_rules(tmp_path):
    database = Database("registry", f"sqlite:///{tmp_path / 'x.sqlite'}")
    migrate.migrate(database, "0006")
    with database.engine.connect() as connection:
        connection.exec_driver_sql(
            "INSERT INTO gateway_aliases VALUES ('default', 'default', 'fast', 'local/extractive', 1, 'k')"
        )
    migrate.migrate(database)
    with database.engine.connect() as connection:
        (alias,) = connection.exec_driver_sql("SELECT name, target FROM gateway_aliases").all()
        assert tuple(alias) == ("fast", "local/extractive")
        assert store.newest_rules(connection, Scope()) == []
        assert store.all_labels(connection, Scope()) == []
    database.close()
