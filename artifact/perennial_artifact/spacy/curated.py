"""Entities found by a pipeline with a transformer of `spacy-curated-transformers`.

thinc keeps a transformer's weights inside a pipeline as what torch pickles. A published pipeline keeps them as safetensors, which
hold numbers alone, and nothing else is read here: so plain `spacy.load` does not open such a folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
import spacy_curated_transformers
import torch
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensors_as_bytes
from spacy.language import Language
from thinc.api import Model, PyTorchShim
from torch import nn

from perennial_artifact.spacy.entities import Entities

FORMAT = "spacy-curated-ner"
# Its components and layers register themselves; the import tells before any file is fetched that they are there.
PACKAGE = spacy_curated_transformers.__name__


class CuratedEntities(Entities):
    """A loaded pipeline with a transformer."""

    may_be_curated = True

    @staticmethod
    def read(folder: Path) -> Language:
        """Return the pipeline in `folder`, whose configuration is known. Raises whatever a broken one raises."""
        config = spacy.util.load_config(folder / "config.cfg")
        nlp = spacy.util.load_model_from_config(config, meta=spacy.util.get_model_meta(folder))
        use_safetensors(nlp)
        return nlp.from_disk(folder)


def use_safetensors(nlp: Language) -> None:
    """Make a pipeline write and read its transformers' weights as safetensors. Raises `TypeError` for another framework's."""
    for shim in layers_of_torch(nlp):
        # thinc takes them as arguments, and the package that makes these layers passes none.
        shim._serialize_model = _dump  # noqa: SLF001 - see above
        shim._deserialize_model = _load  # noqa: SLF001 - same


def layers_of_torch(nlp: Language) -> Iterator[PyTorchShim]:
    """Yield what holds the weights of a pipeline's transformers. Raises `TypeError` for another framework's."""
    for _name, pipe in nlp.pipeline:
        model = getattr(pipe, "model", None)
        for layer in model.walk() if isinstance(model, Model) else ():
            for shim in layer.shims:
                if type(shim) is not PyTorchShim:
                    message = f"the layer {layer.name!r} wraps a {type(shim).__name__}, whose weights are not read here"
                    raise TypeError(message)
                yield shim


def _dump(model: nn.Module) -> bytes:
    # Copies: a layer that is used twice has its weights under two names, which safetensors refuse.
    return tensors_as_bytes({name: weights.detach().cpu().clone().contiguous() for name, weights in model.state_dict().items()})


def _load(model: nn.Module, state: bytes, device: torch.device) -> Any:  # noqa: ANN401 - thinc's own
    model.load_state_dict(read_tensors(state))
    return model.to(device)
