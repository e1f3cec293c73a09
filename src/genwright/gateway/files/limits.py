"""Limits and budgets as files have them: by the names of their nodes, budgets in dollars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from genwright import price_book
from genwright.errors import Invalid
from genwright.gateway.files.fields import fields

Client = Any
LIMIT: dict[str, type | tuple[type, ...]] = {
    "node": str, "metric": str, "window": str, "amount": int, "usd": (str, int, float), "models": str, "hard": bool,
    "warn_at": list,    "timezone": str,
}  # fmt: skip


def limit_name(data: dict[str, Any]) -> str:
    """What makes a limit this one: node, metric, window, models."""
    models = f" of {data['models']}" if data.get("models") else ""
    per = "" if data["metric"] == "concurrent" else f" per {data['window']}"
    return f"{data['node']} {data['metric']}{per}{models}"


def have_limits(budgets: bool) -> Callable[[Client], dict[str, Any]]:
    def have(client: Client) -> dict[str, Any]:
        names = _node_names(client)
        found = {}
        for row in client.gateway.limits()["items"]:
            if (row["metric"] == "usd") is budgets:
                data = clean_limit(
                    "", {**{field: row[field] for field in LIMIT if field in row}, "node": _node(row["node"], names)}
                )
                found[limit_name(data)] = {**data, "id": row["id"]}
        return found

    return have


def _node(node: str, names: dict[str, str]) -> str:
    kind = node.partition(":")[0]
    return kind if kind in ("workspace", "project") else f"{kind}:{names.get(node, node.partition(':')[2])}"


def _node_names(client: Client) -> dict[str, str]:
    """Nodes by id; those whose name is not theirs alone keep their id."""
    found = {f"team:{row['id']}": row["name"] for row in client.access.teams()["items"]}
    found |= {f"service:{row['id']}": row["name"] for row in client.access.services()["items"]}
    found |= {f"member:{row['id']}": row["name"] for row in client.access.members()["items"]}
    found |= {f"key:{row['id']}": row["name"] for row in client.access.list_keys()["items"]}
    count: dict[tuple[str, str], int] = {}
    for node, name in found.items():
        place = (node.partition(":")[0], name)
        count[place] = count.get(place, 0) + 1
    return {node: name for node, name in found.items() if count[node.partition(":")[0], name] == 1}


def clean_limit(name: str, data: Any) -> dict[str, Any]:
    found = dict(fields(f"limit {name}".strip(), data, LIMIT, ("node",)))
    for kind in ("workspace", "project"):
        if found["node"].partition(":")[0] == kind:
            found["node"] = kind
    found.setdefault("metric", "usd")
    if found["metric"] == "usd" and "usd" in found:
        given = found.pop("usd")
        digits = price_book.decimal(given) if isinstance(given, (int, float)) else given
        found["amount"] = _nano(f"limit {name}", digits)
    if "amount" not in found or "usd" in found:
        raise Invalid(f"limit {name}: 'amount' is missing" + (" ('usd' is for budgets)." if "usd" in found else "."))
    default = {"window": "month" if found["metric"] == "usd" else "minute", "models": "", "hard": True, "timezone": "UTC"}
    found = {**default, "warn_at": [80, 100], **found}
    if found["metric"] == "concurrent":
        found["window"] = "total"
    found["warn_at"] = sorted(set(found["warn_at"]))
    return found


def _nano(name: str, text: str) -> int:
    whole, _, decimals = text.partition(".")
    if not (whole + decimals).isdigit() or len(decimals) > 9:
        raise Invalid(f"{name}: '{text}' is no amount of dollars: digits, and at most nine decimals.")
    return int(whole or "0") * 10**9 + int(decimals.ljust(9, "0"))


def shown_limit(data: Any) -> Any:
    """As a file has it: dollars for budgets, and no more than what is not usual."""
    if not isinstance(data, dict):
        return data
    usual = {"models": "", "hard": True, "timezone": "UTC", "warn_at": [80, 100]}
    kept = {field: data[field] for field in LIMIT if field in data and usual.get(field, ...) != data[field]}
    if kept.get("metric") == "usd":
        digits = (
            f"{kept.pop('amount') / 10**9:.9f}".rstrip("0").rstrip(".")
            if kept["amount"] < 10**15
            else str(kept.pop("amount") // 10**9)
        )
        kept["usd"] = digits
    if kept.get("metric") == "concurrent":
        kept.pop("window", None)
    return kept


def put_limit(client: Client, name: str, want: Any, have: Any) -> None:
    client.gateway.set_limit(**{field: want[field] for field in LIMIT if field in want})
