"""Variants for OpenVINO: its own files, in fp32, bf16, or INT8 with ranges that are measured on training rows (nncf)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from trainers.export.catalog import missing
from trainers.export.exporter import Written
from trainers.hardware import Hardware, native_bf16

_RETREATS = 2
_LAST_SHARE = 3


@dataclass(frozen=True, slots=True)
class OpenVino:
    """The variant in one precision."""

    precision: str
    retreats: int = 0

    def unfit(self, hardware: Hardware) -> str | None:
        """Return why it cannot be made here."""
        if hardware.device != "cpu":
            return "OpenVINO computes on the processor here, and this machine trains and serves on a GPU"
        if self.precision == "bf16" and not native_bf16("cpu"):
            return "this processor does not compute bf16 itself; choose openvino-fp32 or openvino-int8"
        return missing("openvino", *(("nncf",) if self.precision == "int8" else ()))

    def write(self, source: Path, target: Path, rows: Sequence[Sequence[int]], *, retreat: int = 0) -> Written:
        """Write `model.xml` and its weights."""
        import torch  # noqa: PLC0415 - heavy

        from perennial_artifact.variants import openvino as runtime  # noqa: PLC0415 - heavy
        from trainers.export.network import open_network  # noqa: PLC0415 - heavy

        network = open_network(source)
        ids, mask = network.example()
        with torch.inference_mode():
            model = runtime.converted(network.module, ids, mask)
        left_out: list[str] = []
        if self.precision == "int8":
            left_out = sensitive(model, retreat)
            model = _quantized(model, rows, network.fill, left_out)
        target.mkdir(parents=True)
        runtime.library().save_model(model, target / runtime.TOPOLOGY_FILE, compress_to_fp16=self.precision != "fp32")
        # By its own name it would be taken for a pickle.
        weights = target / runtime.TOPOLOGY_FILE.replace(".xml", ".bin")
        save_file({runtime.WEIGHTS_NAME: np.fromfile(weights, dtype=np.uint8)}, target / runtime.WEIGHTS_FILE)
        weights.unlink()
        calibrated = len(rows) if self.precision == "int8" else 0
        return Written("openvino", self.precision, ("openvino",), calibrated, len(left_out))


def fp32() -> OpenVino:
    """Return the variant in full precision."""
    return OpenVino("fp32")


def bf16() -> OpenVino:
    """Return the variant that computes in bf16."""
    return OpenVino("bf16")


def int8() -> OpenVino:
    """Return the variant in INT8."""
    return OpenVino("int8", retreats=_RETREATS)


def sensitive(model: Any, retreat: int) -> list[str]:  # noqa: ANN401 - the library leaves it without types
    """Return the layers that stay as they are at a step of the retreat, by name.

    First the linear layers that bring many numbers down to few, whose inputs have the largest outliers; then also all of the
    last third.
    """
    found = [op for op in model.get_ordered_ops() if op.get_type_name() == "MatMul" and _weights(op) is not None]
    kept = []
    for at, op in enumerate(found):
        inputs, outputs = _weights(op) or (0, 0)
        narrows, is_late = inputs > outputs, at >= len(found) * (_LAST_SHARE - 1) / _LAST_SHARE
        if (retreat >= 1 and narrows) or (retreat >= _RETREATS and is_late):
            kept.append(op.get_friendly_name())
    return kept


def _weights(op: Any) -> tuple[int, int] | None:  # noqa: ANN401 - see above
    """Return inputs and outputs of a linear layer; None for a product of two things that are computed."""
    source = op.input_value(1).get_node()
    while source.get_type_name() == "Convert":
        source = source.input_value(0).get_node()
    if source.get_type_name() != "Constant" or len(source.get_output_shape(0)) != 2:  # noqa: PLR2004 - a matrix
        return None
    first, second = source.get_output_shape(0)
    return (second, first) if op.get_attributes()["transpose_b"] else (first, second)


def _quantized(model: Any, rows: Sequence[Sequence[int]], fill: int, left_out: Sequence[str]) -> Any:  # noqa: ANN401 - see above
    import nncf  # noqa: PLC0415 - heavy

    from perennial_artifact.variants.graph import filled  # noqa: PLC0415 - with it

    def given(row: Sequence[int]) -> dict[str, Any]:
        ids, mask = filled([row], fill)
        return {"input_ids": ids, "attention_mask": mask}

    return nncf.quantize(
        model, nncf.Dataset(list(rows), given), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(rows),
        ignored_scope=nncf.IgnoredScope(names=list(left_out)) if left_out else None,
    )  # fmt: skip
