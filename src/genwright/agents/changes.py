"""The changes of a replay: `prompt=@2`, `k=10`, `guard_input.rail=…` made to a resolved app, with the first step they touch."""

from __future__ import annotations

from typing import Any

import msgspec

from genwright import vocab
from genwright.access.types import Actor
from genwright.agents.graph import check
from genwright.agents.types import App, GuardStep, ModelStep, PromptStep, Resolved, RetrieveStep
from genwright.errors import Invalid
from genwright.vocab import Ref

_FIELDS = {
    "prompt": PromptStep,
    "index": RetrieveStep,
    "mode": RetrieveStep,
    "k": RetrieveStep,
    "model": ModelStep,
    "policy": GuardStep,
}
"""Short names: the first step of that type is meant."""
_REFS = ("policy", "prompt", "index")


async def change(agents: Any, actor: Actor, resolved: Resolved, changes: dict[str, str]) -> tuple[Resolved, int]:
    """The app with the changes made, and the place of the first step that they touch (behind the last without changes).

    Raises Invalid for what cannot be changed or does not fit, Missing for a ref that names nothing.
    """
    app = msgspec.to_builtins(resolved.app)
    pins = dict(resolved.pins)
    first = len(resolved.app.steps)
    for name, given in changes.items():
        place, field = _place(resolved.app, name)
        first = min(first, place)
        if field in _REFS:
            value = _qualified(resolved.app, place, field, given)
            pins[value] = await agents.pin(actor.scope, value, field)
            (app if field == "policy" else app["steps"][place])[field] = value
        else:
            app["steps"][place][field] = _value(name, getattr(resolved.app.steps[place], field), given)
    if not changes:
        return resolved, first
    try:
        changed = check(app)
    except Invalid as error:
        raise Invalid(f"This change does not fit the app: {error.message} Nothing was run.") from error
    return msgspec.structs.replace(resolved, app=changed, pins=pins), first


def _place(app: App, name: str) -> tuple[int, str]:
    """Which step and field a change such as `prompt` or `retrieve.k` means."""
    wanted, _, field = name.rpartition(".")
    for index, step in enumerate(app.steps):
        fits = (step.id == wanted and field in _fields(step)) if wanted else isinstance(step, _FIELDS.get(field, ()))
        if fits:
            return index, field
    known = [*_FIELDS, *(f"{step.id}.{part}" for step in app.steps for part in _fields(step))]
    near = vocab.nearest(name, known) or list(_FIELDS)
    raise Invalid(f"'{name}' cannot be changed. Nothing was run. Nearest: {', '.join(near)}.")


def _fields(step: Any) -> list[str]:
    """What may be changed of a step; its id is what recorded outputs are found by."""
    return [field for field in step.__struct_fields__ if field != "id"]


def _value(name: str, was: Any, given: str) -> Any:
    """The text as the field's type; what does not fit is refused by the app's check."""
    if isinstance(was, int) and given.isdigit() and len(given) < 10:
        return int(given)
    if isinstance(was, dict):
        try:
            return msgspec.json.decode(given, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise Invalid(f'{name} takes a JSON object such as {{"temperature": 0}}. Nothing was run.') from error
    return given


def _qualified(app: App, place: int, field: str, value: str) -> str:
    """`@2`, `2` or `@label` means another version of the same artifact; anything else is a ref."""
    if value.startswith("@") or value.isdigit():
        was = Ref.parse(app.policy if field == "policy" else getattr(app.steps[place], field), field)
        value = f"{was.name}@{value.removeprefix('@')}"
    return str(Ref.parse(value, field))
