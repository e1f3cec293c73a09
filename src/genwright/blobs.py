"""Bytes stored under their own digest: documents, dataset rows, large payloads. One folder per workspace.

Knows nothing of what the bytes mean or who refers to them. A blob is on disk (synced) before its digest is given out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from genwright.errors import NEVER, Invalid, Missing, Unavailable
from genwright.vocab import DIGEST, IDENT, Scope, digest_bytes


class Blobs:
    """Blobs below `root`, as `<workspace>/<first two hex digits>/<64 hex digits>`. Thread-safe; processes may share it."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def put(self, scope: Scope, data: bytes) -> str:
        """Store the bytes and return their digest. Storing the same again changes nothing."""
        digest = digest_bytes(data)
        path = self.path(scope, digest)
        if path.exists() and path.stat().st_size == len(data):
            return digest
        beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            _make_folders(path.parent)
            with open(beside, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
            sync_folder(path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink()
            text = f"{len(data):,} bytes could not be stored: {error}. Nothing was kept of them. Free some space and try again."
            raise Unavailable(text, code="disk") from error
        return digest

    def get(self, scope: Scope, digest: str) -> bytes:
        """The bytes. Raises Missing, or Unavailable if what is on disk is no longer what was stored."""
        try:
            data = self.path(scope, digest).read_bytes()
        except FileNotFoundError as error:
            raise Missing(f"There is no blob {digest} in this workspace. It was never stored, or was deleted.") from error
        if hashlib.sha256(data).hexdigest() != digest[7:]:
            raise Unavailable(
                f"Blob {digest} is damaged on disk. The file was left as it is. Restore it from a backup, or store it again.",
                code="damaged",
                retry=NEVER,
            )
        return data

    def path(self, scope: Scope, digest: str) -> Path:
        """Where the blob lies (or would lie). Raises Invalid for anything that is not a digest or not a workspace's name."""
        if not DIGEST.match(digest):
            raise Invalid(f"{digest[:100]!r} is not a digest; one looks like sha256:<64 hex digits>.", code="invalid_digest")
        if not IDENT.match(scope.workspace):
            raise Invalid(f"{scope.workspace[:100]!r} is not the name of a workspace.", code="invalid_workspace")
        return self.root / scope.workspace / digest[7:9] / digest[7:]

    def exists(self, scope: Scope, digest: str) -> bool:
        return self.path(scope, digest).is_file()

    def delete(self, scope: Scope, digest: str) -> bool:
        """Remove the bytes; True if they were there."""
        path = self.path(scope, digest)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        sync_folder(path.parent)
        return True


def _make_folders(folder: Path) -> None:
    """Make a folder and its parents, each made name synced."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename or a new name in this folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
