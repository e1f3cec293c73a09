"""Named places where a test can kill the process: `CRASH_AT=name` or `CRASH_AT=name:3` (at the third passing).

The list is closed, so that a test can walk all of it. Costs one dict look-up when unset.
"""

from __future__ import annotations

import os

POINTS = (
    "db.before_commit",
    "db.after_commit",
    "ingest.after_parse",
    "ingest.after_batch",
    "index.before_rename",
    "index.after_rename",
    "registry.after_put",
    "gateway.after_reserve",
    "gateway.before_settle",
    "evals.before_record",
    "evals.after_record",
)

_name, _, _count = os.environ.get("CRASH_AT", "").partition(":")
_left = {_name: int(_count or 1)} if _name else {}
if _name and _name not in POINTS:
    raise SystemExit(f"CRASH_AT={_name} is not one of: {', '.join(POINTS)}")


def passing(name: str) -> None:
    """Die here at once, as by SIGKILL, if CRASH_AT says so."""
    if name in _left:
        _left[name] -= 1
        if _left[name] <= 0:
            os._exit(137)
