"""The master key, and everything made from it: look-up codes for keys (HMAC) and sealed credentials (AES-256-GCM).

One subkey per purpose (HKDF-SHA-256, RFC 5869), so that what is made for one purpose is worthless for another. Knows neither
tables nor who may read a secret.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import hashlib
import hmac
import os
from pathlib import Path

from genwright.blobs import sync_folder
from genwright.errors import NEVER, Invalid, Unavailable

KEY_BYTES = 32
_FORM = b"\x01"  # form 1: form byte, key id (8), nonce (12), AES-256-GCM text with its tag (16)
_ID_BYTES = 8
_NONCE_BYTES = 12


class Secrets:
    """Thread-safe. `master_key` is base64 of 32 bytes; empty reads `home/master.key`, made (mode 0600) if missing."""

    def __init__(self, home: Path, master_key: str = ""):
        self._master = _decode(master_key, "GENWRIGHT_MASTER_KEY") if master_key else _from_file(home / "master.key")
        self._subkey = functools.lru_cache(maxsize=256)(self._derive)
        self.key_id = self._subkey("key id")[:_ID_BYTES]
        """Names the master key without telling anything about it; stands in every sealed value."""

    def hmac(self, purpose: str, data: bytes) -> str:
        """HMAC-SHA-256 of the data under this purpose's subkey, 64 hex digits. The way keys and cookies are looked up."""
        return hmac.digest(self._subkey("hmac " + purpose), data, hashlib.sha256).hex()

    def seal(self, purpose: str, data: bytes, bound_to: str) -> bytes:
        """Encrypt. `bound_to` (say, the address a credential is for) is not stored: who opens it must name the same."""
        nonce = os.urandom(_NONCE_BYTES)
        text = self._cipher(purpose).encrypt(nonce, data, _associated(purpose, bound_to))
        return _FORM + self.key_id + nonce + text

    def open(self, purpose: str, sealed: bytes, bound_to: str) -> bytes:
        """Decrypt what `seal` made with the same purpose and `bound_to`. Raises Unavailable if anything differs."""
        from cryptography.exceptions import InvalidTag

        head = len(_FORM) + _ID_BYTES
        if sealed[:1] != _FORM or len(sealed) < head + _NONCE_BYTES:
            raise _unreadable("it has no known form")
        if sealed[1:head] != self.key_id:
            raise _unreadable("it was sealed with another master key")
        nonce, text = sealed[head : head + _NONCE_BYTES], sealed[head + _NONCE_BYTES :]
        try:
            return self._cipher(purpose).decrypt(nonce, text, _associated(purpose, bound_to))
        except InvalidTag as error:
            raise _unreadable("it was changed, or was stored for something else") from error

    def _cipher(self, purpose: str):  # type: ignore[no-untyped-def]  # cryptography is imported only when it is needed
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._subkey("seal " + purpose))

    def _derive(self, info: str) -> bytes:
        """HKDF with one block of output: extract with a fixed salt, expand with the purpose."""
        extracted = hmac.digest(b"genwright", self._master, hashlib.sha256)
        return hmac.digest(extracted, info.encode() + b"\x01", hashlib.sha256)


def _associated(purpose: str, bound_to: str) -> bytes:
    return f"{len(purpose)}:{purpose}:{bound_to}".encode()


def _unreadable(reason: str) -> Unavailable:
    return Unavailable(
        f"A stored credential cannot be read: {reason}. It was kept as it is. "
        "Start with the master key it was stored with, or enter the credential again.",
        code="sealed",
        retry=NEVER,
    )


def _decode(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise Invalid(f"{where} is not base64 of {KEY_BYTES} bytes. Nothing was changed. Make one with: openssl rand -base64 32")
    return key


def _from_file(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        _create(path)
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return _decode(path.read_text(), str(path))


def _create(path: Path) -> None:
    """Write a new key under another name and link it into place: a reader sees the whole key or none, and the first one wins."""
    if path.exists():
        return
    beside = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(beside, path)
    finally:
        beside.unlink()
    sync_folder(path.parent)
