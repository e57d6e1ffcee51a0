"""A decoder as the base: a tiny Qwen2 from first to last, and the shape of the half-billion one for a step."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import ByteLevelBPETokenizer
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Model, Qwen2Tokenizer

from config.errors import UserError
from perennial_artifact import formats
from perennial_artifact.compute import Compute
from perennial_artifact.merging import write_merged
from perennial_artifact.sentence.encoder import Pooled
from perennial_artifact.sentence.layout import read_layout, sentence_modules
from perennial_artifact.sentence.numbers import NumberHead
from perennial_artifact.transformer.encoder import padded
from tests.support.missing import missing
from tests.support.tiny_models import CPU, toy_numbers, toy_numbers_spec, toy_plan
from trainers.learners.encoders.adapters import LowRank, adapted
from trainers.learners.encoders.encoder import Tuned
from trainers.learners.encoders.fine_tuning import Recipe, Row, Trainable, fine_tune
from trainers.learners.encoders.losses.numbers import loss_of
from trainers.learners.encoders.regression import RegressionLearner

_LARGE_GIB = 8
EIGHT = LowRank(rank=8, alpha=16, targets=())
SMALL = Qwen2Config(vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
                    intermediate_size=16)  # fmt: skip


@pytest.fixture(autouse=True)
def _peft() -> None:
    if find_spec("peft") is None:
        missing("peft is not installed")


@pytest.fixture(scope="module")
def tiny_decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2 of two layers, and its kind of tokenizer: runs of bytes, no token at the end of a text."""
    folder = tmp_path_factory.mktemp("base") / "qwen"
    pieces = ByteLevelBPETokenizer()
    pieces.train_from_iterator([row.text for row in toy_numbers(300, seed=2)], vocab_size=400, special_tokens=["<|endoftext|>"])
    trained = json.loads(pieces.to_str())["model"]
    words = Qwen2Tokenizer(vocab=trained["vocab"], merges=[tuple(pair) for pair in trained["merges"]])
    torch.manual_seed(3)
    config = Qwen2Config(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=64, max_position_embeddings=64, initializer_range=0.1,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def test_a_tiny_decoder_is_tuned_by_adapters_published_and_opened(tiny_decoder: Path, tmp_path: Path) -> None:
    spec = toy_numbers_spec(
        tiny_decoder, training={"lora_rank": 4, "full_epochs": 8, "full_learning_rate": 5e-3, "max_tokens": 32}
    )
    rows, fresh = toy_numbers(200), toy_numbers(60, seed=9)
    RegressionLearner().train(toy_plan(spec, rows, tmp_path / "work", full=True), tmp_path / "model")
    assert read_layout(tmp_path / "model")[0].options["pooling"] == "last"
    assert {"adapter", "foundation"} <= {path.name for path in (tmp_path / "model").iterdir()}
    model = formats.open_model(tmp_path / "model", Compute())
    said = np.array([answer["values"]["heat"] for answer in model.predict([row.text for row in fresh])])
    true = np.array([row.target["values"]["heat"] for row in fresh])
    mean = np.mean([row.target["values"]["heat"] for row in rows])
    assert np.abs(said - true).mean() < 0.7 * np.abs(mean - true).mean()
    write_merged(tmp_path / "model", tmp_path / "merged")
    plain = SentenceTransformer(str(tmp_path / "merged"), device="cpu")
    head = NumberHead.read(tmp_path / "merged")
    raw = plain.encode([row.text for row in fresh])[:, 0]
    np.testing.assert_allclose(np.clip(raw, head.dimensions[0].low, head.dimensions[0].high), said, atol=1e-3)


def test_a_text_is_pooled_at_its_last_token_however_it_is_filled_up() -> None:
    torch.manual_seed(0)
    config = Qwen2Config(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1,
                         intermediate_size=8)  # fmt: skip
    pooled = Pooled(Qwen2Model(config).eval(), sentence_modules("last", dimensions=8)).eval()
    with torch.inference_mode():
        together = pooled(**padded([[3, 4, 5], [7, 8]], 0))
        alone = pooled(**padded([[7, 8]], 0))
    torch.testing.assert_close(together[1:], alone)


def test_without_the_library_the_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Qwen2Model(SMALL)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"training\.lora_rank"), adapted(model, EIGHT, base="b", work=tmp_path):
        pass


def step_with_adapters(config: Qwen2Config, work: Path) -> tuple[Pooled, int]:
    """Tune a random model of this shape for one step; return it, and how many weights were tuned."""
    torch.manual_seed(0)
    pooled = Pooled(Qwen2Model(config), sentence_modules("last", dimensions=config.hidden_size))
    model = Tuned(pooled, 2, config.hidden_size)
    with adapted(pooled.transformer, EIGHT, base="random", work=work):
        tuned = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
        fine_tune(
            Trainable(model, pooled.transformer, lambda rows: padded(rows, 0), 2, loss=loss_of("mse", [1.0, 1.0])),
            [Row([1, 2, 3, 4], [0.2, 0.8], 1.0)], [0, 1],
            Recipe(epochs=1, learning_rate=1e-3, batch_size=1, seed=1, hardware=CPU, max_steps=1),
            checkpoints=work, report=lambda _step: None,
        )  # fmt: skip
    return pooled, tuned


def test_a_step_moves_the_weights_that_adapters_stand_at(tmp_path: Path) -> None:
    torch.manual_seed(0)
    before = Qwen2Model(SMALL).state_dict()
    pooled, tuned = step_with_adapters(SMALL, tmp_path)
    after = pooled.transformer.state_dict()
    assert after.keys() == before.keys()
    assert all(weights.requires_grad for weights in pooled.transformer.parameters())
    assert tuned < sum(weights.numel() for weights in before.values())
    torch.testing.assert_close(after["embed_tokens.weight"], before["embed_tokens.weight"])


@pytest.mark.slow
def test_the_half_billion_shape_learns_a_step_with_adapters(tmp_path: Path) -> None:
    if psutil.virtual_memory().available < _LARGE_GIB * 2**30:
        missing(f"less than {_LARGE_GIB} GiB of memory are free")
    config = Qwen2Config(
        vocab_size=151_936, hidden_size=896, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2,
        intermediate_size=4_864, tie_word_embeddings=True,
    )  # fmt: skip
    pooled, tuned = step_with_adapters(config, tmp_path)
    every = sum(weights.numel() for weights in pooled.transformer.parameters())
    assert 490e6 < every < 500e6
    assert tuned < 0.01 * every
