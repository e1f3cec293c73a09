"""Values as text, differences and the geometry of graphs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genwright.web import diff, formats
from genwright.web.graph import HEIGHT, WIDTH, Edge, Node, layout


@pytest.mark.parametrize(
    ("nano", "text"),
    [(None, "–"), (0, "$0"), (1, "$0.000000001"), (1_230_000, "$0.00123"), (12_345_678, "$0.0123"), (999_000_000, "$0.999"),
     (12_340_000_000, "$12.34"), (1_234_567_890_000, "$1,234.57"), (-5_000_000, "-$0.005")],
)  # fmt: skip
def test_money(nano, text):
    assert formats.money(nano) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "–"),
        (0.42, "0.42 ms"),
        (3, "3.0 ms"),
        (312.4, "312 ms"),
        (999.7, "1.00 s"),
        (1240, "1.24 s"),
        (31200, "31.2 s"),
        (125_000, "2 min 05 s"),
        (11_400_000, "3 h 10 min"),
    ],
)
def test_duration(ms, text):
    assert formats.duration(ms) == text


def test_numbers():
    assert [formats.number(value) for value in (1234567, 0.123456, 2.0, None, float("nan"))] == [
        "1,234,567",
        "0.1235",
        "2",
        "–",
        "–",
    ]
    assert [formats.compact(value) for value in (950, 9999, 12_840, 4_500_000)] == ["950", "9,999", "12.8k", "4.5M"]
    assert [formats.size(value) for value in (812, 1300, 1_340_000, 715_020)] == ["812 B", "1.3 kB", "1.34 MB", "715 kB"]
    assert formats.percent(0.125) == "12.5 %"
    assert formats.short("sha256:3fa9c1d2e4b5") == "3fa9c1d2"


def test_time_is_an_element_with_the_absolute_time():
    html = formats.time(1_795_221_211_500_000_000)
    assert str(html).startswith(
        '<time datetime="2026-11-21T00:33:31.500000+00:00" title="2026-11-21 00:33:31 UTC" data-relative>'
    )


text = st.lists(st.text(alphabet="ab c.", max_size=12), max_size=8).map("\n".join)


@given(text, text)
def test_a_diff_holds_both_texts(old, new):
    rows = diff.lines(old, new)
    assert ["".join(piece for _, piece in row.pieces) for row in rows if row.mark != "ins"] == old.splitlines()
    assert ["".join(piece for _, piece in row.pieces) for row in rows if row.mark != "del"] == new.splitlines()
    assert [row.old for row in rows if row.old] == list(range(1, len(old.splitlines()) + 1))


def test_a_diff_marks_the_changed_words():
    rows = diff.lines("Use the passages.", "Use only the passages.")
    assert [piece for row in rows for mark, piece in row.pieces if mark == "ins"] == [" only"]
    assert diff.lines("same", "same")[0].mark == "same"


names = st.integers(0, 8)


@given(st.lists(st.tuples(names, names), max_size=20))
def test_a_graph_never_overlaps_and_stays_inside(pairs):
    nodes = [Node(str(at), f"n{at}") for at in range(9)]
    drawing = layout(nodes, [Edge(str(a), str(b)) for a, b in pairs])
    boxes = drawing.boxes
    assert len(boxes) == 9
    for at, a in enumerate(boxes):
        assert 0 <= a.x <= drawing.width - WIDTH
        assert 0 <= a.y <= drawing.height - HEIGHT
        for b in boxes[at + 1 :]:
            assert a.x + WIDTH <= b.x or b.x + WIDTH <= a.x or a.y + HEIGHT <= b.y or b.y + HEIGHT <= a.y


def test_causes_stand_left_of_effects():
    nodes = [Node(name, name) for name in "abcd"]
    drawing = layout(nodes, [Edge("a", "b"), Edge("b", "c"), Edge("a", "c"), Edge("d", "c"), Edge("c", "gone")])
    x = {box.node.id: box.x for box in drawing.boxes}
    assert x["a"] < x["b"] == x["d"] < x["c"]
    assert len(drawing.arrows) == 4
    assert layout([], []).boxes == []
