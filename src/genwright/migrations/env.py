"""Alembic's environment: one transaction per upgrade, on the engine of the database that asks."""

from alembic import context

from genwright.db import METADATA
from genwright.migrate import version_table

database = context.config.attributes["database"]
engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
with engine.connect() as connection:
    connection.exec_driver_sql("BEGIN")
    context.configure(
        connection=connection,
        target_metadata=METADATA[database.name],
        version_table=version_table(database.name),
        transaction_per_migration=False,
        render_as_batch=not database.postgres,
    )
    context.run_migrations()
    connection.exec_driver_sql("COMMIT")
    connection.commit()
