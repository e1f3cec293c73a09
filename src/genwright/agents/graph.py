"""The rules of an app's graph: what its content must be, and which versions it names. Pure; knows no storage."""

from __future__ import annotations

from typing import Any

import msgspec

from genwright.agents.types import App, GuardStep, ModelStep, PromptStep, RetrieveStep
from genwright.errors import Invalid

MAX_K = 50


def refs(app: App) -> list[tuple[str, str]]:
    """(kind, ref) of everything an app names."""
    found = [("policy", app.policy)] if app.policy else []
    for step in app.steps:
        if isinstance(step, RetrieveStep):
            found.append(("index", step.index))
        elif isinstance(step, PromptStep):
            found.append(("prompt", step.prompt))
    return list(dict.fromkeys(found))


def check(content: dict[str, Any]) -> App:
    """The content as an App. Raises Invalid saying which step is wrong."""
    try:
        app = msgspec.convert(content, App)
    except msgspec.ValidationError as error:
        raise Invalid(f"This is not an app: {error}. Nothing was kept.", code="invalid_app") from error
    ids = [step.id for step in app.steps]
    doubled = sorted({name for name in ids if ids.count(name) > 1})
    if doubled:
        raise _wrong(f"Two steps are called {', '.join(doubled)}. Give each its own id")
    for kind, name in ((RetrieveStep, "retrieve"), (PromptStep, "prompt"), (ModelStep, "model")):
        same = [step.id for step in app.steps if isinstance(step, kind)]
        if len(same) > 1:
            raise _wrong(f"Steps {', '.join(same)} are all {name} steps; an app has one")
    if not any(isinstance(step, ModelStep) for step in app.steps):
        raise _wrong("There is no model step, so nothing would answer")
    _check_order(app)
    return app


def _check_order(app: App) -> None:
    """guard and retrieve in any sensible order, prompt, model, output guards."""
    at = {type(step): index for index, step in enumerate(app.steps) if not isinstance(step, GuardStep)}
    model, prompt, retrieve = at[ModelStep], at.get(PromptStep), at.get(RetrieveStep)
    for index, step in enumerate(app.steps):
        if index > model and (not isinstance(step, GuardStep) or step.rail != "output"):
            raise _wrong(f"Step '{step.id}' stands after the model; only output guards may")
        if isinstance(step, GuardStep):
            if index < model and step.rail == "output":
                raise _wrong(f"Step '{step.id}' guards the output before there is one")
            if step.rail == "passages" and (retrieve is None or index < retrieve):
                raise _wrong(f"Step '{step.id}' guards passages before any are retrieved")
            if step.rail == "input" and retrieve is not None and index > retrieve:
                raise _wrong(f"Step '{step.id}' guards the question after it was used to retrieve")
        elif isinstance(step, PromptStep) and index != model - 1:
            raise _wrong(f"Step '{step.id}' must stand right before the model: what comes later would not reach the prompt")
        elif isinstance(step, RetrieveStep):
            if prompt is None:
                raise _wrong(f"Step '{step.id}' finds passages that no prompt step hands to the model")
            if not 1 <= step.k <= MAX_K:
                raise _wrong(f"Step '{step.id}': k is {step.k}; it must be 1–{MAX_K}")
        elif isinstance(step, ModelStep) and step.model.startswith("app/"):
            raise _wrong(f"Step '{step.id}' asks {step.model}; an app cannot ask an app. Name PROVIDER/MODEL")


def _wrong(what: str) -> Invalid:
    return Invalid(f"{what}. Nothing was kept.", code="invalid_app")
