"""OpenAI's embeddings as clients speak it: request → texts and options, vectors → body. Pure."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import msgspec

from genwright.gateway.faces.openai import field_error, read_json
from genwright.gateway.wire.openai import bad
from genwright.prices import Usage

if TYPE_CHECKING:
    import numpy as np

DEFAULT_MODEL = "local/minilm"
MAX_INPUTS = 2048


class EmbeddingsRequest(msgspec.Struct):
    input: Any
    model: str = DEFAULT_MODEL
    encoding_format: str | None = None
    dimensions: int | None = None
    user: str | None = None


class AskedVectors(msgspec.Struct):
    """A request read. `texts`: strings, or lists of token numbers."""

    model: str
    texts: list[Any]
    options: dict[str, Any]
    as_base64: bool
    user: str = ""


def read_request(body: bytes) -> AskedVectors:
    """Raises Invalid naming the field."""
    plain = read_json(body)
    try:
        request = msgspec.convert(plain, EmbeddingsRequest)
    except msgspec.ValidationError as error:
        raise field_error(error) from None
    if request.encoding_format not in (None, "float", "base64"):
        raise bad("encoding_format", f"encoding_format is {request.encoding_format!r}; it must be float or base64.")
    options = {
        name: value for name, value in plain.items() if name not in ("input", "model", "encoding_format") and value is not None
    }
    return AskedVectors(request.model, _texts(request.input), options, request.encoding_format == "base64", request.user or "")


def _texts(value: Any) -> list[Any]:
    if isinstance(value, str) or _tokens(value):
        value = [value]
    good = isinstance(value, list) and all(
        isinstance(item, str) or (isinstance(item, list) and item and all(type(number) is int for number in item))
        for item in value
    )
    if not good or not value:
        raise bad("input", "input must be a text, a list of texts, or tokens; and not empty. Nothing was sent.")
    if len(value) > MAX_INPUTS:
        raise bad("input", f"input has {len(value)} items; at most {MAX_INPUTS} are taken at once. Nothing was sent.")
    return value


def _tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(number) is int for number in value)


def write_answer(model: str, vectors: np.ndarray, usage: Usage, as_base64: bool) -> bytes:
    """`vectors` float32 (n, d)."""
    if as_base64:
        rows: list[Any] = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]
    else:
        rows = vectors.tolist()
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
    counted = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": counted})
