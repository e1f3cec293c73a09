"""A prompt as numbers: the bundled embedding beside counts and patterns of its text. Knows no models and no routes.

The text features were chosen on RouteLLM's GSM8K and MMLU prompts (numbers, steps of a sum, options of a choice, words of a
question); they are counts, so they mean the same in any set, but they are words of English.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

VERSION = 1
"""Of this file's meaning: weights fitted with another one cannot be read."""
MAX_CHARACTERS = 20_000
"""What of a prompt is looked at: its beginning and its end, half each."""
_WINDOW = 254
"""Word pieces that fit the embedding model beside its two marks."""

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_SENTENCE = re.compile(r"[.!?]\s|\n")
_OPTION = re.compile(r"(?m)^\(?[A-J][.)] ?(.*)$")
_OPERATOR = re.compile(r"[=+*^<>∑√×÷]")
_CODE = re.compile(r"```|\bdef \w|\bclass \w|[{};]\s*$|=>|\(\)", re.MULTILINE)
PATTERNS = {
    name: re.compile(pattern)
    for name, pattern in {
        "not": r"\bnot\b|n't\b",
        "except": r"\bexcept\b",
        "which of": r"\bwhich of the following\b",
        "how many": r"\bhow (?:many|much)\b",
        "why": r"\bwhy\b",
        "when": r"\bwhen\b",
        "who": r"\bwho\b",
        "how": r"\bhow\b",
        "what": r"\bwhat\b",
        "calculate": r"\b(?:calculate|compute|find)\b",
        "true": r"\b(?:true|false)\b",
        "statement": r"\bstatements?\b",
        "if": r"\bif\b",
        "compare": r"\b(?:more than|less than|fewer)\b",
        "multiple": r"\b(?:times|twice|half|third|quarter|double|triple)\b",
        "percent": r"\bpercent|%",
        "each": r"\b(?:each|every|per)\b",
        "average": r"\b(?:average|mean)\b",
        "total": r"\b(?:total|altogether|combined)\b",
        "left": r"\b(?:left|remain\w*)\b",
        "i": r"\bi\b",
        "he": r"\b(?:he|she|his|her)\b",
        "best": r"\bbest\b",
        "likely": r"\bmost likely\b",
        "chance": r"\b(?:probability|chance)\b",
        "time": r"\b(?:hour|minute|day|week|month|year)s?\b",
        "none of": r"\b(?:none of|all of|both)\b",
        "according": r"\baccording to\b",
        "blank": r"\bblank\b|____",
        "suppose": r"\b(?:assum\w*|suppose)\b",
        "program": r"\b(?:code|function|program)\b",
        "ratio": r"\b(?:ratio|fraction)\b",
        "age": r"\b(?:age|old)\b",
        "then": r"\bthen\b",
        "speed": r"\b(?:speed|miles?|km|rate)\b",
        "write": r"\b(?:write|summari[sz]e|translate|explain|list)\b",
    }.items()
}
_COUNTS = (
    "characters", "characters before options", "words", "sentences", "numbers", "distinct numbers", "largest number", "decimals",
    "percent signs", "dollar signs", "slashes", "operators", "code", "options", "option length", "option spread",
    "longest option", "options with digits", "word length", "long words", "capitals", "digits", "distinct words", "lines",
    "commas", "quotes", "underscores", "backslashes", "brackets", "beyond ASCII",
)  # fmt: skip
NAMES = (*_COUNTS, *PATTERNS)
"""Names of the columns of `text_features`."""


def clipped(text: str) -> str:
    """Beginning and end of a long prompt."""
    if len(text) <= MAX_CHARACTERS:
        return text
    half = MAX_CHARACTERS // 2
    return f"{text[:half]}\n{text[-half:]}"


def text_features(texts: Sequence[str]) -> np.ndarray:
    """float32 array (len(texts), len(NAMES)): counts as log(1 + count), shares as they are."""
    import numpy as np

    return np.array([_features(clipped(text)) for text in texts], np.float32).reshape(len(texts), len(NAMES))


def _features(text: str) -> list[float]:
    from math import log1p

    low, words, numbers = text.lower(), _WORD.findall(text), _NUMBER.findall(text)
    values = {float(number.replace(",", "")) for number in numbers if len(number) < 30}
    options = _OPTION.findall(text)
    first = _OPTION.search(text)
    head = text[: first.start()] if first else text
    lengths = [len(option) for option in options] or [0]
    mean = sum(lengths) / len(lengths)
    spread = (sum((length - mean) ** 2 for length in lengths) / len(lengths)) ** 0.5
    size, count = max(1, len(text)), max(1, len(words))
    found = [
        log1p(len(text)), log1p(len(head)), log1p(len(words)), log1p(sum(bool(part.strip()) for part in _SENTENCE.split(head))),
        log1p(len(numbers)), log1p(len(values)), log1p(min(max(values, default=0.0), 1e30)),
        log1p(sum("." in one for one in numbers)), log1p(text.count("%")), log1p(text.count("$")), log1p(text.count("/")),
        log1p(len(_OPERATOR.findall(text))), log1p(len(_CODE.findall(text))), len(options) / 4, log1p(mean), log1p(spread),
        log1p(max(lengths)), sum(any(letter.isdigit() for letter in option) for option in options) / len(lengths),
        sum(map(len, words)) / count, sum(len(word) > 8 for word in words) / count, sum(map(str.isupper, text)) / size,
        sum(map(str.isdigit, text)) / size, len({word.lower() for word in words}) / count, text.count("\n") / 10,
        text.count(",") / count, float('"' in text), float(text.count("_") > 1), float("\\" in text), text.count("(") / count,
        sum(letter > "\x7f" for letter in text) / size,
    ]  # fmt: skip
    return found + [log1p(len(pattern.findall(low))) for pattern in PATTERNS.values()]


def embeddings(texts: Sequence[str]) -> np.ndarray:
    """float32 array (len(texts), 384). Of a text that is too long for the model, its beginning and its end are read."""
    from genwright import embed

    return embed.embed_texts([_window(text) for text in texts])


def _window(text: str) -> str:
    from genwright import embed

    text = clipped(text)
    if len(text) < _WINDOW:
        return text
    found = embed.pieces(text)
    if len(found) <= _WINDOW:
        return text
    half = _WINDOW // 2 - 4  # cutting inside a word can make a few pieces more of it
    cut = f"{text[: found[half][0]]}\n{text[found[-half][0] :]}"
    return cut if embed.fits(cut) else text[:_WINDOW]


def prompt_text(messages: Sequence[Any]) -> str:
    """What a router reads of a call: the text of the last message that the user wrote."""
    for message in reversed(messages):
        if message.role == "user":
            found = "\n".join(part.content for part in message.parts if isinstance(getattr(part, "content", None), str))
            if found:
                return found
    return ""
