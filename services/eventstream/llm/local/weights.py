"""A BERT encoder's weights, named and laid out as the forward pass wants them.

The word table, half of the file, stays a view on the mapped file. The dense matrices are
copied once into the layout that the products want (a product of few rows takes half the time
then), query, key and value side by side with attention's 1/√d folded in. All
arrays are read-only, so that forked children keep sharing them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eventstream.llm.local.errors import LocalModelUnsupported
from eventstream.llm.local.folder import ModelFolder
from eventstream.llm.local.tensors import FloatArray, read_tensors

Norm = tuple[FloatArray, FloatArray]
"""Scale and shift of a layer normalisation."""


@dataclass(frozen=True)
class Layer:
    """One block. Matrices are (inputs, outputs); biases are vectors."""

    qkv: FloatArray
    qkv_bias: FloatArray
    attended: FloatArray
    attended_bias: FloatArray
    attended_norm: Norm
    up: FloatArray
    up_bias: FloatArray
    down: FloatArray
    down_bias: FloatArray
    down_norm: Norm


@dataclass(frozen=True)
class Weights:
    """The whole network: word table (pieces, dimension), positions (tokens, dimension), blocks."""

    words: FloatArray
    positions: FloatArray
    norm: Norm
    layers: tuple[Layer, ...]


def read_weights(folder: ModelFolder) -> Weights:
    """Return the weights of a folder.

    Raises LocalModelMissing without the file, LocalModelUnsupported when a part is
    absent or has another shape than config.json says.
    """
    return _Reader(folder).read()


class _Reader:
    def __init__(self, folder: ModelFolder) -> None:
        self._folder = folder
        self._path: Path = folder.weights_path
        self._tensors = read_tensors(self._path)
        first = "bert.embeddings.word_embeddings.weight"
        self._prefix = "bert." if first in self._tensors else ""

    def read(self) -> Weights:
        size = self._folder.hidden_size
        places = self._matrix("embeddings.position_embeddings", size)
        # A single text's tokens are all of type 0: its row joins the positions'.
        kind = self._matrix("embeddings.token_type_embeddings", size)[0]
        return Weights(
            words=self._matrix("embeddings.word_embeddings", size),
            positions=_frozen(places[: self._folder.max_tokens] + kind),
            norm=self._norm("embeddings.LayerNorm"),
            layers=tuple(
                self._layer(f"encoder.layer.{number}.")
                for number in range(self._folder.layer_count)
            ),
        )

    def _layer(self, at: str) -> Layer:
        size = self._folder.hidden_size
        matrices = [self._matrix(f"{at}attention.self.{part}", size) for part in _PARTS]
        biases = [self._vector(f"{at}attention.self.{part}.bias", size) for part in _PARTS]
        scale = np.float32((size // self._folder.head_count) ** -0.5)
        up = self._matrix(f"{at}intermediate.dense", size)
        return Layer(
            qkv=_turned(np.concatenate([matrices[0] * scale, *matrices[1:]])),
            qkv_bias=_frozen(np.concatenate([biases[0] * scale, *biases[1:]])),
            attended=_turned(self._matrix(f"{at}attention.output.dense", size)),
            attended_bias=self._vector(f"{at}attention.output.dense.bias", size),
            attended_norm=self._norm(f"{at}attention.output.LayerNorm"),
            up=_turned(up),
            up_bias=self._vector(f"{at}intermediate.dense.bias", len(up)),
            down=_turned(self._matrix(f"{at}output.dense", len(up))),
            down_bias=self._vector(f"{at}output.dense.bias", size),
            down_norm=self._norm(f"{at}output.LayerNorm"),
        )

    def _norm(self, name: str) -> Norm:
        size = self._folder.hidden_size
        return self._vector(f"{name}.weight", size), self._vector(f"{name}.bias", size)

    def _matrix(self, name: str, columns: int) -> FloatArray:
        matrix = self._tensor(f"{name}.weight")
        if matrix.ndim != 2 or matrix.shape[1] != columns:
            raise LocalModelUnsupported(
                f"{self._path}: {name} has the shape {matrix.shape} "
                f"where config.json asks for {columns} columns"
            )
        return matrix

    def _vector(self, name: str, size: int) -> FloatArray:
        vector = self._tensor(name)
        if vector.shape != (size,):
            raise LocalModelUnsupported(
                f"{self._path}: {name} has the shape {vector.shape} where {size} values are needed"
            )
        return vector

    def _tensor(self, name: str) -> FloatArray:
        tensor = self._tensors.get(self._prefix + name)
        if tensor is None:
            raise LocalModelUnsupported(f"{self._path} has no {name}: it is not a BERT encoder")
        return tensor


_PARTS = ("query", "key", "value")


def _turned(matrix: FloatArray) -> FloatArray:
    """Return the transpose, laid out in rows."""
    return _frozen(np.ascontiguousarray(matrix.T))


def _frozen(array: FloatArray) -> FloatArray:
    array.flags.writeable = False
    return array
