"""What can be asked of a model, and how each dialect says it: one row a feature, one fragment of a request a dialect.

A fragment is laid over the dialect's smallest request (BASE). The same fragment is what a provider of that dialect must get, from
whatever face it came; a dialect without a fragment cannot say it, and must refuse it by the field's name. `hears`: what a
provider of the dialect must get where that differs from what its face says.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from matrix import clouds

HELLO = "Say hello."
BASE: dict[str, dict[str, Any]] = {
    "openai": {"model": "p/m", "messages": [{"role": "user", "content": HELLO}]},
    "anthropic": {"model": "p/m", "max_tokens": 100, "messages": [{"role": "user", "content": HELLO}]},
    "responses": {"model": "p/m", "input": HELLO},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": HELLO}]}]},
}
"""Dialect → the smallest request."""


class Feature(NamedTuple):
    name: str
    says: dict[str, dict[str, Any]]
    hears: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    own: bool = False
    """Only the same dialect takes it; every other must refuse it, whatever it says itself."""
    kept: bool = False
    """For our own trace and ledger; sent on only where the provider has a place for it."""
    hint: bool = False
    """Changes no answer: may be left out without being asked for, if that is told."""


def _user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjAKJSVFT0YK"
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
URL = "https://example.org/cat.png"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
WEATHER = {"name": "weather", "description": "Of a city.", "parameters": SCHEMA}
ASK = "Weather in Oslo and Rome?"
TOOL = {
    "openai": {"tools": [{"type": "function", "function": WEATHER}]},
    "anthropic": {"tools": [{"name": "weather", "description": "Of a city.", "input_schema": SCHEMA}]},
    "responses": {"tools": [{"type": "function", **WEATHER}]},
}


def _with_tool(**said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {dialect: {**TOOL[dialect], **fragment} for dialect, fragment in said.items()}


def _call(id_: str, city: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": "weather", "arguments": f'{{"city":"{city}"}}'}}


def _use(id_: str, city: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": "weather", "input": {"city": city}}


def _function(id_: str, city: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": id_, "name": "weather", "arguments": f'{{"city":"{city}"}}'}


_AGAIN = (("user", HELLO), ("assistant", "Hello."), ("user", "Again."))
_FEATURES: tuple[Feature, ...] = (
    Feature(
        "text",
        {"openai": {}, "anthropic": {}, "responses": {}},
        {
            "openai": {"messages": [{"role": "user", "content": HELLO}]},
            "anthropic": {"messages": [_user({"type": "text", "text": HELLO})]},
            "responses": {"input": [{"role": "user", "content": HELLO}]},
        },
    ),
    Feature(
        "system message",
        {
            "openai": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": HELLO}]},
            "anthropic": {"system": [{"type": "text", "text": "Be brief."}]},
            "responses": {"input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": HELLO}]},
        },
    ),
    Feature(
        "instructions",
        {"responses": {"instructions": "Be brief."}},
        {
            "openai": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": HELLO}]},
            "anthropic": {"system": [{"type": "text", "text": "Be brief."}]},
        },
    ),
    Feature(
        "developer message",
        {
            "openai": {"messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": HELLO}]},
            "responses": {"input": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": HELLO}]},
        },
        {"anthropic": {"system": [{"type": "text", "text": "Be brief."}]}},
    ),
    Feature("tools", TOOL),
    Feature(
        "tool choice: must",
        _with_tool(
            openai={"tool_choice": "required"}, anthropic={"tool_choice": {"type": "any"}}, responses={"tool_choice": "required"}
        ),
    ),
    Feature(
        "tool choice: one",
        _with_tool(
            openai={"tool_choice": {"type": "function", "function": {"name": "weather"}}},
            anthropic={"tool_choice": {"type": "tool", "name": "weather"}},
            responses={"tool_choice": {"type": "function", "name": "weather"}},
        ),
    ),
    Feature(
        "tool choice: none",
        _with_tool(
            openai={"tool_choice": "none"}, anthropic={"tool_choice": {"type": "none"}}, responses={"tool_choice": "none"}
        ),
    ),
    Feature(
        "no parallel calls",
        _with_tool(
            openai={"tool_choice": "auto", "parallel_tool_calls": False},
            anthropic={"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            responses={"tool_choice": "auto", "parallel_tool_calls": False},
        ),
    ),
    Feature(
        "parallel calls and their results",
        _with_tool(
            openai={
                "messages": [
                    {"role": "user", "content": ASK},
                    {"role": "assistant", "content": "I look.", "tool_calls": [_call("c1", "Oslo"), _call("c2", "Rome")]},
                    {"role": "tool", "tool_call_id": "c1", "content": "cold"},
                    {"role": "tool", "tool_call_id": "c2", "content": "warm"},
                    {"role": "user", "content": "And?"},
                ]
            },
            anthropic={
                "messages": [
                    _user({"type": "text", "text": ASK}),
                    {
                        "role": "assistant",
                        "content": [{"type": "text", "text": "I look."}, _use("c1", "Oslo"), _use("c2", "Rome")],
                    },
                    _user(
                        {"type": "tool_result", "tool_use_id": "c1", "content": "cold"},
                        {"type": "tool_result", "tool_use_id": "c2", "content": "warm"},
                        {"type": "text", "text": "And?"},
                    ),
                ]
            },
            responses={
                "input": [
                    {"role": "user", "content": ASK},
                    {"role": "assistant", "content": "I look."},
                    _function("c1", "Oslo"),
                    _function("c2", "Rome"),
                    {"type": "function_call_output", "call_id": "c1", "output": "cold"},
                    {"type": "function_call_output", "call_id": "c2", "output": "warm"},
                    {"role": "user", "content": "And?"},
                ]
            },
        ),
    ),
    Feature(
        "JSON schema output",
        {
            "openai": {
                "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
            },
            "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            "responses": {"text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}}},
        },
    ),
    Feature(
        "JSON object output",
        {"openai": {"response_format": {"type": "json_object"}}, "responses": {"text": {"format": {"type": "json_object"}}}},
    ),
    Feature(
        "image by address",
        {
            "openai": {"messages": [_user({"type": "text", "text": HELLO}, {"type": "image_url", "image_url": {"url": URL}})]},
            "anthropic": {
                "messages": [_user({"type": "text", "text": HELLO}, {"type": "image", "source": {"type": "url", "url": URL}})]
            },
            "responses": {"input": [_user({"type": "input_text", "text": HELLO}, {"type": "input_image", "image_url": URL})]},
        },
    ),
    Feature(
        "image inline",
        {
            "openai": {"messages": [_user({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}})]},
            "anthropic": {
                "messages": [_user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}})]
            },
            "responses": {"input": [_user({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"})]},
        },
    ),
    Feature(
        "image detail",
        {
            "openai": {"messages": [_user({"type": "image_url", "image_url": {"url": URL, "detail": "low"}})]},
            "responses": {"input": [_user({"type": "input_image", "image_url": URL, "detail": "low"})]},
        },
    ),
    Feature(
        "audio inline",
        {"openai": {"messages": [_user({"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}})]}},
    ),
    Feature(
        "file inline",
        {
            "openai": {
                "messages": [
                    _user({"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}})
                ]
            },
            "anthropic": {
                "messages": [
                    _user(
                        {
                            "type": "document",
                            "title": "a.pdf",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                        }
                    )
                ]
            },
            "responses": {
                "input": [_user({"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"})]
            },
        },
    ),
    Feature(
        "file by id",
        {
            "openai": {"messages": [_user({"type": "file", "file": {"file_id": "file_1"}})]},
            "responses": {"input": [_user({"type": "input_file", "file_id": "file_1"})]},
        },
    ),
    Feature(
        "reasoning that goes back signed",
        {
            "openai": {
                "messages": [
                    {"role": "user", "content": HELLO},
                    {
                        "role": "assistant",
                        "content": "Hello.",
                        "reasoning_details": [{"type": "reasoning.text", "text": "They greet.", "signature": "U2lnbmVk"}],
                    },
                    {"role": "user", "content": "Again."},
                ]
            },
            "anthropic": {
                "messages": [
                    _user({"type": "text", "text": HELLO}),
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "thinking", "thinking": "They greet.", "signature": "U2lnbmVk"},
                            {"type": "text", "text": "Hello."},
                        ],
                    },
                    _user({"type": "text", "text": "Again."}),
                ]
            },
            "responses": {
                "input": [
                    {"role": "user", "content": HELLO},
                    {
                        "type": "reasoning",
                        "id": "rs_1",
                        "summary": [{"type": "summary_text", "text": "They greet."}],
                        "encrypted_content": "gw:U2lnbmVk",
                    },
                    {"role": "assistant", "content": "Hello."},
                    {"role": "user", "content": "Again."},
                ]
            },
        },
        {"responses": {"input": [{"role": role, "content": text} for role, text in _AGAIN]}},  # not signed by OpenAI
    ),
    Feature(
        "reasoning effort",
        {
            "openai": {"reasoning_effort": "low"},
            "anthropic": {"output_config": {"effort": "low"}},
            "responses": {"reasoning": {"effort": "low"}},
        },
    ),
    Feature("thinking budget", {"anthropic": {"thinking": {"type": "enabled", "budget_tokens": 2000}}}),
    Feature(
        "longest answer",
        {"openai": {"max_tokens": 77}, "anthropic": {"max_tokens": 77}, "responses": {"max_output_tokens": 77}},
    ),
    Feature(
        "temperature",
        {"openai": {"temperature": 0.375}, "anthropic": {"temperature": 0.375}, "responses": {"temperature": 0.375}},
    ),
    Feature("temperature over 1", {"openai": {"temperature": 1.5}, "responses": {"temperature": 1.5}}),
    Feature("top_p", {"openai": {"top_p": 0.625}, "anthropic": {"top_p": 0.625}, "responses": {"top_p": 0.625}}),
    Feature("top_k", {"anthropic": {"top_k": 33}}),
    Feature("stop sequences", {"openai": {"stop": ["END", "FIN"]}, "anthropic": {"stop_sequences": ["END", "FIN"]}}),
    Feature("seed", {"openai": {"seed": 424242}}),
    Feature("several answers", {"openai": {"n": 3}}),
    Feature("presence penalty", {"openai": {"presence_penalty": 0.75}}),
    Feature("frequency penalty", {"openai": {"frequency_penalty": 0.75}}),
    Feature("logit bias", {"openai": {"logit_bias": {"50256": -100}}}),
    Feature(
        "logprobs",
        {
            "openai": {"logprobs": True, "top_logprobs": 3},
            "responses": {"include": ["message.output_text.logprobs"], "top_logprobs": 3},
        },
    ),
    Feature("verbosity", {"openai": {"verbosity": "low"}, "responses": {"text": {"verbosity": "low"}}}),
    Feature("service tier", {"openai": {"service_tier": "flex"}, "responses": {"service_tier": "flex"}}),
    Feature(
        "user",
        {"openai": {"user": "u-1"}, "anthropic": {"metadata": {"user_id": "u-1"}}, "responses": {"user": "u-1"}},
        kept=True,
    ),
    Feature(
        "strict tool",
        {
            "openai": {"tools": [{"type": "function", "function": {**WEATHER, "strict": True}}]},
            "anthropic": {"tools": [{"name": "weather", "input_schema": SCHEMA, "strict": True}]},
            "responses": {"tools": [{"type": "function", **WEATHER, "strict": True}]},
        },
    ),
    Feature(
        "a tool's failure",
        {
            "anthropic": {
                "messages": [
                    _user({"type": "text", "text": HELLO}),
                    {"role": "assistant", "content": [_use("c1", "Oslo")]},
                    _user({"type": "tool_result", "tool_use_id": "c1", "is_error": True, "content": "no such city"}),
                ]
            },
        },
        {
            "openai": {"messages": [{}, {}, {"role": "tool", "content": '{"is_error":true,"content":"no such city"}'}]},
            "responses": {
                "input": [{}, {}, {"type": "function_call_output", "output": '{"is_error":true,"content":"no such city"}'}]
            },
        },
    ),
    Feature("prompt cache key", {"openai": {"prompt_cache_key": "k-1"}, "responses": {"prompt_cache_key": "k-1"}}),
    Feature(
        "cache control",
        {"anthropic": {"system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]}},
        hint=True,
    ),
    Feature(
        "provider's own tool",
        {
            "anthropic": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            "responses": {"tools": [{"type": "web_search"}]},
        },
        own=True,
    ),
    Feature(
        "unknown field",
        {dialect: {"brand_new_field": {"a": [1, 2]}} for dialect in ("openai", "anthropic", "responses")},
        own=True,
    ),
)
FEATURES = tuple(
    feature._replace(
        says={**feature.says, **clouds.SAYS.get(feature.name, {})}, hears={**feature.hears, **clouds.HEARS.get(feature.name, {})}
    )
    for feature in _FEATURES
)
