"""What metrics read out of texts: words, sentences, citations, whether an answer declines. English first; pure."""

from __future__ import annotations

import re
import string
import threading
from functools import lru_cache

CITATION = re.compile(
    r"""(?:(?<=[A-Za-z]{3})|(?<![\w"'`“‘(=]))\[([1-9]\d{0,2}(?:\s*,\s*[1-9]\d{0,2})*)\](?=[\s.,;:!?)\[]|$)(?![ \t]*[=+*<>])"""
)
"""`[1]` or `[1, 2]`; not `x[1]`, `"[1, 2]"` or `[1] == y`, which are code."""
_END = re.compile(r"(?<=[.!?…])(?P<marks>(?:\s*\[\d{1,3}(?:\s*,\s*\d{1,3})*\])*)(?=\s+|$)|\n\s*\n|\n(?=\s*(?:[-*•]|\d+[.)])\s)")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|cf|vs|Dr|Mr|Mrs|Fig|No|approx)\.|\b[A-Z]\.)$")
_WORD = re.compile(r"\w+(?:[.'’]\w+)*")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")

STOPWORDS = frozenset(
    "a about above after again all also although am an and any are as at be because been before being below between both but by "  # noqa: SIM905
    "can cannot could did do does doing down during each either else etc even every few for from further had has have having he "
    "her here hers him his how however i if in into is it its itself just like may me might more most must my no nor not now of "
    "off on once one only or other our out over own per rather same shall she should since so some such than that the their them "
    "then there these they this those though through thus to too under until up upon us use used using very via was we were what "
    "when where whether which while who whom whose why will with within without would yes yet you your".split()
)  # fmt: skip
"""Words that carry no claim of their own."""

_DECLINES = re.compile(
    r"""
    \b(?:
      i\ (?:do\ not|don[’']t)\ know
    | i\ (?:could\ not|couldn[’']t|cannot|can[’']t|was\ unable\ to|am\ unable\ to)\ (?:find|answer|help|say)
    | (?:passages?|documents?|documentation|sources?|context|corpus)\b[^.]{0,30}\b
      (?:do(?:es)?\ not|don[’']t|doesn[’']t|did\ not)\ (?:\w+\ )?(?:answer|contain|say|mention|cover|include|provide|hold)
    | (?:no|not\ enough|insufficient)\ (?:answer|information|passages?|sentences?|evidence)\b.{0,40}\b(?:found|available)
    | nothing\ (?:was|is|could\ be)\ found
    | i['’]m\ sorry,?\ (?:but\ )?i\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)

_local = threading.local()


def without_citations(text: str) -> str:
    return CITATION.sub(" ", text)


def cited(text: str) -> list[int]:
    """Numbers that a text cites, in order, each once."""
    numbers = [int(part) for match in CITATION.finditer(text) for part in match.group(1).split(",")]
    return list(dict.fromkeys(numbers))


def sentences(text: str) -> list[str]:
    """Sentences and list items, each with the citations that follow its end."""
    found, start = [], 0
    for match in _END.finditer(text):
        piece = text[start : match.end()].strip()
        if _ABBREVIATION.search(text[start : match.start()]) and not match.group("marks"):
            continue
        if piece:
            found.append(piece)
        start = match.end()
    if rest := text[start:].strip():
        found.append(rest)
    # A citation on its own belongs to the sentence before it.
    joined: list[str] = []
    for piece in found:
        if joined and not CITATION.sub("", piece).strip(" .\n"):
            joined[-1] += " " + piece
        else:
            joined.append(piece)
    return joined


@lru_cache(maxsize=8192)
def content_words(text: str) -> frozenset[str]:
    """Stems of the words that carry meaning; names such as `os.path` and numbers stay whole."""
    words = [
        word.strip("_").replace("’", "'").removesuffix("'s") or word for word in _WORD.findall(without_citations(text).lower())
    ]
    parts = [part for word in words for part in ([word, *word.split(".")] if "." in word else [word])]
    kept = [word for word in parts if word not in STOPWORDS and (len(word) > 1 or word.isdigit())]
    return frozenset(_stemmer().stemWords(kept))


@lru_cache(maxsize=8192)
def squad_words(text: str) -> tuple[str, ...]:
    """Words as SQuAD 1.1's evaluation normalises them: lower case, without punctuation and articles."""
    return tuple(_ARTICLES.sub(" ", without_citations(text).lower().translate(_PUNCTUATION)).split())


def declines(text: str) -> bool:
    """Whether an answer says that it has no answer (in its first sentences), or is empty."""
    return not text.strip() or bool(_DECLINES.search(text[:300]))


def _stemmer():  # a stemmer may be used by one thread only
    if not hasattr(_local, "stemmer"):
        import Stemmer

        _local.stemmer = Stemmer.Stemmer("english")
    return _local.stemmer
