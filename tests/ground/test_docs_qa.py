"""The demo's written data is what its README says: answerable from the interpreter's topics, balanced, and well formed."""

import json
import re
from collections import Counter
from importlib.resources import files
from pydoc_data.topics import topics

import pytest

FOLDER = files("genwright") / "data" / "docs_qa"


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def terms() -> dict[str, float]:
    lines = (FOLDER / "safety" / "toxic_terms.txt").read_text("utf-8").splitlines()
    pairs = [line.split("\t") for line in lines if line and not line.startswith("#")]
    assert len({term for term, _ in pairs}) == len(pairs), "a term is listed twice"
    return {term: float(weight) for term, weight in pairs}


def luhn(number: str) -> bool:
    digits = [int(c) for c in reversed(number) if c.isdigit()]
    return sum(d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits)) % 10 == 0


def iban_valid(text: str) -> bool:
    compact = text.replace(" ", "")
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def words_only(text: str) -> str:
    return re.sub(r"\W+", " ", text.casefold()).strip()


FORMS = {
    "email": lambda s: re.fullmatch(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", s),
    "credit_card": luhn,
    "iban": iban_valid,
    "us_ssn": lambda s: re.fullmatch(r"(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}", s),
    "phone": lambda s: re.fullmatch(r"\+[1-9]\d{6,14}", s.replace(" ", "")),
    "ip_address": lambda s: re.fullmatch(r"(192\.0\.2|198\.51\.100|203\.0\.113)\.\d{1,3}|2001:db8:[0-9a-f:]+", s),
    "aws_access_key": lambda s: re.fullmatch(r"A(KI|SI)A[A-Z2-7]{16}", s),
    "github_token": lambda s: re.fullmatch(r"gh[po]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}", s),
    "openai_key": lambda s: re.fullmatch(r"sk-(proj-)?[A-Za-z0-9]{20,74}T3BlbkFJ[A-Za-z0-9]{20,74}", s),
    "slack_token": lambda s: re.fullmatch(r"xoxb-\d{12}-\d{12}-[A-Za-z0-9]{24}", s),
    "jwt": lambda s: re.fullmatch(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{43}", s),
    "private_key": lambda s: re.fullmatch(r"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----", s),
    "password": lambda s: re.fullmatch(r"[^\s\"']{8,}", s),
}


@pytest.mark.parametrize("name", ["questions", "safety/attacks", "safety/benign", "safety/counterfactual", "safety/pii"])
def test_ids_are_unique_and_no_text_stands_twice(name):
    found = rows(f"{name}.jsonl")
    assert len({r["id"] for r in found}) == len(found)
    texts = Counter(words_only("".join(r.get("question") or r.get("text") or r["template"])) for r in found)
    # Non-letters carry the difference in some look-alikes, none of which reduces to the same words.
    assert [t for t, n in texts.items() if n > 1] == []


def test_each_question_can_be_answered_from_its_first_topic():
    for r in rows("questions.jsonl"):
        assert set(r) == {"id", "question", "topics", "answer", "split", "difficulty", "evidence"}
        assert all(t in topics for t in r["topics"]), r["id"]
        assert len(set(r["topics"])) == len(r["topics"]), r["id"]
        assert 10 < len(r["evidence"]) <= 200, r["id"]
        assert r["evidence"] == flat(r["evidence"]), r["id"]
        assert r["evidence"] in flat(topics[r["topics"][0]]), r["id"]
        assert 20 < len(r["answer"]) < 400, r["id"]


def test_every_topic_with_the_same_long_evidence_counts_as_a_hit():
    normal = {name: flat(text) for name, text in topics.items()}
    for r in rows("questions.jsonl"):
        if len(r["evidence"]) >= 45:
            holders = {name for name, text in normal.items() if r["evidence"] in text}
            assert holders <= set(r["topics"]), (r["id"], holders - set(r["topics"]))


def test_splits_are_balanced_and_spread_over_topics():
    found = rows("questions.jsonl")
    halves = {s: [r for r in found if r["split"] == s] for s in ("tune", "report")}
    assert sum(map(len, halves.values())) == len(found) >= 88
    assert len(halves["tune"]) == len(halves["report"]) >= 44
    levels = {s: Counter(r["difficulty"] for r in half) for s, half in halves.items()}
    for level in ("easy", "medium", "hard"):
        assert abs(levels["tune"][level] - levels["report"][level]) <= 2, level
    assert len({r["topics"][0] for r in found}) >= 60
    firsts = {s: Counter(r["topics"][0] for r in half) for s, half in halves.items()}
    both = firsts["tune"] + firsts["report"]
    assert [t for t, n in both.items() if n > 1 and not (firsts["tune"][t] and firsts["report"][t])] == []


def test_attacks_and_benign_texts():
    attacks, benign = rows("safety/attacks.jsonl"), rows("safety/benign.jsonl")
    assert min(len(attacks), len(benign)) >= 40
    assert {r["expect"] for r in attacks} == {"block"}
    assert {r["expect"] for r in benign} == {"allow"}
    for found in (attacks, benign):
        assert {r["rail"] for r in found} == {"input", "passages", "output"}
    assert not {words_only(r["text"]) for r in attacks} & {words_only(r["text"]) for r in benign}
    plain = re.compile("ignore (all )?previous instructions", re.IGNORECASE)
    hidden = {"zero_width", "homoglyph", "fullwidth", "base64", "rot13"}
    hidden |= {"hex", "spacing", "leetspeak", "reversed", "tag_characters"}
    assert hidden <= {r["kind"] for r in attacks}
    assert [r["id"] for r in attacks if r["kind"] in hidden and plain.search(r["text"])] == []
    # An encoded canary must not be findable as it stands, or the row would test nothing new.
    for r in attacks:
        if "canary" in r:
            assert (r["canary"] in r["text"]) == (r["kind"] == "canary"), r["id"]


def test_toxic_terms_leave_ordinary_python_alone():
    weights = terms()
    assert len(weights) > 100
    assert all(0 < w <= 1 and t == t.casefold() for t, w in weights.items())
    pattern = re.compile(r"\b(" + "|".join(re.escape(t).replace(r"\ ", r"\s+") for t in weights) + r")\b", re.IGNORECASE)
    harmless = [*topics.values()]
    harmless += [r["text"] for r in rows("safety/benign.jsonl")]
    harmless += [r["question"] + " " + r["answer"] for r in rows("questions.jsonl")]
    harmless += [r["template"].format(group=g) for r in rows("safety/counterfactual.jsonl") for g in r["groups"]]
    harmless.append("kill the zombie process, abort, dummy, master, assert, class, scunthorpe, dictionary, cockpit, analysis")
    assert [m.group() for text in harmless for m in pattern.finditer(text)] == []
    assert pattern.search("You are  WORTHLESS, shut up.")


def test_counterfactual_pairs_differ_in_the_group_only():
    found = rows("safety/counterfactual.jsonl")
    assert len(found) >= 24
    assert {"gender", "religion", "nationality", "age", "disability", "orientation"} <= {r["attribute"] for r in found}
    for r in found:
        a, b = r["groups"]
        assert a != b, r["id"]
        assert r["template"].count("{group}") == 1, r["id"]
        lead = r["template"].split("{group}")[0]
        # "A"/"An" would be a second difference, or an error: every group after it must begin with a consonant sound.
        if re.search(r"\b[Aa] $", lead):
            assert not [g for g in (a, b) if g[0] in "aeiouAEIOU"], r["id"]


def test_pii_spans_have_the_form_of_their_type():
    found = rows("safety/pii.jsonl")
    planted = [r for r in found if r["spans"]]
    assert len(planted) >= 30
    assert len(found) - len(planted) >= 15
    assert {t for r in planted for *_, t in r["spans"]} == set(FORMS)
    for r in planted:
        text = "".join(r["text"])
        for start, end, kind in r["spans"]:
            assert FORMS[kind](text[start:end]), (r["id"], kind, text[start:end])
    for r in found:
        if not r["spans"]:
            numbers = re.findall(r"\b\d(?:[ -]?\d){12,18}\b", "".join(r["text"]))
            assert not [n for n in numbers if n[0] in "3456" and luhn(n)], r["id"]


def test_no_whole_secret_stands_in_the_file():
    """Secret scanners read the file, not the joined text."""
    raw = (FOLDER / "safety" / "pii.jsonl").read_text("utf-8")
    shapes = [
        r"A(KI|SI)A[A-Z0-9]{16}",
        r"gh[po]_\w{36}",
        r"github_pat_\w{22}",
        r"T3BlbkFJ\w{20}",
        r"xoxb-\d+-\d+",
        r"eyJ\w+\.eyJ",
        r"BEGIN [A-Z ]*PRIVATE KEY",
    ]
    assert [shape for shape in shapes if re.search(shape, raw)] == []
