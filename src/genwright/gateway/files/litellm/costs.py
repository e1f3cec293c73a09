"""Prices for models that the bundled list does not know, where a budget covers them: a hard budget needs a price of each."""

from __future__ import annotations

from collections.abc import Iterable

from genwright import clock, prices
from genwright.gateway.files.litellm.deployments import Deployment
from genwright.gateway.files.litellm.notes import Note
from genwright.gateway.files.types import Wanted
from genwright.gateway.providers import table
from genwright.gateway.reports.books import amounts


def price_all(deployments: Iterable[Deployment], wanted: Wanted, notes: list[Note]) -> None:
    """A model of unknown price gets that of its `base_model`, else none at all, as LiteLLM counts it; either is said."""
    for each in deployments:
        known = wanted.items.get("price", {})
        if "*" in each.model or each.name in known:
            continue
        kind = wanted.items["provider"][each.provider]["kind"]
        row = table.row(kind)
        service = kind if row.prices is None else row.prices
        if kind == "local" or _listed(service, each.model) is not None:
            continue
        base = _base(each.base_model, service)
        if base:
            wanted.add("price", each.name, {**base, "note": f"as {each.base_model}"}, each.group)
            notes.append(
                Note("taken", f"model_list[{each.group}].model_info.base_model", f"{each.name} is priced as {each.base_model}")
            )
        else:
            free = {"input": "0", "output": "0", "note": "not known: as LiteLLM counts it"}
            wanted.add("price", each.name, free, each.group)
            text = f"no price of {each.name} is known: it counts as free, as in LiteLLM: genwright prices set {each.name} …"
            notes.append(Note("partly", f"model_list[{each.group}]", text))


def _listed(service: str, model: str) -> prices.Rates | None:
    found = prices.rates(service, model, clock.now_ns())
    return None if found is None else found[1]


def _base(base_model: str, service: str) -> dict[str, str]:
    if not base_model:
        return {}
    prefix, slash, model = base_model.partition("/")
    rates = _listed(prefix, model) if slash else _listed(service, base_model) or _listed("openai", base_model)
    return {} if rates is None else {name: usd for name, usd in amounts(rates).items() if " " not in name}
