"""What large bases need, on a tiny one and for every kind on a transformer: the steps stay what they were without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.modeling_utils
from safetensors.torch import load_file
from structlog.testing import capture_logs
from transformers import AlbertConfig, AlbertModel, AutoConfig, AutoModel, BertConfig, Qwen2Config

from config.errors import UserError
from config.tasks import TaskSpec
from tests.support import ner_rows
from tests.support.tiny_models import (
    make_tiny_bert,
    toy_entities,
    toy_numbers,
    toy_numbers_spec,
    toy_plan,
    toy_rows,
    toy_rows_of_several,
    toy_spec,
)
from trainers.learners.catalog import learner_for
from trainers.learners.encoders import encoder, fine_tuning
from trainers.learners.encoders.checkpoints import Pace
from trainers.learners.protocols import Example, TrainingStep
from trainers.learners.tuning.rates import by_layer, rate_for, size_of

pytestmark = pytest.mark.slow

LABELS = ("SPORT", "MARKETS")
KINDS: Mapping[str, tuple[Callable[..., TaskSpec], Callable[[], Sequence[Example]]]] = {
    "classification": (toy_spec, lambda: toy_rows(LABELS, 20)),
    "multilabel": (lambda base, **of: toy_spec(base, kind="multilabel", **of), lambda: toy_rows_of_several(LABELS, 40)),
    "regression": (toy_numbers_spec, lambda: toy_numbers(40)),
    "ner": (toy_entities, lambda: ner_rows.examples(40)),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("models") / "base", ner_rows.PIECES)


def task(kind: str, base: Path | str, **training: Any) -> TaskSpec:
    made = {"full_epochs": 2, "full_learning_rate": 1e-3, "max_tokens": 16, **training}
    return KINDS[kind][0](base, training=made)


def learn(spec: TaskSpec, folder: Path, **changes: Any) -> dict[str, torch.Tensor]:
    """Carry out a first run and return the encoder's weights."""
    rows = changes.pop("rows", None) or KINDS[spec.kind][1]()
    learner_for(spec).train(toy_plan(spec, rows, folder / "work", full=True, **changes), folder / "model")
    return load_file(folder / "model" / "model.safetensors")


def alike(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor], *, within: float) -> bool:
    # A constant added to all keys moves no attention: its gradient is noise.
    return all(torch.allclose(values, other[name], atol=within) for name, values in one.items() if "key.bias" not in name)


@pytest.mark.parametrize("kind", KINDS)
def test_small_batches_that_recompute_their_layers_take_the_same_steps(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    computed_again = []
    plain = transformers.modeling_utils.checkpoint

    def counted(*given: Any, **options: Any) -> Any:
        computed_again.append(1)
        return plain(*given, **options)

    monkeypatch.setattr(transformers.modeling_utils, "checkpoint", counted)
    reported: dict[int, list[TrainingStep]] = {16: [], 4: []}
    whole = learn(task(kind, base), tmp_path / "whole", steps=reported[16], batch_size=16)
    assert computed_again == []
    spec = task(kind, base, gradient_accumulation=4, gradient_checkpointing=True)
    split = learn(spec, tmp_path / "split", steps=reported[4], batch_size=4)
    assert len(computed_again) >= 2 * 2 * 10, "two layers in each of ten batches of both epochs"
    assert alike(whole, split, within=2e-4)
    assert [step.steps for step in reported[4]] == [step.steps for step in reported[16]]
    assert [step.loss for step in reported[4]] == pytest.approx([step.loss for step in reported[16]], rel=1e-2)


class Killed(BaseException):
    """Ends training as abruptly as a signal would, without ending the test."""


@pytest.mark.parametrize("kind", ["multilabel", "regression", "ner"])
def test_a_checkpoint_that_was_cut_short_is_left_for_the_one_before(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(fine_tuning, "Pace", lambda: Pace(interval_s=0, max_share=1e9))
    monkeypatch.setattr(fine_tuning, "_REPORT_EVERY_S", 0.0)
    spec = task(kind, base)

    def report(step: TrainingStep) -> None:
        if step.step >= 5:
            raise Killed

    with pytest.raises(Killed):
        learn(spec, tmp_path, report=report)
    [folder] = (tmp_path / "work").glob("checkpoints-*")
    newest = folder / "checkpoint-4" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:2_000])
    steps: list[TrainingStep] = []
    learn(spec, tmp_path, steps=steps)
    assert steps[0].step == 4, "after the third, which is whole"


def test_lower_layers_take_smaller_steps(base: Path, tmp_path: Path) -> None:
    opened = encoder.open_base(str(base), max_tokens=16)
    model = encoder.Tuned(opened.pooled, 2, 32)
    groups = by_layer(model, opened.pooled.transformer, 1e-3, 0.5)
    assert [group["lr"] for group in groups] == pytest.approx([1.25e-4, 2.5e-4, 5e-4, 1e-3])
    counted = [sum(weights.numel() for weights in group["params"]) for group in groups]
    embeddings, layer = opened.pooled.transformer.embeddings, opened.pooled.transformer.encoder.layer[0]
    assert counted[0] == sum(weights.numel() for weights in embeddings.parameters())
    assert counted[1] == counted[2] == sum(weights.numel() for weights in layer.parameters())
    assert sum(counted) == sum(weights.numel() for weights in model.parameters())
    before = {name: values.clone() for name, values in opened.pooled.transformer.state_dict().items()}
    after = learn(task("classification", base, layer_decay=0.01), tmp_path)
    moved = {name: float((after[name] - before[name]).abs().max()) for name in after}
    assert moved["embeddings.word_embeddings.weight"] < 1e-7
    assert moved["encoder.layer.1.output.dense.weight"] > 1e-6


def test_layers_that_cannot_be_told_apart_are_refused_by_name() -> None:
    config = AlbertConfig(vocab_size=20, hidden_size=8, embedding_size=8, num_hidden_layers=3, num_attention_heads=1,
                          intermediate_size=8)  # fmt: skip
    shared = AlbertModel(config)
    with pytest.raises(UserError, match=r"training\.layer_decay .* AlbertModel cannot be found"):
        by_layer(shared, shared, 1e-3, 0.9)


def test_a_larger_base_takes_smaller_steps() -> None:
    bert = {"vocab_size": 30_522, "max_position_embeddings": 512}
    configs = {
        "minilm": BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1_536, **bert),
        "base": BertConfig(**bert),
        "large": BertConfig(hidden_size=1_024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4_096, **bert),
        "qwen": Qwen2Config(vocab_size=151_936, hidden_size=896, num_hidden_layers=24, num_attention_heads=14,
                            num_key_value_heads=2, intermediate_size=4_864),
    }  # fmt: skip
    with torch.device("meta"):
        sizes = {name: size_of(AutoModel.from_config(config)) for name, config in configs.items()}
    assert {name: rate_for(size) for name, size in sizes.items()} == {
        "minilm": 2e-4, "base": 5e-5, "large": 2.2e-5, "qwen": 1.9e-5,
    }  # fmt: skip
    assert rate_for(sizes["qwen"], adapters=True) == 1.9e-4
    assert (rate_for(1), rate_for(10**12)) == (5e-4, 1e-6), "bounded on both sides"


def test_a_rate_left_to_the_run_is_chosen_by_the_size_of_the_base(base: Path, tmp_path: Path) -> None:
    with capture_logs() as logs:
        learn(task("regression", base, full_learning_rate="auto"), tmp_path)
    [said] = [line for line in logs if line["event"] == "learning_rate_chosen"]
    assert (said["learning_rate"], said["task"]) == (5e-4, "toy-numbers")
    assert said["weights"] == size_of(AutoModel.from_config(AutoConfig.from_pretrained(base)))
