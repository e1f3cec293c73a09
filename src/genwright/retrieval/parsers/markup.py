"""Text with light markup: Markdown, underlined headings (reStructuredText, plain text), source code. The text stays as it is."""

from __future__ import annotations

import re

from genwright.retrieval.parse import Unreadable
from genwright.retrieval.types import Heading, Parsed

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe\x00\x00", "utf-32-le"), (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"),
)  # fmt: skip
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_GUESS_BYTES = 200_000


def decode(data: bytes) -> str:
    """Text by its byte order mark, as UTF-8, or by the most likely older encoding; line ends become `\\n`.

    Raises Unreadable: `binary` or `encoding`.
    """
    text = _decode(data)
    if len(_CONTROL.findall(text[:_GUESS_BYTES])) > max(2, len(text[:_GUESS_BYTES]) // 200):
        raise Unreadable("It is not text (binary data).", code="binary")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "\ufffd")


def _decode(data: bytes) -> str:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                return data[len(mark) :].decode(encoding)
            except UnicodeDecodeError as error:
                raise Unreadable(f"It says it is {encoding} but is not: {error.reason}.", code="encoding") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if b"\x00" in data[:8192]:
        raise Unreadable("It is not text (binary data).", code="binary")
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_GUESS_BYTES], threshold=0.2).best()
    if best is None:
        raise Unreadable("It is text in no encoding that could be recognised, or binary data. Save it as UTF-8.", code="encoding")
    try:
        return data.decode(best.encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(f"It begins as {best.encoding} but goes on otherwise. Save it as UTF-8.", code="encoding") from error


_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$")
_SETEXT = re.compile(r"^ {0,3}(=+|-+)[ \t]*$")
_INLINE = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|[*_`]+")


def markdown(data: bytes, name: str) -> Parsed:
    """Markdown: `#` and underlined headings outside of code; the title of a front matter."""
    text = decode(data)
    matter = _front_matter(text)
    title = _TITLE.search(matter)
    return Parsed(text, title[1] if title else "", markdown_headings(text[len(matter) :], len(matter)))


def markdown_headings(text: str, offset: int = 0) -> list[Heading]:
    headings: list[Heading] = []
    fence = ""
    position, before = 0, ""
    for line in text.split("\n"):
        opened = _FENCE.match(line)
        if opened and (not fence or line.strip().startswith(fence)):
            fence = "" if fence else opened[1]
        elif not fence:
            if found := _ATX.match(line):
                headings.append(Heading(len(found[1]), _plain(found[2]), offset + position))
            elif (under := _SETEXT.match(line)) and before.strip() and not before.startswith(("    ", "#", ">", "-", "|")):
                level = 1 if under[1][0] == "=" else 2
                headings.append(Heading(level, _plain(before), offset + position - len(before) - 1))
        position += len(line) + 1
        before = line
    return [heading for heading in headings if heading.title]


def _plain(markup: str) -> str:
    return _INLINE.sub(lambda found: found[1] or "", markup).strip()


_TITLE = re.compile(r"^title:[ \t]*['\"]?(.+?)['\"]?[ \t]*$", re.MULTILINE)


def _front_matter(text: str) -> str:
    """The block of settings between `---` lines at the head of the text, or nothing."""
    end = text.find("\n---\n", 3) if text.startswith("---\n") else -1
    return text[: end + 5] if end > 0 else ""


_UNDERLINE = re.compile(r"^([=\-`:.'\"~^_*+#<>])\1{2,}[ \t]*$")


def underlined(data: bytes, name: str) -> Parsed:
    """Plain text and reStructuredText: a line underlined by a row of one punctuation mark is a heading.

    As in reStructuredText, each style (mark, with or without a row above) gets its level when it first appears.
    """
    text = decode(data)
    lines = text.split("\n")
    styles: list[tuple[str, bool]] = []
    headings: list[Heading] = []
    position = 0
    for index, line in enumerate(lines):
        title = line.strip()
        below = lines[index + 1] if index + 1 < len(lines) else ""
        above = lines[index - 1] if index else ""
        if title and (under := _UNDERLINE.match(below)) and not _UNDERLINE.match(line):
            over = above.rstrip() == below.rstrip()
            wide = len(below.rstrip()) >= min(len(title), 40)
            if wide and (over or (not above.strip() and line[0] not in " \t")):
                style = (under[1], over)
                if style not in styles:
                    styles.append(style)
                start = position - (len(above) + 1 if over else 0)
                headings.append(Heading(styles.index(style) + 1, title, start))
        position += len(line) + 1
    return Parsed(text, "", headings)


_DEFINITION = re.compile(
    r"^(?:@\w.*\n)*(?:(?:export|default|public|private|protected|internal|static|abstract|final|async|pub(?:\([a-z]+\))?)\s+)*"
    r"(?:class|def|function|func|fn|interface|struct|enum|trait|impl|type|module|namespace|CREATE\s+(?:TABLE|VIEW|FUNCTION))\s+"
    r"(?:\([^)]*\)\s*)?([A-Za-z_$][\w$.<>]*)",
    re.MULTILINE | re.IGNORECASE,
)
_SECTION = re.compile(r"^\[{1,2}([^\]\n]+)\]{1,2}[ \t]*$", re.MULTILINE)


def code(data: bytes, name: str) -> Parsed:
    """Source code and configuration: definitions at the left margin are headings, and so are `[sections]` of TOML and INI."""
    text = decode(data)
    rule = _SECTION if name.lower().endswith((".toml", ".ini", ".cfg", ".conf")) else _DEFINITION
    headings = [Heading(1, found[1].strip(), found.start()) for found in rule.finditer(text)]
    return Parsed(text, name.rpartition("/")[2], headings)
