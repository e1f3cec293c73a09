"""Settings of one server: from the environment (`GENWRIGHT_*`) or arguments; wrong ones fail loudly at start.

Every field's docstring line is copied into docs/settings.md by `python -m genwright.settings`, and a test keeps it true.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from genwright.errors import Invalid


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    home: str = ".genwright"
    """Folder for databases, blobs, indexes, the lock and the secret keys."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 7600
    """Port to listen on; 0 takes a free one."""
    database_url: str = ""
    """PostgreSQL instead of SQLite: postgresql://user:password@host/database."""
    public_url: str = ""
    """Address people use, when it differs from host and port (behind a proxy)."""
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    """Host headers that are answered; others get 400 (DNS rebinding). `*` answers all."""
    admin_key: str = ""
    """An administrator's key for headless set-up (at least 24 characters); otherwise a one-time link is printed."""
    master_key: str = ""
    """Base64 of 32 bytes that encrypts stored credentials; made in the home folder where unset."""
    private_hosts: tuple[str, ...] = ()
    """Private addresses (host, host:port or network) that providers and webhooks may reach; empty refuses all."""
    max_body_bytes: int = 20_000_000
    """Largest request body."""
    max_document_bytes: int = 50_000_000
    """Largest document that is ingested; larger ones are listed and skipped."""
    max_concurrent: int = 1000
    """Requests at work at once; more get 503."""
    request_timeout_s: float = 600.0
    """Longest time for one model call, stream included."""
    first_byte_timeout_s: float = 120.0
    """Longest wait for a provider's first byte."""
    default_max_output_tokens: int = 4096
    """Output cap sent and reserved for calls under a hard budget or token limit that set none and whose key has none."""
    reservation_ttl_s: float = 60.0
    """On PostgreSQL: what a server that has gone silent for this long had reserved is booked (SQLite: at the next start)."""
    limits_fail_open: bool = False
    """While the ledger is away, let calls under limits and budgets pass unmetered and marked, instead of refusing them."""
    default_model: str = ""
    """Model of the demo app; empty picks a configured provider's, else local/extractive."""
    workers: int = 2
    """Processes for parsing, chunking and metrics."""
    blob_url: str = ""
    """Object store for blobs (s3://bucket/prefix); empty keeps them in the home folder."""
    retention_days: int = 0
    """Delete traces older than this; 0 keeps them."""
    responses_retention_days: int = 30
    """Delete stored responses (`/v1/responses`) older than this; 0 keeps them."""
    log_level: str = "info"
    """debug, info, warning or error."""

    @property
    def path(self) -> Path:
        return Path(self.home)


def load(**overrides: Any) -> Settings:
    """Settings from the environment, overridden by arguments that are not None. Raises Invalid naming the variable."""
    hints = get_type_hints(Settings)
    values: dict[str, Any] = {}
    for field in Settings.__struct_fields__:
        text = os.environ.get(f"GENWRIGHT_{field.upper()}")
        if text is not None:
            values[field] = _read(field, text, hints[field])
    values.update({name: value for name, value in overrides.items() if value is not None})
    unknown = set(values) - set(Settings.__struct_fields__)
    if unknown:
        raise Invalid(f"Unknown settings: {', '.join(sorted(unknown))}. See docs/settings.md.")
    settings = Settings(**values)
    if settings.admin_key and len(settings.admin_key) < 24:
        raise Invalid("GENWRIGHT_ADMIN_KEY is shorter than 24 characters. Use e.g. the output of: openssl rand -hex 24")
    return settings


def _read(field: str, text: str, kind: Any) -> Any:
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is str:
        return text
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"GENWRIGHT_{field.upper()}={text!r} cannot be used: {error}. See docs/settings.md.") from error


def describe() -> list[tuple[str, str, str, str]]:
    """(name, type, default, meaning) of every setting, read from this file so that docs cannot drift."""
    import ast

    tree = ast.parse(Path(__file__).read_text())
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings")
    rows = []
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            default = ast.unparse(field.value) if field.value else ""
            rows.append((ast.unparse(field.target), ast.unparse(field.annotation), default, str(text.value.value)))
    return rows
