"""Examples that a new route can start from: name → (what it is for, content)."""

from __future__ import annotations

from typing import Any

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
