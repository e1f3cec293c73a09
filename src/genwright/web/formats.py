"""How values look on a page: money, times, durations, counts.

Pure functions, registered as filters by `render.py`. Missing values (None) become an en dash. Nothing here knows requests,
templates or time zones: times are UTC on the server, the browser adds the relative text.
"""

import math
from datetime import UTC, datetime

from markupsafe import Markup

MISSING = "–"


def moment(ns: int) -> datetime:
    """A UTC datetime for nanoseconds since 1970 (microsecond precision; the rest is cut)."""
    seconds, rest = divmod(int(ns), 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def time(ns: int | None) -> str | Markup:
    """A `<time>` element; the browser replaces its text by "5 min ago" and keeps the absolute time as title."""
    if ns is None:
        return MISSING
    at = moment(ns)
    shown, full = at.strftime("%Y-%m-%d %H:%M"), at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}" data-relative>{}</time>').format(at.isoformat(), full, shown)


def absolute(ns: int | None) -> str:
    """`2026-11-21 00:46:51 UTC`, for places where a relative time would mislead."""
    return MISSING if ns is None else moment(ns).strftime("%Y-%m-%d %H:%M:%S UTC")


def money(nano_usd: int | None) -> str:
    """Nano-dollars as dollars: cents from a dollar up, three significant digits below (`$0.00123`)."""
    if nano_usd is None:
        return MISSING
    sign, dollars = ("-" if nano_usd < 0 else ""), abs(nano_usd) / 1e9
    if dollars == 0:
        return "$0"
    if dollars >= 1:
        return f"{sign}${dollars:,.2f}"
    digits = 2 - math.floor(math.log10(dollars))
    return f"{sign}${dollars:.{min(digits, 9)}f}".rstrip("0").rstrip(".")


def duration(ms: float | None) -> str:
    """Milliseconds as the unit one would say: `0.4 ms`, `312 ms`, `1.24 s`, `2 min 05 s`, `3 h 10 min`."""
    if ms is None:
        return MISSING
    if ms < 1:
        return f"{ms:.2g} ms"
    if ms < 10:
        return f"{ms:.1f} ms"
    if round(ms) < 1000:
        return f"{ms:.0f} ms"
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def number(value: float | None, digits: int | None = None) -> str:
    """Thousands with commas; floats with `digits` decimals, or up to four significant ones."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if digits is not None:
        return f"{value:,.{digits}f}"
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def compact(value: float | None) -> str:
    """`950`, `12.3k`, `4.5M`, for tiles and axes."""
    if value is None:
        return MISSING
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.3g}{unit}"
    return number(value)


def percent(share: float | None, digits: int = 1) -> str:
    """A share in 0..1 as `12.5 %`."""
    return MISSING if share is None else f"{share * 100:.{digits}f} %"


def size(value: int | None) -> str:
    """Bytes in powers of 1000: `812 B`, `1.3 MB`."""
    if value is None:
        return MISSING
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:,.3g} TB"


def short(identifier: str | None, keep: int = 8) -> str:
    """The head of a digest or id, without its `sha256:`."""
    return MISSING if not identifier else identifier.removeprefix("sha256:")[:keep]


JOBS = {"retrieval.build": "Index build", "evals.run": "Evaluation"}


def job_name(kind: str) -> str:
    """What people call a kind of job; its own name where there is none."""
    return JOBS.get(kind, kind)


FILTERS = {f.__name__: f for f in (time, absolute, money, duration, number, compact, percent, size, short, job_name)}
