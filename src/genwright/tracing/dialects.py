"""What span attributes mean: OpenTelemetry GenAI (1.41 and older), OpenInference, OpenLLMetry, Vercel AI → columns.

Tables of names, first present wins. Messages are in `dialect_messages.py`. Sources: OpenTelemetry semantic conventions 1.41
(gen_ai.*) and 1.27 (gen_ai.system, prompt_tokens), OpenInference semantic conventions, traceloop-sdk, ai.* of Vercel's AI SDK.
"""

from __future__ import annotations

import re
from typing import Any

from genwright import prices, vocab
from genwright.tracing.types import Span

DOCUMENTS = "gen_ai.retrieval.documents"
EMBEDDING_MODEL = "genwright.embedding_model"

OPERATION = ("gen_ai.operation.name", "openinference.span.kind", "traceloop.span.kind", "llm.request.type", "ai.operationId")
OPERATIONS = {
    "LLM": "chat", "EMBEDDING": "embeddings", "RETRIEVER": "retrieval", "TOOL": "execute_tool", "AGENT": "invoke_agent",
    "CHAIN": "chain", "RERANKER": "rerank", "GUARDRAIL": "guard", "EVALUATOR": "evaluate", "PROMPT": "render_prompt",
    "workflow": "invoke_agent", "agent": "invoke_agent", "tool": "execute_tool", "task": "chain", "completion": "text_completion",
    "embedding": "embeddings", "ai.generateText": "invoke_agent", "ai.streamText": "invoke_agent",
    "ai.generateText.doGenerate": "chat", "ai.streamText.doStream": "chat", "ai.generateObject": "invoke_agent",
    "ai.generateObject.doGenerate": "chat", "ai.toolCall": "execute_tool", "ai.embed": "embeddings",
    "ai.embed.doEmbed": "embeddings",
}  # fmt: skip
MODEL_CALLS = ("chat", "text_completion", "generate_content", "embeddings")

TEXTS = {
    "model": (
        "gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "embedding.model_name", "reranker.model_name",
        "ai.model.id",
    ),
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider"),
    "session": (
        "session.id", "gen_ai.conversation.id", "langfuse.session.id", "traceloop.association.properties.session_id",
        "ai.telemetry.metadata.sessionId",
    ),
    "user": (
        "user.id", "enduser.id", "langfuse.user.id", "traceloop.association.properties.user_id", "ai.telemetry.metadata.userId",
    ),
    "app": (vocab.APP,),
    "release": (vocab.RELEASE,),
    "run": (vocab.RUN,),
}  # fmt: skip
NUMBERS = {
    "tokens_in": (
        "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens",
        "ai.usage.promptTokens", "ai.usage.inputTokens",
    ),
    "tokens_out": (
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
        "llm.usage.completion_tokens", "ai.usage.completionTokens", "ai.usage.outputTokens",
    ),
    "cost_nano_usd": (vocab.COST,),
}  # fmt: skip
DOLLARS = ("gen_ai.usage.cost", "llm.cost.total", "operation.cost")

CONTENT = {
    "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result", "gen_ai.retrieval.query.text", "genwright.variables", "input.value", "output.value", "input",
    "output", "events", "final_result", "all_messages_events", "tool_arguments", "tool_response", "query", "response", "prompt",
    "raw_input", "exception.message", "exception.stacktrace", "llm.invocation_parameters",
}  # fmt: skip
CONTENT_PREFIXES = (
    "gen_ai.prompt", "gen_ai.completion", "llm.input_messages", "llm.output_messages", "llm.prompts", "llm.prompt_template",
    "retrieval.documents", "reranker.", "embedding.embeddings", "ai.prompt", "ai.response.text", "ai.response.object",
    "ai.response.toolCalls", "ai.toolCall.args", "ai.toolCall.result", "ai.value", "ai.embedding", "traceloop.entity.input",
    "traceloop.entity.output", "langfuse.observation.input", "langfuse.observation.output", "langfuse.trace.input",
    "langfuse.trace.output", "gcp.vertex.agent.llm_", "gcp.vertex.agent.tool_", "gcp.vertex.agent.data", "pydantic_ai.",
)  # fmt: skip

REFS = (
    vocab.RELEASE, vocab.PROMPT, vocab.INDEX, vocab.POLICY, vocab.DATASET, "genwright.corpus", "genwright.tool",
    "genwright.evaluator", "genwright.price_book", vocab.ROUTE_REF,
)  # fmt: skip
"""Attributes that name a version: text or a list of texts `kind:name@sha256:…`."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


_KNOWN: dict[str, tuple[str, int]] = {
    name: (column, rank)
    for table in ({"operation": OPERATION, "dollars": DOLLARS}, TEXTS, NUMBERS)
    for column, names in table.items()
    for rank, name in enumerate(names)
}


def fill(span: Span) -> None:
    """Fill columns that are still empty from the attributes: of several names for one column the first in its table."""
    found: dict[str, tuple[int, Any]] = {}
    for name, given in span.attributes.items():
        known = _KNOWN.get(name)
        if known is None or given is None or given == "":
            continue
        column, rank = known
        value = _number(given) if column in NUMBERS else _nano_dollars(given) if column == "dollars" else given
        if value is not None and (column not in found or rank < found[column][0]):
            found[column] = (rank, value)
    dollars = found.pop("dollars", None)
    if dollars:
        found.setdefault("cost_nano_usd", dollars)
    for column, (_, value) in found.items():
        if getattr(span, column) in ("", None):
            if column in NUMBERS or isinstance(value, str):
                setattr(span, column, OPERATIONS.get(value, value) if column == "operation" else value)
            else:
                setattr(span, column, str(value))
    if not span.app and span.resource:
        span.app = str(span.resource.get("service.name") or "")


CACHED = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
)
CACHE_WRITTEN = (
    "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write",
)  # fmt: skip


def put_price(span: Span) -> None:
    """The cost of a model call that reported tokens but no cost, by the bundled price list; unknown stays None."""
    if span.cost_nano_usd is not None or not span.provider or not is_model_call(span):
        return
    if span.tokens_in is None and span.tokens_out is None:
        return
    attributes = span.attributes
    cached, written = _count(attributes, CACHED), _count(attributes, CACHE_WRITTEN)
    usage = prices.Usage(span.tokens_in or 0, span.tokens_out or 0, cached, written)
    model = attributes.get("gen_ai.response.model")
    found = None
    for name in (model, span.model):
        if isinstance(name, str) and name and found is None:
            found = prices.price(span.provider, name, usage, span.start_ns)
    span.cost_nano_usd = found.nano_usd if found else None


def _count(attributes: dict[str, Any], names: tuple[str, ...]) -> int:
    """The first count that is there under one of the names, else 0."""
    for name in names:
        if name in attributes and (count := _number(attributes[name])) is not None:
            return count
    return 0


def _number(value: Any) -> int | None:
    """A count; some exporters send numbers as text."""
    if type(value) is int:
        return value if value >= 0 else None
    if value is None or isinstance(value, bool):
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number >= 0 else None


def _nano_dollars(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        nano = round(float(value) * 1e9)
    except (TypeError, ValueError, OverflowError):
        return None
    return nano if nano >= 0 else None


def refs(span: Span) -> set[str]:
    """What the span has used, as keys of span_refs: digests, `document:sha256:…`, `model:NAME`."""
    found: set[str] = set()
    attributes = span.attributes
    for name in REFS:
        value = attributes.get(name)
        if value:
            found.update(_DIGEST.findall(value if isinstance(value, str) else str(value)))
    if span.release:
        found.update(_DIGEST.findall(span.release))
    for model in (span.model, attributes.get("gen_ai.response.model"), attributes.get(EMBEDDING_MODEL)):
        if model and isinstance(model, str):
            found.add(f"model:{model[:300]}".replace("\x00", "").encode("utf-8", "replace").decode())
    documents = attributes.get(DOCUMENTS)
    if isinstance(documents, list):
        for item in documents:
            digest = item.get("document") if isinstance(item, dict) else None
            if isinstance(digest, str) and _DIGEST.fullmatch(digest):
                found.add(f"document:{digest}")
    return found


def is_model_call(span: Span) -> bool:
    return span.operation in MODEL_CALLS


def is_content(key: str) -> bool:
    """Whether an attribute holds what people or models said (left out under capture=metadata)."""
    return key in CONTENT or key.startswith(CONTENT_PREFIXES)
