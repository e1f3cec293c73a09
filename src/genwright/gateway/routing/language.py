"""Which language a text is in: by its script, and by its commonest words where languages share one. Loads nothing.

Good for a sentence or more in the languages below; short or mixed texts give "" (not known), which a route can ask for too.
"""

from __future__ import annotations

import re
from collections import Counter

SCRIPTS = (
    ("ja", "\u3040", "\u30ff"), ("ko", "\uac00", "\ud7af"), ("zh", "\u4e00", "\u9fff"), ("ru", "\u0400", "\u04ff"),
    ("ar", "\u0600", "\u06ff"), ("he", "\u0590", "\u05ff"), ("el", "\u0370", "\u03ff"), ("hi", "\u0900", "\u097f"),
    ("th", "\u0e00", "\u0e7f"),
)  # fmt: skip
"""Languages whose script says enough; kana before han, for Japanese has both. Ukrainian and Bulgarian are taken for Russian."""
COMMON = {
    "en": "the and of to in is that it for you with on are this be not what how can have from as at or was please",
    "de": "der die das und ist nicht ein eine zu den mit von für auf sie ich wie was kann wir auch im dem bitte sind",
    "fr": "le la les et est une des un que pour dans qui pas sur avec ce vous je comment il sont au du plus",
    "es": "el la los las y es una que para en de por con un como no se qué cómo su del más puede este",
    "it": "il la che di e un una per non con sono come del della i gli le si è più questo cosa nel",
    "pt": "o a os as e é uma que para em de por com um como não se do da você mais na no são",
    "nl": "de het een en is van dat niet voor met op zijn ik wat hoe kan je aan ook wij deze er bij",
    "pl": "i w na nie jest to się że z do jak co po dla czy od są ale przez który może",
    "sv": "och det att är en som på för av inte med jag kan hur vad den ett till har vi från",
    "tr": "ve bir bu için ne da de ile mi nasıl var çok olarak daha gibi ben sen değil mı",
}
LONGEST = 4_000
_LISTS = {name: frozenset(words.split()) for name, words in COMMON.items()}


def detect(text: str) -> str:
    """ISO 639-1 code, or "" where it cannot be told."""
    text = text[:LONGEST]
    letters = [letter for letter in text if letter.isalpha()]
    if not letters:
        return ""
    found = Counter(name for letter in letters for name, low, high in SCRIPTS if low <= letter <= high)
    for name, _, _ in SCRIPTS:
        if found[name] > len(letters) * (0.1 if name == "ja" else 0.3):
            return name
    said = re.findall(r"[^\W\d_]+", text.lower())
    scores = Counter({name: sum(word in known for word in said) for name, known in _LISTS.items()}).most_common(2)
    (best, most), (_, second) = scores
    return best if most >= 2 and most > second else ""
