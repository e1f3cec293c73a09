"""What acceptance and browser tests share: the installed command and its server as real processes, each on a home of its own.

Knows nothing of the product's inside: only the command line, HTTP, and the lock file that names the running server. The demo is
run once for all workers (under a file lock); tests get copies of the home folder it left. `GENWRIGHT_DEMO_HOME` names a folder
to keep that home in between test runs (on SQLite). With `GENWRIGHT_TEST_DATABASE_URL` every home has a PostgreSQL database of
its own beside it, and a copy of a home has a copy of that database.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
from psycopg import sql

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
COMMAND = [sys.executable, "-m", "genwright.cli"]
OURS = ("GENWRIGHT_", "OPENAI_", "ANTHROPIC_", "OTEL_", "CRASH_AT")
NOW_S = 20.0
"""Longest wait for something that should happen at once, on a busy machine."""
LONGEST_S = 400.0
"""Longest run of a command: the demo on a busy machine."""


POSTGRES = os.environ.get("GENWRIGHT_TEST_DATABASE_URL", "")


def database(home: Path, template: Path | None = None) -> dict[str, str]:
    """The variable that names this home's PostgreSQL database, made if missing (as a copy of another home's); none on SQLite."""
    if not POSTGRES:
        return {}
    name, base = _database_name(home), "template0" if template is None else _database_name(template)
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        # one at a time: two workers may ask for the same one, and a template must have no other user
        connection.execute("SELECT pg_advisory_lock(1)")
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(base)))
    return {"GENWRIGHT_DATABASE_URL": POSTGRES.rpartition("/")[0] + "/" + name}


def _database_name(home: Path) -> str:
    return "home_" + hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:24]


def environment(home: Path, **more: str) -> dict[str, str]:
    """This process's variables without any that configure the product, with this home's database, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, "COLUMNS": "200", **database(home), **more}


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def genwright(home: Path | None, *words: str, cwd: Path | None = None, stdin: str = "", **more: str) -> Done:
    """Run the installed command; never raises for its exit code. `more` are environment variables."""
    command = [*COMMAND, *(["--home", str(home)] if home is not None else []), *words]
    env = environment(home or (cwd or Path.cwd()) / ".genwright", **more)
    ended = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=LONGEST_S, cwd=cwd, env=env)
    return Done(ended.returncode, ended.stdout, ended.stderr)


def until(found: Callable[[], Any], seconds: float = NOW_S) -> Any:
    """The first true result, asked for every 50 ms."""
    end = time.monotonic() + seconds
    while True:
        result = found()
        if result:
            return result
        assert time.monotonic() < end, f"nothing within {seconds:g} s: the last result was {result!r}"
        time.sleep(0.05)


class Server:
    """`genwright up --port 0` on a home folder, and what its users do with it."""

    def __init__(self, home: Path, **more: str):
        self.home = home
        self.log = home.with_suffix(".log")
        self._more = {"GENWRIGHT_PRIVATE_HOSTS": "127.0.0.1", **more}
        self.address = self.login = self.key = ""
        self.process: subprocess.Popen[str] | None = None
        self.start()

    def start(self, *words: str, **more: str) -> Server:
        """Start it (again); returns when it says where it is."""
        command = [*COMMAND, "--home", str(self.home), "up", "--port", "0", *words]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment(self.home, **{**self._more, **more})
            )
        assert self.process.stdout is not None
        self.said = []
        for line in self.process.stdout:
            self.said.append(line.strip())
            if line.startswith("Log in once with"):
                self.login = line.split()[-1]
            if line.startswith("Data in"):
                break
        lock = json.loads((self.home / "lock").read_text() or "{}")
        assert lock.get("address"), self.log.read_text()[-2000:]
        self.address, self.key = lock["address"], lock["key"]
        return self

    def stop(self) -> int:
        """Ask it to end, as an init system does; its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: nothing is flushed."""
        self._end(signal.SIGKILL)

    def _end(self, how: int) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(60)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def cli(self, *words: str, code: int = 0, **more: str) -> Any:
        """A command with `--json`, as parsed JSON; its exit code must be `code`."""
        done = genwright(self.home, *words, "--json", cwd=self.home.parent, **more)
        assert done.code == code, f"genwright {' '.join(words)} ended with {done.code}: {done.err}\n{done.out}"
        return done.json if done.out.strip() else None

    def http(self, key: str | None = None) -> httpx.Client:
        """HTTP with a key (this machine's where none is given; "" for none at all)."""
        key = self.key if key is None else key
        return httpx.Client(base_url=self.address, headers={"authorization": f"Bearer {key}"} if key else {}, timeout=60)

    def get(self, path: str, key: str | None = None, **query: Any) -> Any:
        with self.http(key) as client:
            return checked(client.get(path, params=query))

    def post(self, path: str, body: Any = None, key: str | None = None) -> Any:
        with self.http(key) as client:
            return checked(client.post(path, json={} if body is None else body))

    def trace(self, trace_id: str, ready: Callable[[Any], bool] = lambda trace: True) -> Any:
        """A trace, as soon as it can be read and `ready` (spans are written a moment after the answer)."""
        with self.http() as client:

            def look() -> Any:
                answer = client.get(f"/api/tracing/traces/{trace_id}")
                return answer.json() if answer.status_code == 200 and ready(answer.json()) else None

            return until(look)

    def make_key(self, role: str, capture: str = "full") -> tuple[str, str]:
        """(id, secret) of a new key."""
        made = self.cli("keys", "create", f"{role} {capture}", "--role", role, "--capture", capture)
        return made["id"], made["secret"]


def checked(answer: httpx.Response) -> Any:
    assert answer.status_code < 400, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}"
    return answer.json()


def sign_in(client: httpx.Client, link: str) -> httpx.Response:
    """Open a one-time link and press its button, as a person does; the client keeps the session's cookie."""
    page = client.get(link)
    assert page.status_code == 200, f"{page.status_code}: {page.text[:500]}"
    address, _, token = link.partition("?token=")
    assert token in page.text
    return client.post(address, data={"token": token}, headers={"origin": address.removesuffix("/login")})


class Demo(NamedTuple):
    """What `genwright demo --exit` left and said."""

    home: Path
    code: int
    text: str
    seconds: float

    def copy(self, to: Path) -> Path:
        database(to, template=self.home)
        return Path(shutil.copytree(self.home, to, ignore=shutil.ignore_patterns("*.log", "lock")))


def run_demo(folder: Path) -> Demo:
    """The demo's home in this folder: made once, by whoever comes first."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "making").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        record = folder / "demo.json"
        if not record.exists():
            shutil.rmtree(folder / "home", ignore_errors=True)
            begin = time.monotonic()
            done = genwright(folder / "home", "demo", "--exit", "--port", "0", cwd=folder)
            record.write_text(json.dumps({"code": done.code, "text": done.err + done.out, "seconds": time.monotonic() - begin}))
    return Demo(folder / "home", **json.loads(record.read_text()))


# -- fixtures, taken up by the conftest.py of acceptance and browser


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Demo:
    """The whole journey, run once for all workers."""
    kept = os.environ.get("GENWRIGHT_DEMO_HOME")
    base = tmp_path_factory.getbasetemp()
    return run_demo(Path(kept) if kept else (base if worker_id == "master" else base.parent) / "demo")


@pytest.fixture(scope="module")
def server(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on a copy of the demo's home, one a test file."""
    running = Server(demo.copy(tmp_path_factory.mktemp("server") / "home"))
    yield running
    running.stop()


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """`start(home, VARIABLE=value)`: servers of one test, ended with it."""
    running: list[Server] = []

    def begin(home: Path, **more: str) -> Server:
        running.append(Server(home, **more))
        return running[-1]

    yield begin
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in an empty folder, one a test file."""
    running = Server(tmp_path_factory.mktemp("empty") / "home")
    yield running
    running.stop()
