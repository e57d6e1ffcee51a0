"""What opens variants: found by name, its library imported when it is first needed."""

from __future__ import annotations

from importlib import import_module

from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import inert
from perennial_artifact.variants.graph import OpensVariant

WEIGHTS = "weights"
"""The weights themselves, computed by torch in the precision that the variant names: there are no files."""
COMPILED = "torch-compile"
"""The weights themselves, compiled by torch."""
_RUNTIMES = {
    "onnxruntime": "perennial_artifact.variants.onnx:open_onnx",
    "openvino": "perennial_artifact.variants.openvino:open_openvino",
    "tensorrt": "perennial_artifact.variants.onnx:open_tensorrt",
}


def register(name: str, path: str) -> None:
    """Say what opens variants of a runtime: `path` is `MODULE:NAME` of an `OpensVariant`. Raises `ValueError` for another."""
    if name in (WEIGHTS, COMPILED) or _RUNTIMES.setdefault(name, path) != path:
        message = f"runtime {name!r} is already opened by {_RUNTIMES.get(name, 'torch')}, not by {path}"
        raise ValueError(message)


def find(name: str) -> OpensVariant:
    """Return what opens variants of a runtime. Raises `UnusableError` for an unknown one, `ImportError` without its library."""
    if name not in _RUNTIMES:
        message = f"runtime {inert(name)[:80]!r} is not known here (known are {', '.join(sorted(_RUNTIMES))})"
        raise UnusableError(message)
    module, _, attribute = _RUNTIMES[name].partition(":")
    found: OpensVariant = getattr(import_module(module), attribute)
    return found
