"""Leaks of a planted string: a canary put into a system prompt that no answer may hold, plain or thinly disguised.

Found literally, in any case, with marks or spaces between the letters, reversed, in rot13, hex and base64.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Sequence

from genwright.errors import Invalid
from genwright.guardrails.guards.pii import in_order
from genwright.guardrails.types import Hit

_LEAST = 8


class Canary:
    """`values`: strings that may not get out; each with at least 8 letters or digits, so that no word is hit by chance."""

    def __init__(self, values: Sequence[str]):
        short = [value for value in values if sum(map(str.isalnum, value)) < _LEAST]
        if isinstance(values, str) or not values or short:
            raise Invalid(f"The guard 'canary' needs values: a list of strings with at least {_LEAST} letters or digits each.")
        self._squeezed: dict[str, str] = {}
        self._exact: list[str] = []
        for value in values:
            squeezed = _squeeze(value)[0]
            self._squeezed |= {
                squeezed: "literal",
                squeezed[::-1]: "reversed",
                codecs.encode(squeezed, "rot13"): "rot13",
                value.encode().hex(): "hex",
                value.lower().encode().hex(): "hex",
            }
            self._exact += _base64_cores(value)
        self.window = 4 * max(len(value) for value in values) + 8

    def check(self, text: str) -> list[Hit]:
        """Hits by the span in the text, whatever stands between the letters."""
        squeezed, places = _squeeze(text)
        found = [
            _hit(form, places[at], places[at + len(needle) - 1] + 1)
            for needle, form in self._squeezed.items()
            for at in _all(needle, squeezed)
        ]
        found += [_hit("base64", at, at + len(core)) for core in self._exact for at in _all(core, text)]
        return in_order(found)


def _hit(form: str, start: int, end: int) -> Hit:
    return Hit(form, f"The text gives away a planted secret ({form}).", start, end)


def _squeeze(text: str) -> tuple[str, list[int]]:
    """Letters and digits in small letters, and where each stands."""
    places = [at for at, char in enumerate(text) if char.isalnum()]
    return "".join([text[at].lower()[:1] for at in places]), places


def _all(needle: str, text: str) -> list[int]:
    found, at = [], text.find(needle)
    while at >= 0:
        found.append(at)
        at = text.find(needle, at + len(needle))
    return found


def _base64_cores(value: str) -> list[str]:
    """What base64 of any text that holds the value holds: the part that does not depend on its neighbours, per alignment."""
    cores = []
    for shift in range(3):
        code = base64.b64encode(b"\0" * shift + value.encode()).decode().rstrip("=")
        start = (0, 2, 3)[shift]
        end = len(code) - (1 if (shift + len(value.encode())) % 3 else 0)
        cores += [code[start:end], code[start:end].replace("+", "-").replace("/", "_")]
    return list(dict.fromkeys(cores))
