"""Sequence classifiers of the first release as an encoder and a head: the same weights, the same answers, a few small files more.

Between the last layer and the labels stand the first token's vector, one dense layer and the classifier. Named as modules of
sentence-transformers, the last of them is a head like any other, and can be refreshed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from perennial_artifact.description import Description, describe
from perennial_artifact.errors import UnusableError
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import Head
from perennial_artifact.sentence.layout import CONFIG_FILE, FORMAT, WEIGHTS_FILE, Module, write_dense, write_layout
from trainers.learners.heads.published.links import link_encoder

OLD_FORMAT = "transformers-classification"

_Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Names:
    """What an architecture calls its last two layers, and what stands between them."""

    dense: str
    activation: str
    classifier: str


_KNOWN: Mapping[str, _Names] = {
    "bert": _Names("bert.pooler.dense", "Tanh", "classifier"),
    "roberta": _Names("classifier.dense", "Tanh", "classifier.out_proj"),
    "xlm-roberta": _Names("classifier.dense", "Tanh", "classifier.out_proj"),
    "camembert": _Names("classifier.dense", "Tanh", "classifier.out_proj"),
    "distilbert": _Names("pre_classifier", "ReLU", "classifier"),
}
"""By `model_type` of the config."""


def why_not(folder: Path) -> str | None:
    """Return why the classifier in `folder` cannot be converted, as far as its architecture says; None where it can.

    Raises `UnusableError` when its config cannot be read.
    """
    try:
        architecture = str(json.loads((folder / CONFIG_FILE).read_bytes())["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"the model in {folder} cannot be read ({type(error).__name__}: {error})"
        raise UnusableError(message) from error
    if architecture in _KNOWN:
        return None
    return f"the head of architecture {architecture!r} is not known here; known are {', '.join(sorted(_KNOWN))}"


def convert(folder: Path, output: Path) -> Description:
    """Write the classifier in `folder` into the new folder `output` as an encoder and a head; it answers the same.

    Raises `UnusableError` when it is damaged, of another format, or of an architecture whose head is not known here; the next
    run that tunes takes its transformer all the same.
    """
    description = describe(folder)
    if description.format != OLD_FORMAT:
        message = f"the model in {folder} has format {description.format}; only {OLD_FORMAT} is converted"
        raise UnusableError(message)
    if (unknown := why_not(folder)) is not None:
        raise UnusableError(unknown)
    try:
        config = json.loads((folder / CONFIG_FILE).read_bytes())
        names = _KNOWN[str(config["model_type"])]
        tensors = load_file(folder / WEIGHTS_FILE)
        dense, classifier = (_layer(tensors, name) for name in (names.dense, names.classifier))
        limits = (description.input.max_tokens, _limit(folder), int(config["max_position_embeddings"]))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        message = f"the model in {folder} cannot be read ({type(error).__name__}: {error})"
        raise UnusableError(message) from error
    link_encoder(folder, output)
    modules = (
        Module("Pooling", "1_Pooling", {"pooling": "cls", "dimensions": dense[0].shape[1]}),
        Module("Dense", "2_Dense", {"activation": names.activation}),
    )
    max_tokens = min(limit for limit in limits if limit is not None)
    write_layout(output, modules, max_tokens=max_tokens)
    place = output / "2_Dense"
    write_dense(place, inputs=dense[0].shape[1], outputs=dense[0].shape[0], activation=names.activation)
    save_file({"linear.weight": dense[0], "linear.bias": dense[1]}, place / WEIGHTS_FILE)
    Head(*classifier, LabelSet.read(folder)).write(output)
    converted = replace(description, format=FORMAT, input=replace(description.input, max_tokens=max_tokens))
    converted.write(output)
    return converted


def _layer(tensors: Mapping[str, _Array], name: str) -> tuple[_Array, _Array]:
    weight, bias = (np.ascontiguousarray(tensors[f"{name}.{part}"], dtype=np.float32) for part in ("weight", "bias"))
    return weight, bias


def _limit(folder: Path) -> int | None:
    """Return the longest text that the tokenizer was saved for."""
    found = json.loads((folder / "tokenizer_config.json").read_bytes()).get("model_max_length")
    return int(found) if isinstance(found, int | float) else None
