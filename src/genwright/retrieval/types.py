"""Records of retrieval. Offsets are characters in a document's parsed text: `text[start:end]` is the chunk."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Mode = Literal["vector", "text", "hybrid"]
MODES = ("vector", "text", "hybrid")

DEFAULT_MODEL = "local/minilm"


class Heading(msgspec.Struct, frozen=True):
    """A heading in a parsed text."""

    level: int
    """1 is the highest."""
    title: str
    start: int
    """Where its line begins."""


class Parsed(msgspec.Struct, frozen=True):
    """A document as text."""

    text: str
    title: str
    headings: list[Heading] = []


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One document of a corpus, as its row says."""

    workspace: str
    project: str
    corpus: str
    name: str
    """Path within the corpus, e.g. `guide/install.md`."""
    digest: str
    """Of the bytes that were sent; empty where they were too many to read."""
    text_digest: str = ""
    """Blob of the parsed text (`Parsed` as JSON); empty unless `state` is ok."""
    media_type: str = ""
    bytes: int = 0
    chars: int = 0
    """Length of the parsed text."""
    title: str = ""
    state: str = "ok"
    """ok, skipped (cannot be read, ever) or failed (worth trying again)."""
    code: str = ""
    """Why not, for programs: empty_document, too_large, binary, encoding, encrypted, broken, no_text, too_slow."""
    reason: str = ""
    """Why not, for people."""
    at_ns: int = 0


class Chunker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How documents are cut."""

    size: int = 200
    """Most word pieces in a chunk, its heading path not counted."""
    overlap: int = 0
    """Word pieces at most that a chunk repeats from the one before it, whole sentences."""


class IndexSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an index is made with."""

    chunker: Chunker = Chunker()
    embedding_model: str = DEFAULT_MODEL
    """Any embedding model of the gateway: PROVIDER/MODEL."""


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """A piece of a document."""

    document: str
    """The document's digest."""
    name: str
    title: str
    heading: str
    """Headings above it, outermost first, joined by ` › `."""
    start: int
    end: int
    text: str

    @property
    def context(self) -> str:
        """What is put before the text for embedding and for the word index: title and headings not already in the text."""
        words = [self.title, *self.heading.split(" › ")] if self.heading else [self.title]
        kept = [word for index, word in enumerate(words) if word and word not in words[:index] and word not in self.text[:300]]
        return " › ".join(kept)

    @property
    def contextual(self) -> str:
        """The text with its context, as it is embedded and indexed."""
        return f"{self.context}\n{self.text}" if self.context else self.text


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk that was found."""

    id: str
    """`<first 12 hex of the document's digest>:<start>-<end>`; the same in every index that holds this chunk."""
    n: int
    """Rank, from 1; what `[n]` cites."""
    document: str
    name: str
    title: str
    heading: str
    start: int
    end: int
    score: float
    """What it was ranked by; comparable within one answer only."""
    scores: dict[str, float] = {}
    """`vector` (cosine) and `text` (BM25) as far as they were computed."""
    text: str = ""


class IndexRow(msgspec.Struct, frozen=True, kw_only=True):
    """An index version as lists show it."""

    name: str
    number: int
    digest: str
    labels: list[str]
    created_ns: int
    content: dict[str, Any]


class Skipped(msgspec.Struct, frozen=True):
    """A file that was not taken in, and why."""

    name: str
    code: str
    reason: str


class IngestReport(msgspec.Struct, kw_only=True):
    """What `genwright ingest` did."""

    corpus: str
    index: str
    """Ref of the index version that was built."""
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: list[Skipped] = []
    chunks: int = 0
