"""J7: whatever the cuts between chunks, no forbidden string gets out of a guarded stream, whole or in part."""

import random

import pytest

from genwright.errors import Blocked
from genwright.guardrails.policy import DEFAULT_POLICY, Compiled, read, run
from genwright.guardrails.stream import MAX_HELD, StreamGuard

CANARY = "gw-canary-5d81c0e7"
KEY = "-----BEGIN PRI" + "VATE KEY-----\n" + "\n".join(["Ab1+" * 16] * 4) + "\n-----END PRIVATE KEY-----"
FORBIDDEN = {
    "aws": "AK" + "IANZ2ZKR46AHUSWOWS",
    "github": "gh" + "p_QC1UQ3cSSThJpxwTZ74h8NNp5cus6CSX62LB",
    "jwt": "ey" + "JhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1LTEwMjQiLCJuYW1lIjoiTm9ib2R5In0.Bw3YcyfTPbtwSpDdKWTtrRfYrK",
    "private key": KEY,
    "card": "4641 5267 7664 5559",
    "iban": "GB22 ABCD 5124 3015 0095 28",
    "ssn": "219-48-7316",
    "image": "![ok](https://collector.invalid/i.png)",
    "tag": '<img src="https://collector.invalid/i.png" width="1">',
}
BEFORE, AFTER = "The answer is as follows, says the text [1]: ", " and then the answer goes on for quite a while [2]."


def rail(*rules):
    return Compiled(read({"rails": {"stream": list(rules)}})).rails["stream"]


def stream(steps, chunks):
    guard = StreamGuard(steps)
    out = [guard.feed(chunk) for chunk in chunks] + [guard.close()]
    return "".join(out), guard


def sent_until_blocked(steps, chunks, guard_name):
    """What went out before the stream was refused; fails if it was not, or by another guard."""
    guard, sent = StreamGuard(steps), ""
    try:
        for chunk in chunks:
            sent += guard.feed(chunk)
        sent += guard.close()
    except Blocked as error:
        if error.details["guard"] == guard_name:
            return sent
        raise
    pytest.fail(f"not refused: {sent}")


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_no_split_lets_a_forbidden_string_out(kind):
    """Cut at every place, into two, into three, and into single characters: the same as when it comes whole."""
    forbidden = FORBIDDEN[kind]
    text = BEFORE + forbidden + AFTER
    steps = Compiled(read(DEFAULT_POLICY)).rails["stream"]
    whole = run(steps, text)
    assert whole.action == "change"
    assert forbidden not in whole.text
    cuts = [[text[:at], text[at:]] for at in range(len(text) + 1)] + [list(text)]
    cuts += [[text[:at], text[at : at + 7], text[at + 7 :]] for at in range(0, len(text), 3)]
    for chunks in cuts:
        out, _ = stream(steps, chunks)
        assert out == whole.text, chunks


@pytest.mark.parametrize(
    "leak", [CANARY, CANARY[::-1], CANARY.encode().hex(), " ".join(CANARY), "Z3ctY2FuYXJ5LTVkODFjMGU3IFlvdSBh"]
)
def test_nothing_of_a_canary_is_emitted(leak):
    steps = rail({"guard": "canary", "action": "block", "parameters": {"values": [CANARY]}})
    text = BEFORE + leak + AFTER
    for at in range(len(text) + 1):
        for chunks in ([text[:at], text[at:]], [text[:at], *text[at:]]):
            sent = sent_until_blocked(steps, chunks, "canary")
            assert BEFORE.startswith(sent), "no character of the leak went out"


def test_random_cuts_of_mixed_texts_equal_the_whole():
    random.seed(7)
    steps = Compiled(read(DEFAULT_POLICY)).rails["stream"]
    words = [
        *FORBIDDEN.values(),
        "word",
        "42",
        "a.b@example.org",
        "192.0.2.9",
        "[link](https://example.org/a)",
        "<",
        "-----",
        "\n",
    ]
    for _ in range(300):
        text = " ".join(random.choice(words) for _ in range(random.randint(1, 12)))
        chunks, at = [], 0
        while at < len(text):
            step = random.choice([1, 2, 3, 5, 8, 40])
            chunks.append(text[at : at + step])
            at += step
        out, _ = stream(steps, chunks)
        for forbidden in FORBIDDEN.values():
            assert forbidden not in out
        assert out == run(steps, text).text


def test_little_is_held_back_from_plain_prose():
    steps = Compiled(read(DEFAULT_POLICY)).rails["stream"]
    guard, came, sent = StreamGuard(steps), 0, 0
    for word in ("The quick brown fox jumps over the lazy dog. " * 40).split(" "):
        came += len(word) + 1
        sent += len(guard.feed(word + " "))
        assert came - sent <= 140
    assert sent + len(guard.close()) == came


def test_flags_are_noted_at_the_end_and_hold_nothing_back():
    guard = StreamGuard(rail({"guard": "pii", "action": "flag"}))
    text = "write to a.b@example.org"
    assert [guard.feed(char) for char in text] == list(text)
    assert guard.close() == ""
    assert [(finding.kind, finding.action, finding.start, finding.end) for finding in guard.findings] == [
        ("email", "flag", 9, 24)
    ]


def test_findings_have_offsets_in_the_whole_answer():
    text = BEFORE * 5 + FORBIDDEN["card"] + AFTER
    _, guard = stream(rail({"guard": "pii", "action": "change"}), list(text))
    (finding,) = guard.findings
    assert text[finding.start : finding.end] == FORBIDDEN["card"]


def test_length_and_endless_hits_are_refused():
    with pytest.raises(Blocked, match="size"):
        stream(Compiled(read({"limits": {"output_chars": 50}})).rails["stream"], ["x" * 30] * 2)
    endless = "-----BEGIN PRI" + "VATE KEY-----\n" + ("Ab1+" * 16 + "\n") * (MAX_HELD // 60)
    steps = rail({"guard": "secrets", "action": "change"})
    chunks = [endless[at : at + 64] for at in range(0, len(endless), 64)]
    assert sent_until_blocked(steps, chunks, "secrets") == ""


def test_an_empty_rail_costs_and_changes_nothing():
    out, guard = stream([], ["a", "b"])
    assert (out, guard.idle, guard.findings) == ("ab", True, [])
