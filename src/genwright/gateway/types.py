"""The gateway's records: what is asked (Call), what comes back (Chunk, Answer), and who can be asked (Provider, Model).

They know messages and money, and no wire format: `raw` and `Wire` only carry bytes past us where both sides speak alike.
"""

from __future__ import annotations

from typing import Any

import msgspec

from genwright.messages import Message, Part, Reasoning, Text, ToolCall
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
    parts: tuple[str, ...] = ("messages",)
    """Fields of the body that hold the messages: what a rail changed there is left out, and written anew by the provider."""
    names: dict[str, str] = {}
    """Names of `Call.parameters` → what the caller's dialect calls them, for errors."""

    def without(self, *names: str) -> Wire:
        """The body without these fields."""
        return msgspec.structs.replace(self, body={k: v for k, v in self.body.items() if k not in names})


class Told(msgspec.Struct):
    """What the caller is told in headers, before the first byte: filled while the call is on its way."""

    headers: list[tuple[bytes, bytes]] = []
    """Of limits: x-ratelimit-*."""
    cache: str = ""
    """hit, semantic or miss; empty where no cache was asked."""
    route: str = ""
    """The route's version and the step that answers."""
    dropped: list[str] = []
    """Fields left out because the provider cannot take them and the caller allowed it."""


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
    deadline: float = 0.0
    """clock.monotonic() after which nobody waits for the answer; 0: none."""
    timeout_s: float = 0.0
    """Longest time for one attempt; 0: the settings'."""
    first_chunk_s: float = 0.0
    """Longest wait for the first piece of a stream; 0: only the attempt's time counts."""
    context: dict[str, Any] | None = None
    """What becomes of a conversation too long for the model; see context.py. None: it is sent as it is."""
    drop_params: bool = False
    """Leave out what the provider cannot take, and say so, instead of refusing the call."""
    cache: str = ""
    """off, refresh, exact or semantic; empty: as the rules say."""
    cache_ttl: int = 0
    """Seconds an answer may be kept for this call; 0: as the rules say."""
    told: Told | None = None
    overrides: dict[str, Any] = {}
    """Set by us over what the caller wrote, under the names of `parameters`: an output cap, a route's parameters; None takes one
    away. A provider applies them to the caller's own body, too."""
    idempotency_key: str = ""
    """The caller's name for this call: the same name gets the same answer."""


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
    """The event's bytes as the provider sent them, framing included; empty once anything was changed."""
    dialect: str = ""
    """Whose bytes `raw` are."""
    event: str = ""
    """comment (bytes that say nothing: keep-alives), done (the dialect's end mark), usage (nothing but the count), or empty."""
    signature: str = ""
    """Of reasoning, at its end; goes back to the provider unchanged."""
    response_id: str = ""
    model: str = ""
    logprobs: list[dict[str, Any]] = []
    """Of the tokens of this piece, as OpenAI writes them: token, logprob, bytes, top_logprobs."""


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
    logprobs: list[list[dict[str, Any]]] = []
    """Per choice, as in Chunk; empty where none came."""


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


class Check(msgspec.Struct, frozen=True):
    """One thing tried at a provider."""

    name: str
    """models, chat, stream, tools, json or embeddings."""
    outcome: str
    """works, failed or skipped."""
    ms: float
    model: str = ""
    said: str = ""
    """What came, shortened."""
    error: str = ""
    """Why it failed or was skipped."""


class ProviderTest(msgspec.Struct, frozen=True):
    """What works at a provider. `ok`: nothing that was tried failed."""

    name: str
    ok: bool
    ms: float
    models: list[str] = []
    error: str = ""
    checks: list[Check] = []


class Model(msgspec.Struct, frozen=True):
    """A name that can be called."""

    id: str
    provider: str
    operation: str = "chat"
    """chat or embeddings."""
    created_ns: int = 0


class Collected:
    """Puts chunks together into one message per choice: what the client was given so far."""

    __slots__ = ("_choices", "finish", "model", "response_id", "usage")

    def __init__(self) -> None:
        self.finish = self.model = self.response_id = ""
        self.usage: Usage | None = None
        self._choices: dict[int, _Choice] = {}

    def add(self, chunk: Chunk) -> None:
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.response_id and not self.response_id:
            self.response_id, self.model = chunk.response_id, chunk.model
        if chunk.finish_reason and (chunk.index == 0 or not self.finish):
            self.finish = chunk.finish_reason
        if not (chunk.text or chunk.reasoning or chunk.tool_calls or chunk.signature or chunk.logprobs):
            return
        choice = self._choices.get(chunk.index)
        if choice is None:
            choice = self._choices[chunk.index] = _Choice()
        choice.add(chunk)

    def messages(self) -> list[Message]:
        """One message per choice, the first one always there."""
        found = [Message("assistant", self._choices[index].parts(), finish_reason=self.finish) for index in sorted(self._choices)]
        return found or [Message("assistant", [], finish_reason=self.finish)]

    def logprobs(self) -> list[list[dict[str, Any]]]:
        """Per choice; empty where none came."""
        found = [self._choices[index].logprobs for index in sorted(self._choices)]
        return found if any(found) else []

    def text(self) -> str:
        """Everything that was generated, for counting."""
        return "".join(choice.text() for choice in self._choices.values())


class _Choice:
    """Parts in the order in which they came."""

    __slots__ = ("_parts", "_tools", "logprobs")

    def __init__(self) -> None:
        self._parts: list[_Piece] = []
        self._tools: dict[int, _Piece] = {}
        self.logprobs: list[dict[str, Any]] = []

    def add(self, chunk: Chunk) -> None:
        if chunk.reasoning:
            self._last("reasoning", new_after_signature=True).pieces.append(chunk.reasoning)
        if chunk.signature:
            self._last("reasoning", new_after_signature=chunk.signature.startswith(REDACTED)).signature += chunk.signature
        if chunk.text:
            self._last("text").pieces.append(chunk.text)
        if chunk.logprobs:
            self.logprobs += chunk.logprobs
        for delta in chunk.tool_calls:
            call = self._tools.get(delta.index)
            if call is None:
                call = self._tools[delta.index] = _Piece("tool")
                self._parts.append(call)
            call.id, call.name = call.id or delta.id, call.name or delta.name
            call.pieces.append(delta.arguments)

    def _last(self, kind: str, new_after_signature: bool = False) -> _Piece:
        """The part that goes on, or a new one: each block of reasoning ends with its signature."""
        if self._parts:
            part = self._parts[-1]
            if part.kind == kind and not (new_after_signature and part.signature):
                return part
        self._parts.append(_Piece(kind))
        return self._parts[-1]

    def parts(self) -> list[Part]:
        return [part.whole() for part in self._parts]

    def text(self) -> str:
        return "".join("".join([part.name, *part.pieces]) for part in self._parts)


class _Piece:
    """A part that is still growing."""

    __slots__ = ("id", "kind", "name", "pieces", "signature")

    def __init__(self, kind: str):
        self.kind, self.id, self.name, self.signature = kind, "", "", ""
        self.pieces: list[str] = []

    def whole(self) -> Part:
        text = "".join(self.pieces)
        if self.kind == "text":
            return Text(text)
        return Reasoning(text, self.signature) if self.kind == "reasoning" else ToolCall(self.id, self.name, arguments(text))


REDACTED = "redacted:"
"""Begin of a signature that stands for reasoning its provider does not show."""


def arguments(text: str) -> Any:
    """A tool call's arguments: decoded JSON, or the text itself where the model wrote none."""
    try:
        return msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError:
        return text
