"""Bytes to text with headings: finds the parser by the name's ending. Pure and slow: runs in a worker process.

Knows no corpus and no chunk. Every way in which a document cannot be read is an `Unreadable` with a code; a parser that breaks
on a damaged file is one too, so that one document never stops an ingest.
"""

from __future__ import annotations

import posixpath
import re

import msgspec

from genwright.errors import Invalid
from genwright.plugs import Table
from genwright.retrieval.types import Parsed

MAX_TEXT = 20_000_000
"""Characters of parsed text; more is refused (a small file can hold a very large text)."""


class Unreadable(Invalid):
    """A document that cannot be read: `code` is one of those named at `Document.code`."""

    default_code = "broken"


_PLACE = "genwright.retrieval.parsers."
_CODE = (
    "py", "pyi", "js", "mjs", "cjs", "jsx", "ts", "tsx", "go", "rs", "java", "kt", "scala", "c", "h", "cc", "cpp", "hpp", "cs",
    "rb", "php", "pl", "lua", "r", "jl", "swift", "sh", "bash", "zsh", "fish", "ps1", "bat", "sql", "toml", "yaml", "yml", "ini",
    "cfg", "conf", "css", "scss", "less", "proto", "graphql", "tf", "dockerfile", "makefile", "cmake", "gradle", "xml", "vue",
)  # fmt: skip

PARSERS = Table(
    "genwright.parsers",
    {
        "md": _PLACE + "markup:markdown",
        "markdown": _PLACE + "markup:markdown",
        "mdx": _PLACE + "markup:markdown",
        "txt": _PLACE + "markup:underlined",
        "text": _PLACE + "markup:underlined",
        "rst": _PLACE + "markup:underlined",
        "adoc": _PLACE + "markup:underlined",
        "html": _PLACE + "html:html",
        "htm": _PLACE + "html:html",
        "xhtml": _PLACE + "html:html",
        "pdf": _PLACE + "pdf:pdf",
        "docx": _PLACE + "office:docx",
        "csv": _PLACE + "data:csv",
        "tsv": _PLACE + "data:csv",
        "json": _PLACE + "data:json",
        "jsonl": _PLACE + "data:jsonl",
        "ndjson": _PLACE + "data:jsonl",
        "ipynb": _PLACE + "data:notebook",
        **dict.fromkeys(_CODE, _PLACE + "markup:code"),
    },
)
"""Ending (lower case, without the dot) → parser. Third parties add rows by the entry point group `genwright.parsers`."""

_MEDIA = {
    "text/html": "html", "application/xhtml+xml": "html", "text/markdown": "md", "application/pdf": "pdf", "text/csv": "csv",
    "application/json": "json", "text/plain": "txt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
}  # fmt: skip
_MAGIC = ((b"%PDF-", "pdf"), (b"PK\x03\x04", "docx"))
_BLANK = re.compile(r"\S")


def parse(data: bytes, name: str, media_type: str = "") -> Parsed:
    """The document's text, title and headings. Raises Unreadable."""
    if not data.strip(b"\x00 \t\r\n\f\xef\xbb\xbf"):
        raise Unreadable("It is empty.", code="empty_document")
    parser = PARSERS.load(_ending(data, name, media_type))
    try:
        parsed = parser(data, name)
    except (Unreadable, MemoryError):
        raise
    except RecursionError as error:
        raise Unreadable("It is nested too deeply.", code="broken") from error
    except Exception as error:  # a plug call: parsers and their libraries fail in their own ways on damaged files
        raise Unreadable(f"It is damaged: {type(error).__name__}: {str(error)[:200]}", code="broken") from error
    if len(parsed.text) > MAX_TEXT:
        raise Unreadable(f"Its text has {len(parsed.text):,} characters; {MAX_TEXT:,} is the most.", code="too_large")
    if not _BLANK.search(parsed.text):
        raise Unreadable("It holds no text (a scan or only pictures?).", code="no_text")
    if not parsed.title:
        parsed = msgspec.structs.replace(parsed, title=title_of(parsed, name))
    return parsed


def title_of(parsed: Parsed, name: str) -> str:
    """The first heading of the highest level, else the file's name without its ending."""
    if parsed.headings:
        return min(parsed.headings, key=lambda heading: heading.level).title
    return posixpath.basename(name).rpartition(".")[0] or posixpath.basename(name)


def _ending(data: bytes, name: str, media_type: str) -> str:
    base = posixpath.basename(name).lower()
    ending = base.rpartition(".")[2]
    known = PARSERS.names()
    if ending in known:
        return ending
    by_type = _MEDIA.get(media_type.partition(";")[0].strip().lower())
    if by_type:
        return by_type
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), "txt")
