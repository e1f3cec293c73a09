"""`.genwright/lock`: one process owns a home folder; the file names its pid, address and a local credential (mode 0600).

The operating system's file lock is the truth; the text in it only tells others whom to talk to. A second process speaks HTTP
to the first and never opens its files.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import Any

from genwright.errors import Conflict


class HomeLock:
    """Held for the life of a server. `take` refuses if another process holds it."""

    def __init__(self, path: Path, handle: int):
        self._path, self._handle = path, handle

    @classmethod
    def take(cls, home: Path) -> HomeLock:
        """Lock the folder. Raises Conflict naming the process that holds it."""
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = home / "lock"
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            other = read_text(path)
            where = other.get("address") or "inside another command"
            raise Conflict(
                f"{home} is in use by process {other.get('pid', '?')} at {where}. Nothing was changed. "
                "Use that server, stop it first, or choose another folder with --home."
            ) from error
        lock = cls(path, handle)
        lock.announce("", "")
        return lock

    def announce(self, address: str, key: str) -> None:
        """Say where this process answers, and the credential for commands on the same machine."""
        text = json.dumps({"pid": os.getpid(), "address": address, "key": key}).encode()
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, text, 0)

    def release(self) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self._handle, 0)
            os.close(self._handle)


def read_lock(home: Path) -> dict[str, Any] | None:
    """Who holds the folder: {"pid", "address", "key"}, or None when nobody does."""
    path = home / "lock"
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return read_text(path) or None
    finally:
        os.close(handle)
    return None


def read_text(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text() or "{}")
    except (OSError, ValueError):
        return {}
