"""The encoder of incoming texts goes over to a quicker form of itself where that makes the same vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from consumers.enrichment import variant
from consumers.enrichment.embedding import Encoder
from perennial_artifact.variants import openvino
from perennial_artifact.variants.graph import Graph, Ids, Numbers

TEXTS = ["goal match today", "shares and bond in the city", "storm rain wind", "snow " * 40] * 6


@pytest.fixture(autouse=True)
def _however_small_the_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variant, "_LEAST_GAIN", 0.0)


@pytest.fixture(scope="module")
def weights(models: Path) -> Any:
    return Encoder(str(models / "encoder"), precision="fp32").encode(TEXTS)


def encoder(models: Path, after: int | None = 30) -> Encoder:
    return Encoder(str(models / "encoder"), precision="fp32", variant_after=after)


def test_after_so_many_texts_the_variant_embeds_and_vectors_stay(models: Path, weights: Any) -> None:
    found = encoder(models)
    with capture_logs() as logs:
        assert np.array_equal(found.encode(TEXTS), weights)
        assert not found.exported
        found.encode(TEXTS)
    assert found.exported
    assert [(line["event"], line["variant"]) for line in logs if "variant" in line] == [("encoder.variant_used", "openvino-fp32")]
    again = found.encode(TEXTS)
    assert not np.array_equal(again, weights)
    assert (again * weights).sum(axis=1).min() > 0.9999
    assert found.encoder_id == encoder(models, None).encoder_id


def _nan(graph: Graph) -> Graph:
    def made(input_ids: Ids, attention_mask: Ids) -> Numbers:
        return graph(input_ids, attention_mask) * np.float32("nan")

    return made


def _turned(graph: Graph) -> Graph:
    def made(input_ids: Ids, attention_mask: Ids) -> Numbers:
        return np.roll(graph(input_ids, attention_mask), 1, axis=1)

    return made


@pytest.mark.parametrize("wrong", [_nan, _turned])
def test_one_that_makes_other_vectors_is_refused(models: Path, weights: Any, monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    genuine = openvino.compiled
    monkeypatch.setattr(openvino, "compiled", lambda *given, **options: wrong(genuine(*given, **options)))
    found = encoder(models, 1)
    with capture_logs() as logs:
        found.encode(TEXTS)
    assert "encoder.variant_refused" in [line["event"] for line in logs]
    assert np.array_equal(found.encode(TEXTS), weights)


def _fails(*_given: object) -> None:
    message = "this model cannot be converted"
    raise RuntimeError(message)


def test_a_library_that_fails_or_is_missing_leaves_the_weights(
    models: Path, weights: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "converted", _fails)
    found = encoder(models, 1)
    with capture_logs() as logs:
        found.encode(TEXTS)
    assert [line["event"] for line in logs] == ["encoder.variant_refused"]
    monkeypatch.setattr(variant, "find_spec", lambda _name: None)
    found = encoder(models, 1)
    with capture_logs() as logs:
        found.encode(TEXTS)
    assert not logs
    assert np.array_equal(found.encode(TEXTS), weights)
