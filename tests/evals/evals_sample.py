"""A house of rooms up to evals, with a target `app/…` that answers as a test says."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace

from genwright.access.service import Access
from genwright.blobs import Blobs
from genwright.datasets.service import Datasets
from genwright.evals.service import Evals
from genwright.gateway.service import Gateway
from genwright.gateway.types import Answer, Chunk
from genwright.guardrails.service import Guardrails
from genwright.http import Http
from genwright.jobs import Jobs
from genwright.messages import assistant
from genwright.prices import Usage
from genwright.registry.service import Registry
from genwright.secrets import Secrets
from genwright.tracing.service import Tracing


class Target:
    """An app whose answers are a function of the question. Counts what it was asked; a real target of the gateway."""

    def __init__(self, tracing):
        self.tracing = tracing
        self.asked = Counter()
        self.answered = Counter()
        self.reply = lambda name, question: (f"About {question} [1]", [passage(1, "topic", f"About {question}")])
        self.wait = None

    async def run(self, actor, name, call):
        question = call.messages[-1].text
        self.asked[question] += 1
        with self.tracing.span(actor, f"app {name}", operation="invoke_agent", parent=call.parent) as root:
            for key, value in call.attributes.items():
                root.set(key, value)
            if self.wait is not None:
                await self.wait(question)
            await asyncio.sleep(0)
            text, passages = self.reply(name, question)
            root.output = [assistant(text)]
            yield Chunk(text=text)
            self.answered[question] += 1
            yield Answer(
                assistant(text), finish_reason="stop", usage=Usage(10, 5), model="m", provider="p", cost_nano_usd=1000,
                trace_id=root.trace_id, extra={"genwright": {"trace": root.trace_id, "passages": passages}},
            )  # fmt: skip


def passage(n, name, text):
    return {"n": n, "title": name, "name": name, "heading": "", "start": 0, "end": len(text), "document": "d", "text": text}


def build(databases, home, settings):
    """Rooms over these databases, as app.py wires them, without the ones that a target stands for."""
    registry = Registry(databases["registry"])
    tracing = Tracing(databases["spans"], registry)
    guardrails = Guardrails(registry)
    secrets = Secrets(home, settings.master_key)
    http = Http()
    access = Access(databases["registry"], secrets, settings)
    gateway = Gateway(databases, http, registry, tracing, guardrails, access, secrets, settings)
    target = Target(tracing)
    gateway.targets["app"] = target.run
    datasets = Datasets(registry, Blobs(home / "blobs"), tracing)
    jobs = Jobs(databases["registry"], home)
    evals = Evals(databases["registry"], registry, tracing, gateway, datasets, jobs, guardrails=guardrails)
    return SimpleNamespace(**locals())


async def close(rooms):
    await rooms.jobs.stop()
    await rooms.http.close()
    rooms.tracing.close()


def rows(count, split="report"):
    return [
        {"id": f"q{number:03}", "question": f"question {number}", "answer": f"About question {number}", "topics": ["topic"],
         "split": split}
        for number in range(count)
    ]  # fmt: skip
