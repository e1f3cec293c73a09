"""What a new route can start from: examples, and a route of one node built from a list of models."""

from __future__ import annotations

from typing import Any

from genwright.errors import Invalid

BUILT = (
    ("fallback", "The first that answers"),
    ("weighted", "By chance, in proportion to the weights"),
    ("sticky", "The same model for the same session"),
    ("least_latency", "The quickest of late"),
    ("least_busy", "The least busy"),
    ("cascade", "Cheap first, the next if the answer refuses or is short"),
    ("split", "An experiment between them"),
)
"""Kinds of node that can be built from a list of models, and what they do."""


def build(kind: str, text: str) -> dict[str, Any]:
    """A route of one node. `text`: a model a line, perhaps with a weight after it. Raises Invalid."""
    if kind not in dict(BUILT):
        raise Invalid("Choose what the route does. Nothing was built.", field="kind")
    models: list[tuple[str, float]] = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, _, weight = line.partition(" ")
        try:
            models.append((name, float(weight or 1)))
        except ValueError:
            raise Invalid(f"'{line[:80]}' is no model with a weight: write PROVIDER/MODEL 3. Nothing was built.") from None
    if len(models) < (2 if kind in ("cascade", "split") else 1):
        raise Invalid("Name the models, one a line. Nothing was built.", field="models")
    names = [name for name, _ in models]
    arms: list[dict[str, Any]] = [{"node": name, "weight": weight} for name, weight in models]
    if kind in ("fallback", "least_latency"):
        return {"root": {"type": kind, "nodes": names}}
    if kind == "cascade":
        judged: list[dict[str, Any]] = [
            {"node": name, "checks": ["refusal", {"check": "length", "least": 2}]} for name in names[:-1]
        ]
        return {"root": {"type": kind, "steps": [*judged, {"node": names[-1]}]}}
    if kind == "split":
        named = [{"name": chr(ord("a") + index), **arm} for index, arm in enumerate(arms[:26])]
        return {"root": {"type": kind, "experiment": "models", "by": "session", "arms": named}}
    return {"root": {"type": kind, "arms": arms}}


STARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "fallback": (
        "Fallback: the next model answers when one fails",
        {
            "description": "",
            "root": {
                "type": "fallback",
                "nodes": [{"type": "model", "model": "openai/gpt-5-mini", "timeout_s": 30}, "anthropic/claude-sonnet-4-5"],
            },
        },
    ),
    "cascade": (
        "Cascade: cheap first, the strong model where the answer is weak",
        {
            "description": "",
            "root": {
                "type": "cascade",
                "steps": [
                    {"node": "openai/gpt-5-nano", "checks": ["refusal", {"check": "length", "least": 20}]},
                    {"node": "openai/gpt-5"},
                ],
            },
        },
    ),
    "split": (
        "Split: an experiment, the same arm for the same session",
        {
            "description": "",
            "root": {
                "type": "split",
                "experiment": "new-model",
                "by": "session",
                "arms": [
                    {"name": "control", "weight": 9, "node": "openai/gpt-5-mini"},
                    {"name": "candidate", "weight": 1, "node": "openai/gpt-5"},
                ],
            },
        },
    ),
    "when": (
        "Conditions: by tags, length, modality or language",
        {
            "description": "",
            "root": {
                "type": "when",
                "cases": [
                    {"if": {"tags.plan": "pro"}, "node": "openai/gpt-5"},
                    {"if": {"tokens": {"gt": 100000}}, "node": "gemini/gemini-2.5-pro"},
                ],
                "otherwise": "openai/gpt-5-mini",
            },
        },
    ),
    "mirror": (
        "Mirror: a share of the calls goes to a second model too, to compare",
        {
            "description": "",
            "root": {"type": "mirror", "share": 0.1, "node": "openai/gpt-5-mini", "shadow": "openai/gpt-5"},
        },
    ),
}
