"""Documentation that cannot drift: settings, operations, tables and the proofs in capabilities.md."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from genwright import settings

ROOT = Path(__file__).parents[2]


def test_every_setting_is_documented_with_a_sentence():
    rows = settings.describe()
    assert [row[0] for row in rows] == list(settings.Settings.__struct_fields__)
    assert all(row[3].endswith(".") for row in rows)


@pytest.mark.parametrize("page", ["settings.md", "api.md", "tables.md", "cli.md"])
def test_generated_pages_are_current(page, tmp_path):
    subprocess.run([sys.executable, ROOT / "tools" / "write_docs.py", tmp_path], check=True)
    assert (ROOT / "docs" / page).read_text() == (tmp_path / page).read_text(), "run: make docs"


def proofs() -> list[str]:
    text = (ROOT / "docs" / "capabilities.md").read_text()
    return sorted(set(re.findall(r"`((?:tests|benchmarks)/[\w/.-]+(?:::\w+)?)`", text)))


@pytest.mark.parametrize("proof", proofs())
def test_named_proofs_exist(proof):
    path, _, name = proof.partition("::")
    assert (ROOT / path).exists()
    if name:
        assert re.search(rf"def {name}\b", (ROOT / path).read_text())


def test_no_registry_address_and_no_machine_path_is_committed():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    hosts = re.compile(rb"pyp" rb"i\.org|pythonhos" rb"ted\.org|registry\.np" rb"mjs|deb\.deb" rb"ian\.org")
    paths = re.compile(rb"(?<![\w.])/(work|farm|root)/[A-Za-z.]")
    wrong = []
    for name in filter(None, listed):
        file = ROOT / name.decode()
        if file.exists() and file.suffix not in (".xz", ".onnx", ".png"):
            data = file.read_bytes()
            if hosts.search(data) or paths.search(data):
                wrong.append(name.decode())
    assert not wrong
