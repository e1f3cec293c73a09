"""The house's own spans: begun and ended by the caller in microseconds, encoded and written by a thread in groups.

An answer never waits for its span. The queue is bounded: when the database is slow or dead, spans that do not fit are dropped
and counted (`health`), nothing blocks. Does not know dialects or SQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections import deque
from concurrent.futures import Future
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

from genwright import clock
from genwright.db import Database
from genwright.errors import Unavailable
from genwright.tracing import encode, store
from genwright.tracing.types import Event, Span, Status
from genwright.vocab import Scope, new_span_id, new_trace_id

MAX_WAITING = 20_000
"""Own spans waiting to be written; more are dropped and counted."""
GROUP_WAIT_S = 0.04
MAX_GROUP = 2_000
RETRY_S = 1.0

_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_current: ContextVar[LiveSpan | None] = ContextVar("genwright_span", default=None)

Parent = tuple[str, str] | str | None


def current() -> LiveSpan | None:
    """The span that is open in this task or thread."""
    return _current.get()


def parse_traceparent(text: str) -> tuple[str, str] | None:
    """(trace id, span id) of a W3C traceparent header; None where it is not one."""
    found = _TRACEPARENT.match(text.strip().lower())
    if found is None or not found[1].strip("0") or not found[2].strip("0"):
        return None
    return found[1], found[2]


class LiveSpan:
    """A span being made; a context manager. Hand over `input` and `output` as plain data or messages and do not change them."""

    __slots__ = (
        "_begun", "_token", "_tracer", "attributes", "capture", "duration_ns", "error", "events", "input", "name", "operation",
        "output", "parent_id", "scope", "span_id", "start_ns", "status", "trace_id",
    )  # fmt: skip

    def __init__(self, tracer: Tracer, scope: Scope, capture: str, name: str, operation: str, parent: Parent):
        self._tracer = tracer
        self.scope = scope
        self.capture = capture
        self.name = name
        self.operation = operation
        above = _current.get() if parent is None else None
        given = parse_traceparent(parent) if isinstance(parent, str) else parent
        if above is not None and above.scope == scope:
            given = (above.trace_id, above.span_id)
        self.trace_id: str = given[0] if given else new_trace_id()
        self.parent_id: str = given[1] if given else ""
        self.span_id: str = new_span_id()
        self.attributes: dict[str, Any] = {}
        self.events: list[Event] = []
        self.input: Any = None
        self.output: Any = None
        self.status: Status = "ok"
        self.error = ""
        self.start_ns = 0
        self.duration_ns = 0
        self._token: Token[LiveSpan | None] | None = None

    def set(self, key: str, value: Any) -> None:
        """An attribute; plain data."""
        self.attributes[key] = value

    def event(self, name: str, **attributes: Any) -> None:
        self.events.append(Event(name, clock.now_ns(), attributes))

    def fail(self, error: BaseException | str) -> None:
        """Mark the span as failed, with the type and message."""
        self.status = "error"
        if isinstance(error, BaseException):
            cancelled = isinstance(error, (asyncio.CancelledError, GeneratorExit))
            self.error = "cancelled: the caller went away" if cancelled else f"{type(error).__name__}: {error}"
            self.attributes["error.type"] = "cancelled" if cancelled else getattr(error, "code", None) or type(error).__name__
        else:
            self.error = error

    @property
    def traceparent(self) -> str:
        """For the request to the next server."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    def __enter__(self) -> LiveSpan:
        self._token = _current.set(self)
        self.start_ns = clock.now_ns()
        self._begun = clock.perf_ns()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.duration_ns = clock.perf_ns() - self._begun
        if error is not None:
            self.fail(error)
        if self._token is not None:
            with contextlib.suppress(ValueError):  # closed from another context: a stream whose reader went away
                _current.reset(self._token)
        if self.capture != "off":
            self._tracer.put(self)

    def record(self) -> Span:
        """The span as it is stored."""
        return Span(
            trace_id=self.trace_id, span_id=self.span_id, parent_id=self.parent_id, name=self.name, operation=self.operation,
            status=self.status, start_ns=self.start_ns, duration_ns=self.duration_ns, error=self.error, input=self.input,
            output=self.output, attributes=self.attributes, events=self.events, capture=self.capture,
        )  # fmt: skip


class Tracer:
    """The queue of own spans and the thread that writes them, within about 50 ms of their end."""

    def __init__(self, database: Database):
        self.database = database
        self.dropped = 0
        self.written = 0
        self.failed = ""
        self._spans: deque[LiveSpan] = deque()
        self._waiters: deque[Future[None]] = deque()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._closing = False
        self._busy_since_ns = 0
        self._thread = threading.Thread(target=self._loop, name="own-spans", daemon=True)
        self._thread.start()

    def put(self, span: LiveSpan) -> None:
        """Queue a finished span; never waits."""
        if len(self._spans) >= MAX_WAITING or self._closing:
            self.dropped += 1
            return
        self._spans.append(span)
        if not self._wake.is_set():
            self._wake.set()

    def flush(self) -> Future[None]:
        """Ends when all spans queued so far are on disk; raises Unavailable where they could not be written."""
        done: Future[None] = Future()
        self._waiters.append(done)
        self._hurry.set()
        self._wake.set()
        return done

    def health(self) -> dict[str, Any]:
        """Queue depth, losses and lag of the own spans. `failed`: why the last write did not succeed."""
        oldest = self._busy_since_ns
        with contextlib.suppress(IndexError):
            oldest = oldest or self._spans[0].start_ns + self._spans[0].duration_ns
        lag_s = max(0.0, (clock.now_ns() - oldest) / 1e9) if oldest else 0.0
        return {
            "waiting": len(self._spans), "dropped": self.dropped, "written": self.written, "lag_s": lag_s, "failed": self.failed,
        }  # fmt: skip

    def close(self) -> None:
        """Write what is queued, then stop."""
        if self._closing:
            return
        self._closing = True
        self._hurry.set()
        self._wake.set()
        self._thread.join(10)

    def _loop(self) -> None:
        while True:
            self._wake.wait()
            self._hurry.wait(GROUP_WAIT_S)
            self._wake.clear()
            self._hurry.clear()
            self._empty()
            if self._closing:
                return

    def _empty(self) -> None:
        waiters = [self._waiters.popleft() for _ in range(len(self._waiters))]
        problem: Exception | None = None
        left = len(self._spans)
        while left > 0 and problem is None:
            group = [self._spans.popleft() for _ in range(min(left, MAX_GROUP))]
            left -= len(group)
            problem = self._write(group)
        for waiter in waiters:
            if problem is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(problem)
        if problem is not None and not self._closing:
            self._hurry.wait(RETRY_S)
            self._wake.set()

    def _write(self, group: list[LiveSpan]) -> Exception | None:
        """Write a group; a span that cannot be written alone is dropped and counted, a refusing database gets it later again."""
        self._busy_since_ns = group[0].start_ns + group[0].duration_ns
        try:
            self._store(group)
        except (Unavailable, store.outages(self.database)) as error:
            self.failed = str(error)
            room = max(0, MAX_WAITING - len(self._spans))
            self.dropped += max(0, len(group) - room)
            self._spans.extendleft(reversed(group[:room]))
            return error if isinstance(error, Unavailable) else Unavailable(f"The spans could not be written yet: {error}")
        except Exception as error:
            self.failed = f"{type(error).__name__}: {error}"
            if len(group) == 1:
                self.dropped += 1
                return None
            for span in group:
                problem = self._write([span])
                if problem is not None:
                    return problem
            return None
        finally:
            self._busy_since_ns = 0
        self.failed = ""
        self.written += len(group)
        return None

    def _store(self, group: list[LiveSpan]) -> None:
        by_scope: dict[Scope, list[Span]] = {}
        for span in group:
            by_scope.setdefault(span.scope, []).append(span.record())
        writes = [
            self.database.submit(store.write_spans, self.database.postgres, scope, encode.prepare(scope, spans), raw=True)
            for scope, spans in by_scope.items()
        ]
        for write in writes:
            write.result()
