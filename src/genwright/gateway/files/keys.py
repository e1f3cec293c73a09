"""API keys as files have them: names and bounds, never a secret. A key that is missing is made, and its secret is shown once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from genwright import clock
from genwright.errors import Invalid, Missing
from genwright.gateway.files.fields import fields

Client = Any
ENVIRONMENT = "key_environment"
BOUNDS = ("models", "operations", "tags", "default_max_output_tokens")
FIELDS: dict[str, type | tuple[type, ...]] = {
    "role": str, "team": str, "service": str, "models": list, "operations": list, "tags": dict, "capture": str,
    "default_max_output_tokens": int, "expires": str,
}  # fmt: skip


def have_keys(client: Client) -> dict[str, Any]:
    """Keys that are alive and whose name is theirs alone; those of people are left out, as people are not in files."""
    rows = [row for row in client.access.list_keys()["items"] if row["id"] != ENVIRONMENT and not row.get("revoked_ns")]
    rows = [row for row in rows if not row.get("expires_ns") or row["expires_ns"] > clock.now_ns()]
    names = [row["name"] for row in rows]
    teams = {row["id"]: row["name"] for row in client.access.teams()["items"]}
    services = {row["id"]: row["name"] for row in client.access.services()["items"]}
    found = {}
    for row in rows:
        holder = row.get("holder", "")
        if names.count(row["name"]) > 1 or (holder and holder not in services):
            continue
        under = {"service": services[holder]} if holder else {"team": teams[row["team"]]} if row.get("team") in teams else {}
        bounds = {name: row[name] for name in BOUNDS if row.get(name)}
        capture = {"capture": row["capture"]} if row["capture"] != "full" else {}
        expires = {"expires": clock.iso(row["expires_ns"])[:19] + "Z"} if row.get("expires_ns") else {}
        found[row["name"]] = {"role": row["role"], **under, **bounds, **capture, **expires}
    return found


def clean_key(name: str, data: Any) -> dict[str, Any]:
    found = dict(fields(f"key {name}", data or {}, FIELDS))
    if "expires" in found:
        _expires(name, found["expires"])
    return {"role": "caller", **{field: found[field] for field in FIELDS if found.get(field)}}


def put_key(client: Client, name: str, want: Any, have: Any) -> str:
    """Make the key; its secret."""
    given = {field: want[field] for field in ("role", "capture", *BOUNDS) if field in want}
    for field, verb in (("team", "teams"), ("service", "services")):
        if field in want:
            ids = {row["name"]: row["id"] for row in getattr(client.access, verb)()["items"] if not row.get("ended_ns")}
            if want[field] not in ids:
                raise Missing(f"There is no {field} '{want[field]}'.")
            given[field] = ids[want[field]]
    if "expires" in want:
        given["expires_ns"] = _expires(name, want["expires"])
    return client.access.create_key(name=name, **given)["secret"]


def _expires(name: str, text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"key {name}: 'expires' is a time such as 2026-12-31T00:00Z, not {text[:40]!r}.") from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000
