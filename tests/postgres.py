"""A private PostgreSQL server for tests, on a free loopback port, thrown away afterwards (nothing is synced to disk).

    python tests/postgres.py run pytest tests      start one, run the command with GENWRIGHT_TEST_DATABASE_URL set, stop it
    python tests/postgres.py start | stop          the same by hand; `start` prints the address to put into that variable

Needs PostgreSQL's server programs (Debian: `apt-get install -y postgresql`). PostgreSQL refuses to run as root: then its own
user `postgres` runs it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VARIABLE = "GENWRIGHT_TEST_DATABASE_URL"
NO_DURABILITY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300", "shared_buffers=64MB")


def programs() -> Path | None:
    """Folder of initdb and pg_ctl, the newest where there are several; None where PostgreSQL is not installed."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda folder: float(re.sub(r"[^\d.]", "", folder.parent.name) or 0), default=None)


def start() -> tuple[Path, str]:
    """Start a server; its folder and address. Stop it by `stop(folder)`."""
    binaries = programs()
    if binaries is None:
        raise SystemExit("PostgreSQL's server is not installed. Install it with: apt-get install -y postgresql")
    folder = Path(tempfile.mkdtemp(prefix="genwright-postgres-"))
    password = secrets.token_hex(16)
    (folder / "password").write_text(password)
    if os.geteuid() == 0:
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres", "postgres")
    data, port = folder / "data", _free_port()
    # md5 and not scram: a random password on a loopback server that lives for minutes, and a hundred times cheaper to check
    _run(binaries / "initdb", "-D", data, "-U", "genwright", "-A", "md5", "-E", "UTF8", "--locale=C", "--no-sync",
         f"--pwfile={folder / 'password'}")  # fmt: skip
    options = (*NO_DURABILITY, "listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=''")
    words = " ".join(f"-c {option}" for option in options)
    _run(binaries / "pg_ctl", "-D", data, "-w", "-t", "60", "-l", folder / "log", "-o", words, "start")
    return folder, f"postgresql://genwright:{password}@127.0.0.1:{port}/postgres"


def stop(folder: Path) -> None:
    """Stop the server and remove its folder."""
    binaries = programs()
    assert binaries is not None
    _run(binaries / "pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")
    shutil.rmtree(folder)


def halt(folder: Path) -> None:
    """End the server as a crash does; its data stay."""
    binaries = programs()
    assert binaries is not None
    _run(binaries / "pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")


def again(folder: Path) -> None:
    """Start it once more, at the same address."""
    binaries = programs()
    assert binaries is not None
    words = (folder / "data" / "postmaster.opts").read_text().strip().partition(" ")[2]
    _run(binaries / "pg_ctl", "-D", folder / "data", "-w", "-t", "60", "-l", folder / "log", "-o", words, "start")


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The address of a server that lives as long as the block."""
    folder, address = start()
    try:
        yield address
    finally:
        stop(folder)


def _run(*command: str | Path) -> None:
    other: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    # output to a file: a server that inherits a pipe would keep it open for ever
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run([*map(str, command)], stdout=output, stderr=output, cwd="/", check=False, **other)
        if done.returncode:
            output.seek(0)
            raise SystemExit(f"{Path(command[0]).name} failed:\n{output.read()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _note() -> Path:
    """Where `start` notes the folder for `stop`."""
    return Path(__file__).parent / ".postgres"


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `run` stops its server also when it is told to end
    match arguments:
        case ["start"]:
            folder, address = start()
            _note().write_text(str(folder))
            print(address)
        case ["stop"]:
            if not _note().exists():
                raise SystemExit("No server was started by `start`.")
            stop(Path(_note().read_text()))
            _note().unlink()
        case ["run", *command] if command:
            with server() as address:
                return subprocess.run(command, env={**os.environ, VARIABLE: address}, check=False).returncode
        case _:
            raise SystemExit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
