"""What every room's tests share: real databases (SQLite, or PostgreSQL by GENWRIGHT_TEST_DATABASE_URL), an actor, a clock.

Databases are made once by the migrations and copied for each test: a file copy on SQLite, `CREATE DATABASE … TEMPLATE` on
PostgreSQL. Where a database has no migrations yet its tables are made from the metadata.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import genwright
import genwright.clock
from genwright import migrate
from genwright.access.service import Access
from genwright.access.types import SYSTEM, Actor
from genwright.audit import Audit
from genwright.db import METADATA, Database
from genwright.errors import Unauthenticated
from genwright.migrate import open_databases
from genwright.registry.service import Registry
from genwright.secrets import Secrets
from genwright.settings import Settings
from genwright.vocab import Scope

POSTGRES = os.environ.get("GENWRIGHT_TEST_DATABASE_URL", "")
PACKAGE = Path(genwright.__file__).parent
WITH_TABLES = (
    "genwright.audit",
    "genwright.jobs",
    *(f"genwright.{file.parent.name}.store" for file in PACKAGE.glob("*/store.py")),
)


def _make_tables(home: Path, url: str = "") -> None:
    """Bring empty databases to the newest schema."""
    for name in WITH_TABLES:
        importlib.import_module(name)
    migrated = all(migrate.versions(name) for name in METADATA)
    databases = open_databases(home, url) if migrated else _plain(home, url)
    for name, database in databases.items():
        if not migrated:
            with database.engine.connect() as connection:
                METADATA[name].create_all(connection)
        database.close()


def _plain(home: Path, url: str) -> dict[str, Database]:
    return {name: Database(name, url or f"sqlite:///{home / (name + '.sqlite')}") for name in METADATA}


class _Server:
    """The PostgreSQL server under test: makes databases from one template and drops them."""

    def __init__(self, url: str):
        self.url = sa.make_url(url)
        self.engine = sa.create_engine(self.url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        self.template = f"gw_template_{uuid.uuid4().hex}"

    def make(self, name: str, template: str = "template0") -> str:
        self._do(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)

    def drop(self, name: str) -> None:
        self._do(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _do(self, statement: str) -> None:  # names made here, never data
        with self.engine.connect() as connection:
            connection.exec_driver_sql(statement)


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Server | None]:
    if not POSTGRES:
        yield None
        return
    server = _Server(POSTGRES)
    _make_tables(tmp_path_factory.mktemp("template"), server.make(server.template))
    yield server
    server.drop(server.template)
    server.engine.dispose()


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    _make_tables(folder)
    return folder


@pytest.fixture
def database_url(_server: _Server | None) -> Iterator[str]:
    """Address of this test's own PostgreSQL database with all tables, or "" on SQLite: what `Settings.database_url` takes."""
    if _server is None:
        yield ""
        return
    name = f"gw_{uuid.uuid4().hex}"
    yield _server.make(name, _server.template)
    _server.drop(name)


@pytest.fixture
def home(tmp_path: Path, database_url: str, request: pytest.FixtureRequest) -> Path:
    """A home folder; on SQLite with the three databases in it, tables made."""
    folder = tmp_path / "home"
    folder.mkdir()
    if not database_url:
        for file in request.getfixturevalue("_template").glob("*.sqlite"):
            shutil.copy(file, folder)
    return folder


@pytest.fixture
def databases(home: Path, database_url: str) -> Iterator[dict[str, Database]]:
    """The three databases by name, empty, with all tables."""
    opened = _plain(home, database_url)
    yield opened
    for database in opened.values():
        database.close()


@pytest.fixture
def settings(home: Path, database_url: str) -> Settings:
    """Settings of a server in the test's own home folder."""
    return Settings(home=str(home), database_url=database_url)


@pytest.fixture
def scope() -> Scope:
    return Scope()


@pytest.fixture
def actor(scope: Scope) -> Actor:
    """An administrator of the default project."""
    return Actor(scope, "key_test", "test", "key", "admin")


class Clock:
    """A wall clock that stands until it is moved."""

    def __init__(self, now_ns: int):
        self.now_ns = now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def clock() -> Iterator[Clock]:
    """Puts a clock in place of the wall clock: `clock.advance(seconds)`, `clock.now_ns = …`."""
    standing = Clock(genwright.clock.now_ns())
    genwright.clock.set_wall(lambda: standing.now_ns)
    yield standing
    genwright.clock.set_wall(None)


class Web:
    """The management routes of access and registry behind real key checks, called in process over ASGI."""

    def __init__(self, house: SimpleNamespace):
        from genwright.web.server import build_framework

        self.access: Access = house.access
        self.registry: Registry = house.registry
        self._framework = build_framework(house, ("access", "registry"))
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(self.door), base_url="http://127.0.0.1")
        self._keys: dict[tuple[str, str], str] = {}

    async def door(self, scope: Any, receive: Any, send: Any) -> None:
        key = dict(scope["headers"]).get(b"authorization", b"").decode().removeprefix("Bearer ")
        with contextlib.suppress(Unauthenticated):
            scope["actor"] = await self.access.actor_for_key(key)
        await self._framework(scope, receive, send)

    async def key(self, role: str, workspace: str = "default") -> str:
        """The secret of a key with this role, made at the first call."""
        if (role, workspace) not in self._keys:
            _, self._keys[role, workspace] = await self.access.create_key(SYSTEM(Scope(workspace)), role, role)
        return self._keys[role, workspace]

    async def request(self, method: str, path: str, *, key: str = "", **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return await self._client.request(method, path, headers=headers, **more)


@pytest.fixture
async def web(databases: dict[str, Database], settings: Settings, home: Path) -> Web:
    """REST of access and registry: `await web.request("GET", "/api/…", key=await web.key("viewer"))`."""
    database, secrets = databases["registry"], Secrets(home)
    access = Access(database, secrets, settings)
    await access.ensure_bootstrap()
    house = SimpleNamespace(settings=settings, jobs=None, blobs=None, secrets=secrets, access=access)
    house.audit, house.registry = Audit(database), Registry(database)
    return Web(house)


@pytest.fixture
async def site(settings: Settings) -> AsyncIterator[Any]:
    """All rooms behind the real door, with a signed-in administrator's browser: `await site.get("/tracing")`."""
    from page_site import Site

    opened = await Site.open(settings)
    yield opened
    await opened.close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Seconds per folder, so that a slow one is seen."""
    spent: dict[str, float] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration") and hasattr(report, "nodeid"):
                folder = "/".join(report.nodeid.split("/")[:2])
                spent[folder] = spent.get(folder, 0.0) + report.duration
    if len(spent) > 1:
        terminalreporter.write_sep("-", "seconds per folder (both workers together)")
        for folder, seconds in sorted(spent.items(), key=lambda item: -item[1]):
            terminalreporter.write_line(f"{seconds:8.1f}  {folder}")
