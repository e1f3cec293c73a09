"""Token counts against known encodings of o200k_base (from OpenAI's own tokenizer) and against the model's word pieces."""

import subprocess
import sys

import pytest

from genwright import embed, tokens
from genwright.errors import Invalid
from genwright.messages import Media, Message, Text, ToolCall, ToolResult


# Ids of the official encoding, tokens as they are listed in OpenAI's published ranks.
@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", []),
        ("hello world", [24912, 2375]),
        ("Hello, world!", [13225, 11, 2375, 0]),
        ("tiktoken is great!", [83, 8251, 2488, 382, 2212, 0]),
        ("1234567", [7633, 19354, 22]),
    ],
)
def test_known_encodings(text, ids):
    assert tokens._o200k().encode_ordinary(text) == ids
    assert tokens.count(text, "openai/gpt-4o") == len(ids)


def test_all_bytes_and_languages_come_back():
    text = "".join(map(chr, range(1, 3000))) + "人間の尊厳 🙂🏽 \u200d"
    encoding = tokens._o200k()
    assert encoding.decode(encoding.encode_ordinary(text)) == text


def test_control_words_and_broken_text_count_as_text():
    assert tokens.count("<|endoftext|>", "gpt-4o") > 1
    assert tokens.count("half \ud800 pair", "gpt-4o") > 1
    with pytest.raises(Invalid, match="bytes"):
        tokens.count(b"raw", "gpt-4o")


def test_long_text_is_counted_in_windows_without_a_difference():
    text = "The quick  brown fox's 12345 ... jumps\n\n over  the lazy dog! " * 4000
    assert len(text) > 2 * tokens._WINDOW
    assert "".join(tokens._windows(text)) == text
    assert tokens.count(text, "gpt-4o") == len(tokens._o200k().encode_ordinary(text))
    assert tokens.count(text, "local/minilm") == embed.count_tokens(text) - 2


@pytest.mark.parametrize("character", [" ", "a", "\n", "é", "\t "])
def test_runs_that_break_the_tokenizer_are_counted(character):
    assert 0 < tokens.count(character * 1_000_000, "gpt-4o") <= 2_000_000


def test_local_models_count_word_pieces():
    assert tokens.count("unbelievable", "local/minilm") == 1
    assert tokens.count("", "local/extractive") == 0
    # what is a decor ##ator ?
    assert tokens.count("What is a decorator?", "local/extractive") == 6


@pytest.mark.parametrize(
    ("model", "estimate"),
    [
        ("openai/gpt-4o-mini", False),
        ("gpt-4.1", False),
        ("openrouter/openai/gpt-5", False),
        ("local/extractive", False),
        ("openai/gpt-4", True),
        ("anthropic/claude-sonnet-4-5", True),
        ("ollama/llama3.2", True),
    ],
)
def test_estimates_are_named(model, estimate):
    assert tokens.is_estimate(model) is estimate
    assert tokens.count("hello", model) > 0


def test_messages_count_their_text_and_frames_but_no_media():
    user = Message(role="user", parts=[Text(content="hello world")])
    assert tokens.count_messages([user], "gpt-4o") == 3 + 3 + 1 + 2
    with_image = Message(role="user", parts=[*user.parts, Media(modality="image", base64="A" * 1000)])
    assert tokens.count_messages([with_image], "gpt-4o") == tokens.count_messages([user], "gpt-4o")
    called = Message(role="assistant", parts=[ToolCall(id="1", name="weather", arguments={"city": "Bern"})])
    answered = Message(role="tool", parts=[ToolResult(id="1", response={"celsius": 21})])
    assert tokens.count_messages([user, called, answered], "gpt-4o") > tokens.count_messages([user], "gpt-4o") + 20


def test_nothing_is_downloaded_and_nothing_heavy_imported():
    code = (
        "import sys, genwright.tokens as t; assert 'tiktoken' not in sys.modules\n"
        "import socket; socket.socket.connect = socket.getaddrinfo = lambda *a, **k: 1 / 0\n"
        "print(t.count('hello world', 'gpt-4o'))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "2"
