"""A fitted router as bytes and back: the safetensors format (a JSON header, then plain arrays). No pickle, no code.

Format: https://github.com/huggingface/safetensors: 8 bytes little-endian length of the header, the header, the data.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec
import numpy as np

from genwright.errors import Invalid
from genwright.gateway.learned import features
from genwright.gateway.learned.blend import Blend, Scale
from genwright.gateway.learned.forest import Forest
from genwright.gateway.learned.frontier import Surface
from genwright.gateway.learned.kernel import Kernel
from genwright.gateway.learned.types import Card

_TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "I16": np.dtype("<i2")}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}
_MAX_HEADER = 1_000_000
_ALIGN = 8


def dump(blend: Blend, surface: Surface, card: Card) -> bytes:
    """One file: the predictor, its card, and what is known of the rows (float32) for points chosen later."""
    arrays: dict[str, np.ndarray] = {f"scale.{name}": value for name, value in blend.scale._asdict().items()}
    arrays |= {"kernel.landmarks": blend.kernel.landmarks, "kernel.weights": blend.kernel.weights}
    arrays |= {"kernel.offset": blend.kernel.offset, "shares": blend.shares, "basis": blend.basis}
    arrays["kernel.settings"] = np.array([blend.kernel.gamma, blend.kernel.share])
    for number, pair in enumerate(blend.forests):
        for kind, forest in zip(("plain", "full"), pair, strict=True):
            place = f"forest.{number}.{kind}"
            arrays |= {f"{place}.columns": forest.columns, f"{place}.thresholds": forest.thresholds}
            arrays |= {f"{place}.leaves": forest.leaves, f"{place}.offset": np.array([forest.offset])}
    for name, value in surface._asdict().items():
        if value is not None:
            arrays[f"surface.{name}"] = value if name.startswith("mean") else value.astype(np.float32)
    about = {"features": str(features.VERSION), "card": msgspec.json.encode(card).decode(), "forests": str(len(blend.forests))}
    return _write(arrays, about)


class Loaded(NamedTuple):
    """What `load` gives."""

    blend: Blend
    surface: Surface
    card: Card

    @property
    def models(self) -> list[str]:
        """In the order of the columns."""
        return [cost.model for cost in self.card.models]


def load(data: bytes) -> Loaded:
    """Raises Invalid where the bytes are no weights of ours."""
    arrays, about = _read(data)
    if about.get("features") != str(features.VERSION):
        raise Invalid("These weights were fitted with other text features. Fit the router again.", code="old_weights")
    try:
        scale = Scale(*(arrays[f"scale.{name}"] for name in Scale._fields))
        gamma, share = arrays["kernel.settings"].tolist()
        kernel = Kernel(arrays["kernel.landmarks"], arrays["kernel.weights"], arrays["kernel.offset"], gamma, share)
        forests = [(_forest(arrays, number, "plain"), _forest(arrays, number, "full")) for number in range(int(about["forests"]))]
        surface = Surface(*(arrays.get(f"surface.{name}") for name in Surface._fields))  # type: ignore[arg-type]
        card = msgspec.json.decode(about["card"], type=Card)
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise _damaged(str(error)) from error
    return Loaded(Blend(scale, kernel, forests, arrays["shares"], arrays["basis"]), surface, card)


def _forest(arrays: dict[str, np.ndarray], number: int, kind: str) -> Forest:
    place = f"forest.{number}.{kind}"
    return Forest(
        arrays[f"{place}.columns"], arrays[f"{place}.thresholds"], arrays[f"{place}.leaves"], float(arrays[f"{place}.offset"][0])
    )


def _write(arrays: dict[str, np.ndarray], about: dict[str, str]) -> bytes:
    header: dict[str, Any] = {"__metadata__": about}
    parts, at = [], 0
    for name, value in arrays.items():
        data = np.ascontiguousarray(value).tobytes()
        header[name] = {"dtype": _NAMES[value.dtype], "shape": list(value.shape), "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    head = msgspec.json.encode(header)
    head += b" " * (-len(head) % _ALIGN)
    return len(head).to_bytes(8, "little") + head + b"".join(parts)


def _read(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    size = int.from_bytes(data[:8], "little")
    if not 0 < size <= min(_MAX_HEADER, len(data) - 8):
        raise _damaged("no header")
    try:
        header = msgspec.json.decode(data[8 : 8 + size], type=dict[str, dict[str, Any]])
        about = header.pop("__metadata__")
        body, arrays = memoryview(data)[8 + size :], {}
        for name, entry in header.items():
            first, last = entry["data_offsets"]
            dtype, shape = _TYPES[entry["dtype"]], tuple(entry["shape"])
            if not 0 <= first <= last <= len(body) or last - first != dtype.itemsize * math.prod(shape):
                raise ValueError(f"{name} does not fit")
            arrays[name] = np.frombuffer(body[first:last], dtype).reshape(shape)
    except (KeyError, TypeError, ValueError, msgspec.DecodeError) as error:
        raise _damaged(str(error)) from error
    return arrays, about


def _damaged(why: str) -> Invalid:
    return Invalid(f"These are no weights of a router: {why}. Nothing was loaded. Fit the router again.", code="damaged_weights")
