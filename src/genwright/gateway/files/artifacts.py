"""Prompts, policies and routes as files have them: the content that is in force, and the label that makes it so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from genwright.errors import Invalid
from genwright.gateway.files.fields import fields
from genwright.gateway.routing import tree

Client = Any
NAMES = 500
"""Artifacts fetched at once."""
PRODUCTION = "production"


def have_artifacts(kind: str) -> Callable[[Client], dict[str, Any]]:
    def have(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = {}
        cursor = None
        while True:
            page = client.registry.list(kind=kind, limit=NAMES, cursor=cursor)
            for item in page["items"]:
                found[item["name"]] = _version(client, kind, item)
            cursor = page["next"]
            if not cursor:
                return found

    return have


def _version(client: Client, kind: str, item: dict[str, Any]) -> dict[str, Any]:
    """What is in force: the label production where there is one, else the newest; other labels are named."""
    name, labels = item["name"], item["labels"]
    ref = f"{kind}:{name}@production" if PRODUCTION in labels else f"{kind}:{name}"
    version = client.registry.get(ref=ref)
    others = sorted(set(labels) - {PRODUCTION})
    label = {"label": PRODUCTION} if PRODUCTION in labels else {}
    return {**label, "content": version["content"], "number": version["number"], "newest": item["newest"], "others": others}


def clean_artifact(kind: str, check: Callable[[dict[str, Any]], Any]) -> Callable[[str, Any], dict[str, Any]]:
    def clean(name: str, data: Any) -> dict[str, Any]:
        found = fields(f"{kind} {name}", data, {"label": str, "content": dict, "note": str}, ("content",))
        try:
            content = check(found["content"])
        except Invalid as error:
            raise Invalid(f"{kind} {name}: {error.message}") from error
        return {**({"label": found["label"]} if "label" in found else {}), "content": content, "note": found.get("note", "")}

    return clean


def merge_artifact(want: dict[str, Any], have: dict[str, Any] | None) -> dict[str, Any]:
    """A file says what is in force: where the label production stands on something, it is to stand on this."""
    if have is not None and "label" in have and "label" not in want:
        return {"label": have["label"], **want}
    return want


def shown_artifact(data: Any) -> Any:
    return {field: data[field] for field in ("label", "content") if field in data} if isinstance(data, dict) else data


def put_artifact(kind: str, room: str, verb: str) -> Callable[[Client, str, Any, Any], None]:
    def put(client: Client, name: str, want: Any, have: Any) -> None:
        expected = 0 if have is None else have["newest"]
        make = getattr(getattr(client, room), verb)
        number = make(name=name, content=want["content"], note=want.get("note", ""), expected=expected)["number"]
        if "label" in want:
            client.registry.label(kind=kind, name=name, label=want["label"], number=number, note=want.get("note", ""))

    return put


def prompt(content: dict[str, Any]) -> dict[str, Any]:
    from genwright.prompts.service import check as check_prompt  # a fifth of a second that other commands need not wait for

    return msgspec.to_builtins(check_prompt(content))


def route(content: dict[str, Any]) -> dict[str, Any]:
    tree.read(content)
    return content if "root" in content else {"root": content}


def policy(content: dict[str, Any]) -> dict[str, Any]:
    return content
