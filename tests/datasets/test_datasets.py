"""Datasets: rows in, versions out; what is wrong is named; a trace becomes a row."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from genwright.access.types import Actor
from genwright.blobs import Blobs
from genwright.datasets import rows
from genwright.datasets.commands import read_lines
from genwright.datasets.service import Datasets
from genwright.datasets.types import AddTrace
from genwright.errors import Forbidden, Invalid, Missing, TooLarge
from genwright.messages import assistant, system, user
from genwright.registry.service import Registry
from genwright.tracing.service import Tracing
from genwright.vocab import Scope

ROWS = [
    {"id": "q1", "question": "What is a list?", "answer": "A mutable sequence.", "topics": ["lists"], "split": "tune"},
    {"id": "q2", "question": "What is a tuple?", "answer": "An immutable sequence.", "split": "report", "hard": True},
]


@pytest.fixture
def tracing(databases):
    tracing = Tracing(databases["spans"], Registry(databases["registry"]))
    yield tracing
    tracing.close()


@pytest.fixture
def datasets(databases, home, tracing):
    return Datasets(Registry(databases["registry"]), Blobs(home / "blobs"), tracing)


async def test_rows_come_back_in_order_and_the_manifest_says_what_they_are(datasets, actor, scope):
    version = await datasets.put(actor, "docs-qa", ROWS, "first")
    assert (version.kind, version.number, version.content["rows"]) == ("dataset", 1, 2)
    assert version.content["splits"] == {"report": 1, "tune": 1}
    assert version.content["fields"]["question"] == "string"
    assert version.content["fields"]["hard"] == "boolean?"
    assert await datasets.items(scope, "docs-qa") == ROWS
    assert await datasets.items(scope, "dataset:docs-qa@1", "report") == ROWS[1:]
    with pytest.raises(Missing, match=r"tune \(1\)"):
        await datasets.items(scope, "docs-qa", "reprot")


async def test_equal_rows_are_the_same_version_whatever_the_order_of_fields(datasets, actor):
    first = await datasets.put(actor, "d", ROWS)
    again = await datasets.put(actor, "d", [dict(reversed(row.items())) for row in ROWS])
    other = await datasets.put(actor, "d", ROWS[::-1])
    assert (again.number, again.digest) == (1, first.digest)
    assert other.number == 2
    assert other.content["digest"] != first.content["digest"]


async def test_rows_of_another_workspace_are_not_there(datasets, actor):
    await datasets.put(actor, "d", ROWS)
    with pytest.raises(Missing):
        await datasets.items(Scope("elsewhere", "default"), "d")


async def test_a_viewer_cannot_put(datasets, scope):
    with pytest.raises(Forbidden):
        await datasets.put(Actor(scope, "k", "viewer", "key", "viewer"), "d", ROWS)


@pytest.mark.parametrize(
    ("items", "error", "says"),
    [
        ([], Invalid, "at least one row"),
        ([{"a": 1}, "text"], Invalid, "Row 2 is a string, not an object"),
        ([{"a": 1}, None], Invalid, "Row 2 is null"),
        ([{"a": 1}, [1]], Invalid, "Row 2 is a list"),
        ([{"id": "x"}, {"b": 1}, {"id": "x"}], Invalid, "Row 3 has the id 'x' of row 1"),
        ([{"q": "same"}, {"q": "same"}], Invalid, "Row 2 has the id"),
        ([{"id": ["x"]}], Invalid, "Row 1 has an id"),
        ([{"": 1}], Invalid, "Row 1 has a field without a name"),
        ([{str(n): n for n in range(201)}], TooLarge, "Row 1 has 201 fields"),
        ([{"a": 1}, {"text": "x" * 1_000_001}], TooLarge, "Row 2 has 1,0"),
        ([{"a": object()}], Invalid, "Row 1 is not plain data"),
    ],
)
def test_what_is_wrong_is_said_with_the_row(items, error, says):
    with pytest.raises(error, match=says):
        rows.pack(items)


def test_a_made_id_depends_on_the_row_alone():
    first, second = rows.unpack(rows.pack([{"q": "a"}, {"q": "b"}]).lines)
    again = rows.unpack(rows.pack([{"q": "b"}]).lines)[0]
    assert second["id"] == again["id"] != first["id"]


PLAIN = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**53), 2**53) | some.text(max_size=20),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(some.lists(some.dictionaries(some.text(min_size=1, max_size=8).filter(lambda name: name != "id"), PLAIN), max_size=5))
def test_any_plain_rows_survive(given_rows):
    numbered = [{**row, "id": f"n{number}"} for number, row in enumerate(given_rows)]
    if numbered:
        assert rows.unpack(rows.pack(numbered).lines) == numbered


async def test_pages_cover_everything_once(datasets, actor, scope):
    many = [{"id": f"n{number:03}", "number": number} for number in range(25)]
    await datasets.put(actor, "many", many)
    seen, cursor = [], None
    while True:
        page = await datasets.page(scope, "many", cursor=cursor, limit=10)
        seen += page.items
        assert page.total == 25
        if (cursor := page.next) is None:
            break
    assert seen == many
    with pytest.raises(Invalid, match="cursor"):
        await datasets.page(scope, "many", cursor="-1")


async def ask(tracing, actor, question, answer):
    with tracing.span(actor, "app docs", operation="invoke_agent") as span:
        span.set("genwright.release", "release:docs@sha256:" + "a" * 64)
        span.input = [system("Be brief."), user("Earlier?"), assistant("Yes."), user(question)]
        span.output = [assistant(answer)]
    await tracing.flush()
    return span.trace_id


async def test_a_trace_becomes_a_row_and_replaces_its_earlier_row(datasets, tracing, actor, scope):
    trace = await ask(tracing, actor, "What does del do?", "No idea.")
    version = await datasets.add_trace(actor, AddTrace(trace, "bad-answers"))
    assert version.number == 1
    row = (await datasets.items(scope, "bad-answers"))[0]
    assert (row["question"], row["observed"], row["trace"]) == ("What does del do?", "No idea.", trace)
    assert row["release"].startswith("release:docs@")
    assert "answer" not in row
    version = await datasets.add_trace(actor, AddTrace(trace, "bad-answers", answer="It unbinds a name.", topics=["del"]))
    found = await datasets.items(scope, "bad-answers")
    assert (version.number, len(found)) == (2, 1)
    assert (found[0]["answer"], found[0]["topics"]) == ("It unbinds a name.", ["del"])


async def test_rows_added_at_the_same_moment_are_all_kept(datasets, tracing, actor, scope):
    traces = [await ask(tracing, actor, f"Question {number}?", "…") for number in range(4)]
    await asyncio.gather(*(datasets.add_trace(actor, AddTrace(trace, "d")) for trace in traces))
    assert {row["trace"] for row in await datasets.items(scope, "d")} == set(traces)


async def test_a_trace_without_texts_is_refused(datasets, tracing, scope):
    silent = Actor(scope, "key_test", "test", "key", "admin", "metadata")
    trace = await ask(tracing, silent, "Secret?", "Yes")
    with pytest.raises(Invalid, match="capture=metadata"):
        await datasets.add_trace(silent, AddTrace(trace, "d"))
    with pytest.raises(Missing):
        await datasets.add_trace(silent, AddTrace("f" * 32, "d"))


def test_a_file_with_a_bad_line_is_refused_by_number(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 1}\n\n{"b": \n')
    with pytest.raises(Invalid, match="Line 3"):
        read_lines(str(file))
    file.write_text("\ufeff" + "".join(json.dumps(row) + "\n" for row in ROWS))
    assert read_lines(str(file)) == ROWS
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Invalid, match="cannot be read"):
        read_lines(str(file))
