"""The local answering algorithm: quotes, cites, says when it cannot, always the same."""

import re

import pytest

from genwright.gateway.providers.local import extractive
from genwright.gateway.providers.local.extractive import LEAD, MAX_WORDS, NOT_ANSWERED, answer, split

ASSERT = """The "assert" statement
**********************

Assert statements are a convenient way to insert debugging assertions
into a program:

   assert_stmt ::= "assert" expression ["," expression]

The simple form, "assert expression", is equivalent to

   if __debug__:
       if not expression: raise AssertionError

In the current implementation, the built-in variable "__debug__" is
"True" under normal circumstances.  The current code generator emits no
code for an assert statement when optimization is requested at compile
time. [3]
"""
BREAD = "Sourdough is made with a starter of wild yeast. Feed it daily with flour and water. The dough rests over night."
PASSAGES = [(1, "Baking", BREAD), (2, "The assert statement", ASSERT)]


def test_the_sentence_that_answers_is_quoted_and_cited():
    found = answer("Does Python emit code for assert statements when optimization is on?", PASSAGES)
    assert found.startswith(LEAD)
    sentence = "The current code generator emits no code for an assert statement when optimization is requested at compile time."
    assert f"{sentence} [2]" in found
    assert set(re.findall(r"\[(\d+)\]", found)) == {"2"}


def test_citations_are_the_numbers_given_and_every_sentence_has_one():
    found = answer("What shall I feed it daily?", [(7, "Baking", BREAD), (9, "The assert statement", ASSERT)])
    assert "Feed it daily with flour and water. [7]" in found
    for part in re.split(r"(?<=\])\s", found.removeprefix(LEAD).strip()):
        assert re.fullmatch(r".+ \[(7|9)\]", part)


@pytest.mark.parametrize("passages", [[], [(1, "t", "")], [(1, "t", "x = 1\ny = 2\n")], PASSAGES])
def test_it_says_when_the_passages_do_not_answer(passages):
    assert answer("Which visa do I need to travel to Japan?", passages) == NOT_ANSWERED


def test_the_same_question_gives_the_same_bytes():
    assert len({answer("What does __debug__ do in assert?", PASSAGES) for _ in range(3)}) == 1


def test_a_repeated_passage_is_quoted_once_and_the_answer_stays_short():
    found = answer("What shall I feed it daily, flour or water?", [(n, "Baking", BREAD) for n in range(1, 6)])
    assert found.count("Feed it daily") == 1
    long = " ".join(
        f"The starter number {n} is fed with flour and water and some more {'very ' * 20}old yeast." for n in range(30)
    )
    words = answer("How is the starter fed with flour?", [(1, "t", long)]).split()
    assert len(words) <= MAX_WORDS + 10


def test_text_is_unwrapped_and_code_grammar_and_headings_are_left_out():
    sentences = split(ASSERT)
    assert "Assert statements are a convenient way to insert debugging assertions into a program:" in sentences
    assert not any("::=" in sentence or "raise AssertionError" in sentence or "****" in sentence for sentence in sentences)
    assert not any("[3]" in sentence for sentence in sentences), "footnotes would read like citations"
    assert split("It evaluates the left-\nhand side before the right- hand side.") == [
        "It evaluates the left-hand side before the right-hand side."
    ]
    assert split("Some of these, e.g. lists, are mutable. Others, i.e. tuples, are not.") == [
        "Some of these, e.g. lists, are mutable.",
        "Others, i.e. tuples, are not.",
    ]
    assert split("## Add a provider in three steps\n1. If it speaks the dialect, it is one row in the table.") == [
        "If it speaks the dialect, it is one row in the table."
    ]
    assert split("* The first of the points is here.\n* The second of the points is there.") == [
        "The first of the points is here.",
        "The second of the points is there.",
    ]


@pytest.mark.parametrize("text", ["a" * 100_000, "a. " * 30_000, "[" * 50_000, "-\n" * 50_000, " \n" * 50_000, "1) " * 30_000])
def test_odd_text_is_survived(text):
    assert isinstance(answer("What is the question about?", [(1, "t", text)]), str)


def test_long_questions_and_sentences_fit_the_model():
    text = " ".join("supercalifragilisticexpialidocious" for _ in range(300)) + " is the word that is asked for."
    assert isinstance(answer(text * 3, [(1, "t", text)]), str)
    assert len(extractive._clip(text)) <= 400
