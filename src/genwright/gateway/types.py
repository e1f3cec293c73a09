"""The gateway's records: what is asked (Call), what comes back (Chunk, Answer), and who can be asked (Provider, Model).

They know messages and money, and no wire format: `raw` and `Wire` only carry bytes past us where both sides speak alike.
"""

from __future__ import annotations

from typing import Any

import msgspec

from genwright.messages import Message, ToolCall
from genwright.prices import Usage


class PromptUse(msgspec.Struct, frozen=True):
    """A prompt version to be rendered in front of the messages, once per attempt, after the model is chosen."""

    version: Any
    """registry Version of kind prompt."""
    variables: dict[str, Any] = {}


class Wire(msgspec.Struct, frozen=True):
    """The caller's own body, so that a provider of the same dialect gets it as it was written."""

    dialect: str
    """openai or anthropic."""
    body: dict[str, Any]
    """Decoded JSON; never changed in place."""
    headers: dict[str, str] = {}
    """Request headers of the dialect that go along (anthropic-beta)."""


class Call(msgspec.Struct, frozen=True):
    """One chat request, whatever dialect it came in."""

    model: str
    """app/NAME[@label|@n] or PROVIDER/MODEL."""
    messages: list[Message] = []
    parameters: dict[str, Any] = {}
    """Under OpenAI's names: temperature, top_p, max_tokens, stop, seed, tool_choice, response_format …"""
    tools: list[dict[str, Any]] = []
    """{"name", "description", "parameters": JSON schema}."""
    prompt: PromptUse | None = None
    session: str = ""
    user: str = ""
    tags: dict[str, str] = {}
    rails: bool = True
    """Whether the workspace's default policy is run; False when an app runs its own."""
    extra: dict[str, Any] = {}
    """Fields of the caller's dialect that have no neutral name; only a provider of the same dialect takes them."""
    parent: tuple[str, str] | None = None
    """(trace id, parent span id or "") for a root span; None takes the span that is open."""
    wire: Wire | None = None
    attributes: dict[str, Any] = {}
    """Set on the chat span as they are (an app's step, release …)."""


class ToolDelta(msgspec.Struct, frozen=True):
    """A piece of a tool call: the first of an index has id and name, the arguments' text comes in pieces."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Chunk(msgspec.Struct):
    """A piece of an answer."""

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolDelta] = []
    finish_reason: str = ""
    """stop, length, tool_calls, content_filter; in the last chunk of a choice."""
    usage: Usage | None = None
    extra: dict[str, Any] | None = None
    index: int = 0
    """Which of several choices."""
    raw: bytes = b""
    """The event's data as the provider sent it; empty once anything was changed."""
    dialect: str = ""
    """Whose bytes `raw` are."""
    event: str = ""
    """The event's name, where the dialect has names."""
    signature: str = ""
    """Of reasoning, at its end; goes back to the provider unchanged."""
    response_id: str = ""
    model: str = ""


class Answer(msgspec.Struct):
    """A whole answer; the last item of every stream."""

    message: Message
    finish_reason: str = ""
    usage: Usage | None = None
    model: str = ""
    """As the provider names it."""
    provider: str = ""
    cost_nano_usd: int | None = None
    """None: the price is not known."""
    response_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    estimated: bool = False
    """The tokens were counted by us, because the provider did not say."""
    others: list[Message] = []
    """Choices after the first, where n > 1 was asked for."""
    extra: dict[str, Any] | None = None
    raw: bytes = b""
    """The provider's body; empty once anything was changed, and for streams."""
    dialect: str = ""


class Provider(msgspec.Struct, frozen=True, omit_defaults=False):
    """A service that models are reached through, as REST shows it. The credential itself is never shown."""

    name: str
    """First part of the model name."""
    kind: str
    """Row of providers/rows.toml, or openai-compatible."""
    base_url: str
    source: str
    """stored, environment or built-in."""
    has_key: bool
    created_ns: int = 0
    created_by: str = ""
    note: str = ""
    """What an operator should know, e.g. that a credential was voided."""


class ProviderKind(msgspec.Struct, frozen=True):
    """A service known by name."""

    kind: str
    base_url: str
    key_env: str
    """Variable of the server's environment that configures it."""
    url_env: str


class ProviderTest(msgspec.Struct, frozen=True):
    """Outcome of asking a provider for its models."""

    name: str
    ok: bool
    ms: float
    models: list[str] = []
    error: str = ""


class Model(msgspec.Struct, frozen=True):
    """A name that can be called."""

    id: str
    provider: str
    operation: str = "chat"
    """chat or embeddings."""
    created_ns: int = 0


class LedgerRow(msgspec.Struct, frozen=True):
    """One attempt at a provider: what it used and cost. Order of fields = order of columns."""

    workspace: str
    project: str
    id: str
    at_ns: int
    """Begin of the attempt."""
    key: str
    """Actor's id."""
    trace: str
    span: str
    provider: str
    model: str
    operation: str
    status: str
    """ok, cancelled, blocked or the error's code."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    nano_usd: int | None
    estimated: bool
    first_chunk_ns: int
    """From the begin to the first piece; 0 on plain answers."""
    duration_ns: int


class UsageLine(msgspec.Struct, frozen=True):
    """Sum over ledger rows of one provider and model."""

    provider: str
    model: str
    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    nano_usd: int
    unpriced: int
    """Calls whose price is not known."""


class Collected:
    """Puts chunks together into one message per choice: what the client was given so far."""

    __slots__ = ("_choices", "finish", "model", "response_id", "usage")

    def __init__(self) -> None:
        self.finish = self.model = self.response_id = ""
        self.usage: Usage | None = None
        self._choices: dict[int, tuple[list[str], list[str], dict[int, list[Any]], list[str]]] = {}

    def add(self, chunk: Chunk) -> None:
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.response_id and not self.response_id:
            self.response_id, self.model = chunk.response_id, chunk.model
        if chunk.finish_reason and (chunk.index == 0 or not self.finish):
            self.finish = chunk.finish_reason
        if not (chunk.text or chunk.reasoning or chunk.tool_calls or chunk.signature):
            return
        choice = self._choices.get(chunk.index)
        if choice is None:
            choice = self._choices[chunk.index] = ([], [], {}, [])
        if chunk.text:
            choice[0].append(chunk.text)
        if chunk.reasoning:
            choice[1].append(chunk.reasoning)
        if chunk.signature:
            choice[3].append(chunk.signature)
        for delta in chunk.tool_calls:
            call = choice[2].setdefault(delta.index, ["", "", []])
            call[0] = call[0] or delta.id
            call[1] = call[1] or delta.name
            call[2].append(delta.arguments)

    def messages(self) -> list[Message]:
        """One message per choice, the first one always there."""
        return [self._message(index) for index in sorted(self._choices)] or [Message("assistant", [], finish_reason=self.finish)]

    def text(self) -> str:
        """Everything that was generated, for counting."""
        return "".join(
            "".join([*text, *reasoning, *(piece for call in tools.values() for piece in (call[1], *call[2]))])
            for text, reasoning, tools, _ in self._choices.values()
        )

    def _message(self, index: int) -> Message:
        from genwright.messages import Reasoning, Text

        text, reasoning, tools, signature = self._choices[index]
        parts: list[Any] = []
        if reasoning or signature:
            parts.append(Reasoning("".join(reasoning), "".join(signature)))
        if text:
            parts.append(Text("".join(text)))
        parts += [ToolCall(id_, name, arguments("".join(pieces))) for _, (id_, name, pieces) in sorted(tools.items())]
        return Message("assistant", parts, finish_reason=self.finish)


def arguments(text: str) -> Any:
    """A tool call's arguments: decoded JSON, or the text itself where the model wrote none."""
    try:
        return msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError:
        return text
