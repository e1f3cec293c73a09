"""Percentiles of many values in little space, mergeable, with at most 1 % relative error (DDSketch, Masson 2019).

Bins grow by a factor of 1.0202, so a bin's middle is within 1 % of every value in it. Only whole counts, the least and the
greatest value are kept: merging is exact, and its order does not show in the bytes. Not thread-safe; sums and means are the
caller's columns.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator

from genwright.errors import Invalid

ERROR = 0.01
_GAMMA = (1 + ERROR) / (1 - ERROR)
_LOG_GAMMA = math.log(_GAMMA)
# Below this all is zero: a nanosecond in seconds, or far less than one of any unit we keep.
_ZERO = 1e-9
# Above this the middle of a bin would be no double.
_LARGEST = 1e300
_LAST_BIN = math.ceil(math.log(_LARGEST) / _LOG_GAMMA)
_FORMAT = 1
_HEAD = struct.Struct("<Bdd")


class Sketch:
    """Counts of values >= 0, of any one unit. `quantile` is within 1 % of the value at that rank."""

    __slots__ = ("bins", "count", "greatest", "least", "zeros")

    def __init__(self, values: Iterable[float] = ()):
        self.bins: dict[int, int] = {}
        self.count = 0
        self.zeros = 0
        self.least = math.inf
        self.greatest = -math.inf
        for value in values:
            self.add(value)

    def add(self, value: float, count: int = 1) -> None:
        """Raises Invalid for a negative or NaN value or one above 1e300."""
        if not 0 <= value <= _LARGEST or count < 1:
            raise Invalid(f"A sketch takes values from 0 to {_LARGEST:g}; not {value}, {count} times. Nothing was added.")
        if value < _ZERO:
            self.zeros += count
        else:
            index = math.ceil(math.log(value) / _LOG_GAMMA)
            self.bins[index] = self.bins.get(index, 0) + count
        self.count += count
        if value < self.least:
            self.least = float(value)
        if value > self.greatest:
            self.greatest = float(value)

    def merge(self, other: Sketch) -> None:
        """Take the other's values in, as if each had been added here."""
        for index, count in list(other.bins.items()):
            self.bins[index] = self.bins.get(index, 0) + count
        self.count += other.count
        self.zeros += other.zeros
        self.least = min(self.least, other.least)
        self.greatest = max(self.greatest, other.greatest)

    def quantile(self, q: float) -> float | None:
        """Value at rank floor(q * (count - 1)) in order, within 1 %; None if there are no values. q from 0 (least) to 1."""
        if not 0 <= q <= 1:
            raise Invalid(f"A quantile lies between 0 and 1, not {q}.")
        if not self.count:
            return None
        rank = math.floor(q * (self.count - 1))
        if rank == 0:
            return self.least
        if rank == self.count - 1:
            return self.greatest
        seen = self.zeros
        found = 0.0
        for index in sorted(self.bins):
            if seen > rank:
                break
            seen += self.bins[index]
            found = 2 * math.exp(index * _LOG_GAMMA) / (_GAMMA + 1)
        return min(max(found, self.least), self.greatest)

    def to_bytes(self) -> bytes:
        """Format byte, least, greatest, then varints: zeros, number of bins, and each bin's step and count. 2–4 bytes a bin."""
        out = bytearray(_HEAD.pack(_FORMAT, self.least, self.greatest))
        _put(out, self.zeros)
        _put(out, len(self.bins))
        last = 0
        for index in sorted(self.bins):
            step = index - last
            # Zigzag: only the first step can be negative.
            _put(out, 2 * step if step >= 0 else -2 * step - 1)
            _put(out, self.bins[index])
            last = index
        return bytes(out)

    @classmethod
    def from_bytes(cls, data: bytes) -> Sketch:
        """Raises Invalid where the bytes are no sketch of this format."""
        sketch = cls()
        try:
            kind, sketch.least, sketch.greatest = _HEAD.unpack_from(data)
            if kind != _FORMAT:
                raise ValueError(f"format {kind} is unknown")
            numbers = _varints(data[_HEAD.size :])
            sketch.zeros, bins = next(numbers), next(numbers)
            index = 0
            for _ in range(bins):
                step = next(numbers)
                index += step // 2 if step % 2 == 0 else -(step + 1) // 2
                if abs(index) > _LAST_BIN:
                    raise ValueError(f"there is no bin {index}")
                sketch.bins[index] = next(numbers)
            if next(numbers, None) is not None:
                raise ValueError("there are bytes left over")
        except (struct.error, StopIteration, ValueError) as error:
            raise Invalid(f"These {len(data)} bytes are no sketch: {error or 'they end too early'}. Nothing was read.") from None
        sketch.count = sketch.zeros + sum(sketch.bins.values())
        return sketch


def _put(out: bytearray, number: int) -> None:
    """LEB128: seven bits a byte, the lowest first."""
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def _varints(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield number
            number = shift = 0
    if shift:
        raise ValueError("the last number is cut")
