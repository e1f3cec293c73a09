"""A small judge of JSON Schema, for the part of it that OpenAI's OpenAPI document uses."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[3] / "shared" / "data" / "api-specs" / "openai-openapi" / "openapi.json.gz"
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "null": (type(None),),
}  # fmt: skip


@cache
def schemas() -> dict[str, Any]:
    return json.loads(gzip.decompress(DOCUMENT.read_bytes()))["components"]["schemas"]


def faults(name: str, value: Any) -> list[str]:
    """What in the value breaks the schema of that name; empty: nothing."""
    return list(_faults(schemas()[name], value, name))


def _faults(schema: dict[str, Any], value: Any, where: str) -> Iterator[str]:
    if "$ref" in schema:
        yield from _faults(schemas()[schema["$ref"].rpartition("/")[2]], value, where)
        return
    if value is None and (schema.get("nullable") or schema.get("x-nullable")):
        return
    for part in schema.get("allOf", ()):
        yield from _faults(part, value, where)
    for kind in ("anyOf", "oneOf"):
        if kind in schema:
            tried = [list(_faults(part, value, where)) for part in schema[kind]]
            if all(tried):
                yield min(tried, key=lambda found: (len(found), -len(found[0])))[0]
    if "const" in schema and value != schema["const"]:
        yield f"{where} is {value!r}, not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is {value!r}, none of {schema['enum']}"
    named = schema.get("type")
    if named is not None and not _is(value, [named] if isinstance(named, str) else named):
        yield f"{where} is {value!r}, no {named}"
        return
    yield from _inside(schema, value, where)


def _is(value: Any, names: list[str]) -> bool:
    return any(isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool)) for name in names)


def _inside(schema: dict[str, Any], value: Any, where: str) -> Iterator[str]:
    if isinstance(value, dict):
        known = schema.get("properties", {})
        yield from (f"{where}.{name} is missing" for name in schema.get("required", ()) if name not in value)
        for name in value.keys() & known.keys():
            yield from _faults(known[name], value[name], f"{where}.{name}")
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            for name in value.keys() - known.keys():
                yield from _faults(more, value[name], f"{where}.{name}")
        elif more is False and (extra := value.keys() - known.keys()):
            yield f"{where} has unknown {sorted(extra)}"
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{where} has {len(value)} items"
        for number, item in enumerate(value):
            yield from _faults(schema.get("items", {}), item, f"{where}[{number}]")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            yield f"{where} is {value}, out of range"
    elif isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where} is {value!r}, not as {schema['pattern']}"
