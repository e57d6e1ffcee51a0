"""A model's weights, those of a transformer among them: copied, put back, and their means over the steps of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from thinc.api import Model, torch2xp, xp2torch

from trainers.learners.entities.averaging import Weights

Values = NDArray[np.float32]
Place = tuple[int, str]
"""Of a parameter: place of the layer in the model, and name; weights are kept by it."""


def weights_of(model: Model[Any, Any], means: Mapping[Any, Any] | None = None) -> Weights:
    """Return a copy of a model's weights; of `means`, an optimizer's averages, where it has them.

    thinc's own `use_params` does the latter for its own layers and passes over torch's.
    """
    found: dict[Place, Values] = {}
    for at, layer in enumerate(model.walk()):
        owned = {name: (layer.id, layer.get_param(name)) for name in layer.param_names if layer.has_param(name)}
        for shim in layer.shims:
            owned |= {name: (shim.id, torch2xp(values.detach())) for name, values in shim._model.named_parameters()}  # noqa: SLF001 - the torch module has no other way to it
        for name, (owner, values) in owned.items():
            mean = means.get((owner, name)) if means else None
            found[at, name] = np.array(values if mean is None else mean, dtype=np.float32)
    return found


def put(model: Model[Any, Any], weights: Weights) -> None:
    """Give a model of the same shape these weights."""
    for at, layer in enumerate(model.walk()):
        own = {name: values for (place, name), values in weights.items() if place == at}
        for name in layer.param_names:
            if name in own:
                layer.set_param(name, cast("Any", own.pop(name)))
        for shim in layer.shims:
            for name, parameter in shim._model.named_parameters():  # noqa: SLF001 - as above
                parameter.data.copy_(xp2torch(cast("Any", own[name])))
