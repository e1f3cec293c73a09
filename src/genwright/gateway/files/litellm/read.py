"""A LiteLLM config.yaml as what is wanted here, and notes about every setting in it. Pure: no server is asked.

Format: docs.litellm.ai/docs/proxy/configs and …/config_settings, November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from genwright.errors import Invalid
from genwright.gateway.files.litellm.costs import price_all
from genwright.gateway.files.litellm.deployments import Deployments, add_budget, prefixes
from genwright.gateway.files.litellm.groups import Groups, Reliability
from genwright.gateway.files.litellm.notes import Note, Part, said
from genwright.gateway.files.types import Wanted


class Read(NamedTuple):
    """What came of a configuration."""

    wanted: Wanted
    notes: list[Note]
    keys: dict[str, str]
    """Keys that stood in it: variable → key. Never written to a file."""
    targets: dict[str, str]
    """Model group or alias → what is called for it here."""

    def notes_as_dicts(self) -> list[dict[str, str]]:
        return [{"state": note.state, "where": note.where, "text": note.text} for note in self.notes]


def read(config: Any, environment: Mapping[str, str]) -> Read:
    """Raises Invalid for what is no LiteLLM configuration at all."""
    if not isinstance(config, dict) or not (
        {"model_list", "router_settings", "litellm_settings", "general_settings"} & set(config)
    ):
        raise Invalid("This is no LiteLLM configuration: there is no model_list. Nothing was imported.", code="bad_file")
    notes: list[Note] = []
    wanted = Wanted()
    top = Part(config, "", notes)
    own = {str(name): str(value) for name, value in (top.take("environment_variables") or {}).items()}
    if own:
        notes.append(Note("partly", "environment_variables", "used while reading; set them for the server yourself"))
    known = {**{name: value for name, value in own.items() if not value.startswith("os.environ/")}, **environment}
    deployments = Deployments(wanted, known, _credentials(top.take("credential_list") or []))
    found = [deployments.read(Part(entry, "model_list", notes)) for entry in top.take("model_list") or []]
    router, settings, general = top.part("router_settings"), top.part("litellm_settings"), top.part("general_settings")
    how = _reliability(router, settings, notes)
    groups = Groups([each for each in found if each is not None], how, wanted, notes)
    groups.write()
    targets = {**groups.targets, **_aliases(router, groups, notes)}
    _budgets(router, settings, general, wanted)
    if "budget" in wanted.items:
        price_all([each for each in found if each is not None], wanted, notes)
    for part, name in ((router, "router"), (settings, "litellm"), (general, "general"), (top, "top")):
        for state, words in said()[name].items():
            part.say(state, words)
        part.rest()
    return Read(wanted, notes, {name: key for name, key in deployments.keys.items() if name not in environment}, targets)


def _credentials(given: list[Any]) -> dict[str, dict[str, Any]]:
    return {
        str(one.get("credential_name", "")): dict(one.get("credential_values") or {}) for one in given if isinstance(one, dict)
    }


def _reliability(router: Part, settings: Part, notes: list[Note]) -> Reliability:
    strategy = str(router.take("routing_strategy") or "simple-shuffle")
    known = said()["strategies"].get(strategy, {"state": "partly", "text": "weighted; this strategy is not known here"})
    notes.append(Note(known["state"], "router_settings.routing_strategy", f"{strategy}: {known['text']}"))
    retries = [part.take("num_retries") for part in (router, settings)]
    timeouts = [router.take("timeout"), settings.take("request_timeout")]
    number = next((int(value) for value in retries if value is not None), 0)
    timeout = next((float(value) for value in timeouts if value), None)
    if number:
        notes.append(
            Note(
                "partly",
                "num_retries",
                f"{min(number, 5)} for groups of one model, within the retry budget; others go on to the next model",
            )
        )
    if timeout:
        notes.append(Note("taken", "timeout", f"{timeout:g} s for every model"))
    default = [name for part in (router, settings) for name in part.take("default_fallbacks") or []]
    return Reliability(
        strategy, number, timeout, _lists(router, settings, "fallbacks"), _lists(router, settings, "context_window_fallbacks"),
        _lists(router, settings, "content_policy_fallbacks"), default,
    )  # fmt: skip


def _lists(router: Part, settings: Part, field: str) -> dict[str, list[Any]]:
    """[{"group": ["other", …]}, …] of both places."""
    found: dict[str, list[Any]] = {}
    for part in (settings, router):
        for one in part.take(field) or []:
            if isinstance(one, dict):
                for group, others in one.items():
                    found.setdefault(str(group), []).extend(others if isinstance(others, list) else [others])
    return found


def _aliases(router: Part, groups: Groups, notes: list[Note]) -> dict[str, str]:
    found: dict[str, str] = {}
    for alias, given in (router.take("model_group_alias") or {}).items():
        group = given.get("model") if isinstance(given, dict) else given
        if group in groups.targets:
            found[str(alias)] = groups.targets[group]
            groups.alias(str(alias), groups.targets[group])
        else:
            notes.append(Note("not taken", f"model_group_alias.{alias}", f"'{group}' is no model group that was taken over"))
    return found


def _budgets(router: Part, settings: Part, general: Part, wanted: Wanted) -> None:
    for part in (settings, general):
        budget, duration = part.take("max_budget"), part.take("budget_duration")
        if budget is not None:
            add_budget(wanted, part, "max_budget", budget, duration)
    limit = general.take("global_max_parallel_requests")
    if limit:
        wanted.add(
            "limit", "project concurrent", {"node": "project", "metric": "concurrent", "amount": int(limit)}, general.where
        )
        general.note("taken", "global_max_parallel_requests", f"{limit} calls at once in this project")
    config = router.part("provider_budget_config")
    for prefix in config.names():
        data = config.part(prefix)
        amount = data.take("budget_limit", data.take("max_budget"))
        duration = data.take("time_period", data.take("budget_duration"))
        names = [
            name
            for name, one in wanted.items.get("provider", {}).items()
            if one["kind"] == prefixes().get(prefix, {}).get("kind")
        ]
        for name in names:
            add_budget(wanted, data, "budget_limit", amount, duration, f"{name}/*")
        if not names:
            data.note("not taken", "", "no provider of this kind was taken over")
        data.rest()
