"""Replay of a recorded answer.

*recorded*: every step is fed its recorded output, nothing is called, and what comes out must be byte-equal.
*changed*: steps before the first change are fed, the changed step and what follows run with the recorded versions.
*live*: everything runs again, n times: a distribution with an interval, never called exact.
What was not recorded (capture=metadata, a step that failed) is never guessed: *recorded* refuses, the others name it in notes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from genwright import clock, vocab
from genwright.access.types import Actor
from genwright.agents import changes as changing
from genwright.agents.chain import PARAMETERS, Chain, Rooms, Tape
from genwright.agents.graph import refs
from genwright.agents.types import GuardStep, ModelStep, PromptStep, ReplayReport, ReplayRun, Resolved, RetrieveStep, Spread
from genwright.errors import Error, Invalid, Missing
from genwright.gateway.types import Answer, Call
from genwright.messages import Message
from genwright.tracing.types import Span, Trace
from genwright.vocab import Ref

MAX_RUNS = 50
MODES = ("recorded", "changed", "live")


class Plan(msgspec.Struct, frozen=True):
    """What is asked of a replay."""

    mode: str
    n: int
    changes: dict[str, str]


async def replay(agents: Any, rooms: Rooms, actor: Actor, trace_id: str, plan: Plan) -> ReplayReport:
    """Run the trace's app call again. Raises Missing (no such trace, no app call in it), Invalid (nothing to replay from)."""
    mode = _mode(plan)
    trace = await rooms.tracing.trace(actor.scope, trace_id)
    root = _root(trace)
    notes: list[str] = []
    resolved = await _pinned(agents, actor, trace, root, notes)
    recorded = _text_of(root.output)
    changed, first = await changing.change(agents, actor, resolved, plan.changes)
    steps = resolved.app.steps
    upto = {"recorded": len(steps), "live": 0}.get(mode, first)
    outputs, missing = _outputs(trace, steps[:upto])
    if mode == "recorded":
        _whole(root, missing)
    notes += [f"Step '{name}' was not recorded, so it ran again." for name in missing]
    call = Call(
        model="replay",
        messages=msgspec.convert(msgspec.to_builtins(root.input), list[Message]),
        parameters=root.attributes.get(PARAMETERS) or {},
        attributes={vocab.REPLAY_OF: trace_id},
    )
    runs = []
    for _ in range(1 if mode == "recorded" else plan.n):
        runs.append(await _run(Chain(rooms, actor, changed, Tape(outputs)), call, recorded))
    if mode == "recorded" and not runs[0].equal:
        notes.append("The recorded steps do not give the recorded bytes: a step's output was masked, cut or lost.")
    fed = [step.id for step in steps[:upto] if step.id not in missing]
    return ReplayReport(
        trace_id=trace_id,
        mode=mode,  # type: ignore[arg-type]
        release=root.attributes[vocab.RELEASE],
        recorded=recorded,
        runs=runs,
        changes=plan.changes,
        fed=fed,
        called=[step.id for step in steps if step.id not in fed],
        distinct=len({run.text for run in runs if not run.error}),
        spread=_spreads(runs),
        notes=notes,
    )


def _mode(plan: Plan) -> str:
    if plan.mode not in MODES:
        raise Invalid(f"'{plan.mode}' is no way to replay. Nothing was run. Choose one of {', '.join(MODES)}.")
    if not 1 <= plan.n <= MAX_RUNS:
        raise Invalid(f"A replay runs 1 to {MAX_RUNS} times, not {plan.n}. Nothing was run.")
    if plan.mode == "changed" and not plan.changes:
        raise Invalid("Nothing to change was named. Nothing was run. Name it, e.g. prompt=@2 or k=10.")
    return "changed" if plan.changes and plan.mode == "recorded" else plan.mode


def _root(trace: Trace) -> Span:
    """The app call in a trace, with its texts."""
    name = trace.row.trace_id
    root = next((span for span in trace.spans if span.operation == "invoke_agent" and span.attributes.get(vocab.RELEASE)), None)
    if root is None:
        raise Missing(f"Trace {name} holds no app call, so there is nothing to replay. Replay works on answers of apps.")
    if root.input is None:
        raise Invalid(
            f"Trace {name} was recorded without its texts (capture={root.capture}), so it cannot be replayed. Nothing was run. "
            "Calls with a key of capture=full can."
        )
    return root


def _whole(root: Span, missing: list[str]) -> None:
    """Refuse to give back what was not recorded: filling the gap would need a call."""
    if root.status == "error":
        raise Invalid(
            f"This call failed ({root.error}), so there is no whole answer to give back. Nothing was run. "
            "Run it live instead (--live)."
        )
    if missing:
        raise Invalid(
            f"Not recorded: {', '.join(missing)}. Giving the answer back would need a call, so nothing was run. "
            "Run it live instead (--live)."
        )


async def _pinned(agents: Any, actor: Actor, trace: Trace, root: Span, notes: list[str]) -> Resolved:
    """What the trace ran: its release, or its draft with the versions that the spans name (labels may have moved since)."""
    ref = Ref.parse(root.attributes[vocab.RELEASE])
    if ref.kind != "app":
        released: Resolved = await agents.resolve(actor.scope, ref.name, ref.digest)
        return released
    draft = await agents.draft(actor.scope, ref.name, ref.digest or "")
    pins = dict(draft.pins)
    for kind, written in refs(draft.app):
        name = {"policy": vocab.POLICY, "prompt": vocab.PROMPT, "index": vocab.INDEX}[kind]
        used = next((span.attributes[name] for span in trace.spans if span.attributes.get(name)), None)
        if used is None:
            notes.append(f"Which version of {written} was used is not recorded; the one it names now was taken.")
        else:
            pins[written] = await agents.pin(actor.scope, used, kind)
    return msgspec.structs.replace(draft, pins=pins)


async def _run(chain: Chain, call: Call, recorded: str) -> ReplayRun:
    begin = clock.perf_ns()
    call = msgspec.structs.replace(call, parent=(vocab.new_trace_id(), ""))
    answer: Answer | None = None
    error = ""
    try:
        async with aclosing(chain.stream(call)) as items:  # type: ignore[type-var]
            async for item in items:
                if isinstance(item, Answer):
                    answer = item
    except Error as problem:  # a block or a failing provider is a result of a replay, not its end
        error = problem.message
    text = answer.message.text if answer else ""
    passages = (answer.extra or {}).get("genwright", {}).get("passages", []) if answer else []
    return ReplayRun(
        trace_id=call.parent[0] if call.parent else "",
        text=text,
        equal=text.encode() == recorded.encode() and not error,
        similarity=_f1(text, recorded),
        grounded=_grounded(text, [passage["text"] for passage in passages]),
        cost_nano_usd=answer.cost_nano_usd if answer else None,
        duration_ms=(clock.perf_ns() - begin) / 1e6,
        passages=[passage["name"] for passage in passages],
        error=error,
    )


def _outputs(trace: Trace, steps: Sequence[Any]) -> tuple[dict[str, Any], list[str]]:
    """Recorded outputs by step id, and the steps that have none."""
    outputs: dict[str, Any] = {}
    missing = []
    for step in steps:
        if isinstance(step, PromptStep):
            continue  # a prompt is rendered for the model step; when that is fed, nothing of it is needed
        span = _span_of(trace, step)
        output = None
        if span is not None:
            output = span.attributes.get("gen_ai.retrieval.documents") if isinstance(step, RetrieveStep) else span.output
        if output is None:
            missing.append(step.id)
        else:
            outputs[step.id] = _text_of(output) if isinstance(step, ModelStep) else output
    return outputs, missing


_OPERATIONS: dict[Any, str] = {GuardStep: "guard", RetrieveStep: "retrieval", ModelStep: "chat"}


def _span_of(trace: Trace, step: Any) -> Span | None:
    """The span in which a step succeeded; of several attempts the last."""
    found = None
    for span in trace.spans:
        fits = span.attributes.get(vocab.STEP) == step.id and span.operation == _OPERATIONS[type(step)] and span.status == "ok"
        if fits and (not isinstance(step, GuardStep) or span.attributes.get("genwright.rail") == step.rail):
            found = span
    return found


def _text_of(output: Any) -> str:
    """The text of recorded output messages (or a plain text)."""
    if isinstance(output, str):
        return output
    return "".join(message.text for message in msgspec.convert(msgspec.to_builtins(output or []), list[Message]))


def _words(text: str) -> Counter[str]:
    return Counter("".join(letter.lower() if letter.isalnum() else " " for letter in text).split())


def _f1(text: str, reference: str) -> float:
    """Token F1 (harmonic mean of word precision and recall), as in SQuAD 1.1."""
    left, right = _words(text), _words(reference)
    common = sum((left & right).values())
    return 2 * common / (sum(left.values()) + sum(right.values())) if common else float(text == reference)


def _grounded(text: str, passages: list[str]) -> float | None:
    if not passages:
        return None
    answer, known = _words(text), _words(" ".join(passages))
    total = sum(answer.values())
    return sum(count for word, count in answer.items() if word in known) / total if total else 0.0


def _spreads(runs: list[ReplayRun]) -> dict[str, Spread]:
    from genwright import stats

    found = {}
    for name in ("similarity", "grounded", "duration_ms"):
        values = [value for run in runs if not run.error and (value := getattr(run, name)) is not None]
        if not values:
            continue
        interval = stats.bootstrap_mean(values) if len(values) > 1 else None
        found[name] = Spread(
            sum(values) / len(values),
            min(values),
            max(values),
            interval.low if interval else None,
            interval.high if interval else None,
        )
    return found
