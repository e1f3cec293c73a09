"""Every error Genwright raises on purpose: one base, a dozen kinds by cause.

    Error                    500  internal        never   something broke on our side
    ├── Invalid              400  invalid         never   the input cannot be used; says which part and what to do
    │   └── TooLarge         413  too_large       never   over a limit in the settings
    ├── Unauthenticated      401  unauthenticated never   no key, or one that is not known
    ├── Forbidden            403  forbidden       never   known, but not allowed
    ├── Missing              404  not_found       never   no such thing; names the nearest matches
    ├── Conflict             409  conflict        now     somebody else was first; says what stands
    ├── Blocked              400  blocked         never   a guard refused it; says which rail and rule
    ├── RateLimited          429  rate_limited    after   a limit or budget is used up
    ├── NeedsExtra           501  needs_extra     never   an optional part is not installed; has the command
    ├── Unavailable          503  unavailable     after   this server cannot do it now (disk full, stopping)
    └── Upstream             502  upstream        now     a provider or foreign server failed
        ├── UpstreamTimeout  504  upstream_timeout now    it did not answer in time
        ├── UpstreamRefused  400  upstream_refused never  it answered that the request is wrong
        ├── UpstreamAuth     502  upstream_auth   never   it refused our credentials
        ├── UpstreamLimited  429  upstream_limited after  it is rate limited
        └── StreamCut        502  stream_cut      now     it broke off in the middle; what came is kept

A message says what happened, what was kept, and what to do. Rendering (JSON, HTML, an SDK's dialect, an exit code)
is the business of the edges, not of this file.
"""

from __future__ import annotations

from typing import ClassVar

NEVER = "never"
NOW = "now"


class Error(Exception):
    """Base of all errors. `retry` is "never", "now" or a number of seconds to wait."""

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal"
    default_retry: ClassVar[str | float] = NEVER

    def __init__(self, message: str, *, code: str | None = None, retry: str | float | None = None, **details: object):
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.retry: str | float = self.default_retry if retry is None else retry
        self.details = details

    def as_dict(self) -> dict[str, object]:
        """The error as REST shows it: {"code", "message", "retry", "details"}."""
        return {"code": self.code, "message": self.message, "retry": self.retry, "details": self.details}


class Invalid(Error):
    status = 400
    default_code = "invalid"


class TooLarge(Invalid):
    status = 413
    default_code = "too_large"


class Unauthenticated(Error):
    status = 401
    default_code = "unauthenticated"


class Forbidden(Error):
    status = 403
    default_code = "forbidden"


class Missing(Error):
    status = 404
    default_code = "not_found"


class Conflict(Error):
    status = 409
    default_code = "conflict"
    default_retry = NOW


class Blocked(Error):
    status = 400
    default_code = "blocked"


class RateLimited(Error):
    status = 429
    default_code = "rate_limited"
    default_retry = 1.0


class NeedsExtra(Error):
    status = 501
    default_code = "needs_extra"


class Unavailable(Error):
    status = 503
    default_code = "unavailable"
    default_retry = 1.0


class Upstream(Error):
    status = 502
    default_code = "upstream"
    default_retry: ClassVar[str | float] = NOW


class UpstreamTimeout(Upstream):
    status = 504
    default_code = "upstream_timeout"


class UpstreamRefused(Upstream):
    status = 400
    default_code = "upstream_refused"
    default_retry = NEVER


class UpstreamAuth(Upstream):
    status = 502
    default_code = "upstream_auth"
    default_retry = NEVER


class UpstreamLimited(Upstream):
    status = 429
    default_code = "upstream_limited"
    default_retry = 1.0


class StreamCut(Upstream):
    status = 502
    default_code = "stream_cut"


def need(module: str, extra: str) -> NeedsExtra:
    """The error for a missing optional part, with the command that installs it."""
    return NeedsExtra(f"{module} is not installed. Nothing was changed. Install it with: pip install 'genwright[{extra}]'")
