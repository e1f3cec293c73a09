"""Files, batches and videos as OpenAI's API writes them. Pure. Source: OpenAI API reference, November 2026."""

from __future__ import annotations

from typing import Any

from genwright.gateway.media.types import Batch, FileRow, Video

SECOND = 1_000_000_000


def file_object(row: FileRow) -> dict[str, Any]:
    return {
        "id": row.id, "object": "file", "bytes": row.bytes, "created_at": row.created_ns // SECOND,
        "expires_at": _seconds(row.expires_ns), "filename": row.filename, "purpose": row.purpose, "status": "processed",
    }  # fmt: skip


def batch_object(row: Batch, good: int, failed: int) -> dict[str, Any]:
    """`good`, `failed`: answers so far."""
    ended = _seconds(row.ended_ns)
    created = row.created_ns // SECOND
    return {
        "id": row.id, "object": "batch", "endpoint": row.endpoint, "input_file_id": row.input_file,
        "completion_window": "24h", "status": row.status, "created_at": created, "expires_at": _seconds(row.expires_ns),
        "in_progress_at": created if row.job else None,
        "output_file_id": row.output_file or None, "error_file_id": row.error_file or None,
        "errors": {"object": "list", "data": row.errors} if row.errors else None,
        **{f"{state}_at": ended if row.status == state else None for state in ("completed", "failed", "expired", "cancelled")},
        "cancelling_at": None, "finalizing_at": None,
        "request_counts": {"total": row.total, "completed": good, "failed": failed},
        "metadata": row.metadata or None,
    }  # fmt: skip


def video_object(row: Video) -> dict[str, Any]:
    """The provider's own words, under our id and model name."""
    status = row.status if row.status != "cancelled" else "failed"
    return {"object": "video", "progress": 0, **row.said, "id": row.id, "model": f"{row.provider}/{row.model}", "status": status}


def listed(objects: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    """A page of them."""
    first, last = (objects[0]["id"], objects[-1]["id"]) if objects else (None, None)
    return {"object": "list", "data": objects, "first_id": first, "last_id": last, "has_more": more}


def _seconds(ns: int | None) -> int | None:
    return None if ns is None else ns // SECOND
