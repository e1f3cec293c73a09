"""DBOS as `jobs.py` uses it: launched with the first work, ended when idle, one at a time in a process, JSON and no pickle.

All functions here block (a few milliseconds; launching takes about half a second the first time) and are called from threads.
Knows of jobs only that an owner has `drive(job_id)`, `home` and `database`.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from genwright.db import Database, sqlite_module
from genwright.errors import Unavailable
from genwright.vocab import new_id

GAVE_UP = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"
MAX_ATTEMPTS = 10
IDLE_S = 60.0
# Raise when the order of steps in a handler changes in a way that old records cannot be replayed on.
_RECORDS_VERSION = "1"


class Interrupted(BaseException):
    """Leaves a workflow without a result, so that it goes on at the next launch. Not an Exception: DBOS records those."""


class Owner(Protocol):
    home: Path
    database: Database

    def drive(self, job_id: str) -> dict[str, Any]: ...


class _Records:
    """DBOS's serializer interface: what it stores is JSON."""

    def serialize(self, data: Any) -> str:
        return json.dumps(data)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data)

    def name(self) -> str:
        return "genwright-json"


class _Engine:
    """The one DBOS of this process and whose it is."""

    lock = threading.RLock()
    owner: Owner | None = None
    busy: set[str] = set()  # noqa: RUF012 (one for the process, on purpose)
    workflow: Callable[[str], dict[str, Any]] | None = None
    idle_timer: threading.Timer | None = None


def start(owner: Owner, workflow_id: str, job_id: str) -> str:
    """Start a workflow, or go on with it if it is on record; its state as DBOS names it."""
    with _Engine.lock:
        _own(owner)
        from dbos import DBOS, SetWorkflowID

        status = DBOS.get_workflow_status(workflow_id)
        if status is not None and status.status != "PENDING":
            return status.status
        if status is None:
            assert _Engine.workflow is not None
            with SetWorkflowID(workflow_id):
                DBOS.start_workflow(_Engine.workflow, job_id)
        return "PENDING"  # one on record is taken up by DBOS itself after its launch


def run_step(name: str, function: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """Run a function as a recorded step of the workflow that this thread is in."""
    from dbos import DBOS

    return DBOS.run_step({"name": name}, function, *args)


def cancel(owner: Owner, workflow_id: str) -> None:
    """Tell DBOS not to go on with a workflow, now or after a restart."""
    with _Engine.lock:
        _own(owner)
        from dbos import DBOS

        DBOS.cancel_workflow(workflow_id)


def release(owner: Owner) -> None:
    """End DBOS if it is this owner's."""
    with _Engine.lock:
        if _Engine.owner is owner:
            _end()


def running() -> bool:
    """Whether DBOS is up in this process."""
    return _Engine.owner is not None


def _own(owner: Owner) -> None:
    if _Engine.idle_timer is not None:
        _Engine.idle_timer.cancel()
        _Engine.idle_timer = None
    if _Engine.owner is owner:
        _arm()
        return
    if _Engine.owner is not None:
        if _Engine.busy:
            raise Unavailable("Another Genwright in this process is running jobs. Nothing was started. Try again later.")
        _end()
    _launch(owner)
    _Engine.owner = owner
    _arm()


def _drive(job_id: str) -> dict[str, Any]:
    """The only workflow: everything a job does is in its handler."""
    with _Engine.lock:
        owner = _Engine.owner
        _Engine.busy.add(job_id)
    try:
        if owner is None:
            raise Interrupted
        return owner.drive(job_id)
    finally:
        with _Engine.lock:
            _Engine.busy.discard(job_id)
            _arm()


def _arm() -> None:
    """End DBOS after a while without work."""
    if _Engine.idle_timer is None and _Engine.owner is not None:
        _Engine.idle_timer = threading.Timer(IDLE_S, _end_if_idle)
        _Engine.idle_timer.daemon = True
        _Engine.idle_timer.start()


def _end_if_idle() -> None:
    with _Engine.lock:
        _Engine.idle_timer = None
        if _Engine.owner is None:
            return
        if _Engine.busy:
            _arm()
        else:
            _end()


def _end() -> None:
    from dbos import DBOS

    if _Engine.idle_timer is not None:
        _Engine.idle_timer.cancel()
        _Engine.idle_timer = None
    _Engine.owner = None
    _Engine.busy = set()
    DBOS.destroy()


def _launch(owner: Owner) -> None:
    from dbos import DBOS, DBOSConfig

    if not logging.getLogger("dbos").handlers:
        logging.getLogger("dbos").addHandler(logging.NullHandler())  # else it prints by itself; so it goes where our logs go
    if _Engine.workflow is None:
        _Engine.workflow = DBOS.workflow(name="genwright.job", max_recovery_attempts=MAX_ATTEMPTS)(_drive)
    config: DBOSConfig = {
        "name": "genwright",
        "application_version": _RECORDS_VERSION,
        "executor_id": _executor_id(owner),
        "serializer": _Records(),  # type: ignore[typeddict-item]
        "enable_otlp": False,
        "log_level": "ERROR",
        # Nobody waits for notifications or schedules here; the first also bounds how long ending takes.
        "notification_listener_polling_interval_sec": 0.5,
        "scheduler_polling_interval_sec": 3600.0,
        "max_executor_threads": 16,
        "sys_db_pool_size": 5,
    }
    if owner.database.postgres:
        config["system_database_url"] = owner.database.url
    else:
        path = owner.home / "jobs.sqlite"
        config["system_database_url"] = f"sqlite:///{path}"
        config["system_database_engine"] = _sqlite_engine(path)
    _Engine.owner = owner  # recovered workflows may begin while it launches
    try:
        DBOS(config=config)
        DBOS.launch()
    except Exception as error:
        _Engine.owner = None
        with suppress(Exception):
            DBOS.destroy()
        raise Unavailable(f"Jobs cannot run. Nothing was started. The cause: {error}") from error


def _executor_id(owner: Owner) -> str:
    """Replicas on one PostgreSQL have an id each, kept in the home folder: a server takes up its own jobs after a restart."""
    if not owner.database.postgres:
        return "local"
    file = owner.home / "executor"
    if not file.exists():
        file.write_text(new_id("executor"))
    return file.read_text().strip()


def _sqlite_engine(path: Path) -> Any:
    """Our SQLite driver with the settings that DBOS's own engine has, and synced writes."""
    import sqlalchemy as sa

    module = sqlite_module()

    def connect() -> Any:
        connection = module.connect(str(path), timeout=30, check_same_thread=False)
        connection.isolation_level = "IMMEDIATE"
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=1"):
            connection.execute(f"PRAGMA {pragma}")  # constants only
        return connection

    return sa.create_engine(f"sqlite:///{path}", module=module, creator=connect)
