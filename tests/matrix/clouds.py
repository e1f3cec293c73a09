"""How Gemini and Bedrock say the features of features.py: name of the feature → dialect → fragment."""

from __future__ import annotations

from typing import Any

HELLO, ASK = "Say hello.", "Weather in Oslo and Rome?"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF, WAV = "JVBERi0xLjAKJSVFT0YK", "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
DECLARED = [{"functionDeclarations": [{"name": "weather", "description": "Of a city.", "parametersJsonSchema": SCHEMA}]}]
SPEC = [{"toolSpec": {"name": "weather", "description": "Of a city.", "inputSchema": {"json": SCHEMA}}}]


def _parts(*parts: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(parts)}]}


def _content(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def _config(**fields: Any) -> dict[str, Any]:
    return {"generationConfig": fields}


def _inference(**fields: Any) -> dict[str, Any]:
    return {"inferenceConfig": fields}


def _mode(mode: str, **more: Any) -> dict[str, Any]:
    return {"tools": DECLARED, "toolConfig": {"functionCallingConfig": {"mode": mode, **more}}}


def _call(id_: str, city: str) -> dict[str, Any]:
    return {"functionCall": {"id": id_, "name": "weather", "args": {"city": city}}}


def _answer(id_: str, text: str) -> dict[str, Any]:
    return {"functionResponse": {"id": id_, "name": "weather", "response": {"output": text}}}


def _use(id_: str, city: str) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": id_, "name": "weather", "input": {"city": city}}}


def _result(id_: str, text: str) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": id_, "content": [{"text": text}]}}


SAYS: dict[str, dict[str, dict[str, Any]]] = {
    "text": {"gemini": _parts({"text": HELLO}), "bedrock": _content({"text": HELLO})},
    "system message": {
        "gemini": {"systemInstruction": {"parts": [{"text": "Be brief."}]}},
        "bedrock": {"system": [{"text": "Be brief."}]},
    },
    "tools": {"gemini": {"tools": DECLARED}, "bedrock": {"toolConfig": {"tools": SPEC}}},
    "tool choice: must": {"gemini": _mode("ANY"), "bedrock": {"toolConfig": {"tools": SPEC, "toolChoice": {"any": {}}}}},
    "tool choice: one": {
        "gemini": _mode("ANY", allowedFunctionNames=["weather"]),
        "bedrock": {"toolConfig": {"tools": SPEC, "toolChoice": {"tool": {"name": "weather"}}}},
    },
    "tool choice: none": {
        "gemini": _mode("NONE"),
        "bedrock": _content({"text": HELLO}),
    },  # Converse is not told of the tools then
    "parallel calls and their results": {
        "gemini": {
            "tools": DECLARED,
            "contents": [
                {"role": "user", "parts": [{"text": ASK}]},
                {"role": "model", "parts": [{"text": "I look."}, _call("c1", "Oslo"), _call("c2", "Rome")]},
                {"role": "user", "parts": [_answer("c1", "cold"), _answer("c2", "warm"), {"text": "And?"}]},
            ],
        },
        "bedrock": {
            "toolConfig": {"tools": SPEC},
            "messages": [
                {"role": "user", "content": [{"text": ASK}]},
                {"role": "assistant", "content": [{"text": "I look."}, _use("c1", "Oslo"), _use("c2", "Rome")]},
                {"role": "user", "content": [_result("c1", "cold"), _result("c2", "warm"), {"text": "And?"}]},
            ],
        },
    },
    "JSON schema output": {
        "gemini": _config(responseMimeType="application/json", responseJsonSchema=SCHEMA),
        "bedrock": {"outputConfig": {"textFormat": {"type": "json_schema"}}},
    },
    "JSON object output": {"gemini": _config(responseMimeType="application/json")},
    "image by address": {
        "gemini": _parts({"text": HELLO}, {"fileData": {"mimeType": "image/png", "fileUri": "https://example.org/cat.png"}})
    },
    "image inline": {
        "gemini": _parts({"inlineData": {"mimeType": "image/png", "data": PNG}}),
        "bedrock": _content({"image": {"format": "png", "source": {"bytes": PNG}}}),
    },
    "audio inline": {
        "gemini": _parts({"inlineData": {"mimeType": "audio/wav", "data": WAV}}),
        "bedrock": _content({"audio": {"format": "wav", "source": {"bytes": WAV}}}),
    },
    "file inline": {
        "gemini": _parts({"inlineData": {"mimeType": "application/pdf", "data": PDF}}),
        "bedrock": _content({"document": {"format": "pdf", "source": {"bytes": PDF}}}),
    },
    "reasoning effort": {"gemini": _config(thinkingConfig={"thinkingBudget": 1024})},
    "longest answer": {"gemini": _config(maxOutputTokens=77), "bedrock": _inference(maxTokens=77)},
    "temperature": {"gemini": _config(temperature=0.375), "bedrock": _inference(temperature=0.375)},
    "temperature over 1": {"gemini": _config(temperature=1.5), "bedrock": _inference(temperature=1.5)},
    "top_p": {"gemini": _config(topP=0.625), "bedrock": _inference(topP=0.625)},
    "top_k": {"gemini": _config(topK=33)},
    "stop sequences": {"gemini": _config(stopSequences=["END", "FIN"]), "bedrock": _inference(stopSequences=["END", "FIN"])},
    "seed": {"gemini": _config(seed=424242)},
    "several answers": {"gemini": _config(candidateCount=3)},
    "presence penalty": {"gemini": _config(presencePenalty=0.75)},
    "frequency penalty": {"gemini": _config(frequencyPenalty=0.75)},
    "logprobs": {"gemini": _config(responseLogprobs=True, logprobs=3)},
    "unknown field": {"gemini": {"brandNewField": {"a": [1, 2]}}},
}
HEARS: dict[str, dict[str, dict[str, Any]]] = {
    "instructions": {name: SAYS["system message"][name] for name in ("gemini", "bedrock")},
    "developer message": {name: SAYS["system message"][name] for name in ("gemini", "bedrock")},
    "reasoning that goes back signed": {
        "gemini": {
            "contents": [  # not signed by Google
                {"role": "user", "parts": [{"text": HELLO}]},
                {"role": "model", "parts": [{"text": "Hello."}]},
                {"role": "user", "parts": [{"text": "Again."}]},
            ]
        },
        "bedrock": {
            "messages": [  # Anthropic's models live there, too
                {"role": "user", "content": [{"text": HELLO}]},
                {
                    "role": "assistant",
                    "content": [
                        {"reasoningContent": {"reasoningText": {"text": "They greet.", "signature": "U2lnbmVk"}}},
                        {"text": "Hello."},
                    ],
                },
                {"role": "user", "content": [{"text": "Again."}]},
            ]
        },
    },
    "cache control": {"bedrock": {"system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}]}},
    # Gemini's face gives no names to schemas and files.
    "JSON schema output": {
        "openai": {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
        "responses": {"text": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    },
    "file inline": {
        "openai": _content({"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}}),
        "responses": {"input": [{"content": [{"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF}"}]}]},
        "anthropic": _content({"type": "document", "source": {"data": PDF}}),
    },
    "strict tool": {
        "openai": {"tools": [{"type": "function", "function": {"strict": True}}]},
        "responses": {"tools": [{"type": "function", "strict": True}]},
        "gemini": {"toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}}},
        "bedrock": {"toolConfig": {"tools": [{"toolSpec": {"strict": True}}]}},
    },
    "a tool's failure": {
        "gemini": {
            "contents": [{}, {}, {"parts": [{"functionResponse": {"response": {"is_error": True, "content": "no such city"}}}]}]
        },
        "bedrock": {
            "messages": [{}, {}, {"content": [{"toolResult": {"status": "error", "content": [{"text": "no such city"}]}}]}]
        },
    },
}
