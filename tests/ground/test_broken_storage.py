"""Disks that are full and files that are damaged: said clearly, nothing lost, and over when the cause is over."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap

import pytest

from genwright.db import METADATA
from genwright.errors import Unavailable
from genwright.migrate import open_databases

FULL_DISK = """
    import asyncio, os, subprocess, sys
    from genwright.db import Database
    from genwright.errors import Unavailable

    folder = sys.argv[1]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    fresh = Database("spans", f"sqlite:///{folder}/fresh.sqlite")
    used = Database("ledger", f"sqlite:///{folder}/used.sqlite")
    insert = lambda connection: connection.exec_driver_sql("insert into t values (zeroblob(20000))")
    count = lambda connection: connection.exec_driver_sql("select count(*) from t").scalar()

    async def refused(database):
        try:
            await database.write(insert)
        except Unavailable:
            return True
        return False

    async def main():
        for database in (fresh, used):
            with database.engine.connect() as connection:
                connection.exec_driver_sql("create table t (a)")
        await used.write(insert)
        ball = os.open(f"{folder}/ball", os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(ball, b"x" * 512)
        except OSError:
            os.close(ball)
        for database in (fresh, used):
            assert await refused(database) and await refused(database), database.name
            assert database.failed is None, database.failed
        assert await used.read(count) == 1
        os.unlink(f"{folder}/ball")
        for database in (fresh, used):
            await database.write(insert)
        assert (await fresh.read(count), await used.read(count)) == (1, 2)
        print("all well")

    asyncio.run(main())
    fresh.close()
    used.close()
"""


def may_mount() -> bool:
    return bool(shutil.which("unshare")) and subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="a small disk of one's own needs user namespaces (unshare -Urm)")
def test_a_full_disk_refuses_writes_until_there_is_room_again(tmp_path):
    command = ["unshare", "-Urm", sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "all well", done.stderr[-3000:]


@pytest.mark.parametrize("name", sorted(METADATA))
@pytest.mark.parametrize("damage", ["text", "garbage", "half"])
def test_a_damaged_database_is_named_and_left_as_it_is(tmp_path, name, damage):
    for database in open_databases(tmp_path).values():
        database.close()
    file = tmp_path / f"{name}.sqlite"
    whole = file.read_bytes()
    broken = {
        "text": b"no database at all " * 500,
        "garbage": b"\xa5" * 4096 + whole[4096:],
        "half": whole[: len(whole) // 2 - 100],
    }
    file.write_bytes(broken[damage])
    with pytest.raises(Unavailable, match=rf"The {name} database in .*{name}\.sqlite cannot be opened: .*genwright doctor"):
        open_databases(tmp_path)
    assert file.read_bytes() == broken[damage]
