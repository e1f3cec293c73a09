"""`genwright policies`: what a person sees."""

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from genwright.errors import Invalid
from genwright.guardrails.commands import app
from genwright.guardrails.service import DEFAULT_POLICY, Guardrails
from genwright.registry.service import Registry


class Recorder:
    """The console's face as commands use it, over the real service instead of HTTP."""

    def __init__(self, guardrails, registry, actor, run):
        self.as_json = False
        self.shown, self.written = [], []

        def check(**body):
            return json.loads(encode(run(guardrails.try_out(actor.scope, body["policy"], body["rail"], body["text"]))))

        def put(**body):
            return json.loads(encode(run(guardrails.put(actor, body["name"], body["content"], note=body["note"]))))

        def get(**query):
            return json.loads(encode(run(guardrails.get(actor.scope, query["name"], query["selector"]))))

        def label(**body):
            return run(registry.label(actor, body["kind"], body["name"], body["label"], body["number"]))

        verbs = SimpleNamespace(check=check, put=put, get=get)
        self.client = SimpleNamespace(guardrails=verbs, registry=SimpleNamespace(label=label))

    def show(self, data, columns=None, title=""):
        self.shown.append(data)

    def write(self, text):
        self.written.append(text)


def encode(value):
    import msgspec

    return msgspec.json.encode(value)


@pytest.fixture
def console(databases, actor):
    import asyncio

    registry = Registry(databases["registry"])
    return Recorder(Guardrails(registry), registry, actor, asyncio.run)


def invoke(console, *words, given=None):
    return CliRunner().invoke(app, list(words), obj=console, input=given, catch_exceptions=False)


def test_put_show_check(console, tmp_path):
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(DEFAULT_POLICY))
    invoke(console, "put", "default", str(file), "--label", "production")
    assert console.shown[0]["number"] == 1
    invoke(console, "show", "policy:default@production")
    text = "\n".join(console.written)
    assert "[passages]" in text
    assert "block   injection" in text
    assert "input_chars: 200,000" in text
    console.written.clear()
    invoke(console, "check", "-", given="Mail a.b@example.org the key AK" + "IANZ2ZKR46AHUSWOWS")
    assert console.written[0].startswith("change (")
    assert any("secrets/aws_access_key at 29-49" in line for line in console.written)
    assert "[AWS_ACCESS_KEY]" in console.written[-1]


def test_a_file_that_is_no_policy_is_refused(console):
    with pytest.raises(Invalid, match="not JSON"):
        invoke(console, "put", "x", "-", given="limits: 3")
    with pytest.raises(Invalid, match="limts"):
        invoke(console, "put", "x", "-", given='{"limts": {}}')
