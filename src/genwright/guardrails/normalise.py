"""Texts as they are meant: undo what hides words from a pattern. Knows no patterns.

`plain` undoes what changes no meaning: compatibility forms, invisible characters, look-alike letters, case. `views` adds what the
text would say if decoded: tag characters, escapes, base64, hex, rot13, reversed, leetspeak, spaced letters; two levels at most.
Linear in the text; every decoding is tried only where its own marks are seen, and gives at most as much text as it read.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

_TAGS = {code: chr(code - 0xE0000) for code in range(0xE0020, 0xE007F)}
_INVISIBLE = dict.fromkeys((
    *range(0x00, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, 0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E,
    *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0,
    0xE0001, 0xE007F, *range(0xE0100, 0xE01F0),
))  # fmt: skip
_DROP = {**_INVISIBLE, **dict.fromkeys(_TAGS)}
# Letters that pass for small Latin ones, from Unicode's confusables: Cyrillic, Greek, Armenian, phonetic.
_ALIKE = str.maketrans(
    "авсԁеёѕһіїјкӏмнорԛгтуԝхзьαβεηικμνορτυχωγɑɡıɩօսոհցᴀᴇɪᴏᴜ",
    "abcdeeshiijklmhopqrtywx3babenikuvoptuxwyagiiounhgaeiou",
)
_MIXED = re.compile(r"[a-z\u0370-\u058f\u0250-\u02af\u1d00-\u1d7f]+")
_FOREIGN = re.compile(r"[\u0370-\u058f\u0250-\u02af\u1d00-\u1d7f\u0131]")
_WORD = re.compile(r"\w+")
_LATIN = re.compile(r"[a-z]")

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_HEX = re.compile(r"(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[ ,:]?){10,}+")
_SPACED = re.compile(r"(?<!\w)\w(?:([ .\-_*|/])\w)(?:\1\w){1,}(?!\w)")
_LEET = re.compile(r"(?<!\S)(?=\S*[a-z])(?=\S*[0134578@$!])[a-z0-9@$!]{3,24}(?!\S)|(?<=\s)[0134578@$!][a-z]{1,3}(?=\s)")
_UNLEET = str.maketrans("0134578@$!", "oieastbasi")
_WORDS = (
    "ignore", "disregard", "forget", "previous", "instruction", "system", "prompt", "reveal", "rules", "unrestricted", "obey",
    "password", "developer", "guidelines", "conversation", "assistant",
)  # fmt: skip
_ROT13 = tuple(codecs.encode(word, "rot13") for word in _WORDS)
_REVERSED = tuple(word[::-1] for word in _WORDS)
_SMALL = ("instructions", "all", "your", "the", "and", "print", "show", "above", "any")
_RUN_ON = re.compile("(" + "|".join((*_WORDS, *_SMALL)) + ")")
_MAX_DECODED = 16
"""Encoded pieces looked at per text and level."""


def plain(text: str) -> str:
    """NFKC, invisible characters dropped, look-alikes folded within Latin words, small letters."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", text.translate(_DROP)).casefold()
    if _FOREIGN.search(text) and _LATIN.search(text):
        text = _MIXED.sub(_fold, text)
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))


def words(text: str) -> str:
    """The words of a plain text with one space between and around them."""
    return f" {' '.join(_WORD.findall(text))} "


def views(text: str, levels: int = 2) -> Iterator[tuple[str, str]]:
    """(how it was read, plain text): `plain` first, then what decodings give, each decoded again while levels are left."""
    base = plain(text)
    yield "plain", base
    for name, found in _decoded(text, base):
        if levels > 1:
            for inner, view in views(found, levels - 1):
                yield (name if inner == "plain" else f"{name}, {inner}"), view
        else:
            yield name, plain(found)


def _decoded(text: str, base: str) -> Iterator[tuple[str, str]]:
    if not text.isascii() and (tags := "".join(_TAGS[ord(char)] for char in text if ord(char) in _TAGS)):
        yield "tag characters", tags
    if "&#" in text or "&lt;" in text:
        yield "entities", html.unescape(text)
    if text.count("%") > 4 and (unquoted := unquote(text)) != text:
        yield "percent", unquoted
    for match in _some(_BASE64, text):
        if found := _base64(match):
            yield "base64", found
    for match in _some(_HEX, text):
        if found := _readable(bytes.fromhex(re.sub(r"0x|\\x|[ ,:]", "", match))):
            yield "hex", found
    if any(word in base for word in _ROT13):
        yield "rot13", codecs.encode(base, "rot13")
    if any(word in base for word in _REVERSED):
        yield "reversed", base[::-1]
    # Figures and initials are everywhere: these two count only where they bring a telling word to light.
    spaced = _SPACED.sub(_join, base)
    if spaced != base and _tells(spaced, base):
        yield "spaced", spaced
    unleet = _LEET.sub(lambda match: match[0].translate(_UNLEET), base)
    if unleet != base and _tells(unleet, base):
        yield "leetspeak", unleet


def _tells(decoded: str, base: str) -> bool:
    return any(decoded.count(word) > base.count(word) for word in _WORDS)


def _fold(match: re.Match[str]) -> str:
    """A word that mixes scripts, read as Latin; a Russian or Greek word stays what it is."""
    return match[0].translate(_ALIKE) if _LATIN.search(match[0]) else match[0]


def _join(match: re.Match[str]) -> str:
    """`i g n o r e` as one word; a long run has lost its word breaks, so known words are set apart."""
    joined = match[0][::2]
    return _RUN_ON.sub(r" \1 ", joined) if len(joined) > 12 else joined


def _some(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    for count, match in enumerate(pattern.finditer(text)):
        if count == _MAX_DECODED:
            return
        yield match[0]


def _base64(found: str) -> str:
    code = found.rstrip("=").replace("-", "+").replace("_", "/")
    code = code[: len(code) - (len(code) % 4 == 1)]
    if not _readable(_unbase64(code[:40])):
        return ""
    return _readable(_unbase64(code))


def _unbase64(code: str) -> bytes:
    try:
        return base64.b64decode(code + "=" * (-len(code) % 4))
    except (binascii.Error, ValueError):
        return b""


def _readable(data: bytes) -> str:
    """The bytes as text if they are text, else empty. A cut last character is forgiven."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if error.start < len(data) - 3:
            return ""
        text = data[: error.start].decode()
    letters = sum(char.isalnum() or char.isspace() for char in text)
    return text if text and letters > 0.7 * len(text) and text.isprintable() | ("\n" in text) else ""
