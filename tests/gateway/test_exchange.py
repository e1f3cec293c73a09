"""One request of a face: clients that go away and still pay for it, headers that say how a call is to be run."""

from __future__ import annotations

import json
import socket
import time

import httpx
import pytest
import sqlalchemy as sa

from genwright import migrate, tokens
from genwright.access.types import Under
from genwright.db import Database
from genwright.gateway.responses import store
from genwright.gateway.responses.store import Kept
from genwright.testing.provider import Fault, Reply
from genwright.vocab import Scope

ASK = [{"role": "user", "content": "one two three"}]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_key_that_drains_reads_and_bills_the_whole_answer(served, provider, stream, path):
    admin, under = served.admin, Under(on_disconnect="drain")
    _, key = served.run(served.house.access.create_key(admin, "drains", "editor", under=under))
    provider.script([Reply("one two three four", fault=Fault.slow(0.1 if stream else 0.5))])
    asked = {"input": "x"} if path == "/v1/responses" else {"messages": ASK, "max_tokens": 50}
    body = json.dumps({"model": "test/m", **asked, "stream": stream}).encode()
    trace_id = f"{time.time_ns():032x}"
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nx-genwright-drop-params: true\r\n"
        f"traceparent: 00-{trace_id}-00000000000000aa-01\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(served.origin.rpartition(":")[2]))) as connection:
        connection.sendall(head.encode() + body)
        received = b""
        while stream and b"one" not in received:
            received += (piece := connection.recv(65536))
            assert piece, received
        if not stream:
            time.sleep(0.25)
    end = time.monotonic() + 5
    while not (rows := served.ledger(trace_id)):
        assert time.monotonic() < end
        time.sleep(0.02)
    (row,) = rows
    assert (row.status, row.output_tokens, row.estimated) == ("ok", 4, False)
    assert provider.calls[-1].outcome == "complete"


def test_a_call_ends_when_its_time_is_up(served, provider):
    tokens.count("warm", "gpt-5")  # the first count loads its table, and what was sent is counted
    provider.script([Fault.hang()])
    headers = {"authorization": f"Bearer {served.house.keys['full']}", "x-genwright-timeout": "0.2"}
    answer = httpx.post(served.origin + "/v1/chat/completions", json={"model": "test/m", "messages": ASK}, headers=headers)
    assert answer.status_code == 504
    (row,) = served.ledger(answer.headers["x-genwright-trace"])
    assert row.duration_ns < 0.55e9  # the server's own first limit is 0.6 s
    provider.clear()
    for name, value in [("x-genwright-timeout", "-1"), ("x-genwright-cache", "always"), ("x-genwright-cache-ttl", "soon")]:
        answer = httpx.post(
            served.origin + "/v1/chat/completions",
            json={"model": "test/m", "messages": ASK},
            headers={**headers, name: value},
        )
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)
    assert provider.calls == []


@pytest.mark.parametrize(
    ("method", "path", "headers", "kind"),
    [
        ("GET", "/v1/chat/completions", {}, "openai"),
        ("POST", "/v1/nothing", {}, "openai"),
        ("POST", "/v1/nothing", {"anthropic-version": "2023-06-01"}, "anthropic"),
        ("POST", "/v1/messages/nothing", {}, "anthropic"),
        ("POST", "/v1beta/models/m:nothing", {}, "gemini"),
    ],
)
def test_errors_of_any_path_come_in_the_callers_dialect(served, method, path, headers, kind):
    key = {"authorization": f"Bearer {served.house.keys['full']}"}
    for sent in (headers, headers | key):
        answer = httpx.request(method, served.origin + path, headers=sent)
        body = answer.json()
        assert answer.status_code in ((401,) if sent is headers else (404, 405))
        assert ("type" in body) == (kind == "anthropic")
        assert ("status" in body["error"]) == (kind == "gemini")
        assert ("param" in body["error"]) == (kind == "openai")


def test_a_database_of_the_schema_before_responses_keeps_what_it_had(tmp_path):
    database = Database("registry", f"sqlite:///{tmp_path / 'x.sqlite'}")
    migrate.migrate(database, "0007")
    with database.engine.connect() as connection:
        connection.exec_driver_sql(
            "INSERT INTO gateway_providers (workspace, project, name, kind, base_url, secret, created_ns, created_by) "
            "VALUES ('default', 'default', 'p', 'openai', 'https://x', NULL, 1, 'key_1')"
        )
    migrate.migrate(database)
    kept = Kept("resp_1", "", "", "completed", [{"role": "user"}], {"id": "resp_1"}, 5, "key_1", 10)
    with database.engine.connect() as connection:
        store.put(connection, Scope(), kept)
        assert store.get(connection, Scope(), "resp_1", 9) == kept
        assert store.get(connection, Scope(), "resp_1", 10) is None, "it has expired"
        assert store.get(connection, Scope("default", "other"), "resp_1", 9) is None, "another project's"
        assert connection.execute(sa.text("SELECT name FROM gateway_providers")).scalar() == "p"
    database.close()
