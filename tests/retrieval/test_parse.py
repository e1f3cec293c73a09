"""Every format to text with headings and right offsets; every kind of bad file to its typed reason."""

import io
import json
import zipfile
from pydoc_data.topics import topics

import docx
import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from genwright.retrieval.parse import PARSERS, Unreadable, parse


def headings(parsed):
    for heading in parsed.headings:
        assert parsed.text[heading.start :].lstrip("#=*-~ \n").startswith(heading.title[:5]), heading
    return [(heading.level, heading.title) for heading in parsed.headings]


def pdf(*pages, password=""):
    writer = PdfWriter()
    for number, text in enumerate(pages):
        page = writer.add_blank_page(400, 400)
        stream = DecodedStreamObject()
        stream.set_data(b"BT /F1 12 Tf 50 300 Td (" + text.encode() + b") Tj ET")
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})})
        page[NameObject("/Contents")] = writer._add_object(stream)
        writer.add_outline_item(title=f"Part {number + 1}", page_number=number)
    if password:
        writer.encrypt(password)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def word():
    document = docx.Document()
    document.core_properties.title = "Handbook"
    document.add_heading("Install", 1)
    document.add_paragraph("Run the installer.")
    document.add_heading("On Linux", 2)
    table = document.add_table(1, 2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "key", "value"
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def archive(name, size):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, b"0" * size)
    return out.getvalue()


def test_markdown_headings_outside_of_code_only():
    text = (
        "---\ntitle: 'The guide'\n---\n# One\n\ntext\n\n```sh\n# not a heading\n```\n\nTwo\n---\n\n"
        "### Three [link](http://x) ###\n"
    )
    parsed = parse(text.encode(), "a/guide.md")
    assert parsed.title == "The guide"
    assert headings(parsed) == [(1, "One"), (2, "Two"), (3, "Three link")]
    assert parsed.text == text


def test_underlined_headings_of_the_language_reference():
    parsed = parse(topics["compound"].encode(), "python-reference/compound.txt")
    found = headings(parsed)
    assert found[0] == (1, "Compound statements")
    assert (2, 'The "if" statement') in found
    assert (3, '"except" clause') in found
    assert parsed.title == "Compound statements"
    for name, text in topics.items():
        assert parse(text.encode(), name + ".txt").headings, name


def test_overlined_title_and_tables_in_rst():
    text = "=====\nTitle\n=====\n\nPart\n====\n\n===  ===\n a    b\n===  ===\n"
    parsed = parse(text.encode(), "x.rst")
    assert [(item.level, item.title, item.start) for item in parsed.headings] == [
        (1, "Title", 0),
        (2, "Part", text.index("Part")),
    ]


def test_html_keeps_what_a_reader_sees():
    page = (
        "<html><head><title>Page</title><style>p{}</style></head><body><nav>menu</nav><h1>Top</h1>"
        "<p>Some <b>bold</b> &amp; plain.</p><script>alert(1)</script><h2>Below</h2>"
        "<ul><li>one</li><li>two</li></ul><pre>a = 1\n  b</pre><footer>foot</footer></body></html>"
    )
    parsed = parse(page.encode(), "p.html")
    assert parsed.title == "Page"
    assert headings(parsed) == [(1, "Top"), (2, "Below")]
    assert "Some bold & plain." in parsed.text
    assert "a = 1\n  b" in parsed.text
    assert "- one\n- two" in parsed.text
    assert not any(word in parsed.text for word in ("menu", "alert", "foot", "p{}"))


def test_html_reads_no_file(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("top secret")
    page = f'<!DOCTYPE html [<!ENTITY x SYSTEM "file://{secret}">]><html><body><p>begin &x; end</p></body></html>'
    assert "top secret" not in parse(page.encode(), "p.html").text


def test_declared_encoding_of_html():
    page = "<html><head><meta charset='iso-8859-2'></head><body>Łódź</body></html>"
    assert "Łódź" in parse(page.encode("iso-8859-2"), "p.html").text


def test_pdf_pages_and_outline():
    parsed = parse(pdf("Hello from page one", "And page two"), "a.pdf")
    assert "Hello from page one" in parsed.text
    assert [(item.level, item.title) for item in parsed.headings] == [(1, "Part 1"), (1, "Part 2")]
    assert parsed.text[parsed.headings[1].start :].startswith("And page two")


def test_word_document():
    parsed = parse(word(), "h.docx")
    assert parsed.title == "Handbook"
    assert headings(parsed) == [(1, "Install"), (2, "On Linux")]
    assert "key | value" in parsed.text


def test_data_files_become_records():
    assert parse(b"name;age\nAda;36\nAlan;41\n", "p.csv").text == "name: Ada\nage: 36\n\nname: Alan\nage: 41\n"
    assert "name: Ada" in parse(b'[{"name": "Ada"}, {"name": "Alan"}]', "p.json").text
    assert parse(b'{"a": 1}\n\n{"a": 2}\n', "p.jsonl").text == "a: 1\n\na: 2\n"
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "words"]},
        {"cell_type": "code", "source": "x = 1", "outputs": [{"text": "noise"}]},
    ]
    parsed = parse(json.dumps({"cells": cells}).encode(), "n.ipynb")
    assert headings(parsed) == [(1, "Title")]
    assert "```\nx = 1\n```" in parsed.text
    assert "noise" not in parsed.text


def test_source_code_has_its_definitions_as_headings():
    parsed = parse(b"import os\n\n\nclass A:\n    def inner(self): ...\n\n\nasync def go(): ...\n", "m.py")
    assert [item.title for item in parsed.headings] == ["A", "go"]
    assert [item.title for item in parse(b"[tool.x]\na = 1\n", "p.toml").headings] == ["tool.x"]
    for ending in ("js", "ts", "go", "rs", "java", "c", "h", "cpp", "sh", "sql", "yaml", "css"):
        assert ending in PARSERS.names()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_encodings(encoding):
    text = "Die Straße führt über die Brücke nach Köln, wo schöne Häuser stehen.\r\nZweite Zeile."
    assert parse(text.encode(encoding), "t.txt").text.lstrip("\ufeff") == text.replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.md", b"", "empty_document"),
        ("a.txt", b"\xef\xbb\xbf \n", "empty_document"),
        ("a.png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(200), "binary"),
        ("a.txt", bytes(range(1, 32)) * 50, "binary"),
        ("a.txt", b"\xff\xfe" + b"\x00\xd8" + b"a\x00", "encoding"),
        ("a.pdf", pdf("secret", password="x"), "encrypted"),
        ("a.pdf", b"%PDF-1.4 cut off", "broken"),
        ("a.pdf", pdf(""), "no_text"),
        ("a.docx", word()[:2000], "broken"),
        ("a.docx", archive("word/document.xml", 50_000_000), "too_large"),
        ("a.docx", archive("other.txt", 10), "binary"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "encrypted"),
        ("a.json", b'{"a": ', "broken"),
        ("a.json", b"[" * 100_000, "broken"),
        ("a.jsonl", b'{"a": 1}\nnope', "broken"),
        ("a.ipynb", b"[]", "broken"),
        ("a.html", b"<html><body><script>x</script></body></html>", "no_text"),
    ],
)
def test_bad_files_have_a_reason(name, data, code):
    with pytest.raises(Unreadable) as caught:
        parse(data, name)
    assert caught.value.code == code
    assert caught.value.message.endswith((".", "?).", ").")) or "damaged" in caught.value.message
