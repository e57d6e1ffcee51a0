"""Variants that ONNX Runtime runs, on the processor or by TensorRT on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from perennial_artifact.compute import Compute
from perennial_artifact.errors import UnusableError
from perennial_artifact.variants.graph import Graph, Ids, Numbers

MODEL_FILE = "model.onnx"
TENSORRT = "TensorrtExecutionProvider"


def open_onnx(folder: Path, *, precision: str, compute: Compute, threads: int) -> Graph:  # noqa: ARG001 - the file has its precision
    """Return the network in a folder, on the processor. Raises what the library does."""
    return _opened(folder, ["CPUExecutionProvider"], threads=threads)


def open_tensorrt(folder: Path, *, precision: str, compute: Compute, threads: int) -> Graph:
    """Return the network in a folder, compiled by TensorRT for the GPU here. Raises `UnusableError` where there is none."""
    if compute.device != "cuda" or TENSORRT not in onnxruntime.get_available_providers():
        message = f"TensorRT needs a GPU and an ONNX Runtime that has {TENSORRT} (onnxruntime-gpu)"
        raise UnusableError(message)
    options = {"trt_fp16_enable": precision == "fp16"}
    graph = _opened(folder, [(TENSORRT, options), "CUDAExecutionProvider"], threads=threads)
    if graph.providers[0] != TENSORRT:
        # The library goes on with another one and only warns.
        message = f"TensorRT could not be loaded; ONNX Runtime would compute by {graph.providers[0]}"
        raise UnusableError(message)
    return graph


def _opened(folder: Path, providers: list[Any], *, threads: int) -> _Network:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin while they wait take the cores from the rest of the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return _Network(onnxruntime.InferenceSession(folder / MODEL_FILE, options, providers=providers))


class _Network:
    def __init__(self, session: Any) -> None:  # noqa: ANN401 - the library leaves it without types
        self._session = session
        self._inputs = [given.name for given in session.get_inputs()]
        self.providers: list[str] = session.get_providers()

    def __call__(self, input_ids: Ids, attention_mask: Ids) -> Numbers:
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        [found, *_further] = self._session.run(None, {name: given[name] for name in self._inputs})
        return np.asarray(found, dtype=np.float32)
