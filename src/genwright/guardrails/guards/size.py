"""Texts over a length."""

from __future__ import annotations

from genwright.errors import Invalid
from genwright.guardrails.types import Hit


class Size:
    """`chars`: the longest text that passes, in characters."""

    def __init__(self, chars: int):
        if chars < 1:
            raise Invalid(f"The guard 'size' needs chars of at least 1, not {chars}.", code="bad_parameters")
        self.chars = chars
        self.window = 0

    def check(self, text: str) -> list[Hit]:
        if len(text) <= self.chars:
            return []
        reason = f"The text has {len(text):,} characters; the policy allows {self.chars:,}."
        return [Hit("too_long", reason, self.chars, len(text), "")]
