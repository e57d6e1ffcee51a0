"""Variants that OpenVINO runs. Its weights lie in a safetensors file: what ends in `.bin` is taken for a pickle."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from perennial_artifact.compute import Compute
from perennial_artifact.variants.graph import Graph, Ids, Numbers

TOPOLOGY_FILE = "model.xml"
WEIGHTS_FILE = "model.safetensors"
WEIGHTS_NAME = "weights"
_STEP_TOKENS = 8
"""Rows are filled up to multiples of this: for each new length the library prepares anew, which holds up an answer."""
_HINTS = {"bf16": "bf16", "int8": "bf16", "fp32": "f32"}


def library() -> Any:  # noqa: ANN401 - the library leaves itself without types
    """Return the library. It tells its maker over the network at each import that it is used, unless this package is missing."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # how Python is told that a module is missing
    return import_module("openvino")


def converted(module: Any, input_ids: Any, attention_mask: Any) -> Any:  # noqa: ANN401 - naming torch's classes brings it
    """Return a network of OpenVINO made of a torch module and one example of its input; rows and tokens may be of any number."""
    found = library()
    shape = found.PartialShape([-1, -1])
    with warnings.catch_warnings():
        # Of each branch that torch cannot trace: the one for a row that is filled up is the right one for all.
        warnings.simplefilter("ignore")
        return found.convert_model(
            module, example_input={"input_ids": input_ids, "attention_mask": attention_mask}, input=[shape, shape]
        )


def open_openvino(folder: Path, *, precision: str, compute: Compute, threads: int) -> Graph:  # noqa: ARG001 - it computes on the processor
    """Return the network in a folder. Raises what the library does."""
    weights = load_file(folder / WEIGHTS_FILE)[WEIGHTS_NAME]
    model = library().Core().read_model((folder / TOPOLOGY_FILE).read_bytes(), library().Tensor(weights))
    return compiled(model, precision=precision, threads=threads)


def compiled(model: Any, *, precision: str, threads: int) -> Graph:  # noqa: ANN401 - the library leaves them without types
    """Return a network of OpenVINO, ready to compute; in bf16 what is not INT8, where the processor has that."""
    core = library().Core()
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    hint = _HINTS[precision] if "BF16" in able else "f32"
    network = core.compile_model(
        model, "CPU",
        # Threads that are pinned to cores wait for whatever else runs there.
        {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads,
         "ENABLE_CPU_PINNING": False},
    )  # fmt: skip
    return _Network(network)


class _Network:
    def __init__(self, network: Any) -> None:  # noqa: ANN401 - see above
        self._network = network
        self._inputs = [port.get_any_name() for port in network.inputs]

    def __call__(self, input_ids: Ids, attention_mask: Ids) -> Numbers:
        tokens = input_ids.shape[1]
        fill = ((0, 0), (0, -tokens % _STEP_TOKENS))
        given = {"input_ids": np.pad(input_ids, fill), "attention_mask": np.pad(attention_mask, fill)}
        found: Numbers = self._network({name: given[name] for name in self._inputs})[0]
        # Of each token: without those that filled up.
        return found[:, :tokens] if found.ndim > 2 else found  # noqa: PLR2004 - rows, tokens, numbers
