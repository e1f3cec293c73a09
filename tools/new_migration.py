"""Writes a migration from the difference between the tables in the code and the newest schema: read it before you commit it.

python tools/new_migration.py registry "what changes"
"""

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config

from genwright import app, migrate  # noqa: F401 (importing the roof makes all tables known)
from genwright.db import METADATA, Database


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in METADATA:
        sys.exit(__doc__)
    name, message = sys.argv[1:]
    number = f"{len(migrate.versions(name)) + 1:04d}"
    with tempfile.TemporaryDirectory() as folder:
        database = Database(name, f"sqlite:///{Path(folder) / 'x.sqlite'}")
        if migrate.versions(name):
            migrate.migrate(database)
        config = Config()
        config.set_main_option("script_location", str(migrate.FOLDER))
        config.set_main_option("version_locations", str(migrate.FOLDER / name / "versions"))
        config.set_main_option("path_separator", "os")
        config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
        config.attributes["database"] = database
        command.revision(config, message=message, autogenerate=True, rev_id=number)
        database.close()


if __name__ == "__main__":
    main()
