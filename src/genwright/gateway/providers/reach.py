"""Where a service's verbs are, and how a request shows who we are: a key in a header, or something made for every request.

Knows URLs and credentials, and no message format. What signs with more than a header (AWS, Google's OAuth) is in that
provider's folder and found through AUTHORITIES.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from genwright.plugs import Table

if TYPE_CHECKING:
    from genwright.http import Http

AUTHORITIES = Table(
    "genwright.authorities",
    {
        "aws": "genwright.gateway.providers.bedrock.signing:Aws",
        "google": "genwright.gateway.providers.gemini.oauth:ServiceAccount",
    },
)
"""name → class made with (credential, base_url, http); rows name it in `authority`."""


class Authority(Protocol):
    """Makes the headers that authorise one request."""

    def __init__(self, credential: str, base_url: str, http: Http): ...

    @staticmethod
    def takes(credential: str) -> bool:
        """Whether this is its kind of credential. Any other is a plain key, which both clouds hand out too."""
        ...

    @staticmethod
    def normal(credential: str) -> str:
        """The credential in the form that is stored. Raises Invalid (field api_key) that never shows a part of it."""
        ...

    async def headers(self, method: str, url: str, body: bytes) -> dict[str, str]: ...


class Reach:
    """`paths`: verb → path under the address; "{model}" in it is the quoted model. `headers`: sent with every request."""

    def __init__(
        self,
        base_url: str,
        paths: dict[str, str],
        headers: dict[str, str],
        query: dict[str, str] | None = None,
        authority: Authority | None = None,
    ):
        self.address, _, own = base_url.partition("?")
        self.address = self.address.rstrip("/")
        given = dict(pair.partition("=")[::2] for pair in own.split("&") if pair)
        pairs = {**(query or {}), **given}  # what stands in the address goes before the row's
        self._query = "&".join(f"{name}={value}" for name, value in pairs.items())
        self._paths = paths
        self._headers = {"content-type": "application/json", **headers}
        self._authority = authority
        self._fixed: dict[str, str] = {}

    def url(self, verb: str, model: str = "") -> str:
        """The address of a verb, or of a path that begins with "/". Raises KeyError for a verb that the service does not have."""
        known = self._fixed.get(verb)
        if known is not None:
            return known
        path = verb if verb.startswith("/") else self._paths[verb]
        target = path if path.startswith("http") else self.address + path
        if self._query:
            target += ("&" if "?" in target else "?") + self._query
        if "{model}" in target:
            return target.replace("{model}", quote(model, safe=""))
        self._fixed[verb] = target
        return target

    async def headers(self, method: str, url: str, body: bytes = b"") -> dict[str, str]:
        """All headers of a request. The same dict every time where nothing is made for the single request: copy, never change."""
        if self._authority is None:
            return self._headers
        return {**self._headers, **await self._authority.headers(method, url, body)}


def make(row: Any, dialect: Any, base_url: str, key: str, http: Http) -> Reach:
    """The reach of a service: the dialect's paths and key header, with what the row says otherwise."""
    paths = {**dialect.paths, **row.paths}
    if row.control and row.control[0] in base_url:
        paths["models"] = base_url.replace(*row.control) + paths["models"]
    authority = AUTHORITIES.load(row.authority) if row.authority else None
    if authority is not None and authority.takes(key):
        return Reach(base_url, paths, dialect.headers(""), row.query, authority(key, base_url, http))
    headers = {**dialect.headers(""), row.key_header: key} if row.key_header and key else dialect.headers(key)
    return Reach(base_url, paths, headers, row.query)


def normal(row: Any, key: str) -> str:
    """A credential as it is stored: JSON without line ends, a plain key as it is. Raises Invalid saying what is wrong."""
    authority = AUTHORITIES.load(row.authority) if row.authority else None
    return authority.normal(key) if authority is not None and authority.takes(key) else key
