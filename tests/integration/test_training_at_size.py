"""What large bases need, on a tiny one and for every kind on a transformer: the steps stay what they were without it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.modeling_utils
from safetensors.torch import load_file
from structlog.testing import capture_logs
from transformers import AlbertConfig, AlbertModel, AutoConfig, AutoModel, BertConfig, BertModel, Qwen2Config

from config.errors import UserError
from config.tasks import TaskSpec
from perennial_artifact.sentence.encoder import Pooled
from perennial_artifact.sentence.layout import sentence_modules
from perennial_artifact.transformer.encoder import padded
from tests.support import ner_rows
from tests.support.missing import missing
from tests.support.tiny_models import (
    CPU,
    make_tiny_bert,
    toy_entities,
    toy_numbers,
    toy_numbers_spec,
    toy_plan,
    toy_rows,
    toy_rows_of_several,
    toy_signals,
    toy_signals_spec,
    toy_spec,
)
from trainers.compare.metrics import catalog as metrics
from trainers.learners.catalog import learner_for
from trainers.learners.encoders import encoder, fine_tuning
from trainers.learners.encoders.checkpoints import Pace
from trainers.learners.encoders.weighted_trainer import WeightedTrainer
from trainers.learners.protocols import Example, TrainingStep
from trainers.learners.tried import Tried
from trainers.learners.tuning import fitting
from trainers.learners.tuning.rates import by_layer, rate_for, size_of

pytestmark = pytest.mark.slow

LABELS = ("SPORT", "MARKETS")
KINDS: Mapping[str, tuple[Callable[..., TaskSpec], Callable[[], Sequence[Example]]]] = {
    "classification": (toy_spec, lambda: toy_rows(LABELS, 20)),
    "multilabel": (lambda base, **of: toy_spec(base, kind="multilabel", **of), lambda: toy_rows_of_several(LABELS, 40)),
    "regression": (toy_numbers_spec, lambda: toy_numbers(40)),
    "ner": (toy_entities, lambda: ner_rows.examples(40)),
    "signals": (toy_signals_spec, lambda: toy_signals(40)),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("models") / "base", ner_rows.PIECES)


def task(kind: str, base: Path | str, **training: Any) -> TaskSpec:
    made = {"full_epochs": 2, "full_learning_rate": 1e-3, "max_tokens": 16, **training}
    return KINDS[kind][0](base, training=made)


def carried_out(spec: TaskSpec, folder: Path, **changes: Any) -> Path:
    """Carry out a first run and return the model's folder."""
    rows = changes.pop("rows", None) or KINDS[spec.kind][1]()
    learner_for(spec).train(toy_plan(spec, rows, folder / "work", full=True, **changes), folder / "model")
    return folder / "model"


def learn(spec: TaskSpec, folder: Path, **changes: Any) -> dict[str, torch.Tensor]:
    """Carry out a first run and return the encoder's weights."""
    return load_file(carried_out(spec, folder, **changes) / "model.safetensors")


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
    monkeypatch.setattr(fine_tuning, "_REPORT_EVERY_S", 0.0)
    reported: dict[int, list[TrainingStep]] = {16: [], 4: []}
    whole = learn(task(kind, base), tmp_path / "whole", steps=reported[16], batch_size=16)
    assert computed_again == []
    spec = task(kind, base, gradient_accumulation=4, gradient_checkpointing=True)
    split = learn(spec, tmp_path / "split", steps=reported[4], batch_size=4)
    assert len(computed_again) >= 2 * 2 * 10, "two layers in each of ten batches of both epochs"
    assert alike(whole, split, within=2e-4)
    assert [step.steps for step in reported[4]] == [step.steps for step in reported[16]]
    assert [step.loss for step in reported[4]] == pytest.approx([step.loss for step in reported[16]], rel=1e-2)


@pytest.mark.parametrize("kind", ["classification", "ner"])
def test_adapters_are_tuned_in_the_same_ways(base: Path, tmp_path: Path, kind: str) -> None:
    if find_spec("peft") is None:
        missing("peft is not installed")
    learnt = []
    for name, ways in (
        ("plain", {}),
        ("sized", {"gradient_checkpointing": True, "auto_batch_size": True, "early_stopping": 1}),
    ):
        model = carried_out(task(kind, base, lora_rank=4, layer_decay=0.5, **ways), tmp_path / name, batch_size=16)
        [adapter] = model.rglob("adapter_model.safetensors")
        learnt.append(load_file(adapter))
    assert learnt[0].keys() == learnt[1].keys()
    assert alike(learnt[0], learnt[1], within=2e-4)
    moved = [
        sum(float(values.abs().sum()) for name, values in learnt[0].items() if f"layer.{layer}." in name and "lora_B" in name)
        for layer in (0, 1)
    ]
    assert 0 < moved[0] < moved[1], "the lower layer took smaller steps"


class Killed(BaseException):
    """Ends training as abruptly as a signal would, without ending the test."""


@pytest.mark.parametrize("kind", ["multilabel", "regression", "ner", "signals"])
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


def test_batches_are_made_for_the_memory_there_is_and_the_steps_stay(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn(task("classification", base), tmp_path / "whole", batch_size=16)
    noted: list[int] = []
    spec = task("classification", base, auto_batch_size=True)
    roomy = learn(spec, tmp_path / "roomy", batch_size=16, note_batch_size=noted.append)
    assert noted == [16], "there is room for so small a model"
    assert all(torch.equal(values, roomy[name]) for name, values in whole.items())
    monkeypatch.setattr(fine_tuning, "free_memory", lambda *_, **__: 1_000_000)
    with capture_logs() as logs:
        tight = learn(spec, tmp_path / "tight", batch_size=16, note_batch_size=noted.append)
    assert noted[1] in (1, 2, 4, 8)
    assert alike(whole, tight, within=2e-4)
    [said] = [line for line in logs if line["event"] == "batch_size_chosen"]
    assert (said["rows"], said["rows_per_step"]) == (noted[1], 16)
    assert said["mib_per_row"] > 0


def test_layers_that_are_computed_once_more_need_less_of_a_row() -> None:
    config = BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=12, num_attention_heads=2, intermediate_size=32)
    pooled = Pooled(BertModel(config), sentence_modules(dimensions=16))
    found = []
    for recompute in (False, True):
        batch_of = [padded([[2, *[7] * 30, 3]] * count, 0) for count in (1, 2)]
        with capture_logs() as logs:
            fitting.batch_that_fits(
                encoder.Tuned(pooled, 2, 16), pooled.transformer, batch_of, CPU, 32, 32, recompute=recompute, free=10**9, among=1
            )
        found.append(logs[-1]["mib_per_row"])
    assert 0 < found[1] < found[0]


MANY: Mapping[str, Callable[[], Sequence[Example]]] = {
    "classification": lambda: toy_rows(LABELS, 260),
    "multilabel": lambda: toy_rows_of_several(LABELS, 520),
    "regression": lambda: toy_numbers(520),
    "ner": lambda: ner_rows.examples(520),
    "signals": lambda: toy_signals(520),
}


def encoder_of(trainer: WeightedTrainer) -> dict[str, torch.Tensor]:
    transformer = getattr(trainer._tuned, "pooled", trainer._tuned)
    transformer = getattr(transformer, "transformer", transformer)
    return {name: values.clone() for name, values in transformer.state_dict().items()}


@pytest.mark.parametrize("kind", MANY)
def test_tuning_stops_by_the_metric_of_rows_kept_back_and_the_best_epoch_goes_on(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The metric is best after the second epoch, the loss after the fourth."""
    after: list[dict[str, torch.Tensor]] = []
    asked, gold, answers = WeightedTrainer.asked, list[Mapping[str, Any]](), list[Mapping[str, Any]]()
    metric = metrics.of(task(kind, base))
    sign = -1.0 if metric.scale.lower_is_better else 1.0

    def noting(trainer: WeightedTrainer, rows: Sequence[Any], *, outputs: bool) -> tuple[float, Any]:
        after.append(encoder_of(trainer))
        loss, given = asked(trainer, rows, outputs=outputs)
        assert loss > 0
        return 5.0 - len(after), given

    def score(right: Sequence[Mapping[str, Any]], said: Sequence[Mapping[str, Any]]) -> float:
        gold[:], answers[:] = right, said
        return sign * (1.0, 3.0, 2.0, 2.5)[len(after) - 1]

    monkeypatch.setattr(WeightedTrainer, "asked", noting)
    steps: list[TrainingStep] = []
    tried: list[Tried] = []
    made = learn(
        task(kind, base, full_epochs=6, early_stopping=2), tmp_path, rows=MANY[kind](), batch_size=256, steps=steps,
        note_tried=tried.append, score=score, metric=metric.name, lower_is_better=sign < 0,
    )  # fmt: skip
    assert len(after) == 4, "two epochs after the second were no better"
    tuned = [name for name in made if "classifier" not in name]
    assert len(tuned) > 20
    assert all(torch.equal(made[name], after[1][name]) for name in tuned)
    judged = [one for one in tried if "kept back" in one.name]
    assert [one.chosen for one in judged] == [False, True, False, False]
    assert [one.scores for one in judged] == [
        {metric.name: sign * value, "loss": loss} for value, loss in zip((1.0, 3.0, 2.0, 2.5), (4.0, 3.0, 2.0, 1.0), strict=True)
    ]
    assert (steps[-1].step, steps[-1].steps) == (steps[-1].steps * 4 // 6, steps[-1].steps)
    assert len(gold) == len(answers) >= 50
    [worth] = metric.pair(gold, answers, answers).scores()[:1]
    assert math.isfinite(worth), "answers are of the kind's form, beside gold"


def test_a_killed_run_that_may_stop_early_ends_as_if_nothing_had_happened(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fine_tuning, "Pace", lambda: Pace(interval_s=0, max_share=1e9))
    monkeypatch.setattr(fine_tuning, "_REPORT_EVERY_S", 0.0)
    spec, rows = task("classification", base, full_epochs=4, early_stopping=4), MANY["classification"]()
    tried: list[Tried] = []
    unbroken = learn(spec, tmp_path / "unbroken", rows=rows, batch_size=256, note_tried=tried.append)

    def report(step: TrainingStep) -> None:
        if step.step >= 5:
            raise Killed

    with pytest.raises(Killed):
        learn(spec, tmp_path, rows=rows, batch_size=256, report=report)
    again: list[Tried] = []
    resumed = learn(spec, tmp_path, rows=rows, batch_size=256, note_tried=again.append)
    assert all(torch.equal(values, resumed[name]) for name, values in unbroken.items())
    losses = [[one.scores for one in found if "kept back" in one.name] for found in (tried, again)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4


def test_with_too_few_rows_to_keep_back_every_epoch_is_learnt(base: Path, tmp_path: Path) -> None:
    steps: list[TrainingStep] = []
    told: list[str] = []
    with capture_logs() as logs:
        learn(task("regression", base, early_stopping=1), tmp_path, steps=steps, tell=told.append)
    assert [(line["rows"], line["log_level"]) for line in logs if line["event"] == "not_stopping_early"] == [(40, "warning")]
    assert any("too few to keep some back" in line for line in told)
    assert steps[-1].step == steps[-1].steps
