"""What may stand in an app: every refusal names the step, and keeps nothing."""

import pytest

from app_sample import PROMPT, plain_app
from genwright.agents.graph import check
from genwright.errors import Forbidden, Invalid, Missing

GUARD_IN = {"type": "guard", "id": "in", "rail": "input"}
RETRIEVE = {"type": "retrieve", "id": "find", "index": "index:notes"}
PROMPT_STEP = {"type": "prompt", "id": "ask", "prompt": "prompt:notes"}
MODEL = {"type": "model", "id": "talk", "model": "local/extractive"}
GUARD_OUT = {"type": "guard", "id": "out", "rail": "output"}
PASSAGES = {"type": "guard", "id": "sift", "rail": "passages"}


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([], "no model step"),
        ([MODEL, {**MODEL, "id": "again"}], "talk, again"),
        ([{**GUARD_IN, "id": "talk"}, MODEL], "called talk"),
        ([MODEL, GUARD_IN], "'in' stands after the model"),
        ([MODEL, PROMPT_STEP], "'ask' stands after the model"),
        ([GUARD_OUT, MODEL], "'out' guards the output before"),
        ([PASSAGES, RETRIEVE, PROMPT_STEP, MODEL], "'sift' guards passages before"),
        ([RETRIEVE, GUARD_IN, PROMPT_STEP, MODEL], "'in' guards the question after"),
        ([PROMPT_STEP, RETRIEVE, MODEL], "'ask' must stand right before the model"),
        ([RETRIEVE, MODEL], "'find' finds passages that no prompt"),
        ([RETRIEVE, {**RETRIEVE, "id": "more"}, PROMPT_STEP, MODEL], "find, more"),
        ([{**RETRIEVE, "k": 0}, PROMPT_STEP, MODEL], "'find': k is 0"),
        ([{**RETRIEVE, "k": 51}, PROMPT_STEP, MODEL], "'find': k is 51"),
        ([{**RETRIEVE, "mode": "psychic"}, PROMPT_STEP, MODEL], r"steps\[0\].mode"),
        ([{**GUARD_IN, "rail": "sideways"}, MODEL], r"steps\[0\].rail"),
        ([{**MODEL, "temperature": 1}], "temperature"),
        ([{**MODEL, "model": "app/other"}], "'talk' asks app/other"),
        ([{"type": "wish", "id": "w"}], "wish"),
    ],
)
def test_a_wrong_graph_is_refused_naming_the_step(steps, says):
    with pytest.raises(Invalid, match=says) as caught:
        check({"steps": steps})
    assert caught.value.code == "invalid_app"
    assert "Nothing was kept" in caught.value.message


def test_a_right_graph_passes():
    steps = [GUARD_IN, RETRIEVE, PASSAGES, PROMPT_STEP, MODEL, GUARD_OUT]
    assert [step.id for step in check({"steps": steps}).steps] == ["in", "find", "sift", "ask", "talk", "out"]


async def test_a_ref_that_names_nothing_keeps_nothing_and_names_the_nearest(bench):
    await bench.put("prompt", "notes", PROMPT)
    content = {"steps": [{**PROMPT_STEP, "prompt": "prompt:notse@production"}, MODEL]}
    with pytest.raises(Missing, match="notes"):
        await bench.house.agents.put_app(bench.actor, "notes", content)
    with pytest.raises(Missing, match="production"):
        await bench.house.agents.put_app(
            bench.actor, "notes", {"steps": [{**PROMPT_STEP, "prompt": "prompt:notes@prodution"}, MODEL]}
        )
    page = await bench.house.registry.list(bench.scope, "app")
    assert page.items == []


async def test_versions_edges_and_roles(bench):
    prompt = await bench.put("prompt", "notes", PROMPT)
    content = {"steps": [PROMPT_STEP, MODEL]}
    first = await bench.house.agents.put_app(bench.actor, "notes", content, note="first")
    again = await bench.house.agents.put_app(bench.actor, "notes", content)
    assert (again.number, again.digest) == (first.number, first.digest)
    edges = await bench.house.registry.edges_back(bench.scope, first.digest)
    assert [(edge.relation, edge.target) for edge in edges] == [("uses", prompt.digest)]
    with pytest.raises(Forbidden):
        await bench.house.agents.put_app(bench.as_role("viewer"), "other", plain_app())
    draft = await bench.house.agents.draft(bench.scope, "notes")
    assert (draft.ref, draft.pins["prompt:notes"].digest) == (first.ref, prompt.digest)
    with pytest.raises(Missing, match="notes"):
        await bench.house.agents.draft(bench.scope, "note")
