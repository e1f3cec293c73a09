"""Databases: one writer thread and one connection per database file, group commit, a few readers; SQLite or PostgreSQL.

Three databases: REGISTRY (with access, audit, jobs, and every room's own tables), LEDGER, SPANS. On PostgreSQL all three are
one database. A store function is a plain function whose first argument is an SQLAlchemy `Connection` (management), or a raw
DB-API cursor (hot writes); a service runs it by `await database.write(function, …)`, `read` or `write_raw`.

All writes waiting at the same moment share one COMMIT (one fdatasync): each runs in its own savepoint, so one that fails does
not harm the others, and none is answered before the commit is on disk. Knows no table.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

from genwright import failpoints
from genwright.errors import Error, Invalid, NeedsExtra, Unavailable, need

T = TypeVar("T")

REGISTRY = sa.MetaData()
LEDGER = sa.MetaData()
SPANS = sa.MetaData()
METADATA = {"registry": REGISTRY, "ledger": LEDGER, "spans": SPANS}

MAX_GROUP = 512
READERS = 4


class Json(sa.types.TypeDecorator):
    """Plain data as JSON bytes: the same on both engines, decoded by msgspec."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> bytes | None:
        return None if value is None else msgspec.json.encode(value)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else msgspec.json.decode(bytes(value))


def scoped() -> list[sa.Column]:
    """The two columns every table begins with."""
    return [sa.Column("workspace", sa.Text, nullable=False), sa.Column("project", sa.Text, nullable=False)]


class Database:
    """One database. Thread-safe. `failed` holds the reason once a sync has failed: nothing is accepted after that."""

    def __init__(self, name: str, url: str):
        self.name = name
        self.url = url
        self.postgres = url.startswith("postgresql")
        self.failed: str | None = None
        self.engine = _engine(url)
        self._queue: queue.SimpleQueue[tuple[Callable, tuple, bool, Future] | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(READERS, f"{name}-read")
        self._local = threading.local()
        self._open_readers: list[Connection] = []
        self._writer = threading.Thread(target=self._write_loop, name=f"{name}-write", daemon=True)
        self._closed = False
        self._writer.start()

    # -- what services call

    async def write(self, function: Callable[..., T], *args: Any) -> T:
        """Run `function(connection, *args)` in a transaction; return when it is on disk."""
        return await asyncio.wrap_future(self.submit(function, *args))

    async def write_raw(self, function: Callable[..., T], *args: Any) -> T:
        """The same with a raw DB-API cursor, for hot tables. Placeholders: see `sql`."""
        return await asyncio.wrap_future(self.submit(function, *args, raw=True))

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Run `function(connection, *args)` on a reader."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, function, args)

    def submit(self, function: Callable[..., T], *args: Any, raw: bool = False) -> Future[T]:
        """Queue a write and go on; the future ends when it is on disk, or with its error."""
        future: Future[T] = Future()
        if self.failed or self._closed:
            future.set_exception(
                Unavailable(f"The {self.name} database takes no writes: {self.failed or 'it is closed'}. Nothing was written.")
            )
            return future
        self._queue.put((function, args, raw, future))
        return future

    def sql(self, text: str) -> str:
        """A statement written with `?` in this engine's placeholder style. Only for constant text."""
        return text.replace("?", "%s") if self.postgres else text

    def waiting(self) -> int:
        """Writes in the queue."""
        return self._queue.qsize()

    def close(self) -> None:
        """Finish what is queued, then close."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._writer.join()
        self._readers.shutdown(wait=True)
        for connection in self._open_readers:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.close()
        self.engine.dispose()

    # -- threads

    def _read(self, function: Callable[..., T], args: tuple) -> T:
        connection = getattr(self._local, "connection", None)
        if connection is None or connection.closed or connection.invalidated:
            connection = self.engine.connect()
            if not self.postgres:
                connection.exec_driver_sql("PRAGMA query_only=1")
                connection.rollback()
            self._local.connection = connection
            self._open_readers.append(connection)
        try:
            return function(connection, *args)
        except _UNFIT as error:
            raise _unfit(error) from error
        finally:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.rollback()

    def _write_loop(self) -> None:
        connection: Connection | None = None
        while True:
            group = self._next_group()
            if group is None:
                break
            opening = True
            try:
                if connection is None or connection.closed or connection.invalidated:
                    connection = self.engine.connect()
                opening = False
                self._commit_group(connection, group)
            except Exception as error:
                _drop(connection)
                connection = None
                self._refuse(group, error, opening)
        _drop(connection)

    def _next_group(self) -> list[tuple[Callable, tuple, bool, Future]] | None:
        first = self._queue.get()
        if first is None:
            return None
        group = [first]
        while len(group) < MAX_GROUP:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                self._queue.put(None)
                break
            group.append(item)
        return group

    def _commit_group(self, connection: Connection, group: list[tuple[Callable, tuple, bool, Future]]) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        cursor = driver.cursor()
        if self.postgres:  # one writer at a time, among all servers too: read-then-write is safe, and groups cannot deadlock
            cursor.execute("BEGIN")
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"genwright {self.name}",))
        else:
            cursor.execute("BEGIN IMMEDIATE")
        results: list[tuple[Future, Any, BaseException | None]] = []
        for function, args, raw, future in group:
            cursor.execute("SAVEPOINT one")
            try:
                results.append((future, function(cursor if raw else connection, *args), None))
                cursor.execute("RELEASE one")
            except Exception as error:
                cursor.execute("ROLLBACK TO one")
                cursor.execute("RELEASE one")
                results.append((future, None, _unfit(error) if isinstance(error, _UNFIT) else error))
        failpoints.passing("db.before_commit")
        cursor.execute("COMMIT")
        connection.commit()  # the driver has nothing left to do: this only ends SQLAlchemy's own idea of a transaction
        failpoints.passing("db.after_commit")
        for future, value, problem in results:
            if not future.set_running_or_notify_cancel():
                continue
            if problem is None:
                future.set_result(value)
            else:
                future.set_exception(problem)

    def _refuse(self, group: list[tuple[Callable, tuple, bool, Future]], error: Exception, opening: bool) -> None:
        text = str(error)
        # To an opening a full disk is an I/O error, too; it passes, and nothing was promised.
        if ("disk I/O error" in text and not opening) or "malformed" in text:
            self.failed = f"{text}; restart after checking the disk (`genwright doctor`)"
        refusal = (
            error if isinstance(error, Error) else Unavailable(f"The {self.name} database refused: {text}. Nothing was written.")
        )
        for *_, future in group:
            if not future.done() and future.set_running_or_notify_cancel():
                future.set_exception(refusal)


_UNFIT = (sa.exc.DataError, OverflowError)
"""What the drivers raise for values no column can take: a NUL in a text on PostgreSQL, an integer beyond 64 bits."""


def _unfit(error: Exception) -> Invalid:
    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    return Invalid(f"A value cannot be stored or looked for: {reason}. Nothing was changed.", code="unfit_value")


def _drop(connection: Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(Exception):
            connection.invalidate()
        with contextlib.suppress(Exception):
            connection.close()


def _engine(url: str) -> Engine:
    if url.startswith("postgresql"):
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise need("psycopg", "postgres") from error
        address = "postgresql+psycopg" + url[url.index("://") :]
        return sa.create_engine(address, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    if not url.startswith("sqlite:///"):
        raise Invalid("A database address begins with postgresql:// (or is a file of our own). Set GENWRIGHT_DATABASE_URL.")
    path = url.removeprefix("sqlite:///")
    module = sqlite_module()

    def connect() -> Any:
        connection = module.connect(path, timeout=30, isolation_level=None, check_same_thread=False, cached_statements=256)
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=1", "busy_timeout=30000", "temp_store=2"):
            cursor.execute(f"PRAGMA {pragma}")  # constants only
        cursor.close()
        return connection

    return sa.create_engine("sqlite://", module=module, creator=connect, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def sqlite_module() -> Any:
    """The SQLite driver: pysqlite3 where it is installed, else Python's own if it is new enough for WAL.

    SQLite before 3.51.3 can corrupt a WAL when several connections write and checkpoint; with one writer connection a file
    the danger is small, so an older one is accepted from 3.40 on and `genwright doctor` says so.
    """
    try:
        import pysqlite3 as module
    except ImportError:
        import sqlite3 as module  # type: ignore[no-redef]
    if module.sqlite_version_info < (3, 40):
        raise NeedsExtra(f"SQLite {module.sqlite_version} is too old. Install a newer one with: pip install pysqlite3")
    return module


def insert_new(connection: Connection, table: sa.Table, **values: Any) -> Any:
    """An INSERT that does nothing where the row is already there, in this connection's dialect."""
    from sqlalchemy.dialects import postgresql, sqlite

    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).values(**values).on_conflict_do_nothing()
