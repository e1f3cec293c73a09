"""What conditions can be about: facts of one call, each found when first asked for. Conditions themselves: plain data, no code.

A condition is an object: {"tokens": {"gt": 4000}, "tags.plan": "pro"} (all must hold), {"any": […]}, {"all": […]}, {"not": {…}}.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from genwright import tokens
from genwright.access.types import Actor
from genwright.gateway.routing import language
from genwright.gateway.routing.patterns import pattern
from genwright.gateway.types import Call
from genwright.messages import Media

FIELDS = (
    "tokens",
    "output_tokens",
    "messages",
    "tools",
    "modality",
    "language",
    "model",
    "session",
    "user",
    "key",
    "role",
    "text",
)
PREFIXES = ("tags.", "parameters.")


class Facts:
    """Of one call. `tokens` must be counted before it is asked for: `await facts.count()`."""

    def __init__(self, actor: Actor, call: Call):
        self._actor, self._call = actor, call
        self._known: dict[str, Any] = {}

    def __getitem__(self, field: str) -> Any:
        """None where the call has nothing of the kind."""
        if field not in self._known:
            self._known[field] = self._find(field)
        return self._known[field]

    async def count(self) -> int:
        """Input tokens, in a thread: long texts take milliseconds, and the first count loads the ranks."""
        if "tokens" not in self._known:
            self._known["tokens"] = await asyncio.to_thread(tokens.count_messages, self._call.messages, "")
        return self._known["tokens"]

    def _find(self, field: str) -> Any:
        call = self._call
        head, dot, rest = field.partition(".")
        if dot:
            return (call.tags if head == "tags" else call.parameters).get(rest)
        if field == "text":
            return last_text(call)
        if field == "language":
            return language.detect(last_text(call))
        if field == "modality":
            media = {part.modality for message in call.messages for part in message.parts if isinstance(part, Media)}
            return ["text", *sorted(media)]
        if field == "output_tokens":
            return call.parameters.get("max_completion_tokens") or call.parameters.get("max_tokens")
        plain = {
            "messages": len(call.messages), "tools": len(call.tools), "model": call.model, "session": call.session or None,
            "user": call.user or None, "key": self._actor.id, "role": self._actor.role,
        }  # fmt: skip
        return plain.get(field)


def last_text(call: Call) -> str:
    """What the user said last."""
    return next((message.text for message in reversed(call.messages) if message.role == "user"), "")


Reader = Mapping[str, Any] | Facts
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda fact, value: fact > value,
    "gte": lambda fact, value: fact >= value,
    "lt": lambda fact, value: fact < value,
    "lte": lambda fact, value: fact <= value,
}
OPERATORS = ("eq", "ne", *_COMPARE, "in", "not_in", "has", "matches", "known")


def check(condition: Any, fields: tuple[str, ...] | None = FIELDS, prefixes: tuple[str, ...] = PREFIXES) -> None:
    """Raises ValueError saying what does not fit. `fields` None: any."""
    if not isinstance(condition, dict) or not condition:
        raise ValueError('a condition is an object like {"tokens": {"gt": 4000}} or {"any": […]}')
    for field, wanted in condition.items():
        if field in ("any", "all"):
            if not isinstance(wanted, list) or not wanted:
                raise ValueError(f"'{field}' takes a list of conditions")
            for part in wanted:
                check(part, fields, prefixes)
        elif field == "not":
            check(wanted, fields, prefixes)
        elif fields is not None and field not in fields and not field.startswith(prefixes):
            raise ValueError(
                f"there is no fact '{field[:60]}'. Facts are: {', '.join(fields)}, {', '.join(f'{p}NAME' for p in prefixes)}"
            )
        elif isinstance(wanted, dict):
            for operator, value in wanted.items():
                _check_operator(field, operator, value)


def _check_operator(field: str, operator: str, value: Any) -> None:
    if operator not in OPERATORS:
        raise ValueError(f"'{operator[:40]}' (of '{field}') is no comparison. There are: {', '.join(OPERATORS)}")
    if operator in ("in", "not_in") and not isinstance(value, list):
        raise ValueError(f"'{field}': '{operator}' takes a list")
    if operator == "matches":
        pattern(value)


def holds(condition: Mapping[str, Any], facts: Reader) -> bool:
    """Whether all parts hold. An unknown fact holds for nothing but ne, not_in and known: false."""
    for field, wanted in condition.items():
        if field == "any":
            good = any(holds(part, facts) for part in wanted)
        elif field == "all":
            good = all(holds(part, facts) for part in wanted)
        elif field == "not":
            good = not holds(wanted, facts)
        else:
            fact = _fact(facts, field)
            pairs = wanted.items() if isinstance(wanted, dict) else [("eq", wanted)]
            good = all(_compare(fact, operator, value, facts) for operator, value in pairs)
        if not good:
            return False
    return True


def _fact(facts: Reader, field: str) -> Any:
    return facts[field] if isinstance(facts, Facts) else facts.get(field)


def _compare(fact: Any, operator: str, value: Any, facts: Reader) -> bool:
    if isinstance(value, str) and value.startswith("$"):
        value = _fact(facts, value[1:])
    if operator == "known":
        return (fact is not None) == bool(value)
    if operator in ("ne", "not_in"):
        return not _compare(fact, "eq" if operator == "ne" else "in", value, facts)
    if fact is None:
        return False
    many = isinstance(fact, (list, tuple, set))
    if operator == "eq":
        return value in fact if many and not isinstance(value, list) else fact == value
    if operator == "in":
        return any(one in value for one in fact) if many else fact in value
    if operator == "has":
        return value in fact if many or isinstance(fact, str) else False
    if operator == "matches":
        return pattern(value).found(str(fact), at_end=True)
    try:
        return _COMPARE[operator](fact, value)
    except TypeError:
        return False


def named(condition: Mapping[str, Any]) -> Iterator[str]:
    """All facts a condition asks for."""
    for field, wanted in condition.items():
        if field in ("any", "all"):
            for part in wanted:
                yield from named(part)
        elif field == "not":
            yield from named(wanted)
        else:
            yield field
            if isinstance(wanted, dict):
                yield from (value[1:] for value in wanted.values() if isinstance(value, str) and value.startswith("$"))


def words(condition: Mapping[str, Any]) -> str:
    """A condition in words: `tokens > 4000 and tags.plan = pro`."""
    signs = {"eq": "=", "ne": "≠", "gt": ">", "gte": "≥", "lt": "<", "lte": "≤", "in": "in", "not_in": "not in"}
    found = []
    for field, wanted in condition.items():
        if field in ("any", "all"):
            found.append("(" + (" or " if field == "any" else " and ").join(words(part) for part in wanted) + ")")
        elif field == "not":
            found.append(f"not ({words(wanted)})")
        else:
            pairs = wanted.items() if isinstance(wanted, dict) else [("eq", wanted)]
            for operator, value in pairs:
                shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value).removeprefix("$")
                found.append(f"{field} {signs.get(operator, operator)} {shown}")
    return " and ".join(found)
