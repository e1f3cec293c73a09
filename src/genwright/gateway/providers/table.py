"""The tables of providers: dialects by name, and the rows of services (`rows.toml`)."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from genwright.errors import Invalid, Missing
from genwright.plugs import Table
from genwright.vocab import nearest

DIALECTS = Table(
    "genwright.dialects",
    {
        "openai": "genwright.gateway.providers.openai_compatible:OpenAICompatible",
        "anthropic": "genwright.gateway.providers.anthropic.dialect:Anthropic",
        "responses": "genwright.gateway.providers.responses:Responses",
        "completions": "genwright.gateway.providers.completions:Completions",
        "gemini": "genwright.gateway.providers.gemini.dialect:Gemini",
        "bedrock": "genwright.gateway.providers.bedrock.dialect:Bedrock",
    },
)
LOCAL = Table(
    "genwright.local_models",
    {
        "extractive": "genwright.gateway.providers.local.chat:Extractive",
        "minilm": "genwright.gateway.providers.local.embeddings:MiniLM",
        "moderation": "genwright.gateway.providers.local.moderation:Moderation",
    },
)


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A service, as rows.toml describes it. What differs only in data is here, so that no service needs code of its own."""

    base_url: str
    """{region} and {project} are filled in when the provider is added."""
    key_env: str = ""
    url_env: str = ""
    needs_key: bool = True
    dialect: str = "openai"
    also: list[str] = []
    """Further dialects of the same service and key; a call that came in one of them goes out in it."""
    prices: str | None = None
    models: list[str] = []
    embeddings: list[str] = []
    key_header: str = ""
    """Header that takes the bare key, where it is not the dialect's own."""
    query: dict[str, str] = {}
    """Sent with every request; the same name in a provider's address goes before it."""
    paths: dict[str, str] = {}
    """Verbs whose path is not the dialect's."""
    options: dict[str, Any] = {}
    """Given to the dialect's constructor: peculiarities of this service."""
    authority: str = ""
    """Name in reach.AUTHORITIES, for credentials that sign or fetch a token."""
    suffix: str = ""
    """End of the address; added where `url_env` lacks it."""
    control: list[str] = []
    """Two texts: the first, in the address, becomes the second where the list of models is asked for."""
    region: str = ""
    """Region where none is said."""
    region_env: list[str] = []
    credential_env: dict[str, str] = {}
    """Field of a credential in JSON → the variable that holds it; the first two are needed."""
    key_file_env: str = ""
    """Variable that names a file with the credential."""
    example: str = ""
    """An address, where there is no usual one."""


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
        key = _key_of(entry, environment)
        url = environment.get(entry.url_env, "") if entry.url_env else ""
        if key or (url and (not entry.needs_key or url != entry.base_url)):
            region = next((environment[variable] for variable in entry.region_env if environment.get(variable)), "")
            address = _suffixed(url, entry) or fill(entry, region, key)
            if address:
                found[name] = (address, key)
    return found


def _key_of(entry: Row, environment: Mapping[str, str]) -> str:
    if entry.key_env and environment.get(entry.key_env):
        return environment[entry.key_env]
    given = {field: environment.get(variable, "") for field, variable in entry.credential_env.items()}
    if given and all(list(given.values())[:2]):
        return msgspec.json.encode({field: value for field, value in given.items() if value}).decode()
    file = Path(environment.get(entry.key_file_env, "")) if entry.key_file_env and environment.get(entry.key_file_env) else None
    return file.read_text() if file is not None and file.is_file() else ""


def _suffixed(url: str, entry: Row) -> str:
    """Anthropic's and Azure's own clients take the address without the path that theirs begins with."""
    url = url.rstrip("/")
    return url + entry.suffix if url and entry.suffix and not url.endswith(entry.suffix) else url


def fill(entry: Row, region: str, credential: str) -> str:
    """The row's address for a region, and for the project that a Google service account belongs to."""
    url = entry.base_url
    if "{region}" in url:
        region = region or entry.region
        if not re.fullmatch(r"[a-z0-9-]{2,40}", region):
            raise Invalid(f"'{region[:60]}' is no region. Nothing was stored. Write it as the cloud does, e.g. {entry.region}.",
                          field="region")  # fmt: skip
        # Google's global endpoint has no region in its name.
        url = url.replace("{region}-aiplatform", "aiplatform") if region == "global" else url
        url = url.replace("{region}", region)
    if "{project}" in url:
        project = _project(credential)
        if not project:
            return ""
        url = url.replace("{project}", project)
    return url


def _project(credential: str) -> str:
    try:
        project = msgspec.json.decode(credential).get("project_id", "")
    except (msgspec.DecodeError, AttributeError):
        return ""
    return project if isinstance(project, str) and re.fullmatch(r"[a-z0-9:.-]{1,80}", project) else ""


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
