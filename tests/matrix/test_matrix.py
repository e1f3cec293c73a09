"""Every feature from every face to every provider: it passes, or is refused by its name; nothing is dropped silently."""

from __future__ import annotations

import os

import pytest

from matrix import page
from matrix.columns import FACES, providers
from matrix.features import FEATURES
from matrix.recorded import FACES as SHOWN
from matrix.recorded import OPENAI, outcome, recordings

recorded = pytest.mark.skipif(not OPENAI.is_dir(), reason=f"the recorded answers are not at {OPENAI}")


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
@pytest.mark.parametrize("face", FACES)
def test_a_feature_passes_or_is_refused_by_its_name(face, feature):
    cells = {name: page.cell(face, name, feature) for name in providers()}
    assert {name: cell.about for name, cell in cells.items() if cell.state == "wrong"} == {}
    if face in cells and face in feature.says:
        assert cells[face].state == "passes"


@recorded
@pytest.mark.parametrize("recording", recordings(), ids=lambda recording: recording.name)
def test_a_recorded_answer_says_the_same_in_every_face(recording):
    found = {face: outcome(recording, face) for face in SHOWN}
    assert not any(text.startswith("WRONG") for text in found.values()), found
    assert found.get(recording.dialect, "as it came") == "as it came"  # Bedrock has no face


@recorded
def test_there_is_enough_to_compare():
    assert len(recordings()) > 80
    across = [r.name for r in recordings() if "yes" in [outcome(r, face) for face in SHOWN]]
    assert len(across) >= 40, across


@recorded
def test_the_page_is_current():
    text = page.page()
    if os.environ.get("GENWRIGHT_WRITE"):
        page.PAGE.write_text(text)
    assert page.PAGE.read_text() == text, "run: GENWRIGHT_WRITE=1 pytest tests/matrix"
