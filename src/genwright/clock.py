"""The only place that reads a clock, so that tests can set it and a jump of the wall clock is one case to handle."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

_wall: Callable[[], int] = time.time_ns
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ns() -> int:
    """Wall clock, nanoseconds since 1970 UTC."""
    return _wall()


def monotonic() -> float:
    """Seconds on a clock that never jumps; for durations and timeouts."""
    return time.monotonic()


def perf_ns() -> int:
    """Nanoseconds on the finest clock that never jumps; for measuring."""
    return time.perf_counter_ns()


def elapsed_ns() -> int:
    """Nanoseconds on a clock that never jumps and goes on while the machine sleeps (where the system has one)."""
    return time.clock_gettime_ns(_ELAPSED)


def iso(ns: int) -> str:
    """RFC 3339 UTC with milliseconds, e.g. 2026-11-21T00:46:46.123Z."""
    moment = datetime.fromtimestamp(ns / 1e9, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ns // 1_000_000 % 1000:03d}Z"


def set_wall(source: Callable[[], int] | None) -> None:
    """Put another wall clock in place (tests); None puts the real one back."""
    global _wall  # noqa: PLW0603 (one clock for the process is the point)
    _wall = source or time.time_ns
