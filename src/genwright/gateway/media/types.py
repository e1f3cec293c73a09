"""Records of files, batches and videos, in our words; objects.py writes them as OpenAI does."""

from __future__ import annotations

from typing import Any

import msgspec


class FileRow(msgspec.Struct, frozen=True):
    """An uploaded file, or one that a batch wrote."""

    workspace: str
    project: str
    id: str
    filename: str
    purpose: str
    """batch, batch_output, vision, user_data …: the caller's word."""
    bytes: int
    digest: str
    """Of the contents, in the files' own blob store."""
    created_ns: int
    created_by: str
    expires_ns: int | None = None


class Batch(msgspec.Struct, frozen=True):
    """Many requests answered in one job."""

    workspace: str
    project: str
    id: str
    job: str
    """The job that works through it."""
    endpoint: str
    """/v1/chat/completions and so on."""
    input_file: str
    status: str
    """in_progress, finalizing, completed, failed, cancelling, cancelled or expired."""
    total: int
    created_ns: int
    created_by: str
    expires_ns: int
    output_file: str = ""
    error_file: str = ""
    ended_ns: int | None = None
    errors: list[dict[str, Any]] = []
    """Lines that cannot be used: {"code", "line", "message", "param"}."""
    metadata: dict[str, str] = {}


class BatchItem(msgspec.Struct, frozen=True):
    """The answer to one line."""

    line: int
    """From 1."""
    custom_id: str
    status: int
    """HTTP status."""
    request_id: str
    body: bytes
    """JSON, as a client would have got it."""


class Video(msgspec.Struct, frozen=True):
    """A video being made at a provider."""

    workspace: str
    project: str
    id: str
    provider: str
    model: str
    upstream: str
    """Its id there."""
    status: str
    """queued, in_progress, completed or failed, as the provider says; cancelled by us."""
    seconds: float
    said: dict[str, Any]
    """The provider's last words about it."""
    trace: str
    created_ns: int
    created_by: str
    settled: bool = False
    """Whether its price is in the ledger."""
