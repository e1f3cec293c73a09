"""Keys and teams of a LiteLLM server: what GET /key/list?return_full_object=true and GET /team/list answer.

Secrets are not in it: every key becomes a new one of its name, with team, models, limits and budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from genwright import clock
from genwright.errors import Invalid
from genwright.gateway.files.litellm.deployments import add_budget
from genwright.gateway.files.litellm.notes import Note, Part, said
from genwright.gateway.files.types import Wanted

ALL = ("all-proxy-models", "all-team-models")


def read_teams(data: Any, targets: Mapping[str, str], wanted: Wanted, notes: list[Note]) -> dict[str, str]:
    """Teams with their limits; LiteLLM's id → name here."""
    named: dict[str, str] = {}
    for entry in _rows(data, "teams"):
        part = Part(entry, "team", notes)
        id_ = str(part.take("team_id") or "")
        name = str(part.take("team_alias") or id_).strip()
        part.where = f"team '{name}'"
        if not name:
            continue
        named[id_] = name
        models = _models(part, targets)
        wanted.add("team", name, {"role": "releaser", **({"models": models} if models else {})}, "teams")
        _limits(wanted, part, f"team:{name}", targets)
        _end(part)
    return named


def read_keys(data: Any, targets: Mapping[str, str], teams: Mapping[str, str], wanted: Wanted, notes: list[Note]) -> None:
    """Keys with their limits. Those that are blocked or have expired are left out, and said."""
    for entry in _rows(data, "keys"):
        part = Part(entry, "key", notes)
        name = str(part.take("key_alias") or entry.get("key_name") or "").strip()
        part.where = f"key '{name}'"
        if not name or name in wanted.items.get("key", {}):
            part.note("not taken", "", "it has no name of its own (key_alias)")
            continue
        expires = part.take("expires")
        if part.take("blocked"):
            part.note("not taken", "", "it is blocked there")
            continue
        if expires and _moment(str(expires)) <= clock.now_ns():
            part.note("not taken", "", "it has expired")
            continue
        key: dict[str, Any] = {"role": "caller"}
        team = part.take("team_id")
        if team and str(team) in teams:
            key["team"] = teams[str(team)]
        elif team:
            part.note("partly", "team_id", "its team is not among the teams given (--teams)")
        models = _models(part, targets)
        if models:
            key["models"] = models
        if expires:
            key["expires"] = clock.iso(_moment(str(expires)))[:19] + "Z"
        metadata = part.take("metadata") or {}
        tags = {str(tag): "yes" for tag in metadata.get("tags") or []}
        if tags:
            key["tags"] = tags
        wanted.add("key", name, key, "keys")
        part.note("taken", "", "a new key of this name; its secret is shown when it is made")
        _limits(wanted, part, f"key:{name}", targets)
        _end(part)


def _rows(data: Any, field: str) -> Iterable[dict[str, Any]]:
    rows = data.get(field, data.get("data")) if isinstance(data, dict) else data
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Invalid(
            f"This is no list of {field}: full objects are needed (return_full_object=true). Nothing was imported.",
            code="bad_file",
        )
    return rows


def _models(part: Part, targets: Mapping[str, str]) -> list[str]:
    """Names that may be called, as they are called here; none for all."""
    given = [str(name) for name in part.take("models") or []]
    if not given or set(given) & set(ALL):
        return []
    unknown = [name for name in given if name not in targets and "*" not in name and "/" not in name]
    if unknown:
        part.note("partly", "models", f"{', '.join(unknown)}: no such model was taken over; the name is kept")
    return [targets.get(name, name) for name in given]


def _limits(wanted: Wanted, part: Part, node: str, targets: Mapping[str, str]) -> None:
    for field, metric in (("rpm_limit", "requests"), ("tpm_limit", "tokens"), ("max_parallel_requests", "concurrent")):
        amount = part.take(field)
        if amount:
            window = {} if metric == "concurrent" else {"window": "minute"}
            data = {"node": node, "metric": metric, "amount": int(amount), **window}
            per = "" if metric == "concurrent" else " per minute"
            wanted.add("limit", f"{node} {metric}{per}", data, part.where)
            part.note("taken", field, f"{int(amount):,} {metric}{per}")
    budget, duration = part.take("max_budget"), part.take("budget_duration")
    if budget is not None:
        add_budget(wanted, part, "max_budget", budget, duration, node=node)
    for model, given in (part.take("model_max_budget") or {}).items():
        amount = given.get("budget_limit", given.get("max_budget")) if isinstance(given, dict) else given
        time = given.get("time_period", given.get("budget_duration")) if isinstance(given, dict) else None
        if amount is not None:
            add_budget(wanted, part, f"model_max_budget.{model}", amount, time, targets.get(str(model), str(model)), node)
    for field in ("model_rpm_limit", "model_tpm_limit", "rpm_limit_type", "tpm_limit_type"):
        if part.take(field):
            part.note("not taken", field, f"limits by model: genwright limits set {node} … --models …")


def _end(part: Part) -> None:
    """What only identifies is passed over; what is empty says nothing; the rest is said."""
    for name in part.names():
        if name in said()["identity"]["names"] or part.empty(name):
            part.take(name)
    part.say("partly", said()["key"]["partly"])
    part.rest()


def _moment(text: str) -> int:
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000
