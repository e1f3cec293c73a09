"""PDF by pypdf: the text of the pages in order; the outline's entries are headings at the pages they point to."""

from __future__ import annotations

import io
import logging
from typing import Any

from genwright.retrieval.parse import MAX_TEXT, Unreadable
from genwright.retrieval.types import Heading, Parsed

MAX_PAGES = 5000


def pdf(data: bytes, name: str) -> Parsed:
    """Raises Unreadable: encrypted, broken, no_text."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("It is encrypted and needs a password.", code="encrypted")
        if len(reader.pages) > MAX_PAGES:
            raise Unreadable(f"It has {len(reader.pages):,} pages; {MAX_PAGES:,} is the most.", code="too_large")
        parts: list[str] = []
        starts: list[int] = []
        length = 0
        for page in reader.pages:
            text = page.extract_text().replace("\x00", "").strip()
            starts.append(length)
            parts.append(text + "\n\n" if text else "")
            length += len(parts[-1])
            if length > MAX_TEXT:
                raise Unreadable(f"Its text has more than {MAX_TEXT:,} characters.", code="too_large")
        title = str((reader.metadata.title if reader.metadata else "") or "").strip()
        return Parsed("".join(parts).encode("utf-8", "replace").decode(), title, _outline(reader, starts))
    except PyPdfError as error:
        raise Unreadable(f"It is a damaged PDF: {error}.", code="broken") from error


def _outline(reader: Any, starts: list[int]) -> list[Heading]:
    """Headings from the outline; none where it is missing or damaged (the text is worth more than its outline)."""
    found: list[Heading] = []

    def walk(items: list[Any], level: int) -> None:
        for item in items:
            if isinstance(item, list):
                walk(item, level + 1)
                continue
            page = reader.get_destination_page_number(item)
            if page is not None and 0 <= page < len(starts) and str(item.title).strip():
                found.append(Heading(level, str(item.title).strip(), starts[page]))

    try:
        walk(reader.outline, 1)
    except Exception:
        return []
    return sorted(found, key=lambda heading: heading.start)
