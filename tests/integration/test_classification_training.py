"""ClassificationLearner with a tiny random BERT: learning, growing, resuming, and what the model folder holds."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from config.errors import RunFailedError, UserError
from perennial_artifact.description import Description, describe
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import Head
from tests.support.opening import opened
from tests.support.tiny_models import CPU, make_tiny_bert, toy_plan, toy_rows, toy_spec
from trainers.learners.catalog import learner_for
from trainers.learners.encoders import encoder, fine_tuning, weighted_trainer
from trainers.learners.encoders.checkpoints import Pace
from trainers.learners.encoders.classification import ClassificationLearner
from trainers.learners.features import FeatureSet
from trainers.learners.protocols import Example, TrainingStep
from trainers.learners.tried import Tried

LEARNER = ClassificationLearner()
TEST_ROWS = toy_rows(["SPORT", "MARKETS", "WEATHER"], 40, seed=99)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def champion(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that tells sport from markets."""
    folder = tmp_path_factory.mktemp("champion")
    return learn(folder, toy_spec(base), toy_rows(["SPORT", "MARKETS"], 100))


def learn(folder: Path, spec: Any, rows: Sequence[Example], **changes: Any) -> Path:
    model = folder / f"model-{time.monotonic_ns()}"
    LEARNER.train(toy_plan(spec, rows, folder / "work", **changes), model)
    return model


def short(base: Path, **training: Any) -> Any:
    """Return a task of two epochs, for tests that ask how a run goes and not what it learns."""
    return toy_spec(base, training={"full_epochs": 2, "max_tokens": 32, **training})


def accuracy(model: Path, rows: Sequence[Example]) -> float:
    answers = opened(model).predict([row.text for row in rows])
    return sum(answer["label"] == row.target["label"] for answer, row in zip(answers, rows, strict=True)) / len(rows)


def of(*labels: str) -> list[Example]:
    return [row for row in TEST_ROWS if row.target["label"] in labels]


def weights(model: Path) -> dict[str, torch.Tensor]:
    return load_file(model / "model.safetensors")


def test_the_catalog_gives_this_learner_for_its_kind(base: Path) -> None:
    assert isinstance(learner_for(toy_spec(base)), ClassificationLearner)


def test_a_separable_problem_is_learnt(champion: Path) -> None:
    assert accuracy(champion, of("SPORT", "MARKETS")) >= 0.98


def test_no_weight_is_nan(champion: Path) -> None:
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights(champion).values())


def test_answers_are_probabilities_in_order_of_the_texts_whatever_the_batch(champion: Path) -> None:
    predictor = opened(champion)
    texts = [row.text for row in TEST_ROWS] + ["", "goal " * 500, "\n\n"]
    together = predictor.predict(texts)
    for text, answer in list(zip(texts, together, strict=True))[::9]:
        alone = predictor.predict([text])[0]
        assert alone["label"] == answer["label"]
        assert alone["scores"] == pytest.approx(answer["scores"], abs=1e-5)
    for answer in together:
        assert math.isclose(sum(answer["scores"].values()), 1.0, rel_tol=1e-5)
        assert answer["label"] == max(answer["scores"], key=answer["scores"].get)
    assert predictor.predict([]) == []


def test_plain_sentence_transformers_opens_the_folder_and_gives_the_logits(champion: Path) -> None:
    model = SentenceTransformer(str(champion), device="cpu")
    names = LabelSet.read(champion).names
    text = "the striker says goal"
    logits = torch.tensor(model.encode([text])[0])
    ours = opened(champion).predict([text])[0]
    assert dict(zip(names, logits.softmax(-1).tolist(), strict=True)) == pytest.approx(ours["scores"], abs=1e-5)


def test_progress_begins_with_the_first_step_and_ends_with_the_last(base: Path, tmp_path: Path) -> None:
    steps: list[TrainingStep] = []
    rows = toy_rows(["SPORT", "MARKETS"], 32)
    learn(tmp_path, toy_spec(base), [*rows, Example("odd", "rain", {"label": "WEATHER"})], steps=steps)
    assert (steps[0].step, steps[-1].step, steps[-1].steps) == (1, 40, 40)
    assert steps[-1].epoch == pytest.approx(10)
    assert steps[-1].loss < steps[0].loss
    assert steps[-1].examples_per_s > 0
    assert steps[0].message == "left out 1 rows with labels WEATHER; a new label joins when 5 rows carry it"
    assert steps[-1].message == ""


def test_training_is_a_function_of_the_seed(base: Path, tmp_path: Path) -> None:
    rows, spec = toy_rows(["SPORT", "MARKETS"], 20), short(base)
    first, again, other = (learn(tmp_path / name, spec, rows, seed=seed) for name, seed in (("a", 5), ("b", 5), ("c", 6)))
    assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(first).items())
    assert any(not torch.equal(tensor, weights(other)[name]) for name, tensor in weights(first).items())


def test_a_new_label_joins_the_champion_and_old_ids_and_answers_stay(base: Path, champion: Path, tmp_path: Path) -> None:
    rows = toy_rows(["WEATHER"], 80, seed=2) + toy_rows(["SPORT", "MARKETS"], 40, seed=2)
    spec = toy_spec(base, training={"epochs": 12, "learning_rate": 5e-3, "max_tokens": 32})
    grown = learn(tmp_path, spec, rows, warm_start=champion)
    old, new = LabelSet.read(champion).ids, LabelSet.read(grown).ids
    assert {name: new[name] for name in old} == old
    assert new["WEATHER"] == len(old)
    assert accuracy(grown, of("WEATHER")) >= 0.95
    assert accuracy(grown, of("SPORT", "MARKETS")) >= 0.95


def test_a_warm_start_begins_where_the_champion_ended(base: Path, champion: Path, tmp_path: Path) -> None:
    spec = toy_spec(base, training={"epochs": 1, "learning_rate": 1e-9, "max_tokens": 32})
    rows = toy_rows(["SPORT", "MARKETS"], 16, seed=4)
    steps: list[TrainingStep] = []
    warm = learn(tmp_path, spec, rows, warm_start=champion, steps=steps)
    assert accuracy(warm, of("SPORT", "MARKETS")) == accuracy(champion, of("SPORT", "MARKETS"))
    assert all(torch.allclose(tensor, weights(warm)[name], atol=1e-6) for name, tensor in weights(champion).items())
    full = learn(tmp_path, spec, rows, warm_start=champion, full=True)
    assert any(not torch.allclose(tensor, weights(full)[name], atol=1e-2) for name, tensor in weights(champion).items())
    assert LabelSet.read(full).names == LabelSet.read(champion).names


def test_a_changed_base_model_starts_from_that_base(base: Path, champion: Path, tmp_path: Path) -> None:
    other = make_tiny_bert(tmp_path / "other")
    spec = toy_spec(other, training={"epochs": 1, "full_epochs": 1, "full_learning_rate": 1e-9, "max_tokens": 32})
    made = learn(tmp_path, spec, toy_rows(["SPORT", "MARKETS"], 16), warm_start=champion)
    assert describe(made).base == str(other)
    assert any(not torch.allclose(tensor, weights(made)[name], atol=1e-2) for name, tensor in weights(champion).items())


def test_weights_matter_and_a_weightless_row_teaches_nothing(base: Path, tmp_path: Path) -> None:
    rows = toy_rows(["SPORT", "MARKETS"], 60)
    wrong = {"SPORT": "MARKETS", "MARKETS": "SPORT"}
    contradictions = [replace(row, example_id=f"x{row.example_id}", target={"label": wrong[row.target["label"]]}) for row in rows]
    test = of("SPORT", "MARKETS")
    trusting = learn(tmp_path, toy_spec(base), rows + [replace(row, weight=0.1) for row in contradictions])
    turned = learn(tmp_path, toy_spec(base), [replace(row, weight=0.1) for row in rows] + contradictions)
    assert accuracy(trusting, test) >= 0.95
    assert accuracy(turned, test) <= 0.05
    spec = short(base)
    silent = learn(tmp_path / "s", spec, rows + [replace(row, weight=0.0) for row in contradictions])
    alone = learn(tmp_path / "a", spec, rows)
    assert all(torch.equal(tensor, weights(alone)[name]) for name, tensor in weights(silent).items())


def test_a_closed_task_answers_only_declared_labels_that_rows_have_shown(base: Path, tmp_path: Path) -> None:
    spec = toy_spec(base, labels="closed", label_names=("WEATHER", "SPORT", "MARKETS"))
    rows = [*toy_rows(["SPORT", "MARKETS"], 30), *(Example(f"t{i}", "storm", {"label": "TYPO"}) for i in range(30))]
    model = learn(tmp_path, spec, rows)
    assert LabelSet.read(model).names == ("WEATHER", "SPORT", "MARKETS")
    for answer in opened(model).predict([row.text for row in TEST_ROWS]):
        assert set(answer["scores"]) == {"SPORT", "MARKETS"}


def test_one_label_alone_fails_the_run_and_says_what_is_missing(base: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match=r"at least two labels are needed.*left out 2 rows with labels WEATHER"):
        learn(tmp_path, toy_spec(base), toy_rows(["SPORT"], 30) + toy_rows(["WEATHER"], 2))
    with pytest.raises(RunFailedError, match="0 usable rows"):
        learn(tmp_path, toy_spec(base), [])


class Killed(BaseException):
    """Ends training as abruptly as a signal would, without ending the test."""


def interrupt(folder: Path, spec: Any, rows: Sequence[Example], at_step: int) -> Path:
    """Train until `at_step`, then die; return the folder with the checkpoints."""

    def report(step: TrainingStep) -> None:
        if step.step >= at_step:
            raise Killed

    with pytest.raises(Killed):
        LEARNER.train(toy_plan(spec, rows, folder / "work", report=report), folder / "never")
    assert not (folder / "never").exists()
    return next((folder / "work").glob("checkpoints-*"))


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint and a report after every step."""
    monkeypatch.setattr(fine_tuning, "Pace", lambda: Pace(interval_s=0, max_share=1e9))
    monkeypatch.setattr(fine_tuning, "_REPORT_EVERY_S", 0.0)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_killed_run_resumes_and_ends_as_if_nothing_had_happened(
    base: Path, tmp_path: Path, eager: None, accumulation: int
) -> None:
    killed_at, all_steps = {1: (8, 10), 2: (5, 6)}[accumulation]
    spec, rows = short(base, gradient_accumulation=accumulation), toy_rows(["SPORT", "MARKETS"], 37)
    unbroken = learn(tmp_path / "unbroken", spec, rows)
    checkpoints = interrupt(tmp_path, spec, rows, at_step=killed_at)
    assert len(list(checkpoints.glob("checkpoint-*"))) == 2, "bounded in number"
    steps: list[TrainingStep] = []
    resumed = learn(tmp_path, spec, rows, steps=steps)
    assert steps[0].step == killed_at, "it goes on after the last checkpoint, in the middle of the second epoch"
    assert steps[-1].step == steps[-1].steps == all_steps
    assert all(torch.equal(tensor, weights(unbroken)[name]) for name, tensor in weights(resumed).items())


def test_a_corrupt_newest_checkpoint_falls_back_to_the_one_before(base: Path, tmp_path: Path, eager: None) -> None:
    spec, rows = short(base), toy_rows(["SPORT", "MARKETS"], 37)
    newest = interrupt(tmp_path, spec, rows, at_step=8) / "checkpoint-7"
    content = (newest / "model.safetensors").read_bytes()
    (newest / "model.safetensors").write_bytes(content[: len(content) // 2])
    steps: list[TrainingStep] = []
    learn(tmp_path, spec, rows, steps=steps)
    assert steps[0].step == 7


def test_another_plan_never_resumes_from_these_checkpoints(base: Path, tmp_path: Path, eager: None) -> None:
    spec, rows = short(base), toy_rows(["SPORT", "MARKETS"], 37)
    interrupt(tmp_path, spec, rows, at_step=4)
    for task, changes in ((spec, {"batch_size": 8}), (spec, {"seed": 6}), (short(base, gradient_accumulation=2), {})):
        steps: list[TrainingStep] = []
        learn(tmp_path, task, rows, steps=steps, **changes)
        assert steps[0].step == 1


def test_batches_that_make_one_step_together_teach_what_one_of_all_their_rows_does(base: Path, tmp_path: Path) -> None:
    # Eighteen rows, so that the last batch of four holds two; and weights that a mean of means would count otherwise.
    rows = [replace(row, weight=0.25 if n % 3 else 1.0) for n, row in enumerate(toy_rows(["SPORT", "MARKETS"], 9))]
    reported: dict[int, list[TrainingStep]] = {4: [], 18: []}
    learnt = [
        weights(learn(tmp_path, short(base, gradient_accumulation=batches), rows, batch_size=size, steps=reported[size]))
        for size, batches in ((18, 1), (4, 5))
    ]
    assert all(torch.allclose(tensor, learnt[1][name], atol=1e-5) for name, tensor in learnt[0].items())
    assert [step.steps for step in reported[4]] == [step.steps for step in reported[18]] == [2, 2]
    assert [step.loss for step in reported[4]] == pytest.approx([step.loss for step in reported[18]], rel=1e-4)


def test_out_of_memory_passes_through(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(weighted_trainer, "loss_of_rows", exhausted)
    with pytest.raises(torch.OutOfMemoryError):
        learn(tmp_path, toy_spec(base), toy_rows(["SPORT", "MARKETS"], 16))


def test_a_model_that_cannot_be_had_is_the_users_to_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    rows = toy_rows(["SPORT", "MARKETS"], 10)
    with pytest.raises(UserError, match=r"'no-such-org/no-such-model' cannot be loaded .*`minilm`"):
        learn(tmp_path, toy_spec("no-such-org/no-such-model"), rows)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be loaded"):
        learn(tmp_path, toy_spec(tmp_path / "empty"), rows)


def drop_a_layer(model: Path) -> None:
    save_file({k: v for k, v in weights(model).items() if "layer.1." not in k}, model / "model.safetensors")


def drop_the_head(model: Path) -> None:
    (model / "head" / "model.safetensors").unlink()


def cut_the_head(model: Path) -> None:
    head = Head.read(model)
    replace(head, weight=head.weight[:, :7]).write(model)


def put_nan_into_the_head(model: Path) -> None:
    head = Head.read(model)
    replace(head, weight=head.weight * float("nan")).write(model)


def name_another_module(model: Path) -> None:
    path = model / "modules.json"
    path.write_text(path.read_text().replace("Normalize", "Dropout"))


def tear_the_weights(model: Path) -> None:
    (model / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:2_000])


def lose_the_labels(model: Path) -> None:
    (model / "labels.json").unlink()


def miscount_the_labels(model: Path) -> None:
    LabelSet(("ONE", "TWO", "THREE"), frozenset({"ONE"})).write(model)


REFUSED = r"cannot be read|lacks encoder|for 3 labels|features, and|not finite|is not read here"


@pytest.mark.parametrize(
    "damage",
    [
        drop_a_layer, drop_the_head, cut_the_head, put_nan_into_the_head, name_another_module, tear_the_weights, lose_the_labels,
        miscount_the_labels,
    ],
)  # fmt: skip
def test_a_damaged_model_is_refused_never_answered_from(base: Path, tmp_path: Path, damage: Any) -> None:
    model = learn(tmp_path, short(base), toy_rows(["SPORT", "MARKETS"], 8))
    damage(model)
    with pytest.raises(RunFailedError, match=REFUSED):
        opened(model)


def test_the_majority_baseline_answers_the_most_frequent_label(base: Path) -> None:
    rows = toy_rows(["SPORT"], 6) + toy_rows(["MARKETS"], 3) + toy_rows(["WEATHER"], 1)
    answer = LEARNER.baseline(toy_spec(base), rows).predict(["rain", "goal"])
    assert answer == [{"label": "SPORT", "scores": {"SPORT": 0.6, "MARKETS": 0.3, "WEATHER": 0.1}}] * 2
    with pytest.raises(RunFailedError, match="no training rows"):
        LEARNER.baseline(toy_spec(base), [])


@pytest.mark.slow
def test_the_base_baseline_uses_the_untouched_model_and_beats_chance() -> None:
    spec = toy_spec("minilm", promotion={"metric": "macro_f1", "baseline": "base"})
    predictor = LEARNER.baseline(spec, toy_rows(["SPORT", "MARKETS", "WEATHER"], 10))
    rows = TEST_ROWS[:30]
    answers = predictor.predict([row.text for row in rows])
    assert sum(answer["label"] == row.target["label"] for answer, row in zip(answers, rows, strict=True)) >= 20
    assert all(math.isclose(sum(answer["scores"].values()), 1.0, rel_tol=1e-4) for answer in answers)
    assert predictor.predict([]) == []


CHILD = """
import sys
from pathlib import Path
from tests.support.tiny_models import toy_plan, toy_rows, toy_spec
from trainers.learners.encoders import fine_tuning
from trainers.learners.encoders.checkpoints import Pace
from trainers.learners.encoders.classification import ClassificationLearner

fine_tuning.Pace = lambda: Pace(interval_s=0, max_share=1e9)
fine_tuning._REPORT_EVERY_S = 0.0
base, folder, accumulation = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
rows = toy_rows(["SPORT", "MARKETS"], 80)
learning = {"full_epochs": 10 * accumulation, "full_learning_rate": 5e-3, "max_tokens": 32, "gradient_accumulation": accumulation}
spec = toy_spec(base, training=learning)
plan = toy_plan(spec, rows, folder / "work", report=lambda step: print(step.step, flush=True))
ClassificationLearner().train(plan, folder / "model")
"""


@pytest.mark.slow
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_run_killed_by_sigkill_resumes_in_the_next_process(base: Path, tmp_path: Path, accumulation: int) -> None:
    command = [sys.executable, "-c", CHILD, str(base), str(tmp_path), str(accumulation)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=root, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as child:
        assert child.stdout is not None
        reached = next(int(line) for line in child.stdout if int(line) >= 12)
        os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    again = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    # Killed while it wrote a checkpoint, the child also says that it drops that one.
    steps = [int(line) for line in again.stdout.splitlines() if line.isdigit()]
    assert reached - 2 <= steps[0] <= reached + 5, "from the last sealed checkpoint, not from the start"
    assert steps[-1] == 100
    assert accuracy(tmp_path / "model", of("SPORT", "MARKETS")) >= 0.95


def test_a_longer_limit_reaches_a_model_made_for_a_shorter_one(base: Path, tmp_path: Path) -> None:
    made = learn(tmp_path, short(base, max_tokens=16), toy_rows(["SPORT", "MARKETS"], 10))
    assert describe(made).input.max_tokens == 16
    assert encoder.open_champion(made, max_tokens=24).max_tokens == 24
    limit = AutoTokenizer.from_pretrained(base).model_max_length
    assert encoder.open_champion(made, max_tokens=10**6).max_tokens <= limit


def test_attention_runs_unfused_only_for_short_rows_in_bf16_on_a_processor(base: Path) -> None:
    made = encoder.open_base(str(base), max_tokens=16).pooled.transformer
    bf16 = replace(CPU, precision="bf16")
    for hardware, longest, expected in ((bf16, 128, "eager"), (bf16, 512, "sdpa"), (CPU, 128, "sdpa")):
        with fine_tuning._quick_attention(made, longest, hardware):
            assert made.config._attn_implementation == expected
        assert made.config._attn_implementation == "sdpa"


def test_a_tuning_begins_with_a_head_that_answers(base: Path, tmp_path: Path) -> None:
    steps: list[TrainingStep] = []
    learn(tmp_path, toy_spec(base), toy_rows(["SPORT", "MARKETS", "WEATHER"], 60), steps=steps)
    assert steps[0].loss < math.log(3), "better than a guess before the first step"


@pytest.mark.parametrize(("tuning", "tuned_rows"), [("never", 0), ("auto", 60), ("always", 60)])
def test_the_encoder_is_tuned_unless_the_task_says_never(base: Path, tmp_path: Path, tuning: str, tuned_rows: int) -> None:
    spec = short(base, tuning=tuning)
    made = learn(tmp_path, spec, toy_rows(["SPORT", "MARKETS"], 30))
    assert Head.read(made).solved.tuned_rows == tuned_rows
    as_it_came = {f"bert.{name}": tensor for name, tensor in weights(made).items()}
    found = load_file(base / "model.safetensors")
    assert all(torch.equal(found[name], as_it_came[name]) for name in found if name in as_it_came) == (tuning == "never")


def test_a_sample_is_tuned_on_and_the_head_is_solved_on_all(base: Path, tmp_path: Path) -> None:
    rows = toy_rows(["SPORT", "MARKETS"], 30)
    made = learn(tmp_path, short(base), rows, to_tune={row.example_id for row in rows[:20]})
    solved = Head.read(made).solved
    assert (solved.tuned_rows, solved.rows) == (20, 60)


def test_features_are_kept_and_are_what_the_published_encoder_makes(base: Path, tmp_path: Path) -> None:
    kept: list[FeatureSet] = []
    rows = toy_rows(["SPORT", "MARKETS"], 30)
    made = learn(tmp_path, short(base), rows, keep_features=kept.append)
    served, _cut = opened(made).encoder.features([row.text for row in rows])
    assert kept[0].rows([row.example_id for row in rows]) == pytest.approx(served, abs=1e-5)


@pytest.mark.parametrize("from_champion", [True, False])
def test_an_encoder_that_is_not_tuned_reads_no_row_twice(base: Path, tmp_path: Path, from_champion: bool) -> None:
    kept: list[FeatureSet] = []
    tried: list[Tried] = []
    rows = toy_rows(["SPORT", "MARKETS"], 200)
    spec = short(base, tuning="never")
    first = learn(tmp_path, spec, rows, keep_features=kept.append)
    stored = {"champion_features" if from_champion else "base_features": kept[0]}
    again = learn(
        tmp_path, spec, rows, warm_start=first if from_champion else None, keep_features=kept.append, note_tried=tried.append,
        **stored,
    )  # fmt: skip
    assert "features of 0 of 400 rows computed" in [one.name for one in tried]
    assert kept[1].matrix == pytest.approx(kept[0].matrix)
    assert opened(again).encoder.features([rows[0].text])[0] == pytest.approx(kept[1].rows([rows[0].example_id]), abs=1e-5)


def test_a_classifier_of_the_first_release_goes_on_with_its_transformer(base: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    tokenizer = AutoTokenizer.from_pretrained(base)
    AutoModelForSequenceClassification.from_pretrained(base, num_labels=2).save_pretrained(old)
    tokenizer.save_pretrained(old)
    LabelSet(("SPORT", "MARKETS"), frozenset({"SPORT", "MARKETS"})).write(old)
    Description("classification", "transformer", "transformers-classification", str(base), ("SPORT", "MARKETS")).write(old)
    made = learn(tmp_path, toy_spec(base), toy_rows(["SPORT", "MARKETS"], 60), warm_start=old)
    assert LabelSet.read(made).names == ("SPORT", "MARKETS")
    assert accuracy(made, of("SPORT", "MARKETS")) >= 0.95
