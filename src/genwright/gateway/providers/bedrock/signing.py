"""AWS Signature Version 4 for one request. Source: AWS General Reference, "Signing AWS API requests" (SigV4).

Knows one service's rules: the path is encoded once more before it is signed (every service but S3 does that).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import msgspec

from genwright import clock
from genwright.addresses import parse_url
from genwright.errors import Invalid

if TYPE_CHECKING:
    from genwright.http import Http

SERVICE = "bedrock"
_HOST_REGION = re.compile(r"^bedrock(?:-runtime)?(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.")
_PAIR = re.compile(r"([A-Za-z0-9]{16,128}):([A-Za-z0-9/+=]{16,200})(?::([A-Za-z0-9/+=]{16,8000}))?")


class Credential(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What AWS hands out. `region` only where the address does not tell it."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""
    region: str = ""


class Aws:
    """The authority of an access key."""

    def __init__(self, credential: str, base_url: str, http: Http):
        self._credential = msgspec.json.decode(credential, type=Credential)
        host = parse_url(base_url)[0].host
        found = _HOST_REGION.match(host)
        self._region = found[1] if found else self._credential.region or "us-east-1"

    @staticmethod
    def takes(credential: str) -> bool:
        return credential.lstrip().startswith("{") or _PAIR.fullmatch(credential) is not None

    @staticmethod
    def normal(credential: str) -> str:
        """JSON of a Credential; ID:SECRET[:TOKEN] becomes that."""
        pair = _PAIR.fullmatch(credential)
        try:
            read = Credential(pair[1], pair[2], pair[3] or "") if pair else msgspec.json.decode(credential, type=Credential)
        except (msgspec.ValidationError, msgspec.DecodeError):
            raise Invalid(
                "This credential cannot be used: it is not the JSON of access_key_id, secret_access_key and perhaps "
                "session_token and region. Nothing was stored. Write it so, as ID:SECRET[:TOKEN], or give a Bedrock API key.",
                field="api_key",
            ) from None
        return msgspec.json.encode({name: value for name, value in msgspec.structs.asdict(read).items() if value}).decode()

    async def headers(self, method: str, url: str, body: bytes) -> dict[str, str]:
        return sign(self._credential, self._region, method, url, body, _stamp(clock.now_ns()))


def _stamp(ns: int) -> str:
    return clock.iso(ns)[:19].replace("-", "").replace(":", "") + "Z"


def sign(
    credential: Credential, region: str, method: str, url: str, body: bytes, stamp: str, service: str = SERVICE, **more: Any
) -> dict[str, str]:
    """The headers that authorise a request. `stamp`: its time, 20261121T040000Z. `more`: further headers that are signed."""
    origin, target = parse_url(url)
    path, _, query = target.partition("?")
    signed = {"host": origin.authority, "x-amz-date": stamp, **{name.replace("_", "-"): value for name, value in more.items()}}
    if credential.session_token:
        signed["x-amz-security-token"] = credential.session_token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in sorted(signed))
    canonical = "\n".join(
        (method, quote(path or "/", safe="/-_.~"), _query(query), lines, names, hashlib.sha256(body).hexdigest())
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = hmac.digest(_key(credential.secret_access_key, stamp[:8], region, service), text.encode(), "sha256").hex()
    proof = f"AWS4-HMAC-SHA256 Credential={credential.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {"authorization": proof, **{name: value for name, value in signed.items() if name != "host"}}


def _query(query: str) -> str:
    """Sorted by name and value, each encoded anew."""
    pairs = []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if pair:
            pairs.append((quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~")))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _key(secret: str, day: str, region: str, service: str) -> bytes:
    key = ("AWS4" + secret).encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
