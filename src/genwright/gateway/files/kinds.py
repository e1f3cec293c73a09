"""The kinds of things that files can hold: how each is read from a server, compared, put and removed. One row of KINDS each.

All talk to a server through its client, as anybody would: nothing here knows a database. Secrets are never in a file: of a
provider's key it has the name of an environment variable, read where `genwright apply` runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from genwright import price_book
from genwright.errors import Invalid, Missing
from genwright.gateway.files import artifacts, keys, limits
from genwright.gateway.files.fields import fields

Client = Any


class Kind(NamedTuple):
    """`clean` makes data as a file has it comparable with what `have` finds; `problem` says why it cannot be put."""

    file: str
    """providers.yaml, or a folder with one file for each: routes/."""
    have: Callable[[Client], dict[str, Any]]
    clean: Callable[[str, Any], Any]
    put: Callable[[Client, str, Any, Any], Any]
    """Returns text only for a secret that it made and that is to be shown once."""
    remove: Callable[[Client, str, Any], None] | None
    """None: versions are kept for ever."""
    problem: Callable[[str, Any, Any], str] = lambda name, want, have: ""
    shown: Callable[[Any], Any] = lambda data: data
    """Without what is only for us."""
    merge: Callable[[Any, Any], Any] = lambda want, have: want
    """What is not said stays as it is."""
    fixed: str = ""
    """Why what is there cannot be changed, for kinds that are only made."""
    put_all: Callable[[Client, dict[str, Any]], None] | None = None
    """Puts and removes (None) many at once, where that is one version."""


# -- providers


def _providers(client: Client) -> dict[str, Any]:
    known = {row["kind"]: row for row in client.gateway.kinds()["items"]}
    found = {}
    for row in client.gateway.list_providers()["items"]:
        if row["source"] == "stored":
            variable = known.get(row["kind"], {}).get("key_env") or f"{row['name'].upper().replace('-', '_')}_API_KEY"
            found[row["name"]] = {
                "kind": row["kind"],
                "base_url": row["base_url"],
                **({"key_env": variable} if row["has_key"] else {}),
            }
    return found


def _clean_provider(name: str, data: Any) -> dict[str, Any]:
    if data is None:
        data = {}
    found = fields(f"provider {name}", data, {"kind": str, "base_url": str, "key_env": str})
    if "base_url" in found:
        found = {**found, "base_url": found["base_url"].rstrip("/")}
    return found


def _merge_provider(want: dict[str, Any], have: dict[str, Any] | None) -> dict[str, Any]:
    """What is not said stays as it is: kind, address. A key that is there is not compared: it cannot be seen."""
    if have is None:
        return want
    merged = {name: want.get(name, have.get(name)) for name in ("kind", "base_url")}
    keyed = "key_env" in want or "key_env" in have
    return merged | ({"key_env": have.get("key_env", want.get("key_env"))} if keyed else {})


def _provider_problem(name: str, want: Any, have: Any) -> str:
    variables = want.get("key_env", "").split(":") if want.get("key_env") else []
    sends = have is None or "key_env" not in have or want["base_url"] != have["base_url"]
    missing = [variable for variable in variables if sends and not os.environ.get(variable)]
    if missing:
        return f"{' and '.join(missing)}: not set here, and to hold the key of provider {name}. Set it, or take --without-keys."
    return ""


def _key(variables: str) -> str:
    """The key in a variable; of several joined by ':' (an id and its secret), their values joined likewise."""
    return ":".join(os.environ.get(variable, "") for variable in variables.split(":"))


def _put_provider(client: Client, name: str, want: Any, have: Any) -> None:
    same = have is not None and "key_env" in have and have["base_url"] == want.get("base_url")
    key = "" if same or "key_env" not in want else _key(want["key_env"])
    rest = {field: want[field] for field in ("kind", "base_url") if want.get(field)}
    client.gateway.add_provider(name=name, api_key=key, **rest)


# -- aliases, teams, services


def _clean_alias(name: str, data: Any) -> str:
    if not isinstance(data, str) or "/" not in data:
        raise Invalid(f"alias {name}: its target is PROVIDER/MODEL, route/NAME or app/NAME, not {data!r}.")
    return data


def _nodes(verb: str) -> Callable[[Client], dict[str, Any]]:
    def have(client: Client) -> dict[str, Any]:
        teams = {team["id"]: team["name"] for team in client.access.teams()["items"]}
        found = {}
        for node in getattr(client.access, verb)()["items"]:
            if node.get("ended_ns"):
                continue
            bounds = {field: node[field] for field in ("role", "models", "operations", "tags") if node.get(field)}
            team = {"team": teams.get(node["team"], node["team"])} if node.get("team") else {}
            found[node["name"]] = {"id": node["id"], **bounds, **team}
        return found

    return have


def _clean_node(name: str, data: Any) -> dict[str, Any]:
    known: dict[str, type | tuple[type, ...]] = {"role": str, "models": list, "operations": list, "tags": dict, "team": str}
    found = fields(name, data or {}, known)
    return {field: found[field] for field in known if found.get(field)}


def _put_node(word: str) -> Callable[[Client, str, Any, Any], None]:
    def put(client: Client, name: str, want: Any, have: Any) -> None:
        given = dict(want)
        if "team" in given:
            named = {team["name"]: team["id"] for team in client.access.teams()["items"] if not team.get("ended_ns")}
            if given["team"] not in named:
                raise Missing(f"There is no team '{given['team']}'.")
            given["team"] = named[given["team"]]
        if have is None:
            getattr(client.access, f"create_{word}")(name=name, **given)
        else:
            blank: dict[str, Any] = {"models": [], "operations": [], "tags": {}}
            changed = {**{field: empty for field, empty in blank.items() if field in have}, **given}
            getattr(client.access, f"change_{word}")(**{f"{word}_id": have["id"]}, **changed)

    return put


def _without_id(data: Any) -> Any:
    return {field: value for field, value in data.items() if field != "id"} if isinstance(data, dict) else data


# -- the price book: one item a model


def _prices(client: Client) -> dict[str, Any]:
    return dict(client.gateway.prices()["prices"])


def _put_prices(client: Client, prices: dict[str, Any]) -> None:
    client.gateway.set_prices(prices=prices, note="applied from files")


def _clean_price(name: str, data: Any) -> Any:
    return price_book.plain(price_book.read({"prices": {name: data}}))["prices"][name]


def _artifact(kind: str, folder: str, check: Callable[[dict[str, Any]], Any], room: str, verb: str) -> Kind:
    return Kind(
        f"{folder}/", artifacts.have_artifacts(kind), artifacts.clean_artifact(kind, check),
        artifacts.put_artifact(kind, room, verb), None, shown=artifacts.shown_artifact, merge=artifacts.merge_artifact,
    )  # fmt: skip


def _limit(file: str, budgets: bool) -> Kind:
    return Kind(
        file, limits.have_limits(budgets), limits.clean_limit, limits.put_limit,
        lambda client, name, have: client.gateway.remove_limit(id=have["id"]), shown=limits.shown_limit,
    )  # fmt: skip


KINDS: dict[str, Kind] = {
    "provider": Kind(
        "providers.yaml", _providers, _clean_provider, _put_provider,
        lambda client, name, have: client.gateway.remove_provider(name=name), _provider_problem,
        merge=_merge_provider,
    ),
    "team": Kind(
        "teams.yaml", _nodes("teams"), _clean_node, _put_node("team"),
        lambda client, name, have: client.access.remove_team(team_id=have["id"]), shown=_without_id,
    ),
    "service": Kind(
        "services.yaml", _nodes("services"), _clean_node, _put_node("service"),
        lambda client, name, have: client.access.remove_service(service_id=have["id"]), shown=_without_id,
    ),
    "key": Kind("keys.yaml", keys.have_keys, keys.clean_key, keys.put_key, None, fixed="a key's bounds stand when it is made"),
    "price": Kind(
        "prices.yaml", _prices, _clean_price, lambda client, name, want, have: _put_prices(client, {name: want}),
        lambda client, name, have: _put_prices(client, {name: None}), put_all=_put_prices,
    ),
    "prompt": _artifact("prompt", "prompts", artifacts.prompt, "prompts", "put"),
    "policy": _artifact("policy", "policies", artifacts.policy, "guardrails", "put"),
    "route": _artifact("route", "routes", artifacts.route, "gateway", "put_route"),
    "alias": Kind(
        "aliases.yaml", lambda client: {row["name"]: row["target"] for row in client.gateway.aliases()["items"]}, _clean_alias,
        lambda client, name, want, have: client.gateway.put_alias(name=name, target=want),
        lambda client, name, have: client.gateway.remove_alias(name=name),
    ),
    "limit": _limit("limits.yaml", budgets=False),
    "budget": _limit("budgets.yaml", budgets=True),
}  # fmt: skip
"""In the order of putting; removing goes the other way."""
