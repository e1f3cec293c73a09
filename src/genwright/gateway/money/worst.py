"""What a call can cost at most, before it is sent: a bound on its input tokens, its output cap, their price.

The bound counts bytes: no tokenizer of today makes more tokens than a text has bytes. It costs microseconds and is some four
times too high for English; where that would refuse a call, the tokens are counted (with a margin where the count is a guess).
"""

from __future__ import annotations

from typing import Any

import msgspec

from genwright import tokens
from genwright.gateway.types import Call
from genwright.messages import Media, Message, Reasoning, Text
from genwright.prices import Rates

PER_MESSAGE = 16
"""Tokens of a message's frame and of names, at most."""
PER_CALL = 64
"""Tokens of what providers put around a conversation."""
PER_TOOLS = 600
"""Tokens of the instructions some providers add where there are tools (Anthropic documents up to 530)."""
PER_IMAGE = 6_000
"""No provider's documented count for one image of usual size is higher, but for gpt-4o-mini's high detail (up to 36,835)."""
MARGIN = 1.5
"""Counted tokens of a model whose tokenizer is not known here are taken so many times."""
CAPS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def input_bound(call: Call, texts: list[Any] | None = None) -> int:
    """Tokens that the input can be at most."""
    if texts is not None:
        return sum(PER_MESSAGE + (_size(text) if isinstance(text, str) else len(text)) for text in texts)
    total = PER_CALL + sum(_message(message) for message in call.messages)
    if call.tools:
        total += PER_TOOLS + len(msgspec.json.encode(call.tools))
    if call.extra:
        total += len(msgspec.json.encode(call.extra))
    schema = call.parameters.get("response_format")
    return total if schema is None else total + len(msgspec.json.encode(schema))


def input_counted(call: Call, name: str, bound: int, texts: list[Any] | None = None) -> int:
    """A nearer bound by counting; slow. Where media are in the input, the bound stands."""
    if texts is not None:
        counted = sum(tokens.count(text, name) if isinstance(text, str) else len(text) for text in texts)
    elif any(isinstance(part, Media) for message in call.messages for part in message.parts):
        return bound
    else:
        counted = tokens.count_messages(call.messages, name)
        if call.tools or call.extra or call.parameters.get("response_format") is not None:
            beside = msgspec.json.encode((call.tools, call.extra, call.parameters.get("response_format"))).decode()
            counted += tokens.count(beside, name) + PER_TOOLS
    return min(bound, round(counted * MARGIN) if tokens.is_estimate(name) else counted)


def output_cap(call: Call) -> int:
    """The cap on one choice's output that the caller or a route has set, the highest where there are several; 0 for none."""
    asked = [call.parameters.get(name) for name in CAPS]
    return max((value for value in asked if isinstance(value, int)), default=0)


def choices(call: Call) -> int:
    """Answers that are generated, and paid."""
    asked = [call.parameters.get(name) for name in ("n", "best_of")] + [call.extra.get("best_of")]
    return max([1, *(value for value in asked if isinstance(value, int))])


def with_cap(call: Call, cap: int) -> Call:
    """The call with an output cap; each dialect writes it under the name that its service and model know."""
    changed = {"max_tokens": cap}
    return msgspec.structs.replace(call, parameters={**call.parameters, **changed}, overrides={**call.overrides, **changed})


def dearest(rates: Rates, input_tokens: int, output_tokens: int) -> int | None:
    """Nano-dollars at most: every token at the dearest rate it can have here (plain, cached, written to a cache, reasoning).

    None where tokens have no price. What is no token (images made, seconds) is known only afterwards.
    """
    read = _rate(rates.input, rates.cached, rates.cache_write, size=input_tokens)
    written = _rate(rates.output, rates.reasoning, size=input_tokens)
    if (input_tokens and read is None) or (output_tokens and written is None):
        return None
    total = input_tokens * (read or 0) + output_tokens * (written or 0) + (_rate(rates.request, size=input_tokens) or 0)
    return -(-total // rates.scale)


def _rate(*listed: list[tuple[int, int]] | None, size: int) -> int | None:
    """The dearest of several rates; of one that goes by size of input, the dearest up to this size."""
    found = [tiers[0][1] if len(tiers) == 1 else max(rate for above, rate in tiers if size > above) for tiers in listed if tiers]
    return max(found) if found else None


def _message(message: Message) -> int:
    total = PER_MESSAGE
    for part in message.parts:
        if isinstance(part, (Text, Reasoning)):
            total += _size(part.content)
        elif isinstance(part, Media):
            total += PER_IMAGE if part.modality == "image" else max(PER_IMAGE, len(part.base64) // 4)
        else:
            total += len(msgspec.json.encode(part))
    return total


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
