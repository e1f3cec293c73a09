"""What two questions have in common and where they differ, as numbers: the features that the verifier weighs.

The mean vectors say what both are about; the pieces, aligned one by one (late interaction, as in ColBERT, Khattab & Zaharia
2020), say which piece has no counterpart; numbers, negations, names and question words say what may not differ. Pieces are
weighted by how rare they are: the model's vocabulary is ordered by that. Knows no model, no threshold and no cache.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from genwright import embed

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
WORD = re.compile(r"[^\W\d_][\w'’\-]*|\d+(?:[.,]\d+)*")
NEGATIONS = frozenset(
    ("not", "no", "never", "without", "cannot", "none", "nothing", "neither", "nor", "hardly", "avoid", "stop", "illegal",
     "impossible", "unable", "unlike", "except")
)  # fmt: skip
ASKING = ("what", "why", "how", "when", "where", "who", "which", "whose", "whom")
OPENING = frozenset(
    (*ASKING, "is", "are", "can", "do", "does", "should", "will", "would", "could", "did", "if", "was", "were", "has", "have")
)
TELLING = ("best", "difference", "name", "my", "you", "i", "happen", "become", "better")
"""Words that change what is asked when only one of both has them."""
ALIKE = 0.75
"""Share of common words from which two questions are worded alike."""
_COMMON = 1990
"""Number of the most common whole word in the vocabulary; smaller ones are marks."""
_VOCABULARY = 30522


class Question(NamedTuple):
    """A question, read once. Arrays over its n word pieces."""

    text: str
    vector: np.ndarray
    """float32 (384,), L2 norm 1."""
    ids: np.ndarray
    """int32 (n,)."""
    rows: np.ndarray
    """float32 (n, 384), each of L2 norm 1."""
    rarity: np.ndarray
    """float32 (n,), about 0.3 to 1."""
    own: np.ndarray
    """float32 (n, 384): the pieces' vectors outside their context, each of L2 norm 1."""
    words: list[str]
    """Lower case."""
    names: frozenset[str]
    """Words in capitals after the first, in lower case."""


def read(text: str) -> Question:
    """Embed a question: some milliseconds. Raises Invalid for one that is longer than the model reads."""
    made = embed.embed_tokens(text)
    return question(text, made.vector, made.ids, made.rows)


def question(text: str, vector: np.ndarray, ids: np.ndarray, rows: np.ndarray) -> Question:
    """From what was stored; `rows` in any scale, as each is brought to length 1 here."""
    shown = WORD.findall(text)
    words = [word.lower() for word in shown]
    names = frozenset(low for low, word in zip(words[1:], shown[1:], strict=True) if word[0].isupper() and word != "I")
    return Question(text, vector, ids, _unit(rows.astype(np.float32)), _rarity(ids), _unit(embed.word_vectors(ids)), words, names)


def packed(rows: np.ndarray) -> np.ndarray:
    """Rows as int8 for storage, each in its own scale."""
    scale = np.abs(rows).max(1, keepdims=True, initial=1e-9) / 127
    return np.rint(rows / scale).astype(np.int8)


def closeness(a: Question, b: Question) -> float:
    """What candidates are ordered by: cosine of the wholes plus the mean of both late interactions; at most 2."""
    return _closeness(a, b.vector, b.rows, b.rarity)


def nearest(asked: Question, kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> int:
    """Which of the questions (vector, ids, rows as they were stored) is the closest; no words are looked at yet."""
    near = [_closeness(asked, vector, _unit(rows.astype(np.float32)), _rarity(ids)) for vector, ids, rows in kept]
    return max(range(len(near)), key=near.__getitem__)


def _closeness(a: Question, vector: np.ndarray, rows: np.ndarray, rarity: np.ndarray) -> float:
    whole = float(a.vector @ vector)
    if not len(a.ids) or not len(rarity):
        return whole
    like = a.rows @ rows.T
    here = (like.max(1) @ a.rarity) / a.rarity.sum()
    there = (like.max(0) @ rarity) / rarity.sum()
    return whole + (float(here) + float(there)) / 2


def features(asked: Question, kept: Question) -> np.ndarray:
    """float32 (len(NAMES),). Both questions need at least one word piece."""
    ia, ib, wa, wb = asked.ids, kept.ids, asked.rarity, kept.rarity
    found = {"cosine": float(asked.vector @ kept.vector)}
    like = asked.rows @ kept.rows.T
    found |= _aligned("near", like, wa, wb)
    found |= _aligned("same", asked.own @ kept.own.T, wa, wb)
    found |= _left_over(asked, kept)
    found |= _wording(asked, kept)
    la, lb = float(np.log(len(ia))), float(np.log(len(ib)))
    found |= {"length_a": la, "length_b": lb, "length_gap": abs(la - lb), "length": float(min(len(ia), len(ib)))}
    partner = like.argmax(1)[wa > 0.55]
    found["crossed"] = float((np.diff(partner) < 0).mean()) if len(partner) > 1 else 0.0
    first = {piece: at for at, piece in reversed(list(enumerate(ib.tolist())))}
    places = [first[piece] for piece, weight in zip(ia.tolist(), wa, strict=True) if weight > 0.5 and piece in first]
    found["swapped"] = float((np.diff(places) < 0).sum()) if len(places) > 1 else 0.0
    return np.fromiter(found.values(), np.float32, len(found))


def _aligned(name: str, like: np.ndarray, wa: np.ndarray, wb: np.ndarray) -> dict[str, float]:
    """How well each side is covered by the other, and the rarest pieces that are not."""
    found = {}
    for side, best, weight in (("a", like.max(1), wa), ("b", like.max(0), wb)):
        lost = np.sort((1 - best) * weight)[::-1]
        found[f"{name}_{side}"] = float(best @ weight / weight.sum())
        found[f"{name}_lost1_{side}"] = float(lost[0])
        found[f"{name}_lost2_{side}"] = float(lost[1]) if len(lost) > 1 else 0.0
        found[f"{name}_lost3_{side}"] = float(lost[2:].sum())
    return found


def _left_over(a: Question, b: Question) -> dict[str, float]:
    """Pieces that only one side has, and whether what is left over on both sides means the same."""
    here, there = a.ids.tolist(), b.ids.tolist()
    sa, sb = set(here), set(there)
    only_a, only_b = np.array([piece not in sb for piece in here]), np.array([piece not in sa for piece in there])
    wa, wb = float(a.rarity.sum()), float(b.rarity.sum())
    ra, rb = float(a.rarity[only_a].sum()), float(b.rarity[only_b].sum())
    common = float(_rarity(np.array(sorted(sa & sb), np.int32)).sum())
    found = {
        "overlap": common / (wa + wb - common + 1e-9) if wa + wb > common else 1.0,
        "covered_a": 1 - ra / wa,
        "covered_b": 1 - rb / wb,
        "rest_a": ra,
        "rest_b": rb,
        "rarest_a": float(a.rarity[only_a].max(initial=0)),
        "rarest_b": float(b.rarity[only_b].max(initial=0)),
    }
    both, none = only_a.any() and only_b.any(), not only_a.any() and not only_b.any()
    found["rest_near"] = _cosine(a.rows, a, only_a, b.rows, b, only_b) if both else 1.0 if none else 0.5
    found["rest_same"] = _cosine(a.own, a, only_a, b.own, b, only_b) if both else 1.0 if none else 0.5
    found["rest_sides"] = 2.0 if both else 0.0 if none else 1.0
    return found


def _cosine(xa: np.ndarray, a: Question, ma: np.ndarray, xb: np.ndarray, b: Question, mb: np.ndarray) -> float:
    va, vb = a.rarity[ma] @ xa[ma], b.rarity[mb] @ xb[mb]
    return float(va @ vb / (np.linalg.norm(va) * np.linalg.norm(vb) + 1e-9))


def _wording(a: Question, b: Question) -> dict[str, float]:
    """What a person would look at first: numbers, negation, question words, names, order."""
    sa, sb = set(a.words), set(b.words)
    na, nb = set(NUMBER.findall(a.text)), set(NUMBER.findall(b.text))
    asks_a, asks_b = _asks(a.words), _asks(b.words)
    extra_a, extra_b = a.names - sb, b.names - sa
    pairs_a, pairs_b = set(zip(a.words, a.words[1:], strict=False)), set(zip(b.words, b.words[1:], strict=False))
    longest = max(len(a.words), len(b.words), 1)
    found = {
        "numbers_differ": float(na != nb),
        "numbers_swapped": float(bool(na - nb) and bool(nb - na)),
        "numbers": float(bool(na and nb)),
        "negated": float(_negated(a.words) != _negated(b.words)),
        "asks_else": float(asks_a != asks_b),
    }
    found |= {f"asks_{word}": float((asks_a == word) != (asks_b == word)) for word in ("why", "who", "where", "when", "how")}
    found |= {
        "names_a": float(len(extra_a)),
        "names_b": float(len(extra_b)),
        "names_swapped": float(bool(extra_a) and bool(extra_b)),
        "names": float(len(a.names & b.names)),
        "words": len(sa & sb) / max(1, len(sa | sb)),
        "word_pairs": len(pairs_a & pairs_b) / max(1, len(pairs_a | pairs_b)),
        "begin": _run(a.words, b.words) / longest,
        "end": _run(a.words[::-1], b.words[::-1]) / longest,
    }
    return found | {f"has_{word}": float((word in sa) != (word in sb)) for word in TELLING}


def contradicts(a: Question, b: Question) -> str:
    """Why no likeness may make these one: `numbers`, `negation` or `names` differ. Empty where nothing speaks against it.

    Other numbers on both sides always do. A negation or other names do where the rest is worded alike: exactly there the
    vectors see no difference; in another wording the verifier weighs them.
    """
    na, nb = set(NUMBER.findall(a.text)), set(NUMBER.findall(b.text))
    if na - nb and nb - na:
        return "numbers"
    sa, sb = set(a.words), set(b.words)
    if _negated(a.words) != _negated(b.words) and _alike(sa, sb, {word for word in sa | sb if _negates(word)}):
        return "negation"
    here, there = a.names - sb, b.names - sa
    if here and there and _alike(sa, sb, here | there):
        return "names"
    return ""


def _alike(a: set[str], b: set[str], without: set[str] | frozenset[str]) -> bool:
    return len((a & b) - without) >= ALIKE * len((a | b) - without)


def _asks(words: list[str]) -> str:
    for word in words[:4]:
        if word in ASKING:
            return word
    return words[0] if words and words[0] in OPENING else ""


def _negated(words: list[str]) -> bool:
    """A "no" in front is an answer and not counted."""
    return any(_negates(word) for word in (words[1:] if words[:1] == ["no"] else words))


def _negates(word: str) -> bool:
    return word in NEGATIONS or word.endswith(("n't", "n’t"))


def _run(a: list[str], b: list[str]) -> int:
    for at, (here, there) in enumerate(zip(a, b, strict=False)):
        if here != there:
            return at
    return min(len(a), len(b))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9)


def _rarity(ids: np.ndarray) -> np.ndarray:
    return (np.log(np.maximum(ids - _COMMON, 1) + 20) / np.log(_VOCABULARY)).astype(np.float32)


def _names() -> list[str]:
    """In the order of `features`."""
    aligned = [f"{kind}_{side}" for side in "ab" for kind in ("", "lost1_", "lost2_", "lost3_")]
    out = ["cosine"]
    out += [f"{name}_{part.lstrip('_')}" for name in ("near", "same") for part in aligned]
    out += ["overlap", "covered_a", "covered_b", "rest_a", "rest_b", "rarest_a", "rarest_b", "rest_near", "rest_same"]
    out += ["rest_sides", "numbers_differ", "numbers_swapped", "numbers", "negated", "asks_else"]
    out += [f"asks_{word}" for word in ("why", "who", "where", "when", "how")]
    out += ["names_a", "names_b", "names_swapped", "names", "words", "word_pairs", "begin", "end"]
    out += [f"has_{word}" for word in TELLING]
    return [*out, "length_a", "length_b", "length_gap", "length", "crossed", "swapped"]


NAMES = _names()
