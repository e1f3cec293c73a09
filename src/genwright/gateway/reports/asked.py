"""What an address or a command asks of a report: dimensions, times and filters as people write them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from genwright import clock
from genwright.errors import Invalid
from genwright.gateway.reports.service import DIMENSIONS, TAG
from genwright.gateway.reports.types import CostQuery

AGO = re.compile(r"^([0-9]{1,5})(m|h|d|w)\Z")
SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
NANO = 1_000_000_000
FOREVER = 2**63 - 1


def moment(text: str, default: int, field: str = "since") -> int:
    """`7d`, `24h`, `2026-11-01`, `2026-11-01T12:00Z` or nanoseconds since 1970. Raises Invalid."""
    text = text.strip()
    if not text:
        return default
    ago = AGO.match(text)
    if ago:
        return max(clock.now_ns() - int(ago[1]) * SECONDS[ago[2]] * NANO, 0)
    if text.isascii() and text.isdigit() and len(text) >= 15:
        return min(int(text), FOREVER)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"'{text[:40]}' is no time: write 24h, 7d, 2026-11-01 or 2026-11-01T12:00Z.", field=field) from error
    return min(max(int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * NANO, 0), FOREVER)


def query(fields: Mapping[str, str], tags: Iterable[str] = (), limit: int = 1_000) -> CostQuery:
    """The query of fields `by` (commas between), `since`, `until`, one a dimension, and tags `NAME=VALUE`. Raises Invalid."""
    by = tuple(name.strip() for name in fields.get("by", "").split(",") if name.strip()) or ("model",)
    where = {name: fields[name].strip() for name in DIMENSIONS if fields.get(name, "").strip()}
    for tag in tags:
        name, equals, value = tag.partition("=")
        if not equals or not name.strip():
            raise Invalid(f"'{tag[:100]}' is no filter by tag: write NAME=VALUE.", field="tag")
        where[TAG + name.strip()] = value.strip()
    since, until = moment(fields.get("since", ""), 0), moment(fields.get("until", ""), FOREVER, "until")
    return CostQuery(by, since, until, where, limit)
