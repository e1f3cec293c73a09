"""Pages of prompts: versions, labels and their undo, the form with its conflicts, differences, rendering."""

from urllib.parse import unquote

import pytest

from genwright.errors import Invalid
from genwright.prompts import show
from page_site import PLANTED, PROMPT_CONTENT

FORM = {
    "role-0": "system",
    "content-0": "Be brief.",
    "role-1": "user",
    "content-1": "{{question}}",
    "variables": "{}",
    "parameters": "{}",
}


async def test_a_prompt_is_made_by_the_form(site):
    assert "No prompts yet" in await site.get("/prompts")
    assert 'value="0"' in await site.get("/prompts", new="1")
    response = await site.post("/prompts", 303, name="team/brief", note="first", expected="0", **FORM)
    assert unquote(response.headers["location"]) == "/w/default/prompts/team/brief?v=1"
    version = await site.house.prompts.get(site.scope, "team/brief")
    assert version.content["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "{{question}}"},
    ]
    assert list(version.content["variables"]) == ["question"], "used and not declared: a required string"
    assert "team/brief" in await site.get("/prompts", q="brief")
    assert "team/brief" not in await site.get("/prompts", q="elsewhere")
    html = await site.get("/prompts/team/brief")
    assert "<mark>{{question}}</mark>" in html


async def test_a_conflict_shows_what_stands_and_keeps_what_was_typed(site):
    await site.prompt()
    html = await site.get("/prompts/docs-qa", edit="1")
    assert 'name="expected" value="1"' in html
    await site.prompt(" Somebody else was quicker.")
    typed = {**FORM, "content-0": f"Mine {PLANTED}"}
    response = await site.post("/prompts", 409, name="docs-qa", expected="1", **typed)
    assert "Somebody" in response.text
    assert "Mine &lt;script&gt;" in response.text
    assert 'name="expected" value="2"' in response.text, "saved again, it goes on from what stands"
    assert (await site.house.prompts.get(site.scope, "docs-qa")).number == 2
    await site.post("/prompts", 303, name="docs-qa", expected="2", **typed)
    assert (await site.house.prompts.get(site.scope, "docs-qa")).number == 3


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("variables", "{nonsense", "is not JSON"),
        ("parameters", "[1]", "must be a JSON object"),
        ("content-1", "{{#a}}", "never closed"),
        ("name", "no good!", "cannot be a name"),
    ],
)
async def test_mistakes_come_back_with_the_form(site, field, text, said):
    response = await site.post("/prompts", 422, **{"name": "fine", "expected": "0", **FORM, field: text})
    assert said in response.text
    assert "Be brief." in response.text
    assert text in response.text
    assert not (await site.house.registry.list(site.scope, "prompt")).items


async def test_labels_move_and_move_back(site):
    await site.prompt()
    await site.prompt(" More.")
    await site.post("/prompts/label", 303, name="docs-qa", label="staging", number="1", note="try")
    response = await site.post("/prompts/label", 303, name="docs-qa", label="staging", number="2")
    html = await site.get(response.headers["location"].removeprefix("/w/default"))
    assert "now stands on version 2" in html
    assert "Undo: back to version 1" in html
    await site.post("/prompts/label", 303, name="docs-qa", label="staging", number="1", expected="2", note="undo")
    assert (await site.house.registry.artifact(site.scope, "prompt", "docs-qa")).labels == {"staging": 1}
    await site.post("/prompts/label", 409, name="docs-qa", label="staging", number="2", expected="2")
    moves = await site.house.registry.history(site.scope, "prompt", "docs-qa")
    assert [move.note for move in moves] == ["undo", "", "try"]


async def test_who_may_do_what(site):
    await site.prompt()
    editor, viewer = await site.as_role("editor"), await site.as_role("viewer")
    await editor.post("/prompts/label", 403, name="docs-qa", label="production", number="1")
    await viewer.post("/prompts/label", 403, name="docs-qa", label="staging", number="1")
    await viewer.post("/prompts", 403, name="docs-qa", **FORM)
    await viewer.get("/prompts/docs-qa", 403, edit="1")
    assert "Edit" not in await viewer.get("/prompts/docs-qa")
    assert (await site.house.registry.artifact(site.scope, "prompt", "docs-qa")).labels == {}


async def test_two_versions_are_compared_by_word(site):
    await site.prompt()
    await site.prompt(" In English.")
    html = await site.get("/prompts/docs-qa", a="1", b="2")
    assert "<ins>" in html
    assert "messages[0].content" in html
    assert "No difference" in await site.get("/prompts/docs-qa", a="1", b="1")
    await site.get("/prompts/docs-qa", 404, a="1", b="9")


async def test_rendering_is_tried_without_a_model(site):
    await site.prompt()
    response = await site.post("/prompts/try", name="docs-qa", number="1", **{"variable-question": f"Why {PLANTED}"})
    assert "&lt;question&gt;Why &lt;script&gt;" in response.text
    assert "needs a value for" in (await site.post("/prompts/try", 422, name="docs-qa", number="1")).text


async def test_its_answers_are_found(site):
    version = await site.prompt()
    trace = await site.answered(prompt=version.ref)
    assert f"/w/default/tracing/{trace}" in await site.get("/prompts/docs-qa")


def test_pieces_join_to_the_template_again():
    text = "a {{#list}}{{.}} {{/list}}{{! note }}{{name}} }} {{"
    found = show.pieces(text)
    assert "".join(piece.text for piece in found) == text
    assert [piece.text for piece in found if piece.kind == "variable"] == ["{{.}}", "{{name}}"]
    assert [piece.text for piece in found if piece.kind == "section"] == ["{{#list}}", "{{/list}}", "{{! note }}"]


def test_values_are_read_by_their_type():
    variables = {"q": {}, "n": {"type": "number"}, "all": {"type": "list"}}
    form = {"variable-q": "[1]", "variable-n": "2", "variable-all": '["x"]', "variable-other": "y"}
    assert show.values_of(form, variables) == {"q": "[1]", "n": 2, "all": ["x"]}
    assert show.values_of({"variable-q": " "}, variables) == {}
    with pytest.raises(Invalid):
        show.values_of({"variable-n": "two"}, variables)


def test_the_form_gives_back_the_content_it_was_filled_with():
    form = {
        "role-0": "system",
        "content-0": "Answer briefly.",
        "role-1": "user",
        "content-1": PROMPT_CONTENT["messages"][1]["content"],
    }
    form |= {"variables": show.pretty(PROMPT_CONTENT["variables"]), "parameters": ""}
    assert show.content_of(form) == {**PROMPT_CONTENT, "parameters": {}}
