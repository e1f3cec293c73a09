"""Metrics against values worked out by hand, published vectors and the libraries that they follow."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from rouge_score.rouge_scorer import RougeScorer

from genwright.errors import Invalid, Missing
from genwright.evals import measure, texts
from genwright.evals.metrics.answer import RougeL, token_f1
from genwright.evals.metrics.retrieval import relevance
from genwright.evals.types import Passage, RunItem, Sample

SHARED = Path(__file__).parents[3] / "shared" / "data" / "metric-vectors" / "pltrdy-rouge" / "data.json"


def sample(answer="", reference="", topics=(), passages=(), **more):
    listed = [item if isinstance(item, Passage) else Passage(number, *item) for number, item in enumerate(passages, 1)]
    return Sample(question="?", answer=answer, reference=reference, topics=list(topics), passages=listed, **more)


def value(name, one):
    return measure.make(name).score([one])[0].value


# -- retrieval

RANKED = [("a.md", "…"), ("docs/lists.txt", "…"), ("b.md", "…"), ("docs/lists.txt", "again"), ("assert", "…")]


@pytest.mark.parametrize(
    ("metric", "topics", "expected"),
    [
        ("hit", ["lists"], 1),
        ("hit", ["other"], 0),
        ("mrr", ["lists"], 1 / 2),
        ("mrr", ["assert"], 1 / 4),  # the second passage of lists is no document of its own
        ("mrr", ["assert", "lists"], 1 / 2),
        ("mrr", ["other"], 0),
        ("recall", ["assert", "lists"], 1),
        ("recall", ["assert", "other"], 1 / 2),
        ("recall@2", ["assert", "lists"], 1 / 2),
        ("recall@1", ["assert", "lists"], 0),
        ("ndcg", ["lists"], 1 / math.log2(3)),
        ("ndcg", ["lists", "assert"], (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))),
        ("ndcg@3", ["lists", "assert"], (1 / math.log2(3)) / (1 + 1 / math.log2(3))),
        ("ndcg", ["a", "lists", "b", "assert"], 1),
    ],
)
def test_retrieval_metrics_by_hand(metric, topics, expected):
    assert value(metric, sample(topics=topics, passages=RANKED)) == pytest.approx(expected)


def test_rows_without_topics_and_answers_without_passages():
    assert value("recall", sample(passages=RANKED)) is None
    assert value("recall", sample(topics=["lists"])) == 0
    with pytest.raises(Invalid, match="k is 0"):
        measure.make("recall@0")


def test_a_dot_in_a_name_is_not_an_extension_when_the_topic_has_it():
    assert relevance([Passage(1, "os.path"), Passage(2, "in/OS.path.MD")], ["os.path"]) == [True]
    assert relevance([Passage(2, "right.md"), Passage(1, "wrong.md")], ["right"]) == [False, True], "by n, not by place"


# -- answers

SQUAD = [
    ("The cat sat.", "a cat sat", 1.0),
    ("cat", "dog", 0.0),
    ("", "", 1.0),
    ("", "dog", 0.0),
    ("red red blue", "red blue blue", 2 * 2 / 6),
    ("It removes the binding [1].", "it removes binding", 1.0),
]


@pytest.mark.parametrize(("answer", "reference", "expected"), SQUAD)
def test_token_f1_as_squad_counts(answer, reference, expected):
    assert token_f1(answer, reference) == pytest.approx(expected)


def test_rouge_l_on_the_example_of_the_paper():
    # Lin (2004), 3.2: LCS of "police kill the gunman" and "police killed the gunman" without stemming is 3 of 4 words.
    plain = RougeL(stemming=False)
    assert plain.score([sample("police kill the gunman", "police killed the gunman")])[0].value == pytest.approx(0.75)
    assert plain.score([sample("the gunman kill police", "police killed the gunman")])[0].value == pytest.approx(0.5)
    assert value("rouge_l", sample("police kill the gunman", "police killed the gunman")) == pytest.approx(1.0)


SOME_WORDS = ["the", "list", "lists", "listed", "append", "appending", "to", "os.path", "x1", "Ünïcode", "3.11", "don't"]
WORDS = some.lists(some.sampled_from(SOME_WORDS), max_size=30)


@given(WORDS, WORDS, some.booleans())
def test_rouge_l_is_that_of_googles_library(answer, reference, stemming):
    answer, reference = " ".join(answer), " ".join(reference)
    theirs = RougeScorer(["rougeL"], use_stemmer=stemming).score(reference, answer)["rougeL"].fmeasure
    ours = RougeL(stemming=stemming).score([sample(answer, reference)])[0].value
    assert ours == (pytest.approx(theirs) if reference else None)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data folder is not beside the repository")
def test_rouge_l_near_another_implementation():
    # pltrdy/rouge counts distinct words and unites sentences: same ranking, values a little apart (README of the vectors).
    found = [
        (value("rouge_l", sample(row["hyp"], row["ref"])), row["scores"]["rouge-l"]["f"])
        for row in json.loads(SHARED.read_text())
    ]
    assert len(found) >= 4
    assert all(abs(ours - theirs) < 0.07 for ours, theirs in found)
    assert [ours for ours, _ in sorted(found, key=lambda pair: pair[1])] == sorted(ours for ours, _ in found)


def test_without_reference_there_is_no_value():
    assert value("token_f1", sample("text")) is None
    assert value("rouge_l", sample("text")) is None


@pytest.mark.parametrize(
    ("answer", "declined"),
    [
        ("", True),
        ("  \n", True),
        ("I don't know.", True),
        ("I could not find an answer in the passages.", True),
        ("The documents that were found do not answer this question.", True),
        ("The passages do not mention decorators.", True),
        ("I'm sorry, but I cannot help with that.", True),
        ("No answer was found in the documents.", True),
        ("Lists are mutable [1].", False),
        ("A function without return gives None; you do not know its result otherwise.", False),
        ("The source file contains the code.", False),
        ("If nothing matches, the else suite runs.", False),
    ],
)
def test_declining_is_recognised(answer, declined):
    assert texts.declines(answer) is declined
    assert value("answered", sample(answer)) == (not declined)


# -- sentences and grounding


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("First [1]. Second. [2] Third [3]", ["First [1].", "Second. [2]", "Third [3]"]),
        ("Use e.g. a list. Then stop.", ["Use e.g. a list.", "Then stop."]),
        ("- first item [1]\n- second item\n\nLast.", ["- first item [1]", "- second item", "Last."]),
        ("Version 3.11 is fine, os.path too.", ["Version 3.11 is fine, os.path too."]),
        ("", []),
        ("[1]", ["[1]"]),
    ],
)
def test_sentences(text, expected):
    assert texts.sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Lists are mutable [2].", [2]),
        ("One [1][2]; two [3, 4].", [1, 2, 3, 4]),
        ("Without space[1]. After.[2]", [1, 2]),
        ("the tuple x[1] and `a[2]`", []),
        ('for example, "[1,2] == (1,2)" is false', []),
        ("[1, 2] == y and [0] too", []),
        ("repeated [1] and [1]", [1]),
    ],
)
def test_citations_are_told_from_code(text, numbers):
    assert texts.cited(text) == numbers


@given(some.text(alphabet="ab .!?[]123\n-,", max_size=80))
def test_sentences_lose_no_word(text):
    assert "".join("".join(texts.sentences(text)).split()) == "".join(text.split())


PASSAGES = [
    ("assert.md", "Assert statements are a convenient way to insert debugging assertions. No code is emitted with option -O."),
    ("lists.md", "Lists are mutable sequences. The method append adds an item to the end; a list may hold 100 items."),
]


@pytest.mark.parametrize(
    ("answer", "grounded", "right", "cited"),
    [
        ("Lists are mutable sequences [2].", 1, 1, 1),
        ("Lists are mutable sequences [1].", 1, 0, 1),
        ("Lists are mutable sequences [7].", 1, 0, 1),
        ("Lists are mutable sequences. No code is emitted for asserts with option -O [1].", 1, 1, 1 / 2),
        ("Lists are mutable [2]. Elephants migrate across the savanna every winter [2].", 1 / 2, 1 / 2, 1),
        ("A list may hold 200 items [2].", 0, 0, 1),
        ("Elephants migrate across the savanna.", 0, None, 0),
        ("I don't know.", None, None, None),
    ],
)
def test_grounding_by_hand(answer, grounded, right, cited):
    one = sample(answer, passages=PASSAGES)
    assert value("groundedness", one) == (None if grounded is None else pytest.approx(grounded))
    assert value("citation_correctness", one) == (None if right is None else pytest.approx(right))
    assert value("cited", one) == (None if cited is None else pytest.approx(cited))


def test_what_is_not_supported_is_quoted():
    found = measure.make("groundedness").score([sample("Elephants migrate across the savanna.", passages=PASSAGES)])[0]
    assert "Elephants" in found.comment
    found = measure.make("citation_correctness").score([sample("Lists are mutable sequences [7].", passages=PASSAGES)])[0]
    assert "[7] does not exist" in found.comment


def test_toxicity_is_the_weight_of_the_worst_term():
    assert value("toxicity", sample("A list is mutable.")) == 0
    assert value("toxicity", sample("You should die, and shut up.")) == 1.0
    assert value("toxicity", sample("Just shut up.")) == 0.5


# -- the table


def test_every_metric_has_a_card_that_says_when_it_lies():
    rows = measure.rows()
    assert {row.name for row in rows} >= set(measure.DEFAULT)
    for row in rows:
        assert row.ready, row.needs
        assert min(len(row.card.measures), len(row.card.lies), len(row.card.source)) > 3, row.name


def test_every_value_lies_in_the_range_of_its_card():
    answers = [
        "",
        "Lists are mutable [2]. Elephants fly [9].",
        "I don't know.",
        "- a\n- b [1]",
        "You idiot.",
        "🙂" * 50,
        "a." * 500,
    ]
    for row in measure.rows():
        for answer in answers:
            found = value(row.name, sample(answer, "Lists are mutable.", ["lists"], PASSAGES, latency_ns=5, cost_nano_usd=1))
            if found is not None:
                assert row.card.low is None or found >= row.card.low, row.name
                assert row.card.high is None or found <= row.card.high, row.name


def test_an_unknown_metric_names_its_neighbours():
    with pytest.raises(Missing, match="groundedness"):
        measure.make("groundednes")


def test_a_metric_that_breaks_leaves_its_items_without_value_and_says_why(monkeypatch):
    items = [
        RunItem(workspace="w", project="p", run="r", item=str(n), position=n, state="answered", answer="x") for n in range(3)
    ]
    monkeypatch.setitem(measure.METRICS._rows, "broken", f"{__name__}:Broken")
    measure.score_items(["broken", "answered"], items)
    assert [item.scores for item in items] == [{"broken": None, "answered": 1.0}] * 3
    assert "ZeroDivisionError" in items[0].comments["broken"]


class Broken:
    card = measure.make("answered").card

    def score(self, samples):
        return [1 / 0]
