"""Whether a model is still the one it was: fixed prompts at temperature 0, their answers and the provider's fingerprint compared.

A run is compared with the newest earlier one that has answers. Temperature 0 is not exact at most services: answers may differ a
little from run to run, so only a clear difference (`CLEARLY`) is called a change, and the two answers are kept to be looked at.
"""

from __future__ import annotations

import hashlib
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from genwright import clock
from genwright.errors import Error, Invalid
from genwright.gateway.catalogue.types import CanaryAnswer, CanaryRun
from genwright.gateway.types import Answer, Call
from genwright.messages import user
from genwright.vocab import new_id

if TYPE_CHECKING:
    from genwright.access.types import Actor
    from genwright.gateway.service import Gateway
    from genwright.jobs import Job, JobContext, Jobs

KIND = "gateway.canary"
MAX_MODELS = 100
CLEARLY = 0.6
"""Mean similarity of the answers below which a model is called changed."""
MAX_TOKENS = 200
KEPT_TEXT = 4_000


@cache
def prompts() -> dict[str, str]:
    """Name → prompt."""
    return tomllib.loads(Path(__file__).with_name("canaries.toml").read_text(encoding="utf-8"))


async def run(gateway: Gateway, actor: Actor, model: str) -> CanaryRun:
    """Ask everything, compare with the run before, keep it. Failures of the provider are in the run, not raised."""
    actor.need("write")
    provider, _, name = model.partition("/")
    before = await gateway.catalogue.last_run(actor.scope, provider, name)
    old = {answer.prompt: answer for answer in before.answers} if before is not None else {}
    answers: list[CanaryAnswer] = []
    fingerprint: dict[str, str] = {}
    for key, text in prompts().items():
        try:
            answer = await _ask(gateway, actor, model, text)
        except Error as error:
            answers.append(CanaryAnswer(key, "", "", error=error.message[:300]))
            continue
        fingerprint |= _fingerprint(answer)
        said = answer.message.text[:KEPT_TEXT]
        digest = hashlib.sha256(said.encode()).hexdigest()
        then = old.get(key)
        likeness = similarity(then.text, said) if then is not None and not then.error else None
        answers.append(CanaryAnswer(key, said, digest, likeness))
    likenesses = [answer.similarity for answer in answers if answer.similarity is not None]
    lowest = min(likenesses) if likenesses else None
    verdict, why = _verdict(before, fingerprint, answers)
    made = CanaryRun(new_id("can"), provider, name, clock.now_ns(), actor.id, fingerprint, answers, lowest, verdict, why)
    await gateway.catalogue.keep_run(actor.scope, made)
    return made


async def _ask(gateway: Gateway, actor: Actor, model: str, text: str) -> Answer:
    """Temperature 0 where the model takes it; models that think refuse it, and are asked without."""
    call = Call(model, [user(text)], {"temperature": 0, "max_tokens": MAX_TOKENS}, rails=False, cache="off",
                tags={"purpose": "canary"})  # fmt: skip
    try:
        return await gateway.complete(actor, call)
    except Error as error:
        if error.status != 400 or "temperature" not in error.message:
            raise
    return await gateway.complete(actor, msgspec.structs.replace(call, parameters={"max_tokens": MAX_TOKENS * 10}))


def _fingerprint(answer: Answer) -> dict[str, str]:
    found = {"model": answer.model} if answer.model else {}
    if answer.raw:
        try:
            decoded = msgspec.json.decode(answer.raw)
        except msgspec.DecodeError:
            return found
        for name in ("system_fingerprint", "modelVersion"):
            if isinstance(decoded, dict) and isinstance(decoded.get(name), str):
                found[name] = decoded[name]
    return found


def _verdict(before: CanaryRun | None, fingerprint: dict[str, str], answers: list[CanaryAnswer]) -> tuple[str, str]:
    if all(answer.error for answer in answers):
        return "failed", answers[0].error
    if before is None:
        return "first", ""
    differs = [
        f"{name} was {before.fingerprint[name]} and is {fingerprint[name]}"
        for name in before.fingerprint.keys() & fingerprint.keys()
        if before.fingerprint[name] != fingerprint[name]
    ]
    compared = [answer.similarity for answer in answers if answer.similarity is not None]
    mean = sum(compared) / len(compared) if compared else 1.0
    if mean < CLEARLY:
        differs.append(f"its answers are alike by {mean:.2f} only")
    return ("changed", "; ".join(sorted(differs))) if differs else ("same", "")


def similarity(one: str, other: str) -> float:
    """Dice's coefficient of the texts' word pairs (words and ends): 1 the same, 0 nothing in common."""
    if one == other:
        return 1.0
    first, second = _pairs(one), _pairs(other)
    if not first or not second:
        return 0.0
    return 2 * len(first & second) / (len(first) + len(second))


def _pairs(text: str) -> set[tuple[str, str]]:
    words = ["", *text.lower().split(), ""]
    return set(pairwise(words)) if len(words) > 2 else set()


class Canaries:
    """Runs of several models as a job; registers its handler with `jobs`."""

    def __init__(self, gateway: Gateway, jobs: Jobs, access: Any):
        self._gateway, self._jobs, self._access = gateway, jobs, access
        jobs.handler(KIND, self._work)

    async def start(self, actor: Actor, models: list[str]) -> Job:
        """One run for each model, one after the other. Raises Invalid, Missing (provider)."""
        actor.need("write")
        if not 0 < len(models) <= MAX_MODELS:
            raise Invalid(f"Name 1 to {MAX_MODELS} models as PROVIDER/MODEL. Nothing was asked.", field="models")
        for model in models:
            provider, slash, name = model.partition("/")
            if not slash or not name:
                raise Invalid(f"'{model[:200]}' is no model: write PROVIDER/MODEL. Nothing was asked.", field="models")
            await self._gateway.endpoint(actor, provider)
        return await self._jobs.start(actor.scope, KIND, {"models": list(dict.fromkeys(models))}, by=actor.id)

    async def _work(self, job: JobContext) -> dict[str, Any]:
        models: list[str] = job.arguments["models"]
        verdicts: dict[str, str] = {}
        for number, model in enumerate(models):
            await job.progress(number, len(models), model)

            async def once(model: str = model) -> dict[str, str]:
                actor = await self._access.actor_by_id(job.scope, job.by)
                made = await run(self._gateway, actor, model)
                return {"verdict": made.verdict, "why": made.why}

            verdicts[model] = (await job.step(f"run {number}", once))["verdict"]
        await job.progress(len(models), len(models))
        return {"verdicts": verdicts}
