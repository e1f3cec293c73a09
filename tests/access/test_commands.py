"""`genwright keys` and `genwright artifacts` over HTTP against a real server on loopback."""

import asyncio
import contextlib
import json
import socket
import threading

import pytest
import typer
import uvicorn
from typer.testing import CliRunner

import genwright.client
from genwright.access.commands import keys
from genwright.cli import Console
from genwright.errors import Conflict, Forbidden, Missing, Unauthenticated
from genwright.registry.commands import app as artifacts
from genwright.vocab import Scope
from genwright.web.server import operations_of


@contextlib.contextmanager
def serving(asgi):
    """The address of a server for the application, stopped afterwards."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(asgi, log_level="error", lifespan="off", interface="asgi3"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
async def cli(web, tmp_path, monkeypatch):
    """`await cli("keys", "list", role="admin")` gives what was printed; errors are raised."""
    table = tmp_path / "operations.json"
    table.write_text(json.dumps(operations_of(("access", "registry"))))
    monkeypatch.setattr(genwright.client, "OPERATIONS", table)
    genwright.client.operations.cache_clear()
    tree = typer.Typer()
    tree.add_typer(keys, name="keys")
    tree.add_typer(artifacts, name="artifacts")
    with serving(web.door) as url:

        async def run(*words, role="admin", as_json=True, key=""):
            monkeypatch.setenv("GENWRIGHT_API_KEY", key or await web.key(role))
            console = Console(as_json=as_json, url=url, home=str(tmp_path))
            try:
                result = await asyncio.to_thread(CliRunner().invoke, tree, words, obj=console)
            finally:
                await asyncio.to_thread(console.close)
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception
            assert result.exit_code == 0, result.output
            return json.loads(result.stdout) if as_json else result.output

        yield run
    genwright.client.operations.cache_clear()


async def test_the_life_of_a_key(cli, web):
    made = await cli("keys", "create", "my bot", "--role", "viewer", "--days", "2")
    assert (await web.access.actor_for_key(made["secret"])).id == made["id"]
    text = await cli("keys", "list", as_json=False)
    assert made["id"] in text
    assert "valid until" in text
    assert made["secret"] not in text
    assert (await cli("keys", "revoke", made["id"]))["name"] == "my bot"
    with pytest.raises(Unauthenticated):
        await web.access.actor_for_key(made["secret"])
    assert "revoked" in await cli("keys", "list", as_json=False)
    with pytest.raises(Missing, match=made["id"]):
        await cli("keys", "revoke", made["id"] + "x")
    with pytest.raises(Forbidden):
        await cli("keys", "list", role="editor")
    with pytest.raises(Unauthenticated):
        await cli("keys", "list", key="gw_junk")


async def test_a_link_logs_in(cli, web):
    link = (await cli("keys", "link"))["link"]
    cookie = await web.access.redeem(link.partition("token=")[2])
    assert (await web.access.actor_for_session(cookie)).role == "admin"


async def test_the_audit_log(cli):
    await cli("keys", "create", "x")
    found = await cli("keys", "audit", "--action", "access.create_key", "--limit", "1")
    assert found["verification"]["sound"]
    assert [event["details"]["name"] for event in found["items"]] == ["x"]
    assert "The log is whole" in await cli("keys", "audit", as_json=False)


async def test_artifacts(cli, web):
    actor = await web.access.actor_for_key(await web.key("editor"))
    one = await web.registry.put(actor, "prompt", "docs/qa", {"text": "ä\x1b[31m"}, note="first")
    await web.registry.put(actor, "prompt", "docs/qa", {"text": "b"})
    assert [row["name"] for row in (await cli("artifacts", "list", "--kind", "prompt"))["items"]] == ["docs/qa"]
    moved = await cli("artifacts", "label", "prompt:docs/qa", "production", "1", "--expected", "0", "--note", "why")
    assert (moved["from"], moved["to"]) == (None, 1)
    with pytest.raises(Conflict):
        await cli("artifacts", "label", "prompt:docs/qa", "production", "2", "--expected", "0")
    shown = await cli("artifacts", "show", "prompt:docs/qa@production")
    assert (shown["digest"], shown["content"]) == (one.digest, one.content)
    history = await cli("artifacts", "history", "prompt:docs/qa")
    assert ([row["number"] for row in history["versions"]], [row["note"] for row in history["moves"]]) == ([2, 1], ["why"])
    for words in (["list"], ["show", "prompt:docs/qa@1"], ["history", "prompt:docs/qa"]):
        text = await cli("artifacts", *words, as_json=False)
        assert "docs/qa" in text
        assert "\x1b[31m" not in text
    with pytest.raises(Missing, match="docs/qa"):
        await cli("artifacts", "show", "prompt:docs/q")
    assert await web.registry.labels(Scope("other"), "prompt", "docs/qa") == []
