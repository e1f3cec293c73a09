"""How many tokens a text is for a model, offline: o200k_base from vendored ranks, word pieces for `local/*`.

o200k_base is exact for OpenAI's models since gpt-4o. For every other model the same count is an estimate, `is_estimate` says so,
and what the provider reports is the truth in the ledger. The ranks (816 kB, tools/build_token_ranks.py) load at the first count
in about 0.25 s; nothing is ever downloaded. This file does not know prices, context windows or wire formats.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from genwright.errors import Invalid

if TYPE_CHECKING:
    from genwright.messages import Message

# Source: openai_public.py of the package tiktoken (MIT).
_PATTERN = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)
_SPECIAL = {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}
# tiktoken panics (a BaseException) on a run of a million spaces, word pieces take 80 bytes a character: long texts go by windows.
_WINDOW = 100_000
# Source: OpenAI cookbook, "How to count tokens with tiktoken": three tokens frame a message, one a name, three open the answer.
_PER_MESSAGE, _PER_NAME, _PER_ANSWER = 3, 1, 3


def count(text: str, model: str) -> int:
    """Tokens of a text, control words such as <|endoftext|> read as plain text, no marks added. See `is_estimate`.

    Texts over 100,000 characters are cut between words, which changes nothing; a run that long without a space can be off by one.
    """
    if not isinstance(text, str):
        raise Invalid(f"Only text can be counted, not {type(text).__name__}.")
    if _is_local(model):
        from genwright import embed

        return sum(embed.count_tokens(part) - 2 for part in _windows(text))
    encode = _o200k().encode_ordinary
    return sum(len(encode(part)) for part in _windows(text))


def count_messages(messages: Iterable[Message], model: str) -> int:
    """Tokens of a prompt: text, reasoning, tool calls and results as JSON, and the frame of each message. Always an estimate.

    Images, audio, video and files count 0 here: their tokens depend on the provider, so whoever reserves money adds them.
    """
    from genwright.messages import Media

    total = _PER_ANSWER
    for message in messages:
        total += _PER_MESSAGE + count(message.role, model)
        if message.name:
            total += _PER_NAME + count(message.name, model)
        total += sum(count(_part_text(part), model) for part in message.parts if not isinstance(part, Media))
    return total


def is_estimate(model: str) -> bool:
    """Whether `count` for this model is only near: true for all but OpenAI's o200k models and `local/*`."""
    return not (_is_local(model) or _reads_o200k(model.rpartition("/")[2].lower()))


def _is_local(model: str) -> bool:
    return model.startswith("local/")


@lru_cache(1024)
def _reads_o200k(name: str) -> bool:
    from tiktoken.model import encoding_name_for_model

    try:
        # o200k_harmony differs in its control words only.
        return encoding_name_for_model(name) in ("o200k_base", "o200k_harmony")
    except KeyError:
        return False


def _part_text(part: Any) -> str:
    if hasattr(part, "content"):
        return part.content
    return msgspec.json.encode(part).decode()


def _windows(text: str) -> Iterator[str]:
    """The text in parts of at most _WINDOW characters, cut before a space that follows a word: there a token always begins."""
    start = 0
    while len(text) - start > _WINDOW:
        end = text.rfind(" ", start + 1, start + _WINDOW)
        while end > start and text[end - 1].isspace():
            end = text.rfind(" ", start + 1, end)
        end = end if end > start else start + _WINDOW
        yield text[start:end]
        start = end
    yield text[start:]


@cache
def _o200k() -> Any:
    import tiktoken

    data = lzma.decompress(Path(__file__).with_name("data").joinpath("o200k_base.xz").read_bytes())
    number = _SPECIAL["<|endoftext|>"] - 1
    ranks, start = {}, number
    for rank in range(number):
        end = start + data[rank]
        ranks[data[start:end]] = rank
        start = end
    encoding = tiktoken.Encoding("o200k_base", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens=_SPECIAL)
    # The encoding works on its own copy; it would keep our dictionary, 25 MB, for listings that nobody asks for.
    ranks.clear()
    return encoding
