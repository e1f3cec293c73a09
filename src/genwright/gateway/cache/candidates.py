"""The slow work of a semantic look-up, for a thread: embedding, finding the nearest, comparing them piece by piece."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sqlalchemy.engine import Connection

from genwright import embed
from genwright.gateway.cache import keys, pairs, store
from genwright.gateway.cache.pairs import Question
from genwright.gateway.cache.shelves import Room
from genwright.gateway.cache.types import Entry, Trial
from genwright.gateway.cache.verify import shipped
from genwright.vocab import Scope

COUNT = 8
"""Nearest questions that are compared piece by piece."""
FLOOR = 0.5
"""Cosine under which nothing is a candidate."""


def nearest(room: Room, key: keys.Key) -> tuple[Question | None, list[str]]:
    """The question, embedded, and the nearest kept ones; (None, []) where it is longer than the model reads."""
    if not embed.fits(key.question):
        return None, []
    question = pairs.read(key.question)
    return question, room.near(key.scope, question.vector, COUNT, FLOOR)


class Asked(NamedTuple):
    """A question on its way through the candidates."""

    scope: Scope
    hard: str
    """Digest of what must be equal."""
    question: Question
    threshold: float


def verified(
    connection: Connection, asked: Asked, near: list[str], now_ns: int
) -> tuple[list[str], tuple[Entry, bytes] | None, float]:
    """(ids that are not there any more, the best one's entry and content if it passes the threshold, its probability)."""
    reads = store.candidates(connection, asked.scope, asked.hard, near, now_ns)
    gone = sorted(set(near) - {read.id for read in reads})
    if not reads:
        return gone, None, 0.0
    chosen, probability = best(asked.question, reads)
    if probability < asked.threshold:
        return gone, None, probability
    return gone, store.get_entry(connection, asked.scope, chosen.id, now_ns), probability


def best(asked: Question, reads: list[store.Read]) -> tuple[store.Read, float]:
    """The candidate that is nearest piece by piece, and its probability."""
    stored = [arrays(read) for read in reads]
    at = pairs.nearest(asked, stored)
    return reads[at], shipped().probability(asked, pairs.question(reads[at].question, *stored[at]))


def packed(id: str, question: Question) -> store.Read:

    vector, pieces = question.vector.astype(np.float16), question.ids.astype(np.uint16)
    return store.Read(id, question.text, vector.tobytes(), pieces.tobytes(), pairs.packed(question.rows).tobytes())


def arrays(read: store.Read) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(vector, ids, rows) of a stored question."""
    ids = np.frombuffer(read.pieces, np.uint16).astype(np.int32)
    return np.frombuffer(read.vector, np.float16).astype(np.float32), ids, np.frombuffer(read.rows, np.int8).reshape(len(ids), -1)


def usual() -> float:
    """Threshold of a rule with the usual target."""
    return shipped().threshold(0.1)


def trial(asked: str, question: str, threshold: float) -> Trial:
    """What there is to know of two questions."""
    a, b = pairs.read(asked), pairs.read(question)
    probability = shipped().probability(a, b)
    cosine, near = float(a.vector @ b.vector), pairs.closeness(a, b)
    return Trial(probability, cosine, near, pairs.contradicts(a, b), threshold, probability >= threshold)
