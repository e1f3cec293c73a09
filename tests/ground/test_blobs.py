"""Bytes under their digest."""

import hashlib
import threading

import pytest

from genwright.blobs import Blobs
from genwright.errors import Invalid, Missing, Unavailable
from genwright.vocab import Scope

HERE, THERE = Scope("here"), Scope("there")


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "blobs")


@pytest.mark.parametrize("data", [b"", b"text", bytes(range(256)) * 5000])
def test_what_is_put_comes_back(blobs, data):
    digest = blobs.put(HERE, data)
    assert digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert blobs.get(HERE, digest) == data
    assert blobs.exists(HERE, digest)
    assert blobs.path(HERE, digest).read_bytes() == data


def test_putting_again_changes_nothing(blobs):
    digest = blobs.put(HERE, b"x")
    before = blobs.path(HERE, digest).stat()
    assert blobs.put(HERE, b"x") == digest
    after = blobs.path(HERE, digest).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_workspaces_see_nothing_of_each_other(blobs):
    digest = blobs.put(HERE, b"mine")
    assert not blobs.exists(THERE, digest)
    assert not blobs.delete(THERE, digest)
    with pytest.raises(Missing):
        blobs.get(THERE, digest)
    blobs.put(THERE, b"mine")
    assert blobs.delete(THERE, digest)
    assert blobs.get(HERE, digest) == b"mine"


def test_deleting(blobs):
    digest = blobs.put(HERE, b"x")
    assert blobs.delete(HERE, digest)
    assert not blobs.delete(HERE, digest)
    with pytest.raises(Missing, match=digest):
        blobs.get(HERE, digest)


@pytest.mark.parametrize("changed", [b"xy", b"", b"longer than it was"])
def test_damage_is_noticed_and_putting_again_heals_a_cut_file(blobs, changed):
    digest = blobs.put(HERE, b"ab")
    blobs.path(HERE, digest).write_bytes(changed)
    with pytest.raises(Unavailable, match="damaged"):
        blobs.get(HERE, digest)
    if len(changed) != 2:
        blobs.put(HERE, b"ab")
        assert blobs.get(HERE, digest) == b"ab"


NASTY = ["", "..", "../../etc/passwd", "/etc/passwd", "a/b", "a\\b", "a\0b", "%2e%2e", "C:", "a#b", "x" * 200, "é", "."]


@pytest.mark.parametrize("name", NASTY)
def test_no_path_leaves_the_root(blobs, name):
    good = blobs.put(HERE, b"x")
    for scope, digest in [(Scope(name), good), (HERE, name), (HERE, "sha256:" + name), (HERE, good[:-1]), (HERE, good + "\n")]:
        for verb in (blobs.get, blobs.exists, blobs.delete, blobs.path):
            with pytest.raises(Invalid):
                verb(scope, digest)
    with pytest.raises(Invalid):
        blobs.put(Scope(name), b"x")


def test_writers_at_once_leave_one_whole_file(blobs):
    data = b"z" * 1_000_000
    threads = [threading.Thread(target=blobs.put, args=(HERE, data)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = [path for path in blobs.root.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].read_bytes() == data


def test_a_full_disk_is_an_error_and_leaves_nothing(blobs, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    blobs.put(HERE, b"before")
    monkeypatch.setattr("genwright.blobs.os.fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        blobs.put(HERE, b"a" * 1000 + b"before")
    monkeypatch.undo()
    assert len([path for path in blobs.root.rglob("*") if path.is_file()]) == 1
