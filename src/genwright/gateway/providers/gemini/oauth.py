"""Google's OAuth for a service account: a JWT signed with its key is exchanged for a token of an hour, kept until it is old.

Source: Google Identity, "Using OAuth 2.0 for server to server applications"; RFC 7523 (JWT as authorisation grant).
"""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from genwright import clock
from genwright.errors import Invalid, Upstream, UpstreamAuth

if TYPE_CHECKING:
    from genwright.http import Http

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LIFE_S = 3600
EARLY_S = 300
"""A token is replaced this long before its end."""
_FIELDS = ("type", "project_id", "private_key_id", "private_key", "client_email", "token_uri")


class ServiceAccount:
    """The authority of a service account's JSON."""

    def __init__(self, credential: str, base_url: str, http: Http):
        self._account: dict[str, str] = msgspec.json.decode(credential)
        self._http = http
        self._token = ""
        self._until_s = 0.0
        self._lock = asyncio.Lock()

    @staticmethod
    def takes(credential: str) -> bool:
        return credential.lstrip().startswith("{")

    @staticmethod
    def normal(credential: str) -> str:
        """Only the fields that are needed, on one line. The key is tried: a damaged one is told of now, not at the first call."""
        try:
            given = msgspec.json.decode(credential)
            account = {name: given[name] for name in _FIELDS if name in given}
            whole = all(isinstance(account.get(name), str) for name in _FIELDS[1:])
        except (msgspec.DecodeError, TypeError):
            whole, account = False, {}
        if not whole or account.get("type") != "service_account":
            raise _wrong("it is not the JSON of a service account with project_id, private_key, client_email and token_uri")
        try:
            _load(account["private_key"])
        except ValueError:
            raise _wrong("its private_key cannot be read") from None
        return msgspec.json.encode(account).decode()

    async def headers(self, method: str, url: str, body: bytes) -> dict[str, str]:
        return {"authorization": f"Bearer {await self._current()}"}

    async def _current(self) -> str:
        if clock.monotonic() >= self._until_s:
            async with self._lock:  # many calls at once fetch one token
                if clock.monotonic() >= self._until_s:
                    await self._fetch()
        return self._token

    async def _fetch(self) -> None:
        """Raises UpstreamAuth if Google refuses the account."""
        uri = self._account["token_uri"]
        assertion = await asyncio.to_thread(self._assertion, clock.now_ns() // 1_000_000_000)
        form = f"grant_type={quote('urn:ietf:params:oauth:grant-type:jwt-bearer', safe='')}&assertion={assertion}"
        sent = {"content-type": "application/x-www-form-urlencoded"}
        status, _, data = await self._http.request("POST", uri, sent, form.encode(), timeout_s=20)
        if status in (400, 401, 403):
            raise UpstreamAuth(
                f"Google gave no token to {self._account['client_email']} ({status}). Check that the service account and its key "
                "are in force, and this machine's clock."
            )
        try:
            answer = msgspec.json.decode(data)
            token, life_s = answer["access_token"], float(answer.get("expires_in") or LIFE_S)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            raise Upstream(f"Google's token service answered {status} and no token.", code="upstream_malformed") from None
        self._token, self._until_s = token, clock.monotonic() + max(life_s - EARLY_S, life_s / 2)

    def _assertion(self, at_s: int) -> str:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        account = self._account
        claims: dict[str, Any] = {
            "iss": account["client_email"], "scope": SCOPE, "aud": account["token_uri"], "iat": at_s, "exp": at_s + LIFE_S,
        }  # fmt: skip
        head = {"alg": "RS256", "typ": "JWT", "kid": account["private_key_id"]}
        text = f"{_encoded(head)}.{_encoded(claims)}"
        signature = _load(account["private_key"]).sign(text.encode(), PKCS1v15(), SHA256())
        return f"{text}.{_base64(signature)}"


def _load(pem: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(pem.encode(), None)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA key")
    return key


def _wrong(why: str) -> Invalid:
    message = f"This credential cannot be used: {why}. Nothing was stored. Give the JSON file as Google made it, or an API key."
    return Invalid(message, field="api_key")


def _encoded(value: dict[str, Any]) -> str:
    return _base64(msgspec.json.encode(value))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
