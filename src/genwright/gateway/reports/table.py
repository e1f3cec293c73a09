"""A report as a table: flat rows for the command line, and CSV that a spreadsheet opens without running anything."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec

from genwright.gateway.reports.types import CostLine, CostReport, Sums

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet would run; such text gets an apostrophe before it."""


def usd(nano: int) -> str:
    """Nano-dollars as exact dollars: `-0.000000123`."""
    return f"{'-' if nano < 0 else ''}{abs(nano) // 10**9}.{abs(nano) % 10**9:09d}"


def row(line: CostLine) -> dict[str, Any]:
    """A line as flat fields: its dimensions, names where there are some, sums, and dollars."""
    named = {f"{name}_name": text for name, text in line.names.items()}
    return {**line.by, **named, **_sums(line.sums)}


def _sums(sums: Sums) -> dict[str, Any]:
    return {**msgspec.structs.asdict(sums), "usd": usd(sums.nano_usd)}


def write_csv(report: CostReport) -> str:
    """UTF-8 with a head line; amounts in `usd` exact to the nano-dollar. No total line: the rows add up to it."""
    named = sorted({name for line in report.lines for name in line.names}, key=report.by.index)
    heads = [part for name in report.by for part in ((name, f"{name}_name") if name in named else (name,))]
    heads += [*Sums.__struct_fields__, "usd"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(heads)
    for line in report.lines:
        fields = row(line)
        writer.writerow([_cell(fields.get(name, "")) for name in heads])
    return out.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value
