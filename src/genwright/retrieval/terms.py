"""Text to terms for the word index: words in lower case, stop words dropped, stemmed (Snowball English). Pure."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from typing import Any

_WORD = re.compile(r"\w+")
STOPWORDS = frozenset(
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was "  # noqa: SIM905
    "will with".split()
)
"""Lucene's English list."""
_local = threading.local()


def terms(text: str) -> list[str]:
    """The terms of a text, in order, with repetitions. Identifiers such as `__init__` stay whole."""
    words: Iterable[str] = (word for word in _WORD.findall(text.lower()) if word not in STOPWORDS)
    return _stemmer().stemWords(list(words))


def _stemmer() -> Any:
    stemmer = getattr(_local, "stemmer", None)  # a stemmer has a cache that two threads must not share
    if stemmer is None:
        import Stemmer

        stemmer = _local.stemmer = Stemmer.Stemmer("english")
    return stemmer
