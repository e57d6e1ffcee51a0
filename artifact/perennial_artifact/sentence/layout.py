"""How the folder is laid out: the encoder's files, then one small folder for each further module, the head last.

The names and keys are those of sentence-transformers, which opens such a folder as it is: what it calls an embedding are the
head's logits. Nothing here loads a model library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from perennial_artifact.description import MODEL_FILE
from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import WRONG, decode, inert
from perennial_artifact.labels import LABELS_FILE
from perennial_artifact.manifest import MANIFEST_FILE
from perennial_artifact.variants.note import of_the_export, of_the_tokenizer

FORMAT = "sentence-classification"
"""One label a text: the most probable one."""
MULTILABEL_FORMAT = "sentence-multilabel"
"""The same files; every label whose probability reaches its threshold."""
BLOCKS_FORMAT = "blocks-classification"
"""The same files and one more: the head reads further blocks behind the encoder's features (`perennial_artifact.blocks`)."""
BLOCKS_MULTILABEL_FORMAT = "blocks-multilabel"
BLOCKS_REGRESSION_FORMAT = "blocks-regression"
WITH_BLOCKS = frozenset({BLOCKS_FORMAT, BLOCKS_MULTILABEL_FORMAT, BLOCKS_REGRESSION_FORMAT})
WITH_THRESHOLDS = frozenset({MULTILABEL_FORMAT, BLOCKS_MULTILABEL_FORMAT})
WITH_HEAD = frozenset({FORMAT, MULTILABEL_FORMAT, BLOCKS_FORMAT, BLOCKS_MULTILABEL_FORMAT})
"""Formats of an encoder's files and those of a head that gives labels."""
REGRESSION_FORMAT = "sentence-regression"
"""The same encoder; its head gives numbers."""
WITH_NUMBERS = frozenset({REGRESSION_FORMAT, BLOCKS_REGRESSION_FORMAT})
SIGNALS_FORMAT = "sentence-signals"
"""The same encoder; its head gives a score and a tag for each of several categories."""
ON_ENCODER = WITH_HEAD | WITH_NUMBERS | {SIGNALS_FORMAT}
"""Formats of an encoder's files and any head's."""
MODULES_FILE = "modules.json"
READING_FILE = "sentence_bert_config.json"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
HEAD_FOLDER = "head"
BASE_FOLDER = "base"
"""The base model as it came, where the head reads its features too: the encoder's files of a model that was not tuned."""

Kind = Literal["Pooling", "Normalize", "Dense"]
_TYPE = "sentence_transformers.models."
_ACTIVATION = "torch.nn.modules."
ACTIVATIONS: Mapping[str, str] = {
    "Identity": "linear.Identity", "Tanh": "activation.Tanh", "ReLU": "activation.ReLU", "GELU": "activation.GELU",
}  # fmt: skip
"""What may follow a dense module, and the path of its class in torch."""
_POOLING_KEYS = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "last": "pooling_mode_lasttoken"}
POOLINGS = tuple(_POOLING_KEYS)


@dataclass(frozen=True, slots=True)
class Module:
    """One module behind the transformer."""

    kind: Kind
    path: str = ""
    """Its folder, relative to the model's; a module without files has one that need not exist."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """`pooling` (one of `POOLINGS`), or `activation` (one of `ACTIVATIONS`)."""


def is_of_the_encoder(name: str) -> bool:
    """Return whether a file of a model folder (POSIX, relative) is an encoder's, not the head's or of both."""
    return not name.startswith(f"{HEAD_FOLDER}/") and name not in (LABELS_FILE, MANIFEST_FILE, MODEL_FILE)


def makes_the_variant(name: str) -> bool:
    """Return whether a variant of the encoder is made from a file of its folder (POSIX, relative)."""
    apart = of_the_export(name) or of_the_tokenizer(name) or name.startswith(f"{BASE_FOLDER}/")
    return is_of_the_encoder(name) and not apart


def sentence_modules(pooling: str = "mean", *, dimensions: int, normalise: bool = True) -> tuple[Module, ...]:
    """Return the modules of an encoder of `dimensions` numbers a token: pooled, and by default brought to length 1."""
    found = [Module("Pooling", "1_Pooling", {"pooling": pooling, "dimensions": dimensions})]
    return (*found, Module("Normalize", "2_Normalize")) if normalise else tuple(found)


def write_layout(folder: Path, modules: Sequence[Module], *, max_tokens: int) -> None:
    """Write what names the modules, and the files of those without weights; `modules` come without the head."""
    named = [("", f"{_TYPE}Transformer"), *((module.path, f"{_TYPE}{module.kind}") for module in modules)]
    named.append((HEAD_FOLDER, f"{_TYPE}Dense"))
    listed = [{"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(named)]
    _write(folder / MODULES_FILE, listed)
    _write(folder / READING_FILE, {"max_seq_length": max_tokens, "do_lower_case": False})
    for module in modules:
        if module.kind == "Pooling":
            chosen = module.options["pooling"]
            # Encoders are known by their bytes: those of before keep theirs.
            modes = {key: name == chosen for name, key in _POOLING_KEYS.items() if name in ("mean", "cls", chosen)}
            _write(folder / module.path / CONFIG_FILE, {"word_embedding_dimension": module.options["dimensions"], **modes})


def write_dense(folder: Path, *, inputs: int, outputs: int, activation: str) -> None:
    """Write a dense module's shape into its folder; its weights are named `linear.weight` and `linear.bias`."""
    _write(
        folder / CONFIG_FILE,
        {
            "in_features": inputs, "out_features": outputs, "bias": True,
            "activation_function": f"{_ACTIVATION}{ACTIVATIONS[activation]}",
        },
    )  # fmt: skip


def read_layout(folder: Path) -> tuple[Module, ...]:
    """Return the modules between transformer and head, in order. Raises `UnusableError` for a layout that is not read here."""
    try:
        listed = decode(b'{"modules": ' + (folder / MODULES_FILE).read_bytes() + b"}")["modules"]
        first, *middle, last = [(str(one["path"]), str(one["type"]).removeprefix(_TYPE)) for one in listed]
        if first != ("", "Transformer") or last != (HEAD_FOLDER, "Dense"):
            message = f"{MODULES_FILE} must begin with the transformer and end with the head in {HEAD_FOLDER}/"
            raise UnusableError(message)
        return tuple(_module(folder, path, kind) for path, kind in middle)
    except (OSError, *WRONG) as error:
        message = f"{MODULES_FILE} in {folder} cannot be read ({type(error).__name__}: {inert(error)[:200]})"
        raise UnusableError(message) from error


def read_pooling(folder: Path) -> Module:
    """Return the pooling module of any folder of sentence-transformers. Raises `UnusableError` where none is known."""
    try:
        listed = decode(b'{"modules": ' + (folder / MODULES_FILE).read_bytes() + b"}")["modules"]
        paths = [str(one["path"]) for one in listed if str(one["type"]).rpartition(".")[2] == "Pooling"]
        if len(paths) == 1:
            return _module(folder, paths[0], "Pooling")
        message = f"{MODULES_FILE} in {folder} names {len(paths)} poolings"
    except (OSError, *WRONG) as error:
        message = f"{MODULES_FILE} in {folder} cannot be read ({type(error).__name__}: {inert(error)[:200]})"
    raise UnusableError(message)


def _module(folder: Path, path: str, kind: str) -> Module:
    if kind not in get_args(Kind) or not _inside(path):
        message = f"{MODULES_FILE} names a module that is not read here: {inert(kind)[:80]} in {inert(path)[:80]}"
        raise UnusableError(message)
    if kind == "Normalize":
        return Module("Normalize", path)
    config = decode((folder / path / CONFIG_FILE).read_bytes())
    if kind == "Dense":
        name = str(config["activation_function"]).rpartition(".")[2]
        if name not in ACTIVATIONS:
            message = f"the activation {inert(name)[:80]} of {path} is not computed here"
            raise UnusableError(message)
        return Module("Dense", path, {"activation": name})
    pooling = [name for name, key in _POOLING_KEYS.items() if config.get(key)]
    if len(pooling) != 1:
        message = f"{path} asks for a pooling that is not computed here; known are {', '.join(POOLINGS)}"
        raise UnusableError(message)
    return Module("Pooling", path, {"pooling": pooling[0], "dimensions": int(config["word_embedding_dimension"])})


def _inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and ".." not in parts and not path.startswith("/")


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
