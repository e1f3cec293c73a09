"""`genwright releases gate` and `genwright apps new` as typed, without a server: the command runs the app in its own process."""

import json

import pytest
from typer.testing import CliRunner

from genwright.cli import build
from genwright.errors import Error


@pytest.fixture
def genwright(tmp_path, monkeypatch):
    monkeypatch.setenv("GENWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GENWRIGHT_URL", raising=False)

    def run(*words: str) -> str:
        result = CliRunner().invoke(build(), list(words))
        if isinstance(result.exception, Error):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_a_gate_is_set_and_shown_and_a_wrong_one_is_not_kept(genwright, tmp_path):
    file = tmp_path / "gate.json"
    file.write_text(json.dumps({"not_wors": ["token_f1"]}))
    with pytest.raises(Error, match=r"not_wors.*Nothing was saved"):
        genwright("releases", "gate", "helper", str(file))
    with pytest.raises(Error, match="no gate 'helper'"):
        genwright("releases", "gate", "helper")
    gate = {"not_worse": ["token_f1"], "margin": 0.1}
    file.write_text(json.dumps(gate))
    genwright("releases", "gate", "helper", str(file))
    assert json.loads(genwright("--json", "releases", "gate", "helper")) == gate


def test_an_app_is_made_from_a_folder_and_listed_with_its_release(genwright, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "sea.md").write_text("# Tides\n\nThe tide of the harbour turns every six hours and twelve minutes.\n")
    genwright("ingest", str(tmp_path / "notes"), "--corpus", "sea")
    assert "release:helper@1 is production" in genwright("apps", "new", "helper")
    assert "release 1" in genwright("apps", "list")
    answer = json.loads(genwright("--json", "ask", "When does the tide turn?", "--app", "helper"))
    assert "six hours and twelve minutes" in answer["answer"]
    assert answer["passages"][0]["name"] == "sea.md"
