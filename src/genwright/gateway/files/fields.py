"""Checking data that a person wrote: an object of known fields. Pure."""

from __future__ import annotations

from typing import Any

from genwright.errors import Invalid


def fields(name: str, data: Any, known: dict[str, type | tuple[type, ...]], needed: tuple[str, ...] = ()) -> dict[str, Any]:
    """The data, if it is an object of known fields of the right types. Raises Invalid naming the field."""
    if not isinstance(data, dict):
        raise Invalid(f"{name}: an object was expected, with {', '.join(known)}.")
    for field, value in data.items():
        if field not in known:
            raise Invalid(f"{name}: '{field}' is not a field. Known: {', '.join(known)}.")
        if not isinstance(value, known[field]) or (isinstance(value, bool) and bool not in _types(known[field])):
            raise Invalid(f"{name}: '{field}' cannot be {value!r}.")
    for field in needed:
        if field not in data:
            raise Invalid(f"{name}: '{field}' is missing.")
    return data


def _types(given: type | tuple[type, ...]) -> tuple[type, ...]:
    return given if isinstance(given, tuple) else (given,)
