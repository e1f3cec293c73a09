"""What a dataset version is, and what REST takes. The content of a version is a `Manifest`; the rows are a blob."""

from __future__ import annotations

from typing import Any

import msgspec


class Manifest(msgspec.Struct, frozen=True):
    """Content of a dataset version: names its rows by digest, so that the version stays true when the rows are erased."""

    rows: int
    fields: dict[str, str]
    """Field → type: string, number, boolean, list, object, null, or several joined by "|"; a "?" at the end: not in every row."""
    digest: str
    """Blob: the rows as canonical JSON, one a line."""
    row_digests: str
    """Blob: the digest of every row, one a line, in the order of the rows."""
    splits: dict[str, int] = {}
    """Rows per value of the field `split`, where rows have one."""


class RowPage(msgspec.Struct, frozen=True):
    """A part of a dataset version's rows."""

    items: list[dict[str, Any]]
    next: str | None
    """Cursor of the next part; None at the end."""
    ref: str
    """`dataset:NAME@sha256:…` that was read."""
    number: int
    total: int
    """Rows in all (of the split, where one was asked for)."""


class PutDataset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new version as REST takes it."""

    name: str
    items: list[Any]
    note: str = ""
    expected: int | None = None
    """The newest number that the writer saw; another one there is a conflict."""


class AddTrace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A trace to be kept as a test case."""

    trace: str
    name: str
    """Dataset that gets the row; made when it is not there."""
    answer: str = ""
    """What should have been answered; empty when nobody has said yet."""
    topics: list[str] = []
    """Documents that answer it, by name without folder and extension."""
    split: str = "report"
    note: str = ""
