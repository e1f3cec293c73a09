"""YAML as people write it: strict, without surprises, and read back as it was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genwright import yamls
from genwright.errors import Invalid

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(plain)
def test_what_is_written_reads_back_equal(data):
    assert yamls.read(yamls.write(data)) == data


def test_words_and_dates_are_text_and_numbers_are_numbers():
    text = "on: [no, yes, off, y]\nfrom: 2026-01-01\nclock: 1:30\npadded: 010\nsmall: 6e-07\nhalf: .5\nmany: 12\n"
    text += "true: True\nnone: ~\n"
    assert yamls.read(text) == {
        "on": ["no", "yes", "off", "y"], "from": "2026-01-01", "clock": "1:30", "padded": "010", "small": 6e-07, "half": 0.5,
        "many": 12, True: True, "none": None,
    }  # fmt: skip


def test_shared_parts_and_overrides():
    assert yamls.read("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n") == {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}


def test_several_lines_are_a_block_a_person_can_edit():
    assert yamls.write({"text": "one\ntwo\n", "on": "no"}) == "text: |\n  one\n  two\n'on': 'no'\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2\n", "'a' stands twice"),
        ("a: [1\n", "line 2"),
        ("a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("a: !custom 1\n", "could not determine a constructor"),
        ("? [1, 2]\n: 3\n", "a key is text"),
        ("a: b\x00c\n", "cannot be read"),
    ],
)
def test_what_cannot_be_read_says_where(text, says):
    with pytest.raises(Invalid, match=r"conf\.yaml") as refused:
        yamls.read(text, "conf.yaml")
    assert says in refused.value.message
