"""Deployments of `model_list`: the provider behind each, its model's name here, its limits, prices and parameters."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from genwright.gateway.files.litellm.notes import REFERENCE, Part, resolve, said
from genwright.gateway.files.types import Wanted
from genwright.gateway.providers import table

# Names without a prefix, as LiteLLM knows them by its own list of models.
BARE = (
    (re.compile(r"(gpt-|chatgpt|o[134](-|$)|text-embedding-|dall-e|whisper|tts-|omni-moderation|babbage|davinci)"), "openai"),
    (re.compile(r"claude"), "anthropic"),
    (re.compile(r"gemini"), "gemini"),
    (re.compile(r"(command|embed-(english|multilingual))"), "cohere"),
    (re.compile(r"(mistral-(large|medium|small|tiny|embed)|codestral)"), "mistral"),
    (re.compile(r"deepseek-(chat|reasoner)"), "deepseek"),
)
PARAMETERS = (
    "temperature", "max_tokens", "max_completion_tokens", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty", "n",
    "response_format", "reasoning_effort", "logit_bias", "user", "dimensions", "encoding_format",
)  # fmt: skip
PRICES = {
    "input_cost_per_token": ("input", 1_000_000), "output_cost_per_token": ("output", 1_000_000),
    "cache_read_input_token_cost": ("cached", 1_000_000), "cache_creation_input_token_cost": ("cache_write", 1_000_000),
    "output_cost_per_reasoning_token": ("reasoning", 1_000_000), "input_cost_per_request": ("request", 1_000),
    "output_cost_per_image": ("image", 1), "input_cost_per_image": ("image", 1), "input_cost_per_second": ("audio_second", 1),
    "input_cost_per_character": ("character", 1_000_000), "ocr_cost_per_page": ("page", 1),
}  # fmt: skip
NO_KEY = ("", "none", "anything", "not-needed", "dummy", "fake-key", "fake")


class Deployment(msgspec.Struct):
    """One deployment, as it is called here."""

    group: str
    id: str
    provider: str
    model: str
    parameters: dict[str, Any]
    timeout_s: float | None
    retries: int
    weight: float | None
    order: int
    rpm: int
    tpm: int
    base_model: str = ""
    """What an Azure deployment's name stands for."""

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"


@cache
def prefixes() -> dict[str, dict[str, str]]:
    return tomllib.loads(Path(__file__).with_name("providers.toml").read_text())


class Deployments:
    """Reads `model_list`, and collects the providers it needs into `wanted`."""

    def __init__(self, wanted: Wanted, environment: Mapping[str, str], credentials: dict[str, dict[str, Any]]):
        self.wanted = wanted
        self.environment = environment
        self.credentials = credentials
        self.keys: dict[str, str] = {}
        """Keys that stood in the file itself: variable made up for one → key."""
        self._known: dict[tuple[str, str, str], str] = {}
        self._named: set[str] = set()
        """Variables that the file refers to."""

    def read(self, entry: Part) -> Deployment | None:
        """A deployment; None where it cannot be had here, with the reason among the notes."""
        group = str(entry.take("model_name", ""))
        params, info = entry.part("litellm_params"), entry.part("model_info")
        entry.where = params.where = f"model_list[{group}]"
        info.where = f"{entry.where}.model_info"
        named = params.take("litellm_credential_name")
        if named is not None:
            if named not in self.credentials:
                entry.note("not taken", "litellm_credential_name", f"there is no credential '{named}' in credential_list")
            for field, value in self.credentials.get(named, {}).items():
                if not params.has(field):
                    params.put(field, value)
        full = str(resolve(params.take("model", ""), self.environment) or "")
        prefix, model = _split(full, params.take("custom_llm_provider"))
        if full == "*":
            entry.note(
                "partly",
                "",
                "every model of every provider: add the providers (or their variables); clients write PROVIDER/MODEL",
            )
            _silence(entry, params, info)
            return None
        if not prefix or not model:
            entry.note(
                "not taken", "", f"its service is not known: '{full}'. Write the provider yourself (genwright providers add)"
            )
            _silence(entry, params, info)
            return None
        provider = self._provider(prefix, params, entry)
        if provider is None:
            _silence(entry, params, info)
            return None
        for name in ("rpm", "tpm", "weight"):  # they may stand beside litellm_params, too
            if entry.has(name) and not params.has(name):
                params.put(name, entry.take(name))
        found = _deployment(group, provider, model, params, info)
        if any(letter in full for letter in "*"):
            entry.note("taken", "", f"all models of {provider}: clients write {provider}/MODEL")
        self._limits(entry, params, found)
        self._prices(params, info, found)
        params.say("partly", said()["deployment"]["partly"])
        params.rest()
        found.base_model = str(info.take("base_model") or "")
        for name in said()["information"]["names"]:
            info.take(name)
        info.rest()
        entry.rest()
        return found

    # -- the provider

    def _provider(self, prefix: str, params: Part, entry: Part) -> str | None:
        row = prefixes()[prefix]
        kind = row["kind"]
        given = params.take("api_base") or params.take("base_url")
        address = resolve(given, self.environment)
        if given and not address:
            entry.note("not taken", "api_base", f"the variable {str(given).removeprefix(REFERENCE)} is not set here")
            return None
        version = resolve(params.take("api_version"), self.environment) if kind.startswith("azure") else None
        base_url = self._address(kind, row["base"], address, version, params, entry)
        if base_url is None:
            return None
        if kind == "openai" and base_url:
            kind = "openai-compatible"
        variable = self._key(prefix, kind, bool(address), params, entry)
        known = self._known.get((kind, base_url, variable))
        if known is None:
            known = self._known[kind, base_url, variable] = self._name(kind, base_url, variable)
            variable = self._better(variable, known)
            data = {"kind": kind, **({"base_url": base_url} if base_url else {}), **({"key_env": variable} if variable else {})}
            self.wanted.add("provider", known, data, "model_list")
        return known

    def _better(self, variable: str, provider: str) -> str:
        """For a key that stood in the file: a variable named like the provider, unless that is somebody's already."""
        name = f"{provider.upper().replace('-', '_')}_API_KEY"
        if variable not in self.keys or name in self._named or name in self.environment:
            return variable
        self.keys = {name if key == variable else key: value for key, value in self.keys.items()}
        self._known = {(kind, url, name if key == variable else key): known for (kind, url, key), known in self._known.items()}
        return name

    def _address(self, kind: str, base: str, address: Any, version: Any, params: Part, entry: Part) -> str | None:
        """The provider's address, "" for the service's own; None where it cannot be known."""
        if kind in ("bedrock", "vertex"):
            field = "aws_region_name" if kind == "bedrock" else "vertex_location"
            region = resolve(params.take(field), self.environment)
            project = resolve(params.take("vertex_project"), self.environment) if kind == "vertex" else ""
            if address or not (region or project):
                return str(address or "")
            url = table.row(kind).base_url.replace("{region}", str(region or table.row(kind).region))
            return url.replace("{project}", str(project)) if project or "{project}" not in url else ""
        if not address:
            if table.row(kind).base_url:
                return ""
            entry.note("not taken", "", f"{kind} needs an api_base, and none is given")
            return None
        url = str(address).rstrip("/")
        if base and not url.endswith(base) and (not urlsplit(url).path or kind.startswith("azure")):
            url += base
        return f"{url}?api-version={version}" if version else url

    def _key(self, prefix: str, kind: str, own: bool, params: Part, entry: Part) -> str:
        """The variable that holds the key, or several joined by ':'; "" for none. `own`: it is a server of one's own."""
        row = table.row(kind)
        if kind == "bedrock":
            parts = [params.take(name) for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")]
            given = [self._variable(part, "aws", entry) for part in parts if part]
            usual = [row.credential_env[name] for name in ("access_key_id", "secret_access_key")]
            if given or row.key_env not in self.environment:
                return ":".join(given or usual)
        if kind == "vertex" and params.has("vertex_credentials"):
            return self._variable(params.take("vertex_credentials"), "vertex", entry)
        key = params.take("api_key")
        if key is None:
            needed = row.needs_key and not (own and row.key_env not in self.environment)
            return row.key_env if needed else ""
        return self._variable(key, prefix, entry)

    def _variable(self, value: Any, prefix: str, entry: Part) -> str:
        """The variable named; for a key written out, one made up for it."""
        text = str(value)
        if text.startswith(REFERENCE):
            self._named.add(text.removeprefix(REFERENCE))
            return text.removeprefix(REFERENCE)
        if text.lower() in NO_KEY:
            return ""
        for variable, key in self.keys.items():
            if key == text:
                return variable
        variable = f"IMPORTED_{re.sub('[^A-Z0-9]+', '_', prefix.upper())}_{len(self.keys) + 1}"
        self.keys[variable] = text
        return variable

    def _name(self, kind: str, base_url: str, variable: str) -> str:
        """A name for the provider: its kind, or something of its address or key where there are several."""
        taken = self.wanted.items.get("provider", {})
        host = (urlsplit(base_url).hostname or "").removeprefix("www.")
        labels = host.split(".") if host and not host[-1].isdigit() else []
        # of a cloud's address the region tells, of others the first word
        place = _slug(labels[1] if kind == "bedrock" and len(labels) > 1 else labels[0] if labels else "")
        place = place.removesuffix("-aiplatform") if place not in ("localhost", "api", "llm") else ""
        short = {"azure-deployments": "azure", "openai-compatible": place or "compatible"}.get(kind, kind)
        key = "" if variable == table.row(kind).key_env else _slug(variable).removesuffix("-api-key")
        key = "" if variable in self.keys else key
        numbered = (f"{short}-{number}" for number in range(2, 1_000))
        for name in (short, f"{short}-{place}" if place else "", key, *numbered):
            clean = name.strip("-")[:60]
            if clean and clean not in taken and clean not in ("app", "route", "local"):
                return clean
        return short

    # -- what hangs on it

    def _limits(self, entry: Part, params: Part, found: Deployment) -> None:
        if found.tpm:
            limit = {"node": "project", "metric": "tokens", "window": "minute", "amount": found.tpm, "models": found.name}
            self.wanted.add("limit", f"project tokens per minute of {found.name}", limit, entry.where)
        budget, window = params.take("max_budget"), params.take("budget_duration")
        if budget is not None:
            add_budget(self.wanted, entry, "max_budget", budget, window, found.name)

    def _prices(self, params: Part, info: Part, found: Deployment) -> None:
        row: dict[str, str] = {}
        for part in (info, params):
            for name, (field, per) in PRICES.items():
                value = part.take(name)
                if value is not None and float(value) >= 0:
                    row[field] = f"{(Decimal(repr(value) if not isinstance(value, str) else value) * per).normalize():f}"
        if row:
            self.wanted.add("price", found.name, row, found.group)


def add_budget(
    wanted: Wanted, part: Part, field: str, budget: Any, duration: Any, models: str = "", node: str = "project"
) -> None:
    """A budget in dollars over a duration as LiteLLM writes it: 30s, 1h, 1d, 7d, 30d, 1mo."""
    windows = {
        "1s": "second", "1m": "minute", "60s": "minute", "1h": "hour", "60m": "hour", "24h": "day", "1d": "day", "7d": "week",
        "1w": "week", "28d": "month", "30d": "month", "31d": "month", "1mo": "month", "": "total",
    }  # fmt: skip
    text = str(duration or "").strip().lower()
    window = windows.get(text)
    usd = f"{Decimal(str(budget)):f}"
    if window is None:
        part.note("not taken", field, f"{usd} dollars per {text}: windows are second, minute, hour, day, week, month, total")
        return
    where = f" of {models}" if models else ""
    data = {"node": node, "metric": "usd", "window": window, "usd": usd, **({"models": models} if models else {})}
    wanted.add("budget", f"{node} usd per {window}{where}", data, part.where)
    if text in ("28d", "30d", "31d", "7d"):
        part.note("partly", field, f"${usd} per {text} became a budget per calendar {window}")
    else:
        part.note("taken", field, f"${usd} per {window}{where}")


def _split(full: str, named: Any) -> tuple[str, str]:
    """(prefix that is known, model); ("", "") where the service is not known."""
    first, slash, rest = full.partition("/")
    if named and str(named) in prefixes():
        return str(named), rest if first == named else full
    if slash and first in prefixes():
        # bedrock/converse/MODEL, bedrock/us-east-1/MODEL and the like name a route of LiteLLM's own
        if first == "bedrock":
            rest = re.sub(r"^(converse|invoke|converse_like)/", "", rest)
        return first, rest
    if slash:
        return "", ""
    return next(((prefix, full) for pattern, prefix in BARE if pattern.match(full)), ("", ""))


def _deployment(group: str, provider: str, model: str, params: Part, info: Part) -> Deployment:
    parameters = {name: params.take(name) for name in PARAMETERS if params.has(name)}
    if parameters:
        params.note("partly", ", ".join(parameters), "laid over the caller's here; LiteLLM lets the caller's own go first")
    timeout = params.take("timeout")
    if params.has("stream_timeout"):
        params.take("stream_timeout")
        params.note("partly", "stream_timeout", "one timeout for both; first_chunk_s of a route's model can be set")
    return Deployment(
        group=group,
        id=str(info.take("id") or ""),
        provider=provider,
        model=model,
        parameters=parameters,
        timeout_s=float(timeout) if timeout else None,
        retries=int(params.take("max_retries") or params.take("num_retries") or 0),
        weight=None if not params.has("weight") else float(params.take("weight")),
        order=int(params.take("order") or 0),
        rpm=int(params.take("rpm") or 0),
        tpm=int(params.take("tpm") or 0),
    )


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _silence(*parts: Part) -> None:
    """A deployment that is left out was said as a whole: its fields are not said once more."""
    for part in parts:
        part.forget()
