"""What becomes of every feature between a face and a provider's dialect, found by doing it, and the page that says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from genwright.errors import Invalid
from genwright.gateway.providers.base import fitted
from genwright.gateway.types import Told
from matrix.columns import FACES, TITLES, providers
from matrix.features import BASE, FEATURES, Feature

PAGE = Path(__file__).parents[2] / "docs" / "matrix.md"


class Cell(NamedTuple):
    """What becomes of a feature. `about`: the field, or the fault.

    passes; refused; told (left out and said so); kept (for our trace); none (the face cannot say it); wrong.
    """

    state: str
    about: str = ""


def cell(face: str, provider: str, feature: Feature) -> Cell:
    """Ask it through the face and look at what the provider would get."""
    said = feature.says.get(face)
    if said is None:
        return Cell("none")
    told = Told()
    call = msgspec.structs.replace(FACES[face]({**BASE[face], **said}), told=told)
    expected = said if face == provider else None if feature.own else feature.hears.get(provider, feature.says.get(provider))
    try:
        body = json.loads(fitted(providers()[provider], call, "m", False))
    except Invalid as error:
        field = str(error.details.get("param") or "")
        if not _names(field, said):
            return Cell("wrong", f"refused without naming its field (param {field!r}): {error.message}")
        if expected is not None:
            return Cell("wrong", f"refused, although the dialect can say it: {error.message}")
        return Cell("refused", field)
    if expected is None:
        if feature.kept and "u-1" in (call.user, *call.tags.values()):
            return Cell("kept")
        if feature.hint and told.dropped:
            return Cell("told", ", ".join(told.dropped))
        return Cell("wrong", f"left out silently: {json.dumps(body)[:500]}")
    fault = differs(expected, body)
    return Cell("wrong", fault) if fault else Cell("passes")


def _names(field: str, said: dict[str, Any]) -> bool:
    """Whether a refusal's field is one that was said, or lies in it."""
    return bool(field) and (any(field.startswith(name) for name in said) or f'"{field}"' in json.dumps(said))


def differs(expected: Any, got: Any, where: str = "") -> str:
    """The first place where `got` lacks what is expected; more than that may be there. Empty: none."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for name, value in expected.items():
            if name not in got:
                return f"{where}.{name} is missing"
            if fault := differs(value, got[name], f"{where}.{name}"):
                return fault
        return ""
    if isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return f"{where} has {len(got)} items, not {len(expected)}: {json.dumps(got)[:300]}"
        faults = (differs(a, b, f"{where}[{i}]") for i, (a, b) in enumerate(zip(expected, got, strict=True)))
        return next((fault for fault in faults if fault), "")
    if isinstance(expected, str) and isinstance(got, str) and expected.startswith("{"):  # JSON in a text
        return "" if json.loads(expected) == json.loads(got) else f"{where} is {got!r}"
    return "" if expected == got else f"{where} is {got!r}, not {expected!r}"


def page() -> str:
    """docs/matrix.md."""
    shown = {"passes": "yes", "none": "–", "kept": "kept for the trace"}
    lines = [_HEAD]
    for face in FACES:
        names = list(providers())
        lines += ["", f"## From {TITLES[face]}", "", f"| feature | {' | '.join(TITLES[name] for name in names)} |"]
        lines.append("|---" * (len(names) + 1) + "|")
        for feature in FEATURES:
            cells = [cell(face, name, feature) for name in names]
            if any(found.state != "none" for found in cells):
                texts = [shown.get(found.state) or f"{_WORDS[found.state]} `{found.about}`" for found in cells]
                lines.append(f"| {feature.name} | {' | '.join(texts)} |")
    return "\n".join([*lines, "", recordings(), ""])


_WORDS = {"refused": "refused:", "told": "left out, told:", "wrong": "WRONG"}
_HEAD = """# What passes from which face to which provider

Written by `pytest tests/matrix` with `GENWRIGHT_WRITE=1`; the test fails where a cell is not what it says. One row a feature, one
table a face, one column a dialect of providers. *yes*: the provider gets it as its own reference says it. *refused*: the call is
refused before anything is sent, and the error's `param` names the field; with `drop_params` (or the header
`x-genwright-drop-params: true`) parameters are left out instead and listed in `x-genwright-dropped`. *left out, told*: a hint
that changes no answer is left out and listed there. *kept for the trace*: it is in our trace and ledger; the provider has no
place for it. Where face and provider speak the same dialect the caller's body goes out as
it was written, unknown fields included, and the answer comes back byte for byte; changed are only: `model`, the credentials,
`stream_options.include_usage` (always asked for, because we bill by it; its chunk is withheld from a caller who did not ask),
`metadata` of chats that are not stored (it becomes the trace's tags), an output cap where a budget needs one, a route's own
parameters, and what a policy changed.

Reasoning signed by one maker goes back to that maker only; to others it is left out."""


def recordings() -> str:
    """Which real answers were carried over, and what of each was checked."""
    from matrix.recorded import table

    return table()


if __name__ == "__main__":
    PAGE.write_text(page())
