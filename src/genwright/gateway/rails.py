"""The rail points of one model call: what the workspace's default policy says at each, and what becomes of the call then.

Without a policy none of this is made. Guards themselves are the guardrails room's; each rail point that ran is a span.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from genwright.errors import Blocked
from genwright.gateway.types import Answer, Call, Chunk, ToolDelta, arguments
from genwright.gateway.wire.openai import as_text
from genwright.guardrails.service import blocked
from genwright.messages import Message, Part, Text, ToolCall, ToolResult
from genwright.vocab import POLICY

_LIMITS = {"input": "input_chars", "output": "output_chars", "stream": "output_chars"}
_replace = msgspec.structs.replace


class Rails:
    """One policy, for one call."""

    def __init__(self, guardrails: Any, tracing: Any, actor: Any, ref: str, policy: dict[str, Any]):
        self._guardrails = guardrails
        self._tracing = tracing
        self._actor = actor
        self.ref, self.policy = ref, policy

    def _has(self, rail: str) -> bool:
        rails, limits = self.policy.get("rails", {}), self.policy.get("limits", {})
        return bool(rails.get("output" if rail == "stream" and rail not in rails else rail) or limits.get(_LIMITS.get(rail, "")))

    def _run(self, rail: str, texts: list[str]) -> list[str]:
        """The texts as they may go on. Raises Blocked. The span names what was found and keeps no text: it may be a secret."""
        with self._tracing.span(self._actor, f"guard {rail}", operation="guard") as span:
            span.set("genwright.rail", rail)
            span.set(POLICY, self.ref)
            allowed: list[str] = []
            findings: list[Any] = []
            action = "allow"
            for text in texts:
                verdict = self._guardrails.check(self.policy, rail, text)
                findings += verdict.findings
                if verdict.action == "block":
                    _note(span, "block", findings)
                    raise blocked(rail, verdict, self.ref)
                if verdict.action == "change":
                    action = "change"
                allowed.append(verdict.text)
            _note(span, action, findings)
        return allowed

    def before(self, call: Call) -> Call:
        """Input, tool results and tool definitions, before a provider sees them."""
        if call.tools and self._has("tool_definition"):
            texts = [as_text(tool) for tool in call.tools]
            changed = self._run("tool_definition", texts)
            if changed != texts:
                tools = [_definition(old, new) for old, new in zip(call.tools, changed, strict=True)]
                call = _replace(call, tools=tools, wire=call.wire.without("tools") if call.wire is not None else None)
        messages = call.messages
        if self._has("input"):
            messages = self._over(messages, "input", _user_text, lambda part, text: Text(text))
        if self._has("tool_call"):
            messages = self._over(messages, "tool_call", _tool_result, lambda part, text: ToolResult(part.id, text))
        if messages is call.messages:
            return call
        return _replace(call, messages=messages, wire=call.wire.without(*call.wire.parts) if call.wire is not None else None)

    def _over(
        self, messages: list[Message], rail: str, pick: Callable[[Message, Part], str | None], put: Callable[[Any, str], Part]
    ) -> list[Message]:
        """Run a rail over the picked parts; the same list if nothing was changed."""
        found = [(m, p, text) for m, message in enumerate(messages) for p, part in enumerate(message.parts)
                 if (text := pick(message, part)) is not None]  # fmt: skip
        if not found:
            return messages
        allowed = self._run(rail, [text for *_, text in found])
        changes = {(m, p): new for (m, p, old), new in zip(found, allowed, strict=True) if new != old}
        if not changes:
            return messages
        return [
            _replace(
                message, parts=[put(part, changes[m, p]) if (m, p) in changes else part for p, part in enumerate(message.parts)]
            )
            for m, message in enumerate(messages)
        ]

    def after(self, answer: Answer) -> Answer:
        """A plain answer: its texts and tool calls."""
        messages = [answer.message, *answer.others]
        kept = messages
        if self._has("output"):
            kept = self._over(kept, "output", lambda message, part: part.content if isinstance(part, Text) else None,
                              lambda part, text: Text(text))  # fmt: skip
        if self._has("tool_call"):
            kept = self._over(kept, "tool_call", _tool_call, lambda part, text: ToolCall(part.id, part.name, arguments(text)))
        if kept is messages:
            return answer
        return _replace(answer, message=kept[0], others=kept[1:], raw=b"")

    def stream(self) -> StreamRails | None:
        """Hold-back for a streamed answer, or None where the policy has nothing for it."""
        text, tools = self._has("stream"), self._has("tool_call")
        return StreamRails(self, text, tools) if text or tools else None

    def check_tools(self, texts: list[str]) -> list[str]:
        """Whole arguments of streamed tool calls."""
        return self._run("tool_call", texts)

    def guard(self) -> Any:
        """A new hold-back."""
        return self._guardrails.stream(self.policy)

    def report(self, findings: list[Any], error: BaseException | None) -> None:
        """What the hold-back of a whole stream found, as a span at its end."""
        action = "block" if isinstance(error, Blocked) else "change" if any(f.action == "change" for f in findings) else "allow"
        with self._tracing.span(self._actor, "guard stream", operation="guard") as span:
            span.set("genwright.rail", "stream")
            span.set(POLICY, self.ref)
            _note(span, action, findings)


class StreamRails:
    """Holds text back as long as the stream rail needs it, and tool calls until they are whole."""

    def __init__(self, rails: Rails, text: bool, tools: bool):
        self._rails = rails
        self._text, self._tools = text, tools
        self._guards: dict[int, Any] = {}
        self._all: list[Any] = []
        self._calls: dict[int, dict[int, list[Any]]] = {}

    def feed(self, chunk: Chunk) -> Chunk | None:
        """What may go on now; None if nothing. Raises Blocked."""
        text, tools = chunk.text, chunk.tool_calls
        if self._text and text:
            guard = self._guards.get(chunk.index)
            if guard is None:
                guard = self._guards[chunk.index] = self._rails.guard()
                self._all.append(guard)
            text = guard.feed(text)
        if self._tools and tools:
            held = self._calls.setdefault(chunk.index, {})
            for delta in tools:
                call = held.setdefault(delta.index, ["", "", ""])
                call[0], call[1] = call[0] or delta.id, call[1] or delta.name
                call[2] += delta.arguments
            tools = []
        if chunk.finish_reason:
            text += self._guards.pop(chunk.index).close() if chunk.index in self._guards else ""
            tools = self._release(chunk.index) or tools
        if not (text or tools or chunk.reasoning or chunk.finish_reason or chunk.usage or chunk.extra):
            return None
        return _replace(chunk, text=text, tool_calls=tools, raw=b"")

    def _release(self, index: int) -> list[ToolDelta]:
        held = self._calls.pop(index, None)
        if not held:
            return []
        numbers = sorted(held)
        allowed = self._rails.check_tools([held[number][2] for number in numbers])
        return [ToolDelta(n, held[n][0], held[n][1], text) for n, text in zip(numbers, allowed, strict=True)]

    def close(self) -> Chunk | None:
        """What is still held when the stream ended without a finish reason."""
        text = "".join(guard.close() for guard in self._guards.values())
        return Chunk(text=text) if text else None

    def report(self, error: BaseException | None = None) -> None:
        """The stream has ended."""
        if self._text:
            self._rails.report([finding for guard in self._all for finding in guard.findings], error)


def _note(span: Any, action: str, findings: list[Any]) -> None:
    span.set("genwright.action", action)
    span.set("genwright.findings", [msgspec.to_builtins(finding) for finding in findings])


def _user_text(message: Message, part: Part) -> str | None:
    return part.content if message.role == "user" and isinstance(part, Text) else None


def _tool_result(message: Message, part: Part) -> str | None:
    return as_text(part.response) if isinstance(part, ToolResult) else None


def _tool_call(message: Message, part: Part) -> str | None:
    return as_text(part.arguments) if isinstance(part, ToolCall) else None


def _definition(old: dict[str, Any], text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Blocked(f"A rail changed the definition of tool {old.get('name')} into no JSON. Nothing was sent.",
                      rail="tool_definition") from error  # fmt: skip
