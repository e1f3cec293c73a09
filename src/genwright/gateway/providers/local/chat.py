"""local/extractive as a chat model: finds question and passages in the messages, answers with their sentences (extractive.py).

It generates nothing: sampling parameters change nothing and are taken; what asks for generation is refused by name.
"""

from __future__ import annotations

import re

from genwright import embed, tokens
from genwright.errors import NeedsExtra
from genwright.gateway.types import Answer, Call
from genwright.gateway.wire.openai import bad
from genwright.messages import Message, Text
from genwright.prices import Usage
from genwright.vocab import new_id

MODEL = "local/extractive"
_PASSAGE = re.compile(r'<passage n="(\d{1,4})"(?: title="(.*?)")?[^>]*>\s*(.*?)\s*</passage>', re.DOTALL)
_QUESTION = re.compile(r"<question>\s*(.*?)\s*</question>", re.DOTALL)


class Extractive:
    def answer(self, call: Call) -> Answer:
        """Slow enough for a thread. Raises Invalid naming a field that would need a model that writes."""
        _refuse(call)
        from genwright.gateway.providers.local import extractive

        question, passages = read(call.messages)
        text, finish = extractive.answer(question, passages), "stop"
        limit = call.parameters.get("max_completion_tokens") or call.parameters.get("max_tokens")
        if limit is not None:
            text, finish = _cut(text, limit)
        message = Message("assistant", [Text(text)], finish_reason=finish)
        return Answer(message, finish, _usage(call, text), MODEL, response_id=new_id("chatcmpl"))


def read(messages: list[Message]) -> tuple[str, list[tuple[int, str, str]]]:
    """(question, [(n, title, text)]): of the marked blocks, or the last user message where none is marked as question."""
    text = "\n".join(message.text for message in messages)
    passages = [(int(n), title or "", body) for n, title, body in _PASSAGE.findall(text)]
    questions = _QUESTION.findall(_PASSAGE.sub("", text))
    if questions:
        return questions[-1], passages
    asked = next((message.text for message in reversed(messages) if message.role == "user"), "")
    return _PASSAGE.sub("", asked).strip(), passages


def _refuse(call: Call) -> None:
    parameters = call.parameters
    if call.tools:
        raise bad("tools", f"{MODEL} selects sentences and calls no tools. Nothing was done.")
    if parameters.get("n", 1) != 1:
        raise bad("n", f"{MODEL} has one answer; n must be 1. Nothing was done.")
    if parameters.get("response_format", {}).get("type", "text") != "text":
        raise bad("response_format", f"{MODEL} answers in plain text only. Nothing was done.")
    if parameters.get("logprobs"):
        raise bad("logprobs", f"{MODEL} has no probabilities of tokens. Nothing was done.")


def _cut(text: str, limit: int) -> tuple[str, str]:
    pieces = embed.pieces(text)
    return (text, "stop") if len(pieces) <= limit else (text[: pieces[limit - 1][1]], "length")


def _usage(call: Call, text: str) -> Usage:
    try:
        return Usage(tokens.count_messages(call.messages, MODEL), tokens.count(text, MODEL))
    except NeedsExtra:  # without the embedding model there is no tokenizer: words then
        return Usage(sum(len(message.text.split()) for message in call.messages), len(text.split()))
