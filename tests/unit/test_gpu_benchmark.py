"""The benchmark for the day a card is lent: its steps run, and without a card it says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu


def test_without_a_card_it_says_so_and_measures_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--json", str(tmp_path / "found.json")]) == 0
    assert "No CUDA card is here: nothing was measured" in capsys.readouterr().out
    assert not (tmp_path / "found.json").exists()


def test_its_steps_run_on_the_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
    monkeypatch.setattr(gpu, "SHAPES", {"small": small})
    asked = [
        "--cpu",
        "--bases",
        "small",
        "--batches",
        "2",
        "--tokens",
        "8",
        "--steps",
        "2",
        "--json",
        str(tmp_path / "found.json"),
    ]
    assert gpu.main(asked) == 0
    found = json.loads((tmp_path / "found.json").read_text())["results"]
    assert found["hardware"].startswith("CPU, ")
    for what in ("training", "answering"):
        case = found["small, 2 rows"][what]
        assert case["tokens_per_s"] == pytest.approx(8 * case["texts_per_s"])
        assert 0 < case["share_of_matrix_product"] < 1
        assert case["share_of_data_sheet"] is None


def test_a_card_is_known_by_its_name() -> None:
    assert gpu.peak_of("NVIDIA H200") == 989e12
    assert gpu.peak_of("NVIDIA H100 PCIe") == 756e12
    assert gpu.peak_of("NVIDIA A100-SXM4-80GB") == 312e12
    assert gpu.peak_of("NVIDIA L40S") == 362e12
    assert gpu.peak_of("a card of tomorrow") is None


def test_operations_are_counted_as_the_source_says() -> None:
    # BERT-base: 85 million weights in 12 layers of width 768, 128 tokens.
    assert gpu.operations(85_000_000, 12, 768, 128) == 2 * 85e6 + 4 * 12 * 768 * 128
