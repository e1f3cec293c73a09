"""Replay of a recorded answer.

*recorded*: every step is fed its recorded output, nothing is called, and what comes out must be byte-equal.
*changed*: steps before the first change are fed, the changed step and what follows run with the release's pinned versions.
*live*: everything runs again, n times: a distribution with an interval, never called exact.
Parts that were not recorded (capture=metadata, masked, expired) are named in the notes, never guessed.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from genwright import clock, vocab
from genwright.access.types import Actor
from genwright.agents.chain import Chain, Rooms, Tape
from genwright.agents.types import App, GuardStep, ModelStep, PromptStep, ReplayReport, ReplayRun, Resolved, RetrieveStep, Spread
from genwright.errors import Error, Invalid, Missing
from genwright.gateway.types import Answer, Call
from genwright.messages import Message
from genwright.vocab import Ref

MAX_RUNS = 50


class Plan(msgspec.Struct, frozen=True):
    """What is asked of a replay."""

    mode: str
    n: int
    changes: dict[str, str]


async def replay(agents: Any, rooms: Rooms, actor: Actor, trace_id: str, plan: Plan) -> ReplayReport:
    """Run the trace's app call again. Raises Missing (no such trace, no app call in it), Invalid (nothing to replay from)."""
    trace = await rooms.tracing.trace(actor.scope, trace_id)
    root = next((span for span in trace.spans if span.operation == "invoke_agent" and span.attributes.get(vocab.RELEASE)), None)
    if root is None:
        raise Missing(f"Trace {trace_id} holds no app call, so there is nothing to replay. Replay works on answers of apps.")
    if not 1 <= plan.n <= MAX_RUNS:
        raise Invalid(f"A replay runs 1 to {MAX_RUNS} times, not {plan.n}.")
    mode = "changed" if plan.changes and plan.mode == "recorded" else plan.mode
    resolved = await _pinned(agents, actor, root)
    notes: list[str] = []
    if root.input is None:
        raise Invalid(f"Trace {trace_id} was recorded without its texts (capture={root.capture}), so it cannot be replayed.")
    messages = msgspec.convert(msgspec.to_builtins(root.input), list[Message])
    recorded = _text_of(root.output)
    changed, first = await _change(agents, actor, resolved, plan.changes)
    steps = resolved.app.steps
    upto = {"recorded": len(steps), "live": 0}.get(mode, first)
    tape = _tape(trace, list(steps[:upto]), notes)
    runs = []
    for _ in range(1 if mode == "recorded" else plan.n):
        runs.append(await _run(Chain(rooms, actor, changed, tape), messages, recorded, trace_id))
    if mode == "recorded" and not runs[0].equal:
        notes.append("The recorded steps do not give the recorded bytes: a step's output was masked, cut or lost.")
    return ReplayReport(
        trace_id=trace_id,
        mode=mode,  # type: ignore[arg-type]
        release=root.attributes[vocab.RELEASE],
        recorded=recorded,
        runs=runs,
        changes=plan.changes,
        fed=[step.id for step in steps if step.id in tape.outputs or (isinstance(step, PromptStep) and steps.index(step) < upto)],
        called=[step.id for step in steps[upto:]],
        distinct=len({run.text for run in runs if not run.error}),
        spread=_spreads(runs),
        notes=notes,
    )


async def _pinned(agents: Any, actor: Actor, root: Any) -> Resolved:
    ref = Ref.parse(root.attributes[vocab.RELEASE])
    if ref.kind == "app":
        return await agents.draft(actor.scope, ref.name, ref.digest or "")
    return await agents.resolve(actor.scope, ref.name, ref.digest)


async def _run(chain: Chain, messages: list[Message], recorded: str, trace_id: str) -> ReplayRun:
    begin = clock.perf_ns()
    answer: Answer | None = None
    error = ""
    try:
        async for item in chain.stream(Call(model="replay", messages=messages, attributes={vocab.REPLAY_OF: trace_id})):
            if isinstance(item, Answer):
                answer = item
    except Error as problem:  # a block or a failing provider is a result of a replay, not its end
        error = problem.message
    text = answer.message.text if answer else ""
    passages = (answer.extra or {}).get("genwright", {}).get("passages", []) if answer else []
    return ReplayRun(
        trace_id=answer.trace_id if answer else "",
        text=text,
        equal=text.encode() == recorded.encode() and not error,
        similarity=_f1(text, recorded),
        grounded=_grounded(text, [passage["text"] for passage in passages]),
        cost_nano_usd=answer.cost_nano_usd if answer else None,
        duration_ms=(clock.perf_ns() - begin) / 1e6,
        passages=[passage["name"] for passage in passages],
        error=error,
    )


def _tape(trace: Any, steps: list[Any], notes: list[str]) -> Tape:
    """Recorded outputs of the steps that are fed."""
    # The rendering of a prompt carries the model step's name too; what the step gave is the model call's output.
    own = [span for span in trace.spans if span.operation != "render_prompt"]
    by_step = {span.attributes[vocab.STEP]: span for span in own if span.attributes.get(vocab.STEP)}
    outputs: dict[str, Any] = {}
    for step in steps:
        if isinstance(step, PromptStep):
            continue  # a prompt is rendered for the model step; when that is fed, nothing of it is needed
        span = by_step.get(step.id)
        if isinstance(step, RetrieveStep) and span is not None:
            outputs[step.id] = span.attributes.get("gen_ai.retrieval.documents", [])
        elif span is None or span.output is None:
            notes.append(f"Step '{step.id}' was not recorded, so it ran again.")
        elif isinstance(step, ModelStep):
            outputs[step.id] = _text_of(span.output)
        else:
            outputs[step.id] = span.output
    return Tape(outputs)


async def _change(agents: Any, actor: Actor, resolved: Resolved, changes: dict[str, str]) -> tuple[Resolved, int]:
    """The app with the changes made, and the number of the first step that they touch."""
    app = msgspec.to_builtins(resolved.app)
    pins = dict(resolved.pins)
    first = len(resolved.app.steps)
    for name, given in changes.items():
        place, field = _place(resolved.app, name)
        first = min(first, place)
        value = given
        if field in ("policy", "prompt", "index"):
            value = _qualified(resolved.app, place, field, given)
            pins[value] = await agents.pin(actor.scope, value, field)
        if field == "policy":
            app["policy"] = value
        else:
            was = app["steps"][place].get(field)
            app["steps"][place][field] = int(value) if isinstance(was, int) and value.isdigit() else value
    try:
        changed = msgspec.convert(app, App)
    except msgspec.ValidationError as error:
        raise Invalid(f"This change does not fit the app: {error}. Nothing was run.") from error
    return msgspec.structs.replace(resolved, app=changed, pins=pins), first


_FIELDS = {
    "prompt": PromptStep,
    "index": RetrieveStep,
    "mode": RetrieveStep,
    "k": RetrieveStep,
    "model": ModelStep,
    "policy": GuardStep,
}


def _place(app: App, name: str) -> tuple[int, str]:
    """Which step a change such as `prompt` or `retrieve.k` means."""
    wanted, _, field = name.rpartition(".")
    for index, step in enumerate(app.steps):
        if (wanted and step.id == wanted and hasattr(step, field)) or (not wanted and isinstance(step, _FIELDS.get(field, ()))):
            return index, field
    known = [*_FIELDS, *(f"{step.id}.{part}" for step in app.steps for part in step.__struct_fields__ if part != "id")]
    near = vocab.nearest(name, known) or list(_FIELDS)
    raise Invalid(f"'{name}' cannot be changed. Nothing was run. Nearest: {', '.join(near)}.")


def _qualified(app: App, place: int, field: str, value: str) -> str:
    """`@2` or `2` means another version of the same artifact; anything else is a ref."""
    if value.lstrip("@").isdigit():
        was = Ref.parse(app.policy if field == "policy" else getattr(app.steps[place], field), field)
        return f"{field}:{was.name}@{value.lstrip('@')}"
    return str(Ref.parse(value, field))


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
