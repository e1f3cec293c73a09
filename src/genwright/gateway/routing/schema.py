"""Whether a value fits a JSON schema: the keywords that structured answers use, no references to elsewhere.

Knows type, enum, const, required, properties, additionalProperties (false), items, minItems, maxItems, minLength, maxLength,
minimum, maximum, anyOf, oneOf (as anyOf), allOf, and $ref into the same schema. Other keywords are passed over.
"""

from __future__ import annotations

from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "null": (type(None),),
}  # fmt: skip
MAX_DEPTH = 60


def problem(value: Any, schema: Any, root: Any = None, at: str = "$", depth: int = 0) -> str:
    """What does not fit first, with its place; "" where all fits."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return f"{at}: nothing is allowed here" if schema is False else ""
    if "$ref" in schema:
        return problem(value, _referred(root, str(schema["$ref"])), root, at, depth + 1)
    if "type" in schema and not _is(value, schema["type"]):
        return f"{at}: not {schema['type'] if isinstance(schema['type'], str) else ' or '.join(schema['type'])}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{at}: not one of those allowed"
    if "const" in schema and value != schema["const"]:
        return f"{at}: not {schema['const']!r}"
    for part in schema.get("allOf", []):
        if found := problem(value, part, root, at, depth + 1):
            return found
    for choice in ("anyOf", "oneOf"):
        parts = schema.get(choice)
        if parts and all(problem(value, part, root, at, depth + 1) for part in parts):
            return f"{at}: none of its forms fits"
    return _bounds(value, schema, at) or _inside(value, schema, root, at, depth)


def _inside(value: Any, schema: dict[str, Any], root: Any, at: str, depth: int) -> str:
    if isinstance(value, dict):
        missing = [name for name in schema.get("required", []) if name not in value]
        if missing:
            return f"{at}: {missing[0]} is missing"
        known = schema.get("properties", {})
        if schema.get("additionalProperties") is False and (extra := [name for name in value if name not in known]):
            return f"{at}: {extra[0]} is not allowed"
        for name, part in known.items():
            if name in value and (found := problem(value[name], part, root, f"{at}.{name}", depth + 1)):
                return found
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            if found := problem(item, schema["items"], root, f"{at}[{index}]", depth + 1):
                return found
    return ""


def _bounds(value: Any, schema: dict[str, Any], at: str) -> str:
    pairs: list[tuple[str, str, Any]] = []
    if isinstance(value, (list, str)):
        word = "Items" if isinstance(value, list) else "Length"
        pairs = [(f"min{word}", f"max{word}", len(value))]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        pairs = [("minimum", "maximum", value)]
    for least, most, size in pairs:
        if least in schema and size < schema[least]:
            return f"{at}: {size} is less than {schema[least]}"
        if most in schema and size > schema[most]:
            return f"{at}: {size} is more than {schema[most]}"
    return ""


def _is(value: Any, wanted: Any) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    for name in names:
        if name in ("integer", "number") and isinstance(value, bool):
            continue
        if name == "integer" and isinstance(value, float) and value.is_integer():
            return True
        if isinstance(value, _TYPES.get(name, (object,))):
            return True
    return False


def _referred(root: Any, ref: str) -> Any:
    part = root
    for name in ref.removeprefix("#").strip("/").split("/"):
        if name:
            part = part.get(name, {}) if isinstance(part, dict) else {}
    return part
