"""Model groups with their fallbacks: an alias where a group is one plain model, a route where it is more. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from genwright.gateway.files.litellm.deployments import Deployment
from genwright.gateway.files.litellm.notes import Note
from genwright.gateway.files.types import Wanted

ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,199}\Z")
MOST_RETRIES = 5


class Reliability(msgspec.Struct):
    """What applies to all groups."""

    strategy: str = "simple-shuffle"
    retries: int = 0
    timeout_s: float | None = None
    fallbacks: dict[str, list[str]] = {}
    context: dict[str, list[str]] = {}
    policy: dict[str, list[str]] = {}
    default: list[str] = []


class Groups:
    def __init__(self, deployments: Iterable[Deployment], reliability: Reliability, wanted: Wanted, notes: list[Note]):
        self.by_name: dict[str, list[Deployment]] = {}
        for deployment in deployments:
            self.by_name.setdefault(deployment.group, []).append(deployment)
        self._by_id = {each.id: each for group in self.by_name.values() for each in group if each.id}
        self._how = reliability
        self._wanted = wanted
        self._notes = notes
        self.targets: dict[str, str] = {}
        """Group → what is called for it here."""

    def write(self) -> None:
        """Aliases, routes and limits on requests for every group."""
        for name in self.by_name:
            if "*" not in name:
                self._group(name)
        for kind in ("fallbacks", "context", "policy"):
            for name in getattr(self._how, kind):
                if name not in self.by_name and name != "*":
                    self._notes.append(Note("not taken", f"{kind}: {name}", "no such model group was taken over"))

    def _group(self, name: str) -> None:
        node = self._node(name, top=True)
        target = node["model"] if node["type"] == "model" and set(node) == {"type", "model"} else ""
        if not target:
            route = _slug(name)
            self._wanted.add("route", route, {"content": {"root": node}}, f"model_list[{name}]")
            target = f"route/{route}"
        self.targets[name] = target
        self.alias(name, target)
        rpm = sum(each.rpm for each in self.by_name[name])
        if rpm:
            limit = {"node": "project", "metric": "requests", "window": "minute", "amount": rpm, "models": target}
            self._wanted.add("limit", f"project requests per minute of {target}", limit, f"model_list[{name}]")
            if len(self.by_name[name]) > 1:
                self._notes.append(Note("partly", f"model_list[{name}].rpm", f"one limit of {rpm} a minute for the whole group"))

    def alias(self, name: str, target: str) -> None:
        """A bare name that clients may go on using."""
        if ALIAS.match(name):
            self._wanted.add("alias", name, target, f"model_list[{name}]")
            self._notes.append(Note("taken", f"model '{name}'", f"is {target}"))
        elif name == target:
            self._notes.append(Note("taken", f"model '{name}'", "is called by the same name"))
        else:
            self._notes.append(Note("partly", f"model '{name}'", f"cannot be a bare name here: clients write {target}"))

    def _node(self, name: str, top: bool) -> dict[str, Any]:
        """A group's node; with its fallbacks where it stands at the top."""
        node = self._balanced(self.by_name[name])
        if not top:
            return node
        after = self._named(self._how.fallbacks.get(name) or self._how.fallbacks.get("*") or self._how.default, name)
        context = self._named(self._how.context.get(name, []), name)
        policy = self._named(self._how.policy.get(name, []), name)
        if not (after or context or policy):
            return node
        for field, nodes in (("fallbacks", after), ("context_window_fallbacks", context), ("content_policy_fallbacks", policy)):
            if nodes:
                self._notes.append(Note("taken", f"{field} of {name}", f"{len(nodes)} in route/{_slug(name)}"))
        found: dict[str, Any] = {"type": "fallback", "nodes": [node, *after]}
        for field, nodes in (("context_length", context), ("content_policy", policy)):
            if nodes:
                found[field] = nodes[0] if len(nodes) == 1 else {"type": "fallback", "nodes": nodes}
        return found

    def _named(self, names: Iterable[Any], own: str) -> list[dict[str, Any]]:
        """Nodes of groups, or of deployments by their id."""
        found = []
        for each in names:
            name = each
            if isinstance(each, dict):
                self._notes.append(
                    Note("partly", f"fallbacks of {own}", "messages of a fallback's own are not taken; its model is")
                )
                name = each.get("model", "")
            if name in self._by_id:
                found.append(self._model(self._by_id[name]))
            elif name in self.by_name:
                if name != own:
                    found.append(self._node(name, top=False))
            else:
                self._notes.append(Note("not taken", f"fallbacks of {own}", f"'{name}' is no model group that was taken over"))
        return found

    def _balanced(self, group: list[Deployment]) -> dict[str, Any]:
        """One deployment, or several by the strategy; groups by `order` fall back to one another."""
        orders = sorted({each.order for each in group})
        if len(orders) > 1:
            return {
                "type": "fallback",
                "nodes": [self._balanced([each for each in group if each.order == order]) for order in orders],
            }
        if len(group) == 1:
            return self._model(group[0], retries=self._how.retries)
        nodes = [self._model(each) for each in group]
        if all(node == nodes[0] for node in nodes):  # they differ in what is not taken over, e.g. tags
            return self._model(group[0], retries=self._how.retries)
        if self._how.strategy == "latency-based-routing":
            return {"type": "least_latency", "nodes": nodes}
        weights = _weights(group)
        kind = "least_busy" if self._how.strategy == "least-busy" else "weighted"
        return {"type": kind, "arms": [{"node": node, "weight": weight} for node, weight in zip(nodes, weights, strict=True)]}

    def _model(self, each: Deployment, retries: int = 0) -> dict[str, Any]:
        node: dict[str, Any] = {"type": "model", "model": each.name}
        if each.parameters:
            node["parameters"] = each.parameters
        if each.timeout_s or self._how.timeout_s:
            node["timeout_s"] = each.timeout_s or self._how.timeout_s
        if each.retries or retries:
            node["retries"] = min(each.retries or retries, MOST_RETRIES)
        return node


def _slug(name: str) -> str:
    """A group's name as that of a route."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "route"


def _weights(group: list[Deployment]) -> list[float]:
    """As LiteLLM's simple shuffle picks: by weight, else by rpm, else by tpm where any deployment has one; else evenly."""
    for field in ("weight", "rpm", "tpm"):
        values = [getattr(each, field) or 0 for each in group]
        if any(values):
            return [float(value) for value in values]
    return [1.0] * len(group)
