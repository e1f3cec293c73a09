"""The master key, look-up codes and sealed credentials."""

import base64
import os
import stat
import threading

import pytest

from genwright.errors import Invalid, Unavailable
from genwright.secrets import Secrets

KEY = base64.b64encode(bytes(range(32))).decode()


def test_sealed_text_opens_only_for_the_same_purpose_and_address(tmp_path):
    secrets = Secrets(tmp_path, KEY)
    sealed = secrets.seal("provider", b"sk-very-secret", "https://api.example.com")
    assert b"sk-very-secret" not in sealed
    assert secrets.open("provider", sealed, "https://api.example.com") == b"sk-very-secret"
    for purpose, address in [("provider", "https://evil.example.com"), ("webhook", "https://api.example.com"), ("provider", "")]:
        with pytest.raises(Unavailable, match="kept"):
            secrets.open(purpose, sealed, address)


def test_sealing_twice_gives_different_bytes(tmp_path):
    secrets = Secrets(tmp_path, KEY)
    assert len({secrets.seal("p", b"same", "x") for _ in range(50)}) == 50


def test_every_changed_byte_is_noticed(tmp_path):
    secrets = Secrets(tmp_path, KEY)
    sealed = secrets.seal("p", b"text", "x")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(Unavailable):
            secrets.open("p", bytes(changed), "x")
    for length in range(len(sealed)):
        with pytest.raises(Unavailable):
            secrets.open("p", sealed[:length], "x")


def test_another_master_key_is_named_as_the_reason(tmp_path):
    sealed = Secrets(tmp_path, KEY).seal("p", b"text", "x")
    other = Secrets(tmp_path, base64.b64encode(os.urandom(32)).decode())
    with pytest.raises(Unavailable, match="another master key"):
        other.open("p", sealed, "x")


def test_codes_differ_by_purpose_and_by_master_key(tmp_path):
    secrets, other = Secrets(tmp_path, KEY), Secrets(tmp_path, base64.b64encode(os.urandom(32)).decode())
    assert secrets.hmac("key", b"a") == secrets.hmac("key", b"a")
    assert (
        len({secrets.hmac("key", b"a"), secrets.hmac("session", b"a"), secrets.hmac("key", b"b"), other.hmac("key", b"a")}) == 4
    )


def test_subkeys_are_hkdf_sha256(tmp_path):
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    expected = HKDF(SHA256(), 32, salt=b"genwright", info=b"key id").derive(bytes(range(32)))[:8]
    assert Secrets(tmp_path, KEY).key_id == expected


def test_the_key_file_is_made_once_and_private(tmp_path):
    home = tmp_path / "home"
    first = Secrets(home)
    path = home / "master.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Secrets(home).open("p", first.seal("p", b"x", ""), "") == b"x"
    assert [file.name for file in home.iterdir()] == ["master.key"]
    path.chmod(0o644)
    Secrets(home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_many_starters_agree_on_one_key(tmp_path):
    ids = []
    threads = [threading.Thread(target=lambda: ids.append(Secrets(tmp_path).key_id)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 16
    assert len(set(ids)) == 1


@pytest.mark.parametrize("text", ["short", "A" * 43, base64.b64encode(b"x" * 31).decode(), "ключ"])
def test_a_bad_master_key_is_refused_by_name(tmp_path, text):
    with pytest.raises(Invalid, match="GENWRIGHT_MASTER_KEY"):
        Secrets(tmp_path, text)


def test_a_damaged_key_file_is_refused_and_kept(tmp_path):
    (tmp_path / "master.key").write_text("half")
    with pytest.raises(Invalid, match=r"master\.key"):
        Secrets(tmp_path)
    assert (tmp_path / "master.key").read_text() == "half"
