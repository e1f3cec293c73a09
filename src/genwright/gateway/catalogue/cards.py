"""A model's card from what is known without asking: our own tables (models.toml), the price list, the provider's address. Pure.

Knows no project: its own entries are laid over by the service. What nobody says stays unknown; nothing is guessed.
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import msgspec

from genwright import prices
from genwright.addresses import parse_url
from genwright.gateway.catalogue.types import ModelCard

OWN_FIELDS = (
    "operation", "input", "output", "context", "max_output", "usd_in", "usd_out", "licence", "region", "area", "retention_days",
    "trains", "retires", "note",
)  # fmt: skip
"""What a project may say itself."""
_REGIONS = re.compile(
    r"\b((?:us|eu|ap|ca|sa|me|af|il|mx|cn)(?:-gov)?-[a-z]+-\d|(?:us|europe|asia|australia|northamerica)-[a-z]+\d+)\b"
)
_AREAS = (("europe", "eu"), ("eu-", "eu"), ("us", "us"), ("northamerica", "us"), ("cn-", "cn"), ("ap-", "asia"), ("asia", "asia"))


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("models.toml").read_text())


@lru_cache(4096)
def known(kind: str, price_as: str, address: str, model: str) -> tuple[tuple[str, Any, str], ...]:
    """(field, value, where from) of everything that is known of a model of this kind of provider at this address."""
    found: dict[str, tuple[Any, str]] = {}
    for name, value in _from_address(address).items():
        found[name] = (value, "address")
    for entry in _tables()["models"]:
        if fnmatchcase(model.lower(), entry["match"]):
            for name, value in entry.items():
                if name != "match":
                    found.setdefault(name, (value, "rows"))
    if found.get("output", ([], ""))[0] == ["text"]:
        found.setdefault("operation", ("chat", "rows"))
    for name, value in _tables()["services"].get(kind, {}).items():
        found.setdefault(name, (value, "rows"))
    window = prices.window(price_as, model)
    if window is not None:
        found.setdefault("context", (window, "list"))
    return tuple((name, value, source) for name, (value, source) in found.items())


def _from_address(address: str) -> dict[str, Any]:
    if not address:
        return {}
    host = parse_url(address)[0].host
    if host in ("127.0.0.1", "localhost", "::1"):
        return {"region": "local", "area": "local"}
    match = _REGIONS.search(host)
    return {"region": match[1], **_area(match[1])} if match else {}


def _area(region: str) -> dict[str, str]:
    return next(({"area": area} for start, area in _AREAS if region.startswith(start)), {})


def card(provider: str, model: str, facts: tuple[tuple[str, Any, str], ...], own: dict[str, Any], today: str) -> ModelCard:
    """The card: a project's own fields before what is known. `today`: 2026-11-21."""
    fields = {name: value for name, value, _ in facts} | own
    if "region" in own and "area" not in own:
        fields |= {"area": "", **_area(own["region"])}
    sources = {name: source for name, _, source in facts} | dict.fromkeys(own, "own")
    retires = fields.get("retires") or ""
    return ModelCard(provider, model, **fields, retired=retires <= today if retires else None, sources=sources)


def fields(shown: ModelCard) -> dict[str, Any]:
    """The card as conditions see it: what is not known is missing. An area by itself is a region, too."""
    plain = {name: value for name, value in msgspec.structs.asdict(shown).items() if value not in (None, "", [], {})}
    plain.pop("sources", None)
    if "region" not in plain and "area" in plain:
        plain["region"] = plain["area"]
    return plain


def today(ns: int) -> str:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%d")
