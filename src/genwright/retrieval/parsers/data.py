"""Data files as readable text: a record is a paragraph of `field: value` lines, so that chunks hold whole records."""

from __future__ import annotations

import csv as csv_module
import io
import json as json_module
from typing import Any

from genwright.retrieval.parse import Unreadable
from genwright.retrieval.parsers.markup import decode, markdown_headings
from genwright.retrieval.types import Heading, Parsed

MAX_FIELD = 1_000_000


def csv(data: bytes, name: str) -> Parsed:
    """Comma, semicolon or tab separated; the first row names the fields."""
    text = decode(data)
    csv_module.field_size_limit(MAX_FIELD)
    try:
        dialect: Any = csv_module.Sniffer().sniff(text[:20_000], delimiters=",;\t|")
    except csv_module.Error:
        dialect = csv_module.excel_tab if name.lower().endswith(".tsv") else csv_module.excel
    rows = [row for row in csv_module.reader(io.StringIO(text), dialect) if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        return Parsed(text, "")
    head = [cell.strip() for cell in rows[0]]
    records = [dict(zip([*head, *map(str, range(len(head), len(row)))], row, strict=False)) for row in rows[1:]]
    return Parsed("\n\n".join(_record(record) for record in records) + "\n", "")


def json(data: bytes, name: str) -> Parsed:
    """An object or list; the largest list of objects is taken record by record, the rest is indented JSON."""
    try:
        value = json_module.loads(decode(data))
    except json_module.JSONDecodeError as error:
        raise Unreadable(f"It is not JSON: {error.msg} in line {error.lineno}.", code="broken") from error
    if isinstance(value, list):
        return Parsed("\n\n".join(_record(item) for item in value) + "\n", "")
    title = value.get("title") or value.get("name") if isinstance(value, dict) else ""
    return Parsed(_record(value) + "\n", title if isinstance(title, str) else "")


def jsonl(data: bytes, name: str) -> Parsed:
    """One JSON value a line. A line that is not JSON is an error that names it."""
    records = []
    for number, line in enumerate(decode(data).split("\n"), 1):
        if line.strip():
            try:
                records.append(json_module.loads(line))
            except json_module.JSONDecodeError as error:
                raise Unreadable(f"Line {number} is not JSON: {error.msg}.", code="broken") from error
    return Parsed("\n\n".join(map(_record, records)) + "\n", "")


def notebook(data: bytes, name: str) -> Parsed:
    """Jupyter: text cells as Markdown, code cells fenced; outputs are left out."""
    try:
        cells = json_module.loads(decode(data))["cells"]
    except (json_module.JSONDecodeError, KeyError, TypeError) as error:
        raise Unreadable("It is not a Jupyter notebook (format 4).", code="broken") from error
    parts: list[str] = []
    headings: list[Heading] = []
    length = 0
    for cell in cells:
        source = cell.get("source", "")
        text = ("".join(source) if isinstance(source, list) else str(source)).strip("\n")
        if not text.strip():
            continue
        if cell.get("cell_type") == "code":
            text = f"```\n{text}\n```"
        else:
            headings += markdown_headings(text, length)
        parts.append(text + "\n\n")
        length += len(parts[-1])
    return Parsed("".join(parts), "", headings)


def _record(value: Any) -> str:
    if not isinstance(value, dict):
        return value if isinstance(value, str) else json_module.dumps(value, ensure_ascii=False, indent=1)
    return "\n".join(f"{name}: {_value(item)}" for name, item in value.items())


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value.replace("\n\n", "\n")
    indent = 1 if isinstance(value, (dict, list)) and len(value) > 8 else None
    return json_module.dumps(value, ensure_ascii=False, indent=indent)
