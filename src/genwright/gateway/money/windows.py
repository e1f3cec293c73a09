"""Which window is now: calendar windows with a time zone, and a clock that a jump of the wall clock does not carry along.

Pure, but for the clock that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from genwright import clock
from genwright.errors import Invalid

SECOND = 1_000_000_000
_FIXED = {"second": SECOND, "minute": 60 * SECOND, "hour": 3600 * SECOND}
KINDS = (*_FIXED, "day", "week", "month", "total")
FOREVER = 2**63 - 1


def window(kind: str, zone: tzinfo, now_ns: int) -> tuple[int, int]:
    """(begin, end) of the window `now_ns` lies in: begin ≤ now < end, and windows of a kind follow each other without a gap.

    Seconds, minutes and hours are the same in every zone. Days, weeks (from Monday) and months begin at the zone's midnight, or
    at the first moment of the day where a change of clocks leaves midnight out; such days have 23 or 25 hours.
    """
    if kind == "total":
        return 0, FOREVER
    if kind in _FIXED:
        begin = now_ns - now_ns % _FIXED[kind]
        return begin, begin + _FIXED[kind]
    today = datetime.fromtimestamp(now_ns // SECOND, zone).replace(tzinfo=None, hour=0, minute=0, second=0, fold=0)
    if kind == "week":
        first = today - timedelta(days=today.weekday())
        after = first + timedelta(days=7)
    elif kind == "month":
        first = today.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    else:
        first, after = today, today + timedelta(days=1)
    return _at(first, zone), _at(after, zone)


def _at(local: datetime, zone: tzinfo) -> int:
    return round(local.replace(tzinfo=zone).timestamp()) * SECOND


@lru_cache(256)
def zone(name: str) -> tzinfo:
    """The time zone of an IANA name. Raises Invalid for one that is not known here."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # not found, a folder's name, a name that leaves the folder
        raise _unknown(name) from error


def _unknown(name: str) -> Invalid:
    return Invalid(
        f"'{name[:100]}' is no time zone known here. Nothing was set. Write one as Europe/Berlin; a machine without zone data "
        "gets them by: pip install tzdata",
        field="timezone",
    )


class Steady:
    """Wall time for windows of money. A wall clock that jumps (set by hand, by a broken time server) is followed only once it
    has stayed where it jumped to for CONFIRM_S; meanwhile time goes on from before. Time asleep counts, slewing is followed."""

    CONFIRM_S = 900
    JUMP_NS = 5 * SECOND

    def __init__(self, wall: Callable[[], int] | None = None, elapsed: Callable[[], int] | None = None):
        self._wall = wall or clock.now_ns
        self._elapsed = elapsed or clock.elapsed_ns
        self._offset = self._wall() - self._elapsed()
        self._jumped: tuple[int, int] | None = None
        """(offset after the jump, when it was first seen)."""

    def now_ns(self) -> int:
        elapsed = self._elapsed()
        offset = self._wall() - elapsed
        if abs(offset - self._offset) <= self.JUMP_NS:
            self._offset, self._jumped = offset, None
        elif self._jumped is None or abs(offset - self._jumped[0]) > self.JUMP_NS:
            self._jumped = (offset, elapsed)
        elif elapsed - self._jumped[1] >= self.CONFIRM_S * SECOND:
            self._offset, self._jumped = offset, None
        return elapsed + self._offset
