"""Ways out of an answer: images that a browser fetches by itself, and addresses that carry text away in them.

Kinds: `image` (Markdown or HTML, from a host that is not allowed), `image_with_data`, `link_with_data` (the query, the path
or the fragment holds a sentence or an encoded text). Relative addresses stay in the house and pass. Does not look where an
address leads; on a stream, an image by reference counts as a link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote_plus, urlsplit

from genwright.errors import Invalid
from genwright.guardrails.types import Hit

KINDS = ("image", "image_with_data", "link_with_data")
_URL = re.compile(r"(?:https?:)?//[^\s<>\"'`)\]]{3,2048}|https?:", re.IGNORECASE)
# Possessive and without a required end, so that a match is never tried again: an image left open counts as one.
_IMAGE = re.compile(r"!\[[^\]\n]{0,300}+\]\(\s{0,3}+<?+([^)\s>]{1,2048}+)(?:[^)\n]{0,300}+\))?+")
_TAG = re.compile(
    r"<(?:img|image|iframe|video|audio|embed|object|source|input|script|link)\b[^<>]{0,4096}(?:>|\Z)", re.IGNORECASE
)
_REFERENCE = re.compile(r"^ {0,3}\[([^\]\n]{1,100})\]:[ \t]{0,3}<?(\S{1,2048})", re.MULTILINE)
_USED = re.compile(r"!\[[^\]\n]{0,300}\]\[([^\]\n]{0,100})\]|!\[([^\]\n]{1,100})\](?![\[(])")
_ENCODED = re.compile(r"[A-Za-z0-9+/_=-]{24,}|(?:[0-9a-fA-F]{2}){12,}")
_WORDS = re.compile(r"[^\W\d_]{2,}")
_ADDRESS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?#[]@!$&'()*+,;=%"
_MAX_PENDING = 4800


class Egress:
    """`hosts`: where images and data may go (with their subdomains); `kinds`: which of KINDS are hits, all without."""

    def __init__(self, hosts: Sequence[str] = (), kinds: Sequence[str] = KINDS):
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown or not kinds or isinstance(hosts, str):
            raise Invalid(
                f"The guard 'egress' takes a list of hosts, and of kinds: {', '.join(KINDS)}. Not: {', '.join(unknown)}."
            )
        self.hosts = tuple(host.lower().lstrip(".") for host in hosts)
        self.kinds = tuple(kinds)

    def check(self, text: str) -> list[Hit]:
        if "//" not in text and "![" not in text and "<" not in text:
            return []
        kept: list[Hit] = []
        for start, end, url, image in sorted(_addresses(text)):
            if kept and start < kept[-1].end:
                continue
            kind = self._kind(url, image)
            if kind in self.kinds:
                kept.append(Hit(kind, _REASONS[kind], start, end, "[image removed]" if image else "[address removed]"))
        return kept

    def pending(self, text: str) -> int:
        """An address is one run of characters; an image begins with `![` or a tag and may hold spaces."""
        at = len(text.rstrip(_ADDRESS + "<"))
        for opening, closing in (("![", ")"), ("<", ">")):
            begun = text.rfind(opening)
            if begun >= 0 and closing not in text[begun:] and "\n\n" not in text[begun:]:
                at = min(at, begun)
        if text.endswith("!"):
            at = min(at, len(text) - 1)
        return max(at, len(text) - _MAX_PENDING)

    def _kind(self, url: str, image: bool) -> str:
        """Which kind this address is; empty where it is none of them."""
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").lower()
        except ValueError:
            return "image" if image else ""
        if not host or any(host == allowed or host.endswith("." + allowed) for allowed in self.hosts):
            return ""
        carries = _carries(parts.query, parts.path, parts.fragment)
        return ("image_with_data" if carries else "image") if image else ("link_with_data" if carries else "")


_REASONS = {
    "image": "The text shows an image of a foreign host, which the reader's browser would fetch.",
    "image_with_data": "The text shows an image whose address carries text to a foreign host.",
    "link_with_data": "The text has a link whose address carries text to a foreign host.",
}


def _addresses(text: str) -> Iterator[tuple[int, int, str, bool]]:
    """(start, end, address, whether it is fetched without a click); images before the bare address inside them."""
    for match in _IMAGE.finditer(text):
        yield match.start(), match.end(), match[1], True
    for match in _TAG.finditer(text):
        if url := _URL.search(match[0]):
            yield match.start(), match.end(), url[0], True
    used = {(match[1] or match[2] or "").lower() for match in _USED.finditer(text)} if "![" in text else set()
    for match in _REFERENCE.finditer(text):
        yield match.start(2), match.end(2), match[2], match[1].lower() in used
    for match in _URL.finditer(text):
        yield match.start(), match.end(), match[0].rstrip(".,;:!?*_"), False


def _carries(query: str, path: str, fragment: str) -> bool:
    """Whether a part of the address is a sentence (four words and more) or an encoded text."""
    values = [pair.partition("=")[2] or pair for pair in query.split("&")] if query else []
    for value in (*values, fragment):
        text = unquote_plus(value)
        if len(text) >= 24 and (_ENCODED.fullmatch(text) or (len(_WORDS.findall(text)) >= 4 and " " in text)):
            return True
    # Slugs in paths are words with hyphens on every blog: there only what is encoded counts, or spaces.
    pieces = [unquote_plus(piece) for piece in path.split("/") if len(piece) >= 24]
    return any(piece.count(" ") >= 3 or (_ENCODED.fullmatch(piece) and not _words_only(piece)) for piece in pieces)


def _words_only(piece: str) -> bool:
    """Whether it is a slug or an identifier (a commit, a UUID) rather than an encoded text."""
    return "-" in piece or "_" in piece or not (re.search("[a-z]", piece) and re.search("[A-Z]", piece))
