"""The model local/moderation: toxic words by the guard's list, in the form of OpenAI's moderations. A smoke test, no classifier.

It knows one category and says so: what it does not flag may still be hate, self-harm or anything else.
"""

from __future__ import annotations

from typing import Any

import msgspec

from genwright.gateway.wire.openai import bad
from genwright.guardrails.service import toxicity
from genwright.vocab import new_id

THRESHOLD = 0.5
NOTE = (
    "A list of English words and phrases, no classifier: only the category 'toxicity' is known. Other categories are not judged, "
    "and what is not flagged is not thereby harmless."
)


class Moderation:
    def moderate(self, asked: dict[str, Any]) -> bytes:
        """One result an input; parts of one message are judged together. Raises Invalid for anything but text."""
        given = asked["input"]
        parts = isinstance(given, list) and bool(given) and all(isinstance(part, dict) for part in given)
        texts = [" ".join(_text(part, number) for number, part in enumerate(given))] if parts else given
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise bad("input", "input must be text, a list of texts, or text parts. Nothing was judged.")
        body = {
            "id": new_id("modr"),
            "model": "local/moderation",
            "results": [_result(toxicity(text)) for text in texts],
            "known_categories": ["toxicity"],
            "note": NOTE,
        }
        return msgspec.json.encode(body)


def _result(score: float) -> dict[str, Any]:
    flagged = score >= THRESHOLD
    return {
        "flagged": flagged,
        "categories": {"toxicity": flagged},
        "category_scores": {"toxicity": score},
        "category_applied_input_types": {"toxicity": ["text"]},
    }


def _text(part: dict[str, Any], number: int) -> str:
    if part.get("type") != "text" or not isinstance(part.get("text"), str):
        raise bad(f"input[{number}].type", f"input[{number}]: local/moderation reads text only. Nothing was judged.")
    return part["text"]
