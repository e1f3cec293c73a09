"""Chunks: exact offsets, nothing lost, within the model's reach, along the structure."""

import itertools
from pydoc_data.topics import topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genwright import embed
from genwright.errors import Invalid
from genwright.retrieval.chunk import check, chunk
from genwright.retrieval.parse import parse
from genwright.retrieval.types import Chunker, Heading, Parsed


def check_all(parsed, chunker):
    """The promises that hold for every text."""
    chunks = chunk(parsed, "sha256:" + "0" * 64, "name", chunker)
    covered = 0
    for found in chunks:
        assert parsed.text[found.start : found.end] == found.text
        assert found.text.strip()
        assert embed.fits(found.contextual)
        assert not parsed.text[covered : found.start].strip(), "text was lost"
        covered = max(covered, found.end)
    assert not parsed.text[covered:].strip(), "text was lost"
    return chunks


@pytest.mark.parametrize("chunker", [Chunker(), Chunker(size=64, overlap=24), Chunker(size=254)])
def test_the_language_reference(chunker):
    for name in ("compound", "specialnames", "formatstrings", "debugger", "assert"):
        check_all(parse(topics[name].encode(), name + ".txt"), chunker)


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=400)
pieces = st.sampled_from(
    ["\n\n", "\n", " ", "# ", "```\n", "    x = 1\n", "word ", "sentence. ", "x" * 300, "漢字" * 80, "終。", "\U0001f469\u200d"]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(words | pieces, max_size=40), st.sampled_from([Chunker(size=16), Chunker(size=40, overlap=12), Chunker()]))
def test_any_text(parts, chunker):
    text = "".join(parts)
    if text.strip():
        check_all(parse(b"# T\n\n" + text.encode(), "x.md"), chunker)


def test_heading_path_is_kept_and_not_repeated():
    body = "Some sentence about the matter at hand that goes on a little. " * 12
    parsed = parse(f"# Guide\n\n{body}\n\n## Install\n\n{body}\n\n### Linux\n\n{body}\n".encode(), "g.md")
    chunks = check_all(parsed, Chunker(size=100))
    assert [found.heading for found in chunks][-1] == "Guide › Install › Linux"
    assert chunks[-1].context == "Guide › Install › Linux"
    assert "Guide › Install › Linux\n" in chunks[-1].contextual
    assert not chunks[0].contextual.startswith("Guide\n# Guide"), "a heading in the text is not put before it again"


def test_small_sections_are_joined_under_their_parent():
    large = "A sentence that fills the section with some words. " * 20
    text = f"# A\n\n## B\n\nshort\n\n## C\n\nshort too\n\n## D\n\n{large}\n\n## E\n\nshort\n"
    found = [(chunk.heading, chunk.text.split("\n")[0]) for chunk in check_all(parse(text.encode(), "x.md"), Chunker())]
    assert found[0] == ("A", "# A"), "B and C are one chunk, under what they have in common"
    assert found[1] == ("A › D", "## D"), "a large section keeps its own path"
    assert found[-1] == ("A › E", "## E")


def test_code_blocks_stay_whole():
    code = "```python\n" + "\n".join(f"value_{n} = compute({n})" for n in range(12)) + "\n```"
    text = "Intro sentence here. " * 20 + "\n\n" + code + "\n\n" + "Outro sentence here. " * 20
    chunks = check_all(parse(text.encode(), "x.md"), Chunker(size=200))
    assert any(code in found.text for found in chunks)


def test_overlap_repeats_whole_sentences():
    text = " ".join(f"This is sentence number {n} of the text." for n in range(60))
    chunks = check_all(Parsed(text, "T"), Chunker(size=80, overlap=24))
    pairs = list(itertools.pairwise(chunks))
    assert all(second.start < first.end for first, second in pairs)
    assert all(second.text.startswith("This is") for _, second in pairs)


def test_a_very_long_heading_leaves_room_for_text():
    parsed = Parsed("word " * 500, "T" * 2000, [Heading(1, "H" * 3000, 0)])
    check_all(parsed, Chunker())


@pytest.mark.parametrize(
    "chunker", [Chunker(size=255), Chunker(size=5), Chunker(size=100, overlap=60), Chunker(size=100, overlap=-1)]
)
def test_options_that_cannot_work(chunker):
    with pytest.raises(Invalid):
        check(chunker, "local/minilm")
    check(Chunker(size=1000), "openai/text-embedding-3-small")
