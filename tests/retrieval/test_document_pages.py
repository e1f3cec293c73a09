"""Pages of documents: collections, texts with the passage marked, windows of long ones, versions, the search bench."""

import html as markup
import re

from genwright.retrieval.types import Heading, Parsed
from genwright.retrieval.view import OUTLINE, WINDOW, outline, pieces, window
from page_site import PLANTED


async def filled(site, corpus="guides/python"):
    service = site.house.retrieval
    good = await service.add_document(
        site.actor, corpus, "lists & more.md", b"# Lists\n\nA list is a sequence.\n\n## Slices\n\nA slice.\n"
    )
    await service.add_document(site.actor, corpus, "evil.txt", PLANTED.encode())
    await service.add_document(site.actor, corpus, "empty.md", b"")
    return good


def shown(html):
    """The text of the document as a reader sees it."""
    body = re.search(r'<div class="document-text[^"]*">(.*?)(<button|</div>)', html, re.S).group(1)
    return markup.unescape(re.sub(r"<[^>]+>", "", body))


async def test_collections_and_their_documents(site):
    assert "No documents yet" in await site.get("/documents")
    await filled(site)
    html = await site.get("/documents")
    assert 'href="/w/default/documents/corpora/guides/python"' in html
    html = await site.get("/documents/corpora/guides/python")
    assert html.count("</tr>") == 4
    assert "It is empty." in html
    assert 'data-upload="/api/retrieval/corpora/guides/python/documents"' in html
    only = await site.get("/documents/corpora/guides/python", state="skipped")
    assert "empty.md" in only
    assert "evil.txt" not in only
    assert "No such documents" in await site.get("/documents/corpora/guides/python", state="failed")


async def test_documents_come_in_pages(site, monkeypatch):
    monkeypatch.setattr("genwright.retrieval.pages.PAGE", 2)
    await filled(site)
    first = await site.get("/documents/corpora/guides/python")
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following is None or first.count("</tr>") == 3
    second = await site.get(markup.unescape(following.group(1)).removeprefix("/w/default"))
    assert second.count("</tr>") == 2
    assert "First" in second


async def test_a_document_is_removed(site):
    await filled(site)
    answer = await site.post("/documents/corpora/guides/python", name="evil.txt")
    assert answer.text == ""
    assert "Removed" in answer.headers["hx-trigger"]
    await site.post("/documents/corpora/guides/python", 404, name="evil.txt")
    viewer = await site.as_role("viewer")
    await viewer.post("/documents/corpora/guides/python", 403, name="empty.md")
    html = await viewer.get("/documents/corpora/guides/python")
    assert "data-upload" not in html
    assert "hx-post" not in html


async def test_the_passage_is_marked_at_its_place(site):
    row = await filled(site)
    text = await site.house.retrieval.document_text(site.scope, row.digest, row.name)
    start = text.index("A list is")
    html = await site.get(f"/documents/text/{row.digest}", name=row.name, start=str(start), end=str(start + 9))
    assert '<mark id="passage">A list is</mark>' in html
    assert shown(html).rstrip("\n") == text.rstrip("\n")
    assert 'href="#passage"' in html
    assert re.search(r'<b class="heading" id="at-\d+">## Slices|<b class="heading" id="at-\d+">Slices', html)
    for odd in ({"start": "-5", "end": "3"}, {"start": "9999", "end": "99999"}, {"at": "99999"}):
        assert shown(await site.get(f"/documents/text/{row.digest}", **odd)).strip() == text.strip()
    await site.get("/documents/text/sha256:" + "0" * 64, 404)


async def test_a_long_document_comes_in_windows_that_lose_nothing(site):
    lines = "".join(f"Line {number} of a long document.\n" for number in range(3000))
    row = await site.house.retrieval.add_document(site.actor, "long", "long.txt", lines.encode())
    text = await site.house.retrieval.document_text(site.scope, row.digest)
    got, address = "", f"/documents/text/{row.digest}"
    html = await site.get(address)
    while True:
        got += shown(html) if "document-text" in html else markup.unescape(re.sub(r"<button.*|<[^>]+>", "", html, flags=re.S))
        more = re.search(r'hx-get="([^"]+)"', html)
        if more is None:
            break
        response = await site._client.get(markup.unescape(more.group(1)), headers={"hx-request": "true"})
        html = response.text
        assert len(html) < 2 * WINDOW
    assert got == text
    middle = await site.get(address, start="60000", end="60100")
    assert "Earlier text" in middle
    assert text[60000:60100] in shown(middle)


def test_windows_and_pieces_hold_every_character():
    text = "".join(f"# H{number}\nwords {number}\n" for number in range(5000))
    headings = [Heading(1 + at % 3, f"H{at}", text.index(f"# H{at}\n")) for at in range(0, 5000, 7)]
    parsed = Parsed(text, "t", headings)
    for start, end in ((0, 0), (40_000, 40_400), (len(text) - 10, len(text)), (10, len(text))):
        first, last = window(parsed, start, end)
        assert first <= start
        assert last - first <= WINDOW + 5_000
        marked = (start, end) if end > start else None
        assert "".join(piece.text for piece in pieces(parsed, first, last, marked)) == text[first:last]
    assert 0 < len(outline(parsed)) <= OUTLINE
    flat = Parsed(text, "t", [Heading(2, heading.title, heading.start) for heading in headings])
    assert OUTLINE / 2 < len(outline(flat)) <= OUTLINE


async def test_an_index_is_built_and_searched_in_every_mode(site):
    await filled(site)
    assert "Nothing to search yet" in await site.get("/documents/search")
    refused = await site.post("/documents/indexes", 422, corpus="guides/python", size="many")
    assert "no whole number" in refused.text
    assert "no readable documents" in (await site.post("/documents/indexes", 422, corpus="none")).text
    answer = await site.post("/documents/indexes", 303, corpus="guides/python", index="py", size="120", label="candidate")
    job = answer.headers["location"].partition("job=")[2]
    await site.house.jobs.wait(site.scope, job, 60)
    page = await site.get("/documents/indexes", job=job)
    assert f'hx-get="/w/default/jobs/{job}/line"' in page
    line = await site.get(f"/jobs/{job}/line")
    assert "py version 1" in line
    assert "hx-get" not in line  # finished: it asks no more
    assert "candidate" in page
    html = await site.get("/documents/search", q="What is a list?")
    for words in ("By meaning", "By words", "Both together", "vector #", "text #"):
        assert words in html
    assert html.count('<article class="passage">') >= 3
    assert "is no reference" in await site.get("/documents/search", 422, q="x", index="a b")
    assert "may read but not search" in await (await site.as_role("viewer")).get("/documents/search")
