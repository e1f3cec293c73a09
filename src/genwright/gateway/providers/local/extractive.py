"""Answers by quoting: the sentences of the given passages that answer a question, each with its `[n]`. No language model.

Sentences are scored by the question's words they hold (stemmed, weighted by rarity in these passages), then the best few by
similarity of meaning (the bundled MiniLM) and by the rank of their passage; what repeats a chosen sentence is passed over.
Deterministic. Knows no messages, no models' names and no retrieval: passages come in as text.
"""

from __future__ import annotations

import math
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from genwright import embed

if TYPE_CHECKING:
    import numpy as np

LEAD = "From the documents:"
NOT_ANSWERED = "The documents that were found do not answer this question."
MAX_SENTENCES = 3
MAX_WORDS = 90
CANDIDATES = 8
"""Sentences that are compared by meaning: embedding them is what costs time."""
CLIP_WORDS = 32
REMEMBERED = 4096
"""Vectors kept (1.5 kB each)."""
# Chosen on the `tune` half of data/docs_qa/questions.jsonl.
LEXICAL, MEANING = 0.2, 1.0
AROUND, TITLE, RANK = 0.3, 0.1, 0.3
SHORT, LONG, ASIDE, LEADS = 0.1, 0.2, 0.2, 0.2
NEXT = 0.88
"""A further sentence must score this share of the best one."""
LEAST = 0.23
"""Where no sentence's meaning is this near, the passages do not answer (unrelated questions: 19 of 20 lie below)."""

Passage = tuple[int, str, str]
"""The number to cite, title, text."""

_STOP = frozenset(
    "a an the and or but if then else than so of in on at to from by with for as is are was were be been being am do does "  # noqa: SIM905
    "did doing have has had having i me my we our you your he she it its they them their this that these those there here "
    "what which who whom whose when where why how can could should would may might must will shall not no nor only just "
    "also very too any some all each one two get got use used using make made want need like about into out up down over s "
    "t".split()
)
_WORD = re.compile(r"__\w+__|[A-Za-z_][\w]*|\d+(?:\.\d+)?|[@%^~|&<>=!+*/-]{1,3}")
_BLANK = re.compile(r"\n[ \t]*\n")
_RULE_LINE = re.compile(r"^[ \t]*([*=\-~^\"#+])\1{2,}[ \t]*$")
_HEADING = re.compile(r"^#{1,6}[ \t]+\S")
_BULLET = re.compile(r"^(?:[*•–+-]|\d{1,3}[.)]|\(?[a-z]\))[ \t]+")
_HYPHEN = re.compile(r"(?<=[A-Za-z])-[ \t]*\n[ \t]*(?=[a-z])|(?<=[a-z])- (?!and\b|or\b|to\b)(?=[a-z])")
_END = re.compile(r"(?<=[.!?])[\"'”’)\]]{0,2}\s+(?=[\"'“‘(\[*_`]{0,2}[A-Z0-9_])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|resp|approx|fig|sec|no|dr|mr|mrs|st|[A-Z])\.)$", re.IGNORECASE)
_FOOTNOTE = re.compile(r"\s*\[\d{1,3}\](?=[\s.,;:)]|$)")
_ASIDE = re.compile(
    r"^(?:changed in version|new in version|added in version|deprecated|see |note that|for example|for more|e\.g\.)",
    re.IGNORECASE,
)
_LETTERS = re.compile(r"[A-Za-z]{2,}")


class Sentence(NamedTuple):
    """One sentence of one passage."""

    passage: int
    """Place of its passage in the list, from 0."""
    order: int
    """Place in the passage, from 0."""
    text: str
    terms: frozenset[str]


def answer(question: str, passages: Sequence[Passage]) -> str:
    """One to three sentences with citations after a short lead-in, or NOT_ANSWERED. Deterministic."""
    sentences = list(_sentences(passages))
    chosen = _choose(question, passages, sentences)
    if not chosen:
        return NOT_ANSWERED
    return f"{LEAD} " + " ".join(f"{sentence.text} [{passages[sentence.passage][0]}]" for sentence in chosen)


def split(text: str) -> list[str]:
    """The sentences of a text's prose, unwrapped; code, grammar, headings and rules are left out."""
    found = []
    for block in _BLANK.split(text):
        lines = [line for line in block.splitlines() if line.strip() and not _RULE_LINE.match(line) and not _HEADING.match(line)]
        if not lines or _is_code(lines):
            continue
        for item in _items(lines):
            found += _split_item(item)
    return found


def _items(lines: list[str]) -> Iterable[str]:
    """List items of a block, each unwrapped to one line."""
    item: list[str] = []
    for line in lines:
        if _BULLET.match(line.strip()) and item:
            yield "\n".join(item)
            item = []
        item.append(_BULLET.sub("", line.strip()))
    yield "\n".join(item)


def _split_item(item: str) -> list[str]:
    text = _FOOTNOTE.sub("", " ".join(_HYPHEN.sub("-", item).split())).strip()  # they would read like our citations
    if not _is_prose(text):
        return []
    found, begin = [], 0
    for match in _END.finditer(text):
        if _ABBREVIATION.search(text[max(0, match.start() - 8) : match.start()].rstrip("\"'”’)]")):
            continue
        found.append(text[begin : match.end()].strip())
        begin = match.end()
    found.append(text[begin:].strip())
    return [sentence for sentence in found if len(_LETTERS.findall(sentence)) >= 3]


def _is_code(lines: list[str]) -> bool:
    """Whether a block is set in like an example and does not end as prose does."""
    return all(line[:2].isspace() for line in lines) and not lines[-1].rstrip("\"'”’)*` ").endswith((".", "!", "?", ":"))


def _is_prose(text: str) -> bool:
    """Whether it is sentences rather than code, grammar, a heading or a table."""
    if not text or "::=" in text or text.count("|") > 2 or text.startswith((">>>", "$ ", "...")):
        return False
    words = text.split()
    small = sum(word.lower() in _STOP for word in words)
    return len(words) >= 4 and (small >= 0.2 * len(words) or (text[-1] in ".!?:" and small >= 1 and "=" not in text))


def _sentences(passages: Sequence[Passage]) -> Iterable[Sentence]:
    seen = set()
    for place, (_, _, text) in enumerate(passages):
        for order, sentence in enumerate(split(text)):
            if sentence not in seen:
                seen.add(sentence)
                yield Sentence(place, order, sentence, terms(sentence))


def terms(text: str) -> frozenset[str]:
    """The words of a text that say what it is about, stemmed; identifiers and operators stay whole."""
    found = set()
    for word in _WORD.findall(text):
        lower = word.lower()
        if lower not in _STOP:
            found.add(lower if "_" in lower or not lower.isalpha() else _stem(lower))
    return frozenset(found)


@lru_cache(maxsize=16384)
def _stem(word: str) -> str:
    import Stemmer

    return Stemmer.Stemmer("english").stemWord(word)  # a new one each time: they may not be shared between threads


def _choose(question: str, passages: Sequence[Passage], sentences: list[Sentence]) -> list[Sentence]:
    """The sentences that answer, best passage first, in the order of the text within a passage."""
    if not sentences:
        return []
    asked = terms(question)
    lexical = _lexical(asked, passages, sentences)
    order = sorted(range(len(sentences)), key=lambda at: (-lexical[at], at))[:CANDIDATES]
    near = _near(question, [sentences[at] for at in order])
    scores = {at: LEXICAL * lexical[at] + MEANING * near[place] for place, at in enumerate(order)}
    best = sorted(order, key=lambda at: (-scores[at], at))
    if max(near) < LEAST:
        return []
    picked: list[int] = []
    length = 0
    for at in best:
        words = len(sentences[at].text.split())
        if picked and (len(picked) == MAX_SENTENCES or length + words > MAX_WORDS or scores[at] < NEXT * scores[picked[0]]):
            continue
        if any(_repeats(sentences[at], sentences[other]) for other in picked):
            continue
        picked.append(at)
        length += words
    rank = {sentences[at].passage: place for place, at in reversed(list(enumerate(picked)))}
    return [sentences[at] for at in sorted(picked, key=lambda at: (rank[sentences[at].passage], sentences[at].order))]


def _lexical(asked: frozenset[str], passages: Sequence[Passage], sentences: list[Sentence]) -> list[float]:
    """Share of the question's words, weighted by rarity, that each sentence holds; a little for its title, neighbours, rank."""
    count = Counter(term for sentence in sentences for term in sentence.terms)
    total = len(sentences)
    weight = {term: math.log(1 + total / (1 + count[term])) for term in asked}
    whole = sum(weight.values()) or 1.0
    titles = [terms(title) for _, title, _ in passages]
    raw = [sum(weight[term] for term in asked & sentence.terms) / whole for sentence in sentences]
    found = []
    for at, sentence in enumerate(sentences):
        around = [raw[near] for near in (at - 1, at + 1) if 0 <= near < total and sentences[near].passage == sentence.passage]
        title = sum(weight[term] for term in asked & (titles[sentence.passage] - sentence.terms)) / whole
        length = len(sentence.text.split())
        flaw = SHORT * max(0.0, (8 - length) / 8) + LONG * max(0.0, (length - 30) / 30)
        flaw += ASIDE * (_ASIDE.match(sentence.text) is not None) + LEADS * sentence.text.endswith(":")
        bonus = AROUND * (sum(around) / 2) + TITLE * title + RANK / (1 + sentence.passage) - flaw
        found.append(raw[at] + bonus)
    return found


def _near(question: str, sentences: list[Sentence]) -> list[float]:
    """Cosine of the question's and each sentence's meaning; long ones are read in part, which is enough to compare."""
    vectors = _vectors([_clip(question), *(_clip(sentence.text) for sentence in sentences)])
    return [float(value) for value in vectors[1:] @ vectors[0]]


_known: OrderedDict[str, np.ndarray] = OrderedDict()
_lock = Lock()


def _vectors(texts: list[str]) -> np.ndarray:
    """Vectors of the texts; those embedded lately are remembered, since the same passages answer many questions."""
    import numpy as np

    with _lock:
        found = {text: _known[text] for text in texts if text in _known}
    new = [text for text in dict.fromkeys(texts) if text not in found]
    if new:
        found.update(zip(new, embed.embed_texts(new), strict=True))
    with _lock:
        for text in texts:
            _known[text] = found[text]
            _known.move_to_end(text)
        while len(_known) > REMEMBERED:
            _known.popitem(last=False)
    return np.stack([found[text] for text in texts])


def _clip(text: str) -> str:
    return " ".join(text.split()[:CLIP_WORDS])[:400]


def _repeats(one: Sentence, other: Sentence) -> bool:
    return len(one.terms & other.terms) >= 0.7 * max(1, min(len(one.terms), len(other.terms)))
