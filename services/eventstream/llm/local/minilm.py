"""A BERT sentence encoder in numpy: texts in, unit vectors out, nothing else to install.

The default is all-MiniLM-L6-v2 (Wang et al. 2020, arXiv:2002.10957; Reimers and Gurevych
2019, arXiv:1908.10084). The network is Devlin et al.'s BERT encoder (arXiv:1810.04805).

How it is made fast on one thread: the tokens of all texts of a batch lie in
one matrix without padding, so that the dense layers waste nothing; only attention
is done text by text, texts of equal length together. Query, key and value are
one product. Temporaries are reused.

It starts no threads: texts are tokenised one by one (the tokenizer's batch call
would start a pool) and matrix products follow `threads.limit_blas_threads`. Weights
are views on a memory map of the file: load before the fork and all children share them.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from eventstream.llm.local.errors import LocalModelUnsupported
from eventstream.llm.local.folder import ModelFolder, find_model_folder
from eventstream.llm.local.tensors import FloatArray
from eventstream.llm.local.weights import Layer, read_weights

# Large enough to fill the matrix unit, small enough that a batch's activations stay in cache.
_BATCH_TOKENS = 512
# A text's first 256 word pieces lie well within these characters a piece; what comes
# after is not worth tokenising for a vector.
_CHARACTERS_PER_TOKEN = 64
_GELU_ROWS = 8
_GELU_FIT = np.array(
    [
        3.611232903970851e-09,
        -2.668928219798063e-07,
        7.938218965725588e-06,
        -1.1048031724351417e-04,
        -6.625998681844717e-05,
        7.266856702838776e-02,
        1.5957684322306216,
    ],
    dtype=np.float32,
)


class SentenceEncoder:
    """Sentence vectors and word-piece counts of one model folder."""

    def __init__(self, folder: ModelFolder) -> None:
        """Map the weights and read the tokenizer.

        Raises LocalModelMissing or LocalModelUnsupported.
        """
        self._folder = folder
        self._weights = read_weights(folder)
        self._tokenizer = _tokenizer(folder.tokenizer_path, len(self._weights.words))

    @classmethod
    def load(cls, model_dir: Path | None) -> "SentenceEncoder":
        """Return the encoder of a folder, or of the installed package when it is None."""
        return cls(find_model_folder(model_dir))

    @property
    def name(self) -> str:
        return self._folder.name

    @property
    def dimension(self) -> int:
        return self._folder.hidden_size

    @property
    def max_tokens(self) -> int:
        """How many word pieces of a text its vector takes in, the two marks included."""
        return self._folder.max_tokens

    def count_tokens(self, text: str) -> int:
        """Return the number of word pieces, without the marks at start and end."""
        return len(self._tokenizer.encode(_encodable(text), add_special_tokens=False).ids)

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Return a (texts, dimension) float32 array of unit rows, in the texts' order.

        A text's vector takes in its first `max_tokens` word pieces.
        """
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        ids = [self._token_ids(text) for text in texts]
        for batch in _batches([len(row) for row in ids]):
            vectors[batch] = self._encode([ids[n] for n in batch])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def _token_ids(self, text: str) -> list[int]:
        limit = self._folder.max_tokens
        ids: list[int] = self._tokenizer.encode(
            _encodable(text[: limit * _CHARACTERS_PER_TOKEN])
        ).ids
        return ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]

    def _encode(self, ids: list[list[int]]) -> FloatArray:
        """Return the pooled vectors of texts sorted by length: (texts, dimension)."""
        lengths = [len(row) for row in ids]
        state = self._weights.words[np.concatenate([np.asarray(row) for row in ids])]
        state += self._weights.positions[np.concatenate([np.arange(length) for length in lengths])]
        _normalise(state, self._weights.norm, self._folder.layer_norm_epsilon)
        groups = list(_equal_lengths(lengths))
        for layer in self._weights.layers:
            self._block(layer, state, groups)
        starts = np.cumsum([0, *lengths[:-1]])
        if self._folder.pool_first_token:
            first: FloatArray = state[starts]
            return first
        sums: FloatArray = np.add.reduceat(state, starts, axis=0)
        sums /= np.asarray(lengths, dtype=np.float32)[:, None]
        return sums

    def _block(self, layer: Layer, state: FloatArray, groups: list[tuple[int, int, int]]) -> None:
        """Carry the state (tokens, dimension) through one layer, in place."""
        epsilon = self._folder.layer_norm_epsilon
        qkv: FloatArray = state @ layer.qkv
        qkv += layer.qkv_bias
        mixed = np.empty_like(state)
        for start, count, length in groups:
            rows = slice(start, start + count * length)
            mixed[rows] = _attend(qkv[rows], count, length, self._folder.head_count)
        change: FloatArray = mixed @ layer.attended
        change += layer.attended_bias
        state += change
        _normalise(state, layer.attended_norm, epsilon)
        wide: FloatArray = state @ layer.up
        wide += layer.up_bias
        _gelu(wide)
        np.matmul(wide, layer.down, out=change)
        change += layer.down_bias
        state += change
        _normalise(state, layer.down_norm, epsilon)


def _attend(qkv: FloatArray, count: int, length: int, heads: int) -> FloatArray:
    """Return softmax(q kᵀ) v of texts of equal length. The 1/√d is in the query's weights."""
    width = qkv.shape[1] // 3
    parts = qkv.reshape(count, length, 3, heads, width // heads)
    query, key, value = (parts[:, :, n].transpose(0, 2, 1, 3) for n in range(3))
    scores: FloatArray = query @ key.transpose(0, 1, 3, 2)
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    mixed: FloatArray = scores @ value
    return mixed.transpose(0, 2, 1, 3).reshape(count * length, width)


def _normalise(state: FloatArray, norm: tuple[FloatArray, FloatArray], epsilon: float) -> None:
    """Layer normalisation in place: mean 0 and variance 1 a row, then scale and shift."""
    scale, shift = norm
    state -= state.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", state, state) / state.shape[1]
    state *= (1.0 / np.sqrt(variance + epsilon))[:, None].astype(np.float32)
    state *= scale
    state += shift


def _gelu(values: FloatArray) -> None:
    """x Φ(x) in place, with Φ(x) = 1 / (1 + exp(-x P(x²))).

    P is a least-squares fit of ln(Φ/(1-Φ))/x, weighted for the error of x Φ(x):
    below 7e-8 everywhere. Some rows at a time, so that the temporaries stay in the cache.
    """
    with np.errstate(over="ignore"):  # exp may reach infinity, where x / inf = 0 is right
        for start in range(0, len(values), _GELU_ROWS):
            x = values[start : start + _GELU_ROWS]
            square = x * x
            power = square * _GELU_FIT[0]
            for term in _GELU_FIT[1:-1]:
                power += term
                power *= square
            power += _GELU_FIT[-1]
            power *= x
            np.negative(power, out=power)
            np.exp(power, out=power)
            power += np.float32(1)
            x /= power


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Yield the texts' numbers, shortest first, in batches of about _BATCH_TOKENS."""
    batch: list[int] = []
    tokens = 0
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and tokens + lengths[number] > _BATCH_TOKENS:
            yield batch
            batch, tokens = [], 0
        batch.append(number)
        tokens += lengths[number]
    if batch:
        yield batch


def _equal_lengths(lengths: list[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (first token, texts, tokens a text) for each run of equally long texts."""
    start = 0
    for length, run in groupby(lengths):
        count = len(list(run))
        yield start, count, length
        start += count * length


def _encodable(text: str) -> str:
    """Return the text with a question mark for each lone surrogate, which UTF-8 can't say."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _tokenizer(path: Path, rows: int) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise LocalModelUnsupported(f"{path} is not a tokenizer: {error}") from error
    if tokenizer.get_vocab_size() > rows:
        raise LocalModelUnsupported(
            f"{path} has {tokenizer.get_vocab_size()} word pieces where the weights have {rows}"
        )
    # The file's own padding and truncation are for training batches.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
