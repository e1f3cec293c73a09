"""The tables of providers: dialects by name, and the rows of services (`rows.toml`)."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from genwright.errors import Missing
from genwright.plugs import Table
from genwright.vocab import nearest

DIALECTS = Table(
    "genwright.dialects",
    {
        "openai": "genwright.gateway.providers.openai_compatible:OpenAICompatible",
        "anthropic": "genwright.gateway.providers.anthropic.dialect:Anthropic",
    },
)
LOCAL = Table(
    "genwright.local_models",
    {
        "extractive": "genwright.gateway.providers.local.chat:Extractive",
        "minilm": "genwright.gateway.providers.local.embeddings:MiniLM",
    },
)


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A service, as rows.toml describes it."""

    base_url: str
    key_env: str = ""
    url_env: str = ""
    needs_key: bool = True
    dialect: str = "openai"
    prices: str | None = None
    models: list[str] = []
    embeddings: list[str] = []


@cache
def rows() -> dict[str, Row]:
    """All rows by name."""
    return msgspec.convert(tomllib.loads(Path(__file__).with_name("rows.toml").read_text()), dict[str, Row])


def row(kind: str) -> Row:
    """Raises Missing with the nearest kinds."""
    known = rows()
    if kind not in known:
        near = nearest(kind, list(known)) or sorted(known)
        raise Missing(f"There is no kind of provider '{kind}'. Nearest: {', '.join(near)}. Any other service is "
                      "'openai-compatible' with a base_url.", code="unknown_kind")  # fmt: skip
    return known[kind]


def from_environment(environment: Mapping[str, str] = os.environ) -> dict[str, tuple[str, str]]:
    """Providers the operator configured by variables: name → (base_url, key)."""
    found = {}
    for name, entry in rows().items():
        key = environment.get(entry.key_env, "") if entry.key_env else ""
        url = environment.get(entry.url_env, "") if entry.url_env else ""
        if key or (url and (not entry.needs_key or url != entry.base_url)):
            found[name] = (_versioned(url, entry) or entry.base_url, key)
    return found


def _versioned(url: str, entry: Row) -> str:
    """Anthropic's own clients take the address without /v1."""
    url = url.rstrip("/")
    return url + "/v1" if url and entry.dialect == "anthropic" and not url.endswith("/v1") else url


def operator_hosts(environment: Mapping[str, str] = os.environ) -> list[str]:
    """host:port of addresses set by variables: the operator's word, so they may be private ones."""
    found = []
    for entry in rows().values():
        url = environment.get(entry.url_env, "") if entry.url_env else ""
        if url:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            found.append(f"[{parts.hostname}]:{port}" if ":" in (parts.hostname or "") else f"{parts.hostname}:{port}")
    return found
