"""The whole house behind its door, read as a browser reads it: `site.get`, `site.post`, and what must hold of every page."""

from __future__ import annotations

import httpx
from test_web_pages import Document

from genwright.access.types import SYSTEM, Actor
from genwright.app import COOKIE, Door
from genwright.messages import say
from genwright.settings import Settings
from genwright.vocab import APP, INDEX, PROMPT, RELEASE, Scope, digest

BASE = "http://127.0.0.1"
PLANTED = '<script>alert("planted")</script><img src=x onerror=alert(1)>'
PROMPT_CONTENT = {
    "messages": [
        {"role": "system", "content": "Answer briefly."},
        {"role": "user", "content": "<question>{{question}}</question>"},
    ],
    "variables": {"question": {"type": "string", "example": "What is a list?"}},
}
APP_CONTENT = {
    "description": "Answers",
    "steps": [
        {"id": "guard_input", "type": "guard", "rail": "input"},
        {"id": "prompt", "type": "prompt", "prompt": "prompt:docs-qa@production"},
        {"id": "model", "type": "model", "model": "local/extractive"},
    ],
}


class Site:
    """A signed-in browser of one role; `as_role` gives one of another."""

    def __init__(self, house, door, cookie: str, actor: Actor):
        self.house, self.door, self.actor = house, door, actor
        self.scope = actor.scope
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(door), base_url=BASE, cookies={COOKIE: cookie}, headers={"accept": "text/html"}
        )

    @classmethod
    async def open(cls, settings: Settings) -> Site:
        door = Door(settings)
        house = await door.open()
        return await cls(house, door, "", SYSTEM(Scope())).as_role("admin")

    async def as_role(self, role: str) -> Site:
        _, secret = await self.house.access.create_key(SYSTEM(self.scope), role, role)
        cookie = await self.house.access.login_with_key(secret)
        return Site(self.house, self.door, cookie, await self.house.access.actor_for_key(secret))

    async def get(self, path: str, expect: int = 200, **query: str) -> str:
        response = await self._client.get(f"/w/default{path}", params=query or None)
        assert response.status_code == expect, (response.status_code, response.text[:2000])
        if response.headers["content-type"].startswith("text/html"):
            sound(response.text)
        return response.text

    async def post(self, path: str, expect: int = 200, **form: str) -> httpx.Response:
        response = await self._client.post(f"/w/default{path}", data=form, headers={"origin": BASE})
        assert response.status_code == expect, (response.status_code, response.text[:2000])
        if response.headers.get("content-type", "").startswith("text/html"):
            sound(response.text)
        return response

    async def close(self) -> None:
        await self.door.close()

    # -- things to look at

    async def prompt(self, extra: str = ""):
        content = {
            **PROMPT_CONTENT,
            "messages": [{"role": "system", "content": f"Answer briefly.{extra}"}, PROMPT_CONTENT["messages"][1]],
        }
        return await self.house.prompts.put(self.actor, "docs-qa", content, note=extra)

    async def released(self):
        """A prompt in production, an app that uses it, its first release."""
        from genwright.releases.types import CreateRelease

        await self.prompt()
        await self.house.registry.label(self.actor, "prompt", "docs-qa", "production", 1)
        await self.house.agents.put_app(self.actor, "docs-qa", APP_CONTENT)
        return await self.house.releases.create(self.actor, CreateRelease(app="docs-qa", note="first"))

    async def answered(
        self, question: str = "What is a list?", answer: str = "A sequence [1].", *, fail: str = "", **refs: str
    ) -> str:
        """A recorded answer with a guard, a retrieval and a model call; its trace id."""
        tracing, passages = self.house.tracing, [passage(1, "The list type"), passage(2, PLANTED)]
        try:
            with tracing.span(self.actor, "app docs-qa", operation="invoke_agent") as root:
                root.set(APP, "docs-qa")
                root.set("session.id", "s-1")
                root.input = [say("user", question)]
                if "release" in refs:
                    root.set(RELEASE, refs["release"])
                with tracing.span(self.actor, "guard input", operation="guard") as guard:
                    guard.set("genwright.rail", "input")
                    guard.set("genwright.action", "allow")
                    guard.set("genwright.findings", [finding()])
                with tracing.span(self.actor, "retrieval", operation="retrieval") as found:
                    found.set("gen_ai.retrieval.documents", passages)
                    found.output = passages
                    if "index" in refs:
                        found.set(INDEX, refs["index"])
                with tracing.span(self.actor, "chat m", operation="chat") as chat:
                    chat.set("gen_ai.request.model", "local/extractive")
                    chat.set("gen_ai.usage.input_tokens", 10)
                    chat.set("gen_ai.usage.output_tokens", 5)
                    if "prompt" in refs:
                        chat.set(PROMPT, refs["prompt"])
                    if fail:
                        raise RuntimeError(fail)
                root.output = [say("assistant", answer)]
        except RuntimeError:
            pass
        await tracing.flush()
        return root.trace_id


def passage(n: int, text: str) -> dict:
    return {
        "n": n, "id": f"d:{n}", "document": digest(f"d{n}"), "name": f"doc{n}.md", "title": f"Document {n}", "heading": "Types",
        "start": 0, "end": len(text), "score": 0.5, "scores": {}, "text": text,
    }  # fmt: skip


def finding() -> dict:
    return {"guard": "pii", "kind": "email", "action": "flag", "reason": "an e-mail address", "start": 1, "end": 9}


def sound(html: str) -> None:
    """What holds of every page and part of one: balanced, nothing inline, nothing planted alive, everything named."""
    page = Document(html)
    assert page.problems == []
    assert PLANTED not in html
    labels = {attributes.get("for") for _, attributes, _ in page.all("label")}
    for tag, attributes, text in page.elements:
        assert tag != "style"
        assert "style" not in attributes, (tag, attributes)
        assert not [name for name in attributes if name.startswith("on") or name.startswith("hx-on")], (tag, attributes)
        if tag == "script":
            assert attributes.get("src", "").startswith("/static/")
        if tag in ("a", "button"):
            assert attributes.get("aria-label") or "".join(text).strip(), (tag, attributes)
        if tag == "a":
            assert attributes["href"].startswith(("/", "?", "#")), attributes
        if tag in ("input", "select", "textarea"):
            named = attributes.get("type") in ("hidden", "checkbox", "radio") or attributes.get("id") in labels
            assert named or attributes.get("aria-label"), (tag, attributes)
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), [name for name in ids if ids.count(name) > 1]
    if "<html" in html:
        assert len(page.all("h1")) == 1
