"""`genwright up` and `genwright doctor`: starting the server, and saying what is wrong with a machine."""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import signal
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from genwright import __version__, clock


def up(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one (default 7600).")] = None,
    database_url: Annotated[str | None, typer.Option(help="PostgreSQL instead of SQLite.")] = None,
) -> None:
    """Start the server; prints its address and a one-time link for the administrator."""
    from genwright import settings as configuration

    settings = configuration.load(host=host, port=port, database_url=database_url)
    run(settings, announce=True)


def run(settings: Any, *, announce: bool = True) -> None:
    """Serve until SIGTERM or SIGINT; drains what is at work before it ends."""
    import uvicorn

    from genwright.app import Door
    from genwright.arrival import Connection
    from genwright.errors import Invalid
    from genwright.lock import HomeLock

    os.umask(0o077)  # what the server writes is its own user's alone
    lock = HomeLock.take(settings.path)
    try:
        listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise Invalid(
                f"{settings.host}:{settings.port} cannot be used: {error.strerror}. Nothing was started. "
                "Choose another with --port (0 takes a free one)."
            ) from error
        port = listener.getsockname()[1]
        door = Door(settings)
        config = uvicorn.Config(
            door, log_level="warning", access_log=False, lifespan="on", server_header=False, date_header=True,
            proxy_headers=False, timeout_graceful_shutdown=30, timeout_keep_alive=65, http=Connection, ws="none",
        )  # fmt: skip
        server = _Server(config, door, lock, settings.public_url or f"http://{_shown(settings.host)}:{port}", announce)
        server.run(sockets=[listener])
        if not server.started:
            sys.exit(3)
    finally:
        lock.release()


def _shown(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104


class _Server:
    """uvicorn's server, which says where it is once it answers."""

    def __init__(self, config: Any, door: Any, lock: Any, address: str, announce: bool):
        import uvicorn

        from genwright.arrival import close_overdue

        outer = self

        class Announcing(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                if self.started:
                    await outer._announce()
                    gc.freeze()  # what stands now stays: no collection needs to walk over it
                    gc.set_threshold(10_000, 20, 20)

            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                if outer._door.house is not None:
                    outer._door.house.closing()
                await super().shutdown(sockets)

            async def on_tick(self, counter: int) -> bool:
                if counter % 10 == 0:  # about once a second
                    close_overdue(self.server_state.connections, asyncio.get_running_loop().time())
                return await super().on_tick(counter)

        self._server = Announcing(config)
        self._door, self._lock, self._address, self._say = door, lock, address, announce

    @property
    def started(self) -> bool:
        return self._server.started

    def run(self, sockets: list[socket.socket]) -> None:
        self._server.run(sockets=sockets)

    async def _announce(self) -> None:
        house = self._door.house
        self._lock.announce(self._address, house.access.local_key())
        if not self._say:
            return
        print(f"Genwright {__version__} at {self._address}", flush=True)
        if not house.settings.admin_key:
            token = await house.access.admin_link()
            print(f"Log in once with   {self._address}/login?token={token}", flush=True)
        print(f"Data in            {house.settings.path.resolve()}  (stop with Ctrl-C)", flush=True)


def doctor(ctx: typer.Context) -> None:
    """Check this machine and the home folder: versions, model weights, disk, databases, providers' keys."""
    from genwright import settings as configuration

    settings = configuration.load()
    checks = list(_checks(settings, dict(os.environ)))
    ctx.obj.show([{"check": name, "state": state, "detail": detail} for name, state, detail in checks], title="Genwright doctor")
    if any(state == "wrong" for _, state, _ in checks):
        raise typer.Exit(1)


def _checks(settings: Any, environment: dict[str, str]) -> Any:
    import shutil

    from genwright.db import sqlite_module
    from genwright.lock import read_lock

    home = settings.path
    yield "python", "fine" if sys.version_info >= (3, 11) else "wrong", platform.python_version()
    version = sqlite_module().sqlite_version
    new = sqlite_module().sqlite_version_info >= (3, 51, 3)
    yield "sqlite", "fine" if new else "note", version if new else f"{version}: older than 3.51.3; pip install pysqlite3"
    try:
        from genwright import embed

        embed.verify()
        yield "embedding model", "fine", embed.MODEL
    except Exception as error:  # whatever is wrong with the weights is the finding
        yield "embedding model", "wrong", str(error)
    free = shutil.disk_usage(home if home.exists() else Path()).free
    yield "disk", "fine" if free > 1e9 else "wrong", f"{free / 1e9:.1f} GB free"
    server = read_lock(home)
    yield (
        "server",
        "fine" if server else "note",
        f"process {server['pid']} at {server['address']}" if server else "none runs here",
    )
    if settings.database_url:
        yield "database", *_reachable(settings.database_url)
    for name in ("registry", "ledger", "spans"):
        file = home / f"{name}.sqlite"
        if not settings.database_url and file.exists():
            yield f"{name} database", *_integrity(file)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL"):
        yield name, "fine" if environment.get(name) else "note", "set" if environment.get(name) else "not set"


def _reachable(url: str) -> tuple[str, str]:
    """Whether the PostgreSQL server answers, and which it is; the address may hold a password and is not shown."""
    from genwright.db import Database

    database = Database("registry", url)
    try:
        with database.engine.connect() as connection:
            return "fine", f"PostgreSQL {connection.exec_driver_sql('SHOW server_version').scalar()}"
    except Exception as error:  # whatever keeps it from answering is the finding
        return "wrong", f"PostgreSQL does not answer ({type(error).__name__}); check GENWRIGHT_DATABASE_URL and the server"
    finally:
        database.close()


def _integrity(file: Path) -> tuple[str, str]:
    from genwright.db import sqlite_module

    connection = sqlite_module().connect(f"file:{file}?mode=ro", uri=True, timeout=5)
    try:
        answer = connection.execute("PRAGMA quick_check(3)").fetchone()[0]
    except Exception as error:  # a broken file may fail in many ways; each is the finding
        return "wrong", str(error)
    finally:
        connection.close()
    return ("fine" if answer == "ok" else "wrong"), f"{answer}, {file.stat().st_size / 1e6:.1f} MB"


def wait_for_stop() -> None:
    """Sleep until Ctrl-C or SIGTERM."""
    signal.sigwait({signal.SIGINT, signal.SIGTERM})


def ready_within(address: str, seconds: float) -> bool:
    """Whether a server answers /readyz within the time."""
    import http.client
    import time
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    end = clock.monotonic() + seconds
    while clock.monotonic() < end:
        try:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False
