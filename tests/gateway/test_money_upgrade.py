"""A ledger written before there were budgets keeps its rows, and says of them what was true."""

import sqlalchemy as sa

from genwright import migrate
from genwright.db import Database
from genwright.gateway.money import store
from genwright.vocab import Scope

OLD = (
    "INSERT INTO gateway_attempts (workspace, project, id, at_ns, key, trace, span, provider, model, operation, status, "
    "input_tokens, output_tokens, cached_tokens, nano_usd, estimated, first_chunk_ns, duration_ns) "
    "VALUES ('default', 'default', 'att_1', 5, 'key_1', 't', 's', 'openai', 'gpt-5', 'chat', 'ok', 3, 4, 1, 77, false, 8, 9)"
)


def test_rows_of_the_first_schema_survive(tmp_path):
    database = Database("ledger", f"sqlite:///{tmp_path / 'x.sqlite'}")
    migrate.migrate(database, "0001")
    with database.engine.connect() as connection:
        connection.exec_driver_sql(OLD)
    migrate.migrate(database)
    with database.engine.connect() as connection:
        (row,) = store.attempts_of(connection, Scope(), "t")
        indexes = {index["name"] for index in sa.inspect(connection).get_indexes("gateway_attempts")}
    database.close()
    assert (row.id, row.input_tokens, row.output_tokens, row.cached_tokens, row.nano_usd) == ("att_1", 3, 4, 1, 77)
    assert (row.cost_kind, row.team, row.tags, row.cache_write_tokens) == ("inference", "", None, 0)
    assert "gateway_attempts_time" in indexes
