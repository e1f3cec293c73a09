"""HTML: the text a reader sees, with its headings. Fetches nothing, runs nothing, resolves no entity but the named ones."""

from __future__ import annotations

import re
from typing import Any

from genwright.retrieval.parsers.markup import decode
from genwright.retrieval.types import Heading, Parsed

_DROPPED = frozenset(
    (
        "script", "style", "nav", "template", "noscript", "svg", "math", "iframe", "object", "embed", "form", "button",
        "select", "textarea", "head", "aside", "footer",
    )
)  # fmt: skip
_BLOCKS = frozenset(
    (
        "p", "div", "section", "article", "main", "header", "ul", "ol", "dl", "table", "tr", "pre", "blockquote", "figure",
        "figcaption", "details", "summary", "address", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "dt", "dd", "li", "body",
    )
)  # fmt: skip
_TIGHT = frozenset(("li", "tr", "dt", "dd"))
"""Blocks that are lines, not paragraphs."""
_SPACE = re.compile(r"[ \t\r\n\f\u00a0]+")
_DECLARED = re.compile(rb"<meta[^>]+charset=[\"']?([\w-]+)", re.IGNORECASE)
_MAX_DEPTH = 400


def html(data: bytes, name: str) -> Parsed:
    """Script, style, navigation and forms are left out; a block becomes a paragraph, `pre` keeps its lines."""
    from lxml import etree
    from lxml import html as lxml_html

    parser = etree.HTMLParser(
        no_network=True, remove_comments=True, remove_pis=True, huge_tree=False, recover=True, encoding="utf-8"
    )
    root = lxml_html.document_fromstring(_text(data).encode("utf-8", "replace"), parser=parser)
    title = root.findtext(".//title") or ""
    body = root.find("body")
    writer = _Writer()
    writer.walk(root if body is None else body, 0)
    return Parsed(writer.text(), _SPACE.sub(" ", title).strip(), writer.headings)


def _text(data: bytes) -> str:
    declared = _DECLARED.search(data[:4096])
    if declared and not data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        try:
            return data.decode(declared[1].decode("ascii"))
        except (LookupError, UnicodeDecodeError):
            pass
    return decode(data)


class _Writer:
    """Gathers the text; knows its length at any moment, so that headings get their offsets."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._open = False  # whether the last part may be continued in the same line
        self._newlines = 0  # at the end of the text
        self.headings: list[Heading] = []

    def text(self) -> str:
        return "".join(self._parts).rstrip() + "\n"

    def walk(self, element: Any, depth: int) -> None:
        tag = element.tag if isinstance(element.tag, str) else ""
        if tag in _DROPPED or not tag or depth > _MAX_DEPTH or element.get("hidden") is not None:
            return
        if tag in _BLOCKS:
            self._break(1 if tag in _TIGHT else 2)
        if tag == "br":
            self._put("\n")
        heading = len(tag) == 2 and tag[0] == "h" and tag[1].isdigit()
        if heading:
            title = _SPACE.sub(" ", "".join(element.itertext())).strip()
            if title:
                self.headings.append(Heading(int(tag[1]), title, self._length))
        if tag == "li":
            self._put("- ")
        if tag == "pre":
            self._put("".join(element.itertext()).strip("\n"))
        else:
            self._words(element.text)
            for child in element:
                self.walk(child, depth + 1)
                self._words(child.tail)
        if tag in ("td", "th"):
            self._put(" | ")
        if tag in _BLOCKS:
            self._break(1 if tag in _TIGHT else 2)

    def _words(self, text: str | None) -> None:
        if not text:
            return
        words = _SPACE.sub(" ", text)
        if not self._open:
            words = words.lstrip()
        if words:
            self._put(words)

    def _put(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
        self._open = not text.endswith("\n")
        self._newlines = len(text) - len(text.rstrip("\n")) + (self._newlines if not text.strip("\n") else 0)

    def _break(self, newlines: int) -> None:
        """End the line, with an empty one after it if `newlines` is 2; nothing at the beginning or after a bullet."""
        if self._parts and self._parts[-1] != "- " and self._newlines < newlines:
            self._put("\n" * (newlines - self._newlines))
