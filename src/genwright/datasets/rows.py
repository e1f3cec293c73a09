"""Checks rows and writes them as canonical lines. Pure; knows no storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from genwright.datasets.types import Manifest
from genwright.errors import Invalid, TooLarge
from genwright.vocab import canonical, digest_bytes

MAX_ROWS = 1_000_000
MAX_ROW_BYTES = 1_000_000
MAX_BYTES = 512_000_000
MAX_FIELDS = 200
MAX_NAME = 200

_TYPES = {
    str: "string", int: "number", float: "number", bool: "boolean", list: "list", dict: "object", type(None): "null",
}  # fmt: skip


class Packed(msgspec.Struct, frozen=True):
    """Rows ready to be stored."""

    lines: bytes
    row_digests: bytes
    manifest: Manifest


def pack(items: Sequence[Any]) -> Packed:
    """Check every row, give an id to those without, and write canonical lines.

    A row's own `id` must be a text or a whole number, and unique; a missing one is made from the row's digest, so that the same
    row has the same id in every version. Raises Invalid or TooLarge naming the row (counted from 1).
    """
    if not items:
        raise Invalid("A dataset needs at least one row. Nothing was kept.", code="no_rows")
    if len(items) > MAX_ROWS:
        raise TooLarge(f"These are {len(items):,} rows; a version holds at most {MAX_ROWS:,}. Nothing was kept. Split them.")
    lines: list[bytes] = []
    digests: list[str] = []
    seen: dict[str, int] = {}
    types: dict[str, dict[str, int]] = {}
    splits: Counter[str] = Counter()
    size = 0
    for number, item in enumerate(items, 1):
        row, line = _row(number, item)
        earlier = seen.setdefault(row["id"], number)
        if earlier != number:
            raise Invalid(
                f"Row {number} has the id '{row['id'][:100]}' of row {earlier}. Nothing was kept. Give each row its own id, "
                "or leave out the repeated row.",
                code="repeated_id",
                row=number,
            )
        size += len(line) + 1
        if size > MAX_BYTES:
            raise TooLarge(f"Up to row {number} these are more than {MAX_BYTES:,} bytes. Nothing was kept. Split the dataset.")
        lines.append(line)
        digests.append(digest_bytes(line))
        for field, value in row.items():
            kinds = types.setdefault(field, {})
            kind = _TYPES[type(value)]
            kinds[kind] = kinds.get(kind, 0) + 1
        if isinstance(split := row.get("split"), str):
            splits[split] += 1
    fields = {
        field: "|".join(sorted(kinds)) + ("?" if sum(kinds.values()) < len(lines) else "")
        for field, kinds in sorted(types.items())
    }
    packed, listed = b"\n".join(lines) + b"\n", "\n".join(digests).encode() + b"\n"
    manifest = Manifest(len(lines), fields, digest_bytes(packed), digest_bytes(listed), dict(sorted(splits.items())))
    return Packed(packed, listed, manifest)


def unpack(lines: bytes) -> list[dict[str, Any]]:
    """Rows of a blob that `pack` wrote."""
    return msgspec.json.decode(b"[" + b",".join(lines.splitlines()) + b"]", type=list[dict[str, Any]])


def _row(number: int, item: Any) -> tuple[dict[str, Any], bytes]:
    if not isinstance(item, dict):
        raise Invalid(
            f"Row {number} is {_article(item)}, not an object. Nothing was kept. Each row is an object such as "
            '{"question": "…", "answer": "…"}.',
            code="not_an_object",
            row=number,
        )
    if len(item) > MAX_FIELDS:
        raise TooLarge(f"Row {number} has {len(item)} fields of at most {MAX_FIELDS}. Nothing was kept.", row=number)
    for field in item:
        if not isinstance(field, str) or not 0 < len(field) <= MAX_NAME:
            raise Invalid(f"Row {number} has a field without a name, or one longer than {MAX_NAME} letters. Nothing was kept.")
    try:
        plain = msgspec.json.decode(canonical(item))
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"Row {number} is not plain data: {error}. Nothing was kept.", row=number) from error
    given = plain.get("id")
    if given is None or given == "":
        plain.pop("id", None)
        plain["id"] = "r" + digest_bytes(canonical(plain))[7:23]
    elif isinstance(given, int) and not isinstance(given, bool):
        plain["id"] = str(given)
    elif not isinstance(given, str) or len(given) > MAX_NAME or "\0" in given:
        raise Invalid(
            f"Row {number} has an id that is no text of 1 to {MAX_NAME} letters and no whole number. Nothing was kept.",
            row=number,
        )
    line = canonical(plain)
    if len(line) > MAX_ROW_BYTES:
        raise TooLarge(f"Row {number} has {len(line):,} bytes of at most {MAX_ROW_BYTES:,}. Nothing was kept.", row=number)
    return plain, line


def _article(value: Any) -> str:
    kind = _TYPES.get(type(value), type(value).__name__)
    return f"an {kind}" if kind[0] in "aeiou" else ("null" if value is None else f"a {kind}")
