"""Word documents (.docx) by python-docx: paragraphs, headings by style, tables row by row; a zip bomb is refused unopened."""

from __future__ import annotations

import io
import zipfile

from genwright.retrieval.parse import Unreadable
from genwright.retrieval.types import Heading, Parsed

MAX_UNPACKED = 200_000_000
MAX_RATIO = 200
MAX_FILES = 5000


def docx(data: bytes, name: str) -> Parsed:
    """Raises Unreadable: broken, too_large, binary (another kind of zip file), encrypted."""
    _check_archive(data)
    import docx as python_docx
    from docx.table import Table
    from docx.text.paragraph import Paragraph

    document = python_docx.Document(io.BytesIO(data))
    parts: list[str] = []
    headings: list[Heading] = []
    length = 0
    for item in document.iter_inner_content():
        if isinstance(item, Paragraph):
            text = item.text.strip()
            level = _level(item.style.name if item.style else "")
            if text and level:
                headings.append(Heading(level, text, length))
        elif isinstance(item, Table):
            text = "\n".join(" | ".join(cell.text.strip() for cell in row.cells) for row in item.rows)
        if text:
            parts.append(text + "\n\n")
            length += len(parts[-1])
    return Parsed("".join(parts), (document.core_properties.title or "").strip(), headings)


def _level(style: str | None) -> int:
    if style == "Title":
        return 1
    if style and style.startswith("Heading ") and style[8:].isdigit():
        return int(style[8:])
    return 0


def _check_archive(data: bytes) -> None:
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise Unreadable("It is an encrypted or old (.doc) Word file. Save it as .docx without a password.", code="encrypted")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError) as error:
        raise Unreadable(f"It is a damaged .docx: {error}.", code="broken") from error
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED or len(entries) > MAX_FILES or unpacked > MAX_RATIO * max(len(data), 10_000):
        raise Unreadable(f"It would unpack to {unpacked:,} bytes from {len(data):,}; that is refused.", code="too_large")
    if not any(entry.filename == "word/document.xml" for entry in entries):
        raise Unreadable("It is a zip file but not a Word document.", code="binary")
