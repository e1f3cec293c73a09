"""An Idempotency-Key: one request, one answer, one bill, however often it is sent."""

import threading

import httpx

from genwright.testing.provider import Fault, Reply

CHAT = {"model": "test/m", "messages": [{"role": "user", "content": "a b c"}]}


def ask(served, key, body=CHAT, path="/v1/chat/completions", who="full"):
    headers = {"authorization": f"Bearer {served.house.keys[who]}", **({"idempotency-key": key} if key else {})}
    return httpx.post(served.origin + path, json=body, headers=headers, timeout=20)


def test_the_stored_answer_is_given_again_and_nothing_is_billed(served, provider):
    first, second = ask(served, "k-1"), ask(served, "k-1")
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["x-genwright-trace"] == first.headers["x-genwright-trace"]
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    assert len(provider.calls) == 1
    assert len(served.ledger(first.headers["x-genwright-trace"])) == 1


def test_a_stream_is_given_again_as_a_stream(served, provider):
    body = {**CHAT, "stream": True}
    first, second = ask(served, "k-2", body), ask(served, "k-2", body)
    assert first.content == second.content
    assert first.content.endswith(b"data: [DONE]\n\n")
    assert second.headers["content-type"] == first.headers["content-type"]
    assert len(provider.calls) == 1


def test_another_body_or_path_is_a_conflict(served, provider):
    ask(served, "k-3")
    other = ask(served, "k-3", {**CHAT, "temperature": 0.5})
    assert other.status_code == 409
    assert "another request" in other.json()["error"]["message"]
    dialect = {**CHAT, "max_tokens": 5}
    assert ask(served, "k-3", dialect, "/v1/messages").status_code == 409
    assert len(provider.calls) == 1


def test_a_key_is_its_callers_own(served, provider):
    assert ask(served, "k-4").status_code == ask(served, "k-4", who="metadata").status_code == 200
    assert len(provider.calls) == 2


def test_a_failure_is_not_kept(served, provider):
    provider.script([Fault.status(500), Reply("fine")])
    assert ask(served, "k-5").status_code == 502
    again = ask(served, "k-5")
    assert again.status_code == 200
    assert again.json()["choices"][0]["message"]["content"] == "fine"


def test_while_it_is_under_way_a_second_one_is_told_so(served, provider):
    provider.script([Reply("slow", fault=Fault.slow(0.4))])
    answers = []
    first = threading.Thread(target=lambda: answers.append(ask(served, "k-6")))
    first.start()
    while not provider.calls:
        pass
    second = ask(served, "k-6")
    first.join()
    assert second.status_code == 409
    assert "under way" in second.json()["error"]["message"]
    assert answers[0].status_code == 200
    assert ask(served, "k-6").content == answers[0].content
    assert len(provider.calls) == 1


def test_a_key_that_is_too_long_is_refused(served, provider):
    answer = ask(served, "x" * 256)
    assert answer.status_code == 400
    assert not provider.calls
