"""Runs one resolved app on one call: step after step, each a span. Knows nothing of releases, replays or wire formats.

A `Tape` may feed some steps their recorded output instead of running them; that is all a replay is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec

from genwright import vocab
from genwright.access.types import Actor
from genwright.agents.guards import Guards, Here
from genwright.agents.types import GuardStep, ModelStep, Passage, PromptStep, Resolved, RetrieveStep
from genwright.errors import Error, Invalid
from genwright.gateway.service import Gateway
from genwright.gateway.types import Answer, Call, Chunk, PromptUse
from genwright.guardrails.service import Guardrails
from genwright.messages import Media, Message, Text, assistant
from genwright.retrieval.service import Retrieval
from genwright.tracing.service import Tracing

PARAMETERS = "genwright.parameters"
"""Root span: the caller's own parameters, so that a replay runs with them."""


class Rooms(msgspec.Struct, frozen=True):
    """The services a chain calls."""

    tracing: Tracing
    guardrails: Guardrails
    gateway: Gateway
    retrieval: Retrieval


class Tape(msgspec.Struct):
    """Recorded outputs by step id: text (guards, model) or passages (retrieve, passage guard)."""

    outputs: dict[str, Any]

    def get(self, step: str) -> Any:
        return self.outputs.get(step)


class State:
    """What the steps of one run hand on. Raises Invalid for a call that no app can answer."""

    def __init__(self, call: Call):
        _check(call)
        last = _last_spoken(call.messages)
        self.call = call
        self.question = call.messages[last].text
        self.history = [*call.messages[:last], *call.messages[last + 1 :]]
        self.media = _media(call.messages[last])
        self.passages: list[dict[str, Any]] = []
        self.prompt: PromptUse | None = None
        self.answer: Answer | None = None

    def shown(self) -> list[Passage]:
        """Passages as the caller sees them, numbered as they are cited."""
        names = Passage.__struct_fields__
        return [msgspec.convert({name: item[name] for name in names}, Passage) for item in self.passages]

    def messages(self) -> list[Message]:
        """What the model gets beside the rendered prompt: images and files; without a prompt the conversation itself."""
        if self.prompt is None:
            text = [Text(self.question)] if self.question else []
            return [*self.history, Message("user", [*text, *self.media])]
        media = [part for message in self.history if message.role == "user" for part in _media(message)] + self.media
        return [Message("user", [*media])] if media else []


class Chain:
    """One run. `stream` yields chunks and at last the Answer; iterate it inside `aclosing`."""

    def __init__(self, rooms: Rooms, actor: Actor, resolved: Resolved, tape: Tape | None = None):
        self._rooms, self._actor, self._resolved = rooms, actor, resolved
        self._tape = tape or Tape({})
        self._policy = resolved.pins.get(resolved.app.policy)
        self._guards = Guards(rooms.tracing, rooms.guardrails, actor, self._policy)

    async def stream(self, call: Call) -> AsyncIterator[Chunk | Answer]:
        """Run all steps. The first chunk carries the trace, the release and the passages in `extra["genwright"]`."""
        resolved = self._resolved
        name = f"app {resolved.name}"
        with self._rooms.tracing.span(self._actor, name, operation="invoke_agent", parent=call.parent) as root:
            self._describe(root, call)
            state = State(call)
            here = (root.trace_id, root.span_id)
            steps = resolved.app.steps
            at = next(index for index, step in enumerate(steps) if isinstance(step, ModelStep))
            for step in steps[:at]:
                await self._before(step, state, here)
            told = {"trace": root.trace_id, "release": resolved.ref, "passages": msgspec.to_builtins(state.shown())}
            extra = {"genwright": told}
            yield Chunk(extra=extra)
            guards = [step for step in steps[at + 1 :] if isinstance(step, GuardStep)]
            left: list[str] = []
            try:
                async with aclosing(self._model(steps[at], guards, state, here)) as chunks:  # type: ignore[arg-type, type-var]
                    async for chunk in chunks:
                        left.append(chunk.text)
                        yield chunk
            except BaseException:
                if any(left):  # what the caller was given is kept, however it ended
                    root.output = [assistant("".join(left))]
                raise
            answer = _answered(state)
            answer.trace_id, answer.span_id, answer.extra = root.trace_id, root.span_id, extra
            _summarise(root, answer)
            yield answer

    def _describe(self, root: Any, call: Call) -> None:
        root.input = call.messages
        root.set("gen_ai.agent.name", self._resolved.name)
        root.set(vocab.RELEASE, self._resolved.ref)
        root.set(vocab.APP, self._resolved.name)
        if self._policy:
            root.set(vocab.POLICY, self._policy.ref)
        root.set(vocab.KEY, self._actor.id)
        if call.session:
            root.set("session.id", call.session)
        if call.user:
            root.set("user.id", call.user)
        if call.parameters:
            root.set(PARAMETERS, call.parameters)
        for name, value in {**{f"tag.{name}": value for name, value in call.tags.items()}, **call.attributes}.items():
            root.set(name, value)

    # -- before the model

    async def _before(self, step: Any, state: State, here: Here) -> None:
        recorded = self._tape.get(step.id)
        if isinstance(step, RetrieveStep):
            state.passages = recorded if recorded is not None else await self._retrieve(step, state, here)
        elif isinstance(step, PromptStep):
            version = self._resolved.pins[step.prompt]
            state.prompt = PromptUse(version, _variables(version.content, state))
        elif step.rail == "passages":
            state.passages = recorded if recorded is not None else self._guards.passages(step, state.passages, here)
        else:
            state.question = recorded if recorded is not None else self._guards.text(step, state.question, here)
            state.history = self._guards.history(state.history)

    async def _retrieve(self, step: RetrieveStep, state: State, here: Here) -> list[dict[str, Any]]:
        index = self._resolved.pins[step.index]
        found = await self._rooms.retrieval.search(
            self._actor, index, state.question, mode=step.mode, k=step.k, parent=here, attributes={vocab.STEP: step.id}
        )
        return msgspec.to_builtins(found)

    # -- the model and what follows

    async def _model(self, step: ModelStep, guards: list[GuardStep], state: State, here: Here) -> AsyncIterator[Chunk]:
        """Text as it may be shown; sets `state.answer`.

        With an output guard the text leaves through the policy's `stream` rail as it comes, or, where the policy has none, as a
        whole after the `output` rail. Reasoning is then not shown: no guard has read it.
        """
        guarded = bool(guards) and self._policy is not None
        window = self._guards.stream(guards[0], here) if guarded else None
        left: list[str] = []
        async with aclosing(self._source(step, state, here)) as source:  # type: ignore[type-var]
            async for item in source:
                if isinstance(item, Answer):
                    state.answer = item
                    continue
                text = window.feed(item.text) if window else item.text
                left.append(text)
                if guarded and window is None:
                    continue
                reasoning = "" if guarded else item.reasoning
                if text or reasoning:
                    yield Chunk(text=text, reasoning=reasoning)
        if window and (rest := window.close()):
            left.append(rest)
            yield Chunk(text=rest)
        answer = _answered(state)
        text = "".join(left) if window else answer.message.text
        for guard in guards:
            recorded = self._tape.get(guard.id)
            text = recorded if recorded is not None else self._guards.text(guard, text, here)
        if guarded:
            if window is None:
                yield Chunk(text=text)
            answer = state.answer = _with_text(answer, text)
        yield Chunk(finish_reason=answer.finish_reason or "stop", usage=answer.usage)

    def _source(self, step: ModelStep, state: State, here: Here) -> AsyncIterator[Chunk | Answer]:
        """The model's answer: what was recorded, or asked for."""
        recorded = self._tape.get(step.id)
        if recorded is not None:
            return _one(Answer(assistant(recorded), finish_reason="stop", model=step.model, provider="recorded"))
        call = state.call
        return self._rooms.gateway.stream(
            self._actor,
            Call(
                model=step.model,
                messages=state.messages(),
                parameters={**step.parameters, **call.parameters},
                prompt=state.prompt,
                session=call.session,
                user=call.user,
                tags=call.tags,
                rails=False,
                parent=here,
                attributes={vocab.STEP: step.id, vocab.RELEASE: self._resolved.ref, vocab.APP: self._resolved.name},
            ),
        )


def _check(call: Call) -> None:
    """Refuse what an app would otherwise drop without a word."""
    if call.tools:
        raise Invalid("An app takes no tools from its caller. Nothing was called. Leave out 'tools'.", code="unsupported")
    if call.parameters.get("n") not in (None, 1):
        raise Invalid("An app gives one answer a call. Nothing was called. Leave out 'n'.", code="unsupported")


def _last_spoken(messages: list[Message]) -> int:
    """Place of the question: the last message that is no instruction, which must be the user's."""
    spoken = [index for index, message in enumerate(messages) if message.role not in ("system", "developer")]
    if not spoken or messages[spoken[-1]].role != "user":
        raise Invalid("An app answers a user message, and it must be the last one. Nothing was called.", code="no_user_message")
    return spoken[-1]


def _media(message: Message) -> list[Media]:
    return [part for part in message.parts if isinstance(part, Media)]


def _variables(content: dict[str, Any], state: State) -> dict[str, Any]:
    """What the prompt declares of question, passages and history."""
    history = [{"role": message.role, "text": message.text} for message in state.history]
    known = {"question": state.question, "passages": state.passages, "history": history}
    return {name: value for name, value in known.items() if name in content.get("variables", {})}


def _answered(state: State) -> Answer:
    if state.answer is None:
        raise Error("The model's stream ended without an answer. What came is kept in the trace.")
    return state.answer


def _summarise(root: Any, answer: Answer) -> None:
    root.output = [answer.message]
    root.set("gen_ai.response.model", answer.model)
    root.set("gen_ai.provider.name", answer.provider)
    if answer.usage is not None:
        root.set("gen_ai.usage.input_tokens", answer.usage.input_tokens)
        root.set("gen_ai.usage.output_tokens", answer.usage.output_tokens)
    if answer.cost_nano_usd is not None:
        root.set(vocab.COST, answer.cost_nano_usd)


def _with_text(answer: Answer, text: str) -> Answer:
    """The answer with this text alone: no reasoning and no raw bytes of the provider, which no guard has read."""
    return msgspec.structs.replace(answer, message=assistant(text), others=[], raw=b"", dialect="")


async def _one(answer: Answer) -> AsyncIterator[Chunk | Answer]:
    yield Chunk(text=answer.message.text)
    yield answer
