"""What a provider's failure is to us: its status and words as one of our errors, and its own bytes for who speaks its dialect."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from genwright.errors import Error, Upstream, UpstreamAuth, UpstreamLimited, UpstreamRefused, UpstreamTimeout

_KINDS: dict[int, type[Upstream]] = {
    400: UpstreamRefused, 404: UpstreamRefused, 405: UpstreamRefused, 409: UpstreamRefused, 413: UpstreamRefused,
    415: UpstreamRefused, 422: UpstreamRefused, 401: UpstreamAuth, 402: UpstreamAuth, 403: UpstreamAuth,
    408: UpstreamTimeout, 504: UpstreamTimeout, 429: UpstreamLimited,
}  # fmt: skip


def refusal(name: str, status: int, headers: dict[str, str], body: bytes, dialect: str = "") -> Error:
    """A provider's error answer as ours, by its status; its own words are kept, unless they may show a part of the key.

    The body of a request that the provider found wrong goes to a caller of the same dialect as it came (`Refused.raw`).
    """
    message, code, param, _ = error_words(body)
    kind = _KINDS.get(status, Upstream)
    details: dict[str, Any] = {"provider": name, "upstream_status": status}
    if kind is UpstreamAuth:
        return UpstreamAuth(
            f"{name} refused our credentials or their rights ({status}). Check the key: genwright providers test {name}",
            **details,
        )
    if param:
        details["param"] = param
    if code:
        details["upstream_code"] = code
    text = f"{name} answered {status}: {message or 'without a reason'}"
    if kind is UpstreamLimited or status == 503:
        return kind(text, retry=_retry_after(headers, body) or kind.default_retry, **details)
    if kind is UpstreamRefused and dialect and message:
        return Refused(text, status, body, dialect, **details)
    return kind(text, **details)


class Refused(UpstreamRefused):
    """A provider's answer that the request is wrong, with its status and body."""

    def __init__(self, message: str, status: int, raw: bytes, dialect: str, **details: Any):
        super().__init__(message, **details)
        self.upstream_status, self.raw, self.dialect = status, raw, dialect


def in_own_words(error: Upstream, raw: bytes, dialect: str) -> Upstream:
    """The error with the event it came in."""
    if not hasattr(error, "raw") and error.code != "upstream_malformed":
        error.raw, error.dialect = raw, dialect  # type: ignore[attr-defined]
    return error


def own_words(error: Error, dialect: str) -> bytes:
    """A provider's error event as it came, for a caller of the same dialect; else nothing."""
    return getattr(error, "raw", b"") if getattr(error, "dialect", "") == dialect and not isinstance(error, Refused) else b""


def error_words(body: bytes) -> tuple[str, str, str, str]:
    """(message, code, param, type) of an error body of any provider, as far as it has them."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return body[:300].decode("utf-8", "replace").strip(), "", "", ""
    if isinstance(decoded, list) and decoded:  # Google's compatible face
        decoded = decoded[0]
    error: Any = decoded.get("error", decoded) if isinstance(decoded, dict) else decoded
    if not isinstance(error, dict):
        return str(error)[:500], "", "", ""
    message = error.get("message") or error.get("detail") or ""
    code, param, kind = (error.get(name) for name in ("code", "param", "type"))
    code = code if isinstance(code, str) else ""  # OpenRouter and Google put the status there
    return str(message)[:500], code[:100], str(param or "")[:100], str(kind or "")[:100]


def stream_error(name: str, body: bytes) -> Error:
    """An error that came as an event in the middle of a stream."""
    message, code, _, name_of_kind = error_words(body)
    word = f"{code} {name_of_kind}"
    kind = UpstreamLimited if "rate_limit" in word or "overloaded" in word else Upstream
    return kind(
        f"{name} broke off with an error: {message or word.strip() or 'without a reason'}. What came is kept.", upstream_code=code
    )


_DELAY = re.compile(rb'"retryDelay"\s*:\s*"(\d{1,6}(?:\.\d{1,9})?)s"')
"""Google says how long to wait in the body (google.rpc.RetryInfo)."""


def _retry_after(headers: dict[str, str], body: bytes = b"") -> float | None:
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        found = _DELAY.search(body)
        return float(found[1]) if found else None
