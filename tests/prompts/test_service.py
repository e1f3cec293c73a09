"""Prompt versions: saved, read by label, rendered, compared."""

import pytest

from genwright.errors import Conflict, Invalid, Missing
from genwright.prompts import service as prompts
from genwright.prompts.service import Prompts
from genwright.registry.service import Registry
from genwright.vocab import Scope

CONTENT = {
    "messages": [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": "{{question}}"}],
    "variables": {"question": {"type": "string"}},
    "parameters": {"temperature": 0.2},
}


@pytest.fixture
def service(databases):
    return Prompts(Registry(databases["registry"]))


def test_rendering_gives_messages_and_parameters():
    rendered = prompts.render(CONTENT, {"question": "Why?"})
    assert [(message.role, message.text) for message in rendered.messages] == [("system", "Answer briefly."), ("user", "Why?")]
    assert rendered.parameters == {"temperature": 0.2}


@pytest.mark.parametrize("variables", [{}, {"question": 3}, {"question": "x", "other": "y"}])
def test_wrong_variables_are_refused_by_name(variables):
    with pytest.raises(Invalid, match=r"question|other"):
        prompts.render(CONTENT, variables)


def test_undeclared_variables_and_unknown_fields_are_refused():
    with pytest.raises(Invalid, match="context"):
        prompts.check({"messages": [{"role": "user", "content": "{{context}}"}]})
    with pytest.raises(Invalid, match="temperatur"):
        prompts.check({"messages": [{"role": "user", "content": "x"}], "temperatur": 1})


async def test_versions_and_labels(service, actor, scope):
    first = await service.put(actor, "docs/qa", CONTENT, note="first")
    changed = {**CONTENT, "messages": [*CONTENT["messages"][:1], {"role": "user", "content": "Question: {{question}}"}]}
    second = await service.put(actor, "docs/qa", changed)
    assert (first.number, second.number) == (1, 2)
    assert first.digest != second.digest
    assert (await service.put(actor, "docs/qa", changed)).number == 2
    assert (await service.get(scope, "docs/qa", "1")).digest == first.digest
    with pytest.raises(Conflict):
        await service.put(actor, "docs/qa", CONTENT, expected=1)
    with pytest.raises(Missing, match="docs/qa"):
        await service.get(scope, "docs/qaa")
    with pytest.raises(Missing):
        await service.get(Scope("elsewhere", "default"), "docs/qa")


async def test_diff_names_the_field_and_the_words(service, actor, scope):
    await service.put(actor, "qa", CONTENT)
    await service.put(actor, "qa", {**CONTENT, "parameters": {"temperature": 0.7}, "messages": [
        {"role": "system", "content": "Answer very briefly."}, CONTENT["messages"][1]]})  # fmt: skip
    found = {field.field: field.changes for field in await service.diff(scope, "qa", "1", "2")}
    assert set(found) == {"messages[0].content", "parameters.temperature"}
    changes = found["messages[0].content"]
    assert [(change.op, change.text.strip()) for change in changes] == [
        ("equal", "Answer"),
        ("insert", "very"),
        ("equal", "briefly."),
    ]
    assert "".join(change.text for change in changes if change.op != "insert") == "Answer briefly."
    assert "".join(change.text for change in changes if change.op != "delete") == "Answer very briefly."
