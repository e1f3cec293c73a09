"""Where the page of an artifact is. Pure; pages of kinds without one of their own are the registry's."""

from __future__ import annotations

from urllib.parse import quote

from genwright.errors import Invalid
from genwright.vocab import Ref

OWN_PAGES = {"prompt": "prompts", "release": "releases", "dataset": "datasets", "policy": "guardrails"}
"""Kind → the room whose `/{name}` is its page."""


def artifact(workspace: str, ref: str) -> str:
    """Address of the page of `kind:name[@selector]`; empty for what is no ref."""
    try:
        parsed = Ref.parse(ref)
    except Invalid:
        return ""
    room = OWN_PAGES.get(parsed.kind, f"registry/{parsed.kind}")
    selector = parsed.digest or parsed.label or (str(parsed.number) if parsed.number else "")
    return f"/w/{workspace}/{room}/{quote(parsed.name)}" + (f"?v={quote(selector)}" if selector else "")
