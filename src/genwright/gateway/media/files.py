"""Files of a project: kept under their digest in a store of their own, so that deleting the last name deletes the bytes."""

from __future__ import annotations

import asyncio

from genwright import clock
from genwright.access.types import Actor
from genwright.blobs import Blobs
from genwright.db import Database
from genwright.errors import Invalid, Missing
from genwright.gateway.media import store
from genwright.gateway.media.types import FileRow
from genwright.vocab import new_id

LONGEST_S = 90 * 86_400


class Files:
    def __init__(self, database: Database, blobs: Blobs):
        self._database = database
        self._blobs = blobs
        self._lock = asyncio.Lock()
        """Bytes that a new file is about to name are not deleted beside it."""

    async def put(self, actor: Actor, filename: str, purpose: str, data: bytes, expires_s: int | None = None) -> FileRow:
        """Keep a file. Raises Invalid for an empty one, or one without a purpose."""
        if not data:
            raise Invalid(f"'{filename[:100]}' is empty. Nothing was kept.", param="file")
        if not 0 < len(purpose) <= 64 or not purpose.isprintable():
            raise Invalid("A file needs a purpose, e.g. batch. Nothing was kept.", param="purpose")
        if expires_s is not None and not 3_600 <= expires_s <= LONGEST_S:
            raise Invalid("expires_after must lie between an hour and 90 days. Nothing was kept.", param="expires_after")
        now = clock.now_ns()
        expires_ns = None if expires_s is None else now + expires_s * 1_000_000_000
        name = "".join(c for c in filename.replace("\\", "/").rpartition("/")[2][:200] if c.isprintable()) or "file"
        place = (actor.scope.workspace, actor.scope.project, new_id("file"))
        async with self._lock:
            digest = await asyncio.to_thread(self._blobs.put, actor.scope, data)
            row = FileRow(*place, name, purpose, len(data), digest, now, actor.id, expires_ns)
            await self._database.write(store.insert, store.files, row)
        return row

    async def get(self, actor: Actor, file_id: str) -> FileRow:
        """Raises Missing; one that has expired is missing, and its bytes are gone."""
        row = await self._database.read(store.get, store.files, FileRow, actor.scope, file_id)
        if row is not None and row.expires_ns is not None and row.expires_ns <= clock.now_ns():
            await self.delete(actor, file_id)
            row = None
        if row is None:
            raise Missing(f"There is no file '{file_id[:100]}' here. GET /v1/files lists them.", param="file_id")
        return row

    async def content(self, actor: Actor, file_id: str) -> bytes:
        row = await self.get(actor, file_id)
        return await asyncio.to_thread(self._blobs.get, actor.scope, row.digest)

    async def newest(self, actor: Actor, purpose: str = "", after: str = "", limit: int = 100) -> list[FileRow]:
        """Newest first."""
        return await self._database.read(store.newest, store.files, FileRow, actor.scope, after, limit, {"purpose": purpose})

    async def delete(self, actor: Actor, file_id: str) -> bool:
        """Remove the file, and its bytes where no other file of the workspace has the same."""
        row = await self._database.read(store.get, store.files, FileRow, actor.scope, file_id)
        async with self._lock:
            there, orphaned = await self._database.write(store.delete_file, actor.scope, file_id)
            if row is not None and orphaned:
                await asyncio.to_thread(self._blobs.delete, actor.scope, row.digest)
        return there
