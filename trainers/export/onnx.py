"""Variants for ONNX Runtime: one ONNX file, in fp32, or INT8 with ranges that are measured on training rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.export.catalog import missing
from trainers.export.exporter import Written
from trainers.hardware import Hardware

OPSET = 20
_LARGEST_BYTES = 2_000_000_000
"""What one file of the format can hold."""


@dataclass(frozen=True, slots=True)
class Onnx:
    """The variant in one precision; with `gpu` TensorRT runs it."""

    precision: str
    gpu: bool = False
    retreats: int = 0

    def unfit(self, hardware: Hardware) -> str | None:
        """Return why it cannot be made here."""
        if self.gpu and hardware.device != "cuda":
            return "TensorRT needs a GPU, and this machine computes on its processor"
        if not self.gpu and hardware.device != "cpu":
            return "this variant computes on the processor, and this machine trains and serves on a GPU; choose tensorrt"
        if (absent := missing("onnxruntime", "onnx", "onnxscript")) is not None:
            return absent
        if self.gpu:
            import onnxruntime  # noqa: PLC0415 - only where it is there

            from perennial_artifact.variants.onnx import TENSORRT  # noqa: PLC0415 - with it

            if TENSORRT not in onnxruntime.get_available_providers():
                return f"this ONNX Runtime has no {TENSORRT}; install onnxruntime-gpu and TensorRT"
        return None

    def write(self, source: Path, target: Path, rows: Sequence[Sequence[int]], *, retreat: int = 0) -> Written:  # noqa: ARG002 - one form
        """Write `model.onnx`."""
        from perennial_artifact.variants.onnx import MODEL_FILE  # noqa: PLC0415 - needs its library
        from trainers.export.network import open_network  # noqa: PLC0415 - heavy

        network = open_network(source)
        if sum(weights.nbytes for weights in network.module.state_dict().values()) > _LARGEST_BYTES:
            message = "its weights are larger than one ONNX file can hold (2 GB)"
            raise ValueError(message)
        target.mkdir(parents=True)
        convert(network.module, network.example(), target / MODEL_FILE)
        if self.precision == "int8":
            _quantize(target / MODEL_FILE, rows, network.fill)
        library = "onnxruntime-gpu" if self.gpu else "onnxruntime"
        runtime = "tensorrt" if self.gpu else "onnxruntime"
        calibrated = len(rows) if self.precision == "int8" else 0
        return Written(runtime, self.precision, (library,), calibrated, of_processor=not self.gpu)


def fp32() -> Onnx:
    """Return the variant in full precision."""
    return Onnx("fp32")


def int8() -> Onnx:
    """Return the variant in INT8."""
    return Onnx("int8")


def tensorrt() -> Onnx:
    """Return the variant that TensorRT compiles for a GPU."""
    return Onnx("fp16", gpu=True)


def convert(module: Any, example: tuple[Any, Any], path: Path) -> None:  # noqa: ANN401 - naming its class brings torch
    """Write a torch module, which takes token ids and mask, as an ONNX file with rows and tokens of any number."""
    import torch  # noqa: PLC0415 - heavy

    rows, tokens = torch.export.Dim("rows"), torch.export.Dim("tokens")
    with torch.inference_mode():
        program = torch.onnx.export(
            module, example, dynamo=True, opset_version=OPSET, input_names=["input_ids", "attention_mask"],
            output_names=["numbers"], dynamic_shapes=({0: rows, 1: tokens}, {0: rows, 1: tokens}), verbose=False,
        )  # fmt: skip
    assert program is not None  # noqa: S101 - it is returned where no file is named
    program.save(path, external_data=False)


def _quantize(path: Path, rows: Sequence[Sequence[int]], fill: int) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static  # noqa: PLC0415 - heavy

    from perennial_artifact.variants.graph import filled  # noqa: PLC0415 - with it

    class Rows(CalibrationDataReader):  # type: ignore[misc]  # the library leaves it without types
        def __init__(self) -> None:
            self._left: Iterator[Sequence[int]] = iter(rows)

        def get_next(self) -> dict[str, Any] | None:
            row = next(self._left, None)
            if row is None:
                return None
            ids, mask = filled([row], fill)
            return {"input_ids": ids, "attention_mask": mask}

    full = path.with_name(f"full-{path.name}")
    path.rename(full)
    quantize_static(
        full, path, Rows(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"], extra_options={"MatMulConstBOnly": True},
    )  # fmt: skip
    full.unlink()
