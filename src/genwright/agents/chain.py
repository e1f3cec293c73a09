"""Runs one resolved app on one call: step after step, each a span. Knows nothing of releases, replays or wire formats.

A `Tape` may feed some steps their recorded output instead of running them; that is all a replay is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from genwright import vocab
from genwright.access.types import Actor
from genwright.agents.types import GuardStep, ModelStep, Passage, PromptStep, Resolved, RetrieveStep
from genwright.errors import Invalid
from genwright.gateway.service import Gateway
from genwright.gateway.types import Answer, Call, Chunk, PromptUse
from genwright.guardrails.service import Guardrails, blocked
from genwright.messages import Message, assistant
from genwright.retrieval.service import Retrieval
from genwright.tracing.service import Tracing


class Tape(msgspec.Struct):
    """Recorded outputs by step id: text (guards, model) or passages (retrieve, passage guard)."""

    outputs: dict[str, Any]

    def get(self, step: str) -> Any:
        return self.outputs.get(step)


class State:
    """What the steps of one run hand on."""

    def __init__(self, call: Call):
        users = [index for index, message in enumerate(call.messages) if message.role == "user"]
        if not users:
            raise Invalid("An app needs a user message. Nothing was called.", code="no_user_message")
        self.call = call
        self.question = call.messages[users[-1]].text
        self.history = call.messages[: users[-1]]
        self.passages: list[dict[str, Any]] = []
        self.prompt: PromptUse | None = None
        self.answer: Answer | None = None

    def shown(self) -> list[Passage]:
        """Passages as the caller sees them, numbered as they are cited."""
        names = Passage.__struct_fields__
        return [msgspec.convert({name: item[name] for name in names}, Passage) for item in self.passages]


class Chain:
    """One run. `stream` yields chunks and at last the Answer."""

    def __init__(self, rooms: Rooms, actor: Actor, resolved: Resolved, tape: Tape | None = None):
        self._rooms, self._actor, self._resolved = rooms, actor, resolved
        self._tape = tape or Tape({})
        pin = resolved.pins.get(resolved.app.policy)
        self._policy: dict[str, Any] | None = pin.content if pin else None
        self._policy_ref = pin.ref if pin else ""

    async def stream(self, call: Call) -> AsyncIterator[Chunk | Answer]:
        """Run all steps. The first chunk carries the trace, the release and the passages in `extra["genwright"]`."""
        resolved, rooms = self._resolved, self._rooms
        name = f"app {resolved.name}"
        with rooms.tracing.span(self._actor, name, operation="invoke_agent", parent=call.parent) as root:
            self._describe(root, call)
            root.input = call.messages
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
            async for chunk in self._model(steps[at], guards, state, here):  # type: ignore[arg-type]
                yield chunk
            answer = state.answer
            assert answer is not None
            answer.trace_id, answer.span_id, answer.extra = root.trace_id, root.span_id, extra
            self._summarise(root, answer)
            yield answer

    def _describe(self, root: Any, call: Call) -> None:
        root.set("gen_ai.agent.name", self._resolved.name)
        root.set(vocab.RELEASE, self._resolved.ref)
        root.set(vocab.APP, self._resolved.name)
        if self._policy_ref:
            root.set(vocab.POLICY, self._policy_ref)
        root.set(vocab.KEY, self._actor.id)
        if call.session:
            root.set("session.id", call.session)
        if call.user:
            root.set("user.id", call.user)
        for name, value in {**{f"tag.{name}": value for name, value in call.tags.items()}, **call.attributes}.items():
            root.set(name, value)

    @staticmethod
    def _summarise(root: Any, answer: Answer) -> None:
        root.output = [answer.message]
        root.set("gen_ai.response.model", answer.model)
        root.set("gen_ai.provider.name", answer.provider)
        if answer.usage is not None:
            root.set("gen_ai.usage.input_tokens", answer.usage.input_tokens)
            root.set("gen_ai.usage.output_tokens", answer.usage.output_tokens)
        if answer.cost_nano_usd is not None:
            root.set(vocab.COST, answer.cost_nano_usd)

    # -- before the model

    async def _before(self, step: Any, state: State, here: tuple[str, str]) -> None:
        recorded = self._tape.get(step.id)
        if isinstance(step, RetrieveStep):
            state.passages = recorded if recorded is not None else await self._retrieve(step, state, here)
        elif isinstance(step, PromptStep):
            version = self._resolved.pins[step.prompt]
            state.prompt = PromptUse(version, _variables(version.content, state))
        elif step.rail == "passages":
            state.passages = recorded if recorded is not None else self._guard_passages(step, state.passages, here)
        else:
            state.question = recorded if recorded is not None else self._guard(step, state.question, here)

    async def _retrieve(self, step: RetrieveStep, state: State, here: tuple[str, str]) -> list[dict[str, Any]]:
        index = self._resolved.pins[step.index]
        found = await self._rooms.retrieval.search(
            self._actor, index, state.question, mode=step.mode, k=step.k, parent=here, attributes={vocab.STEP: step.id}
        )
        return msgspec.to_builtins(found)

    def _guard(self, step: GuardStep, text: str, here: tuple[str, str]) -> str:
        """The text as the rail lets it pass. Raises Blocked."""
        with self._guard_span(step, here) as span:
            span.input = text
            if self._policy is None:
                span.output = text
                return text
            verdict = self._rooms.guardrails.check(self._policy, step.rail, text)
            span.set("genwright.action", verdict.action)
            span.set("genwright.findings", msgspec.to_builtins(verdict.findings))
            if verdict.action == "block":
                span.output = ""
                raise blocked(step.rail, verdict, self._policy_ref)
            span.output = verdict.text
            return verdict.text

    def _guard_passages(self, step: GuardStep, passages: list[dict[str, Any]], here: tuple[str, str]) -> list[dict[str, Any]]:
        """The passages that pass, numbered anew; a bad one is dropped, the answer goes on without it."""
        with self._guard_span(step, here) as span:
            kept, findings, actions = [], [], {"allow"}
            for passage in passages:
                if self._policy is None:
                    kept.append(passage)
                    continue
                verdict = self._rooms.guardrails.check(self._policy, "passages", passage["text"])
                actions.add(verdict.action)
                findings += [{**msgspec.to_builtins(found), "passage": passage["n"]} for found in verdict.findings]
                if verdict.action != "block":
                    kept.append({**passage, "text": verdict.text})
            kept = [{**passage, "n": number} for number, passage in enumerate(kept, 1)]
            span.set("genwright.action", next(action for action in ("block", "change", "allow") if action in actions))
            span.set("genwright.findings", findings)
            span.set("genwright.dropped", len(passages) - len(kept))
            span.output = kept
            return kept

    def _guard_span(self, step: GuardStep, here: tuple[str, str]) -> Any:
        span = self._rooms.tracing.span(self._actor, f"guard {step.rail}", operation="guard", parent=here)
        span.set(vocab.STEP, step.id)
        span.set("genwright.rail", step.rail)
        if self._policy_ref:
            span.set(vocab.POLICY, self._policy_ref)
        return span

    # -- the model and what follows

    async def _model(self, step: ModelStep, guards: list[GuardStep], state: State, here: tuple[str, str]) -> AsyncIterator[Chunk]:
        """Text chunks as they may be shown; sets `state.answer`."""
        recorded = self._tape.get(step.id)
        if recorded is not None:
            state.answer = Answer(assistant(recorded), finish_reason="stop", model=step.model, provider="recorded")
            source = _one(state.answer)
        else:
            source = self._rooms.gateway.stream(self._actor, self._call(step, state, here))
        output = [guard for guard in guards if guard.rail == "output"] if self._policy else []
        window = self._rooms.guardrails.stream(self._policy) if output and self._policy and self._streams() else None
        held: list[str] = []
        async for item in source:
            if isinstance(item, Answer):
                state.answer = item
                continue
            text = window.feed(item.text) if window else item.text
            if output and window is None:
                held.append(text)
            elif text or item.reasoning:
                yield Chunk(text=text, reasoning=item.reasoning)
        assert state.answer is not None
        if window and (rest := window.close()):
            yield Chunk(text=rest)
        text = state.answer.message.text
        for guard in output:
            fed = self._tape.get(guard.id)
            text = fed if fed is not None else self._guard(guard, text, here)
        if output and window is None:
            yield Chunk(text=text)
        state.answer = _with_text(state.answer, text)
        yield Chunk(finish_reason=state.answer.finish_reason or "stop", usage=state.answer.usage)

    def _streams(self) -> bool:
        return bool((self._policy or {}).get("rails", {}).get("stream"))

    def _call(self, step: ModelStep, state: State, here: tuple[str, str]) -> Call:
        call = state.call
        messages = [] if state.prompt else [*state.history, Message("user", [*call.messages[-1].parts])]
        return Call(
            model=step.model,
            messages=messages,
            parameters={**step.parameters, **call.parameters},
            prompt=state.prompt,
            session=call.session,
            user=call.user,
            tags=call.tags,
            rails=False,
            parent=here,
            attributes={vocab.STEP: step.id, vocab.RELEASE: self._resolved.ref, vocab.APP: self._resolved.name},
        )


class Rooms(msgspec.Struct, frozen=True):
    """The services a chain calls."""

    tracing: Tracing
    guardrails: Guardrails
    gateway: Gateway
    retrieval: Retrieval


def _variables(content: dict[str, Any], state: State) -> dict[str, Any]:
    """What the prompt declares of question, passages and history."""
    history = [{"role": message.role, "text": message.text} for message in state.history]
    known = {"question": state.question, "passages": state.passages, "history": history}
    return {name: value for name, value in known.items() if name in content.get("variables", {})}


def _with_text(answer: Answer, text: str) -> Answer:
    """The answer with another text, and without raw bytes of the provider, which no longer say the same."""
    message = answer.message if text == answer.message.text else assistant(text)
    return Answer(
        message,
        finish_reason=answer.finish_reason,
        usage=answer.usage,
        model=answer.model,
        provider=answer.provider,
        cost_nano_usd=answer.cost_nano_usd,
        response_id=answer.response_id,
        estimated=answer.estimated,
    )


async def _one(answer: Answer) -> AsyncIterator[Chunk | Answer]:
    yield Chunk(text=answer.message.text)
    yield answer
