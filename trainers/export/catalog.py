"""The variants that can be made, by name; each is imported where it is first needed."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from config.errors import UserError
from trainers.export.exporter import Exporter
from trainers.hardware import Hardware

NONE, AUTO = "none", "auto"
_EXPORTERS = {
    "bf16": "trainers.export.weights:bf16",
    "onnx-fp32": "trainers.export.onnx:fp32",
    "onnx-int8": "trainers.export.onnx:int8",
    "openvino-bf16": "trainers.export.openvino:bf16",
    "openvino-fp32": "trainers.export.openvino:fp32",
    "openvino-int8": "trainers.export.openvino:int8",
    "tensorrt": "trainers.export.onnx:tensorrt",
    "torch-compile": "trainers.export.weights:compiled",
}
"""Paths of what makes an `Exporter`, because their libraries are heavy and few are installed everywhere."""


def register(name: str, path: str) -> None:
    """Say what writes a variant: `path` is `MODULE:NAME` of what makes an `Exporter` without arguments.

    Raises `ValueError` when another is registered under the name.
    """
    if name in (NONE, AUTO) or _EXPORTERS.setdefault(name, path) != path:
        message = f"export {name!r} is already {_EXPORTERS.get(name, 'taken')}, not {path}"
        raise ValueError(message)


def known() -> list[str]:
    """Return the names of the variants."""
    return sorted(_EXPORTERS)


def find(name: str) -> Exporter:
    """Return what writes a variant. Raises `UserError` for an unknown one."""
    if name not in _EXPORTERS:
        message = f"export {name!r} is not known here; choose {AUTO}, {NONE} or one of {', '.join(known())}"
        raise UserError(message)
    module, _, attribute = _EXPORTERS[name].partition(":")
    found: Exporter = getattr(import_module(module), attribute)()
    return found


def candidates(wish: str, hardware: Hardware) -> list[str]:
    """Return the variants to try for a wish, the quickest by experience first; all that can be made here for `auto`."""
    if wish == NONE:
        return []
    if wish != AUTO:
        return [wish]
    if hardware.device == "cuda":
        return ["tensorrt", "torch-compile"]
    # The one library does what the other does, more quickly: both are not tried.
    return ["openvino-int8", "openvino-bf16"] if find_spec("openvino") else ["onnx-int8", "onnx-fp32"]


def missing(*libraries: str) -> str | None:
    """Return, in words, which of some libraries is not installed, and its extra; None where all are."""
    absent = next((name for name in libraries if find_spec(name) is None), None)
    if absent is None:
        return None
    extra = "openvino" if absent in ("openvino", "nncf") else "onnx"
    return f"the package {absent} is not installed; pip install 'perennial[{extra}]'"
