"""TaggingLearner with a tiny random BERT: learning, growing, scopes, resuming, and what the model folder holds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification, AutoTokenizer, BertConfig, BertForTokenClassification, CanineTokenizer

from config.errors import RunFailedError, UserError
from perennial_artifact.description import describe
from perennial_artifact.labels import LabelSet
from perennial_artifact.predictor import Answer, Divides
from perennial_artifact.tagging import tags
from perennial_artifact.tagging.entities import TokenClassifier
from tests.support.ner_rows import PIECES, example, examples
from tests.support.opening import opened
from tests.support.tiny_models import make_tiny_bert, toy_entities, toy_plan
from trainers.compare.metrics.entities import entity_scores
from trainers.learners.catalog import can_refresh, learner_for, refresher_for
from trainers.learners.encoders import fine_tuning, weighted_trainer
from trainers.learners.encoders.checkpoints import Pace
from trainers.learners.encoders.losses import labels as losses
from trainers.learners.protocols import Example, TrainingStep
from trainers.learners.tagging.ner import TaggingLearner
from trainers.learners.tried import Tried

pytestmark = pytest.mark.slow

LEARNER = TaggingLearner()
TEST_ROWS = examples(60, seed=99)
OLD = ("PERSON", "GPE")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("models") / "base", PIECES)


@pytest.fixture(scope="module")
def champion(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that finds people and places."""
    return learn(tmp_path_factory.mktemp("champion"), base, examples(120, types=OLD), full_epochs=6)


def learn(
    folder: Path, base: Path | str, rows: Sequence[Example], *, spec: Mapping[str, Any] | None = None, **changes: Any
) -> Path:
    training = {
        name: changes.pop(name)
        for name in list(changes)
        if name in {"epochs", "full_epochs", "max_tokens", "learning_rate", "gradient_accumulation", "replay_epochs"}
    }
    model = folder / f"model-{time.monotonic_ns()}"
    LEARNER.train(
        toy_plan(toy_entities(base, training={"full_epochs": 6, **training}, **spec or {}), rows, folder / "work", **changes),
        model,
    )
    return model


def f1(model: Path, rows: Sequence[Example] = TEST_ROWS) -> dict[str, float]:
    answers = opened(model).predict([row.text for row in rows])
    return {label: counts.f1 for label, counts in entity_scores([row.target for row in rows], answers).per_type.items()}


def weights(model: Path) -> dict[str, torch.Tensor]:
    return load_file(model / "model.safetensors")


def test_the_catalog_gives_this_learner_for_its_kind_and_backend(base: Path) -> None:
    assert isinstance(learner_for(toy_entities(base, training={})), TaggingLearner)


def test_a_learnable_problem_is_learnt_with_words_of_several_pieces(champion: Path) -> None:
    found = f1(
        champion, [replace(row, target={"spans": [s for s in row.target["spans"] if s["label"] in OLD]}) for row in TEST_ROWS]
    )
    assert min(found.values()) >= 0.95
    text = "ADA  Lovelace arrived in Oslo on Monday ."
    [answer] = opened(champion).predict([text])
    assert [(text[span["start"] : span["end"]], span["label"]) for span in answer["spans"]] == [
        ("ADA  Lovelace", "PERSON"),
        ("Oslo", "GPE"),
    ]


def test_plain_transformers_opens_the_folder_and_gives_the_tags(champion: Path) -> None:
    model = AutoModelForTokenClassification.from_pretrained(champion)
    tokenizer = AutoTokenizer.from_pretrained(champion)
    inputs = tokenizer("Kurt Goedel wrote a letter", return_tensors="pt")
    said = [model.config.id2label[int(tag)] for tag in model(**inputs).logits[0].argmax(-1)[1:-1]]
    assert said == ["B-PERSON", "I-PERSON", "O", "O", "O"]
    assert [model.config.id2label[number] for number in range(model.config.num_labels)] == tags.names(
        LabelSet.read(champion).names
    )


def test_a_text_longer_than_any_window_is_answered_whole_and_alike_in_parts(champion: Path) -> None:
    sentence = "Ada Lovelace arrived in Paris on Monday . "
    model = opened(champion)
    text = sentence * 900
    [whole] = model.predict([text])
    found = [text[span["start"] : span["end"]] for span in whole["spans"]]
    # So small a model, which knows short texts only, misses some.
    assert found.count("Paris") > 800
    assert whole["spans"][-1]["end"] > len(text) - len(sentence)
    assert isinstance(model, Divides)
    parts = model.divide(text)
    assert len(parts) > 1
    assert model.join([start for start, _end in parts], model.predict([text[start:end] for start, end in parts])) == whole


def test_odd_texts_are_answered(champion: Path) -> None:
    texts = ["", "  \n", "\ud800 broken \udfff", "\u200b", "Ada Lovelace left 😀😀 Paris .", "x" * 20_000]
    answers = opened(champion).predict(texts)
    assert [len(answer["spans"]) for answer in answers[:4]] == [0, 0, 0, 0]
    assert [texts[4][span["start"] : span["end"]] for span in answers[4]["spans"]] == ["Ada Lovelace", "Paris"]


def test_a_new_type_joins_the_champion_and_old_ids_and_answers_stay(base: Path, champion: Path, tmp_path: Path) -> None:
    grown = learn(tmp_path, base, examples(80, seed=2), warm_start=champion, epochs=6)
    old, new = LabelSet.read(champion).ids, LabelSet.read(grown).ids
    assert {name: new[name] for name in old} == old
    assert new["NEWS_ORG"] == len(old)
    assert min(f1(grown).values()) >= 0.95


def test_a_warm_start_begins_where_the_champion_ended_and_a_full_run_does_not(base: Path, champion: Path, tmp_path: Path) -> None:
    rows = examples(20, types=OLD)
    warm = learn(tmp_path, base, rows, warm_start=champion, epochs=1, learning_rate=1e-9)
    assert all(torch.allclose(tensor, weights(warm)[name], atol=1e-6) for name, tensor in weights(champion).items())
    full = learn(tmp_path, base, rows, warm_start=champion, full=True, full_epochs=1)
    assert any(not torch.allclose(tensor, weights(full)[name], atol=1e-2) for name, tensor in weights(champion).items())
    assert LabelSet.read(full).names == LabelSet.read(champion).names


def test_a_renamed_type_keeps_its_weights(base: Path, champion: Path, tmp_path: Path) -> None:
    rows = [
        replace(row, target={"spans": [{**s, "label": s["label"].replace("GPE", "PLACE")} for s in row.target["spans"]]})
        for row in examples(20, types=OLD)
    ]
    renamed = learn(tmp_path, base, rows, warm_start=champion, epochs=1, learning_rate=1e-9, spec={"renames": {"GPE": "PLACE"}})
    assert sorted(LabelSet.read(renamed).names) == ["PERSON", "PLACE"]
    assert torch.allclose(weights(renamed)["classifier.weight"], weights(champion)["classifier.weight"], atol=1e-6)


def test_a_declared_type_without_a_row_is_never_answered_and_learnt_when_rows_come(
    base: Path, champion: Path, tmp_path: Path
) -> None:
    declared = {"label_names": ("NEWS_ORG", *OLD), "labels": "closed"}
    model = learn(tmp_path, base, examples(80, types=OLD), spec=declared)
    assert describe(model).labels == OLD
    place = tags.begins(0)
    assert LabelSet.read(model).names[0] == "NEWS_ORG"
    assert weights(model)["classifier.bias"][place] < -1_000
    assert "NEWS_ORG" in {s["label"] for row in TEST_ROWS for s in row.target["spans"]}
    later = learn(tmp_path, base, examples(80, seed=3), spec=declared, warm_start=model, epochs=6)
    assert min(f1(later).values()) >= 0.95


def test_rows_of_annotators_who_did_not_know_a_type_do_not_unlearn_it(base: Path, tmp_path: Path) -> None:
    whole, earlier = examples(40, seed=1), examples(200, seed=2, types=OLD)
    scoped = learn(tmp_path / "s", base, [*whole, *(replace(row, scope=frozenset(OLD)) for row in earlier)], full_epochs=4)
    unscoped = learn(tmp_path / "u", base, [*whole, *earlier], full_epochs=4)
    assert f1(scoped)["NEWS_ORG"] > f1(unscoped)["NEWS_ORG"] + 0.3


def test_partial_rows_teach_what_they_speak_of_and_no_more(base: Path, champion: Path, tmp_path: Path) -> None:
    papers = [row for row in examples(120, seed=4, types=("NEWS_ORG",)) if row.target["spans"]]
    known = [replace(row, is_new=False) for row in examples(60, seed=5)]
    partial = [replace(row, target={**row.target, "partial": True}) for row in papers]
    found = f1(learn(tmp_path / "p", base, [*partial, *known], warm_start=champion, epochs=4))
    assert min(found.values()) > 0.9
    wrong = f1(learn(tmp_path / "w", base, [*papers, *known], warm_start=champion, epochs=4))
    assert wrong["PERSON"] < found["PERSON"]


def test_weights_matter_and_a_weightless_row_teaches_nothing(base: Path, tmp_path: Path) -> None:
    rows = examples(60, types=("GPE",))
    silent = [replace(row, target={"spans": []}) for row in rows]
    trusting = learn(tmp_path / "t", base, [*rows, *(replace(row, weight=0.1) for row in silent)])
    turned = learn(tmp_path / "f", base, [*(replace(row, weight=0.1) for row in rows), *silent])
    assert f1(trusting, rows)["GPE"] > 0.9
    assert f1(turned, rows)["GPE"] < 0.1
    alone = learn(tmp_path / "a", base, rows, full_epochs=1)
    beside = learn(tmp_path / "b", base, [*rows, *(replace(row, weight=0.0) for row in silent)], full_epochs=1)
    assert all(torch.equal(tensor, weights(beside)[name]) for name, tensor in weights(alone).items())


def f1_of(gold: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> float:
    return entity_scores(gold, answers).overall.f1


def test_what_a_small_run_forgets_is_judged_on_older_rows_and_averaged_with_the_champion(
    base: Path, champion: Path, tmp_path: Path
) -> None:
    older = [replace(row, example_id=f"old-{row.example_id}", is_new=False) for row in examples(500, seed=6, types=OLD)]
    silent = [replace(row, target={"spans": []}) for row in examples(60, seed=7, types=OLD)]
    tried: list[Tried] = []
    rows = [*older, *silent]
    learn(tmp_path, base, rows, warm_start=champion, score=f1_of, note_tried=tried.append, epochs=8, replay_epochs=1)
    names = [one.name for one in tried]
    assert names[:3] == ["tuned on 510 rows, 1 to 8 passes over each", "champion", "candidate"]
    assert [one.name for one in tried[1:] if one.chosen] != ["candidate"]
    assert len(names) == 6
    candidate, *averages = tried[2:]
    assert max(one.scores["older"] for one in averages) > candidate.scores["older"]


def test_a_refresh_learns_a_type_in_the_head_and_leaves_what_is_below(base: Path, champion: Path, tmp_path: Path) -> None:
    known = [
        replace(row, example_id=f"old-{row.example_id}", is_new=False, scope=frozenset(OLD)) for row in examples(100, types=OLD)
    ]
    spec = toy_entities(base, training={"max_tokens": 32})
    steps: list[TrainingStep] = []
    refreshed = tmp_path / "refreshed"
    plan = toy_plan(spec, [*known, *examples(40, seed=8)], tmp_path / "work", warm_start=champion, steps=steps)
    refresher_for(spec).train(plan, refreshed)
    before, after = weights(champion), weights(refreshed)
    assert {name for name in after if name not in before or not torch.equal(after[name], before[name])} == {
        "classifier.weight", "classifier.bias",
    }  # fmt: skip
    assert len(steps) == 1
    assert min(f1(refreshed).values()) > 0.8
    assert can_refresh("ner", "transformer")


def test_a_refresh_needs_a_champion_of_its_kind(base: Path, champion: Path, tmp_path: Path) -> None:
    other = toy_entities(make_tiny_bert(tmp_path / "other", PIECES), training={})
    for spec, start in ((toy_entities(base, training={}), None), (other, champion)):
        with pytest.raises(RunFailedError, match="full run"):
            refresher_for(spec).train(toy_plan(spec, examples(10), tmp_path / "work", warm_start=start), tmp_path / "never")


def test_a_base_with_a_head_of_its_own_answers_and_lends_its_types(base: Path, champion: Path, tmp_path: Path) -> None:
    """As the usual checkpoints for CoNLL-2003 do; the champion's folder without what is ours stands for one."""
    generic = tmp_path / "generic"
    AutoModelForTokenClassification.from_pretrained(champion).save_pretrained(generic)
    AutoTokenizer.from_pretrained(champion).save_pretrained(generic)
    spec = toy_entities(generic, training={}, promotion={"metric": "entity_f1", "baseline": "base"}, renames={"GPE": "PLACE"})
    [answer] = LEARNER.baseline(spec, []).predict(["Ada Lovelace left Oslo ."])
    assert [span["label"] for span in answer["spans"]] == ["PERSON", "PLACE"]
    papers = [replace(row, scope=frozenset({"NEWS_ORG"})) for row in examples(60, types=("NEWS_ORG",))]
    tuned = learn(tmp_path, generic, papers, full=True, full_epochs=4)
    assert sorted(describe(tuned).labels) == ["GPE", "NEWS_ORG", "PERSON"]
    assert min(f1(tuned).values()) > 0.8


def test_a_base_without_one_finds_nothing(base: Path) -> None:
    spec = toy_entities(base, training={}, promotion={"metric": "entity_f1", "baseline": "base"})
    assert LEARNER.baseline(spec, []).predict(["Ada", "Oslo"]) == [{"spans": []}, {"spans": []}]


def test_what_was_left_out_is_told_with_the_first_step(base: Path, tmp_path: Path) -> None:
    rows = [
        *examples(20, types=OLD), Example("blank", " \n", {"spans": []}), example("Evening Post", ("Evening Post", "NEWS_ORG")),
        replace(example("Oslo", ("Oslo", "GPE")), target={"spans": [{"start": 1, "end": 3, "label": "GPE"}]}),
    ]  # fmt: skip
    steps: list[TrainingStep] = []
    tried: list[Tried] = []
    learn(tmp_path, base, rows, steps=steps, full_epochs=2, note_tried=tried.append)
    assert "2 rows that say nothing" in steps[0].message
    assert "1 spans of types that have not joined" in steps[0].message
    assert "1 spans widened" in steps[0].message
    assert steps[-1].message == ""
    assert steps[-1].loss < steps[0].loss
    assert [one.name for one in tried if one.chosen] == ["tuned on 21 rows, 2 passes over each"]


class Killed(BaseException):
    """Ends training as abruptly as a signal would, without ending the test."""


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_killed_run_resumes_and_ends_as_if_nothing_had_happened(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulation: int
) -> None:
    monkeypatch.setattr(fine_tuning, "Pace", lambda: Pace(interval_s=0, max_share=1e9))
    monkeypatch.setattr(fine_tuning, "_REPORT_EVERY_S", 0.0)
    options: dict[str, Any] = {"full_epochs": 2, "gradient_accumulation": accumulation, "max_tokens": 8}
    rows = examples(37)
    unbroken = learn(tmp_path / "unbroken", base, rows, **options)

    def report(step: TrainingStep) -> None:
        if step.step >= 5:
            raise Killed

    with pytest.raises(Killed):
        learn(tmp_path, base, rows, report=report, **options)
    steps: list[TrainingStep] = []
    resumed = learn(tmp_path, base, rows, steps=steps, **options)
    assert steps[0].step == 5
    assert all(torch.equal(tensor, weights(unbroken)[name]) for name, tensor in weights(resumed).items())
    other: list[TrainingStep] = []
    learn(tmp_path, base, [*rows[:-1], replace(rows[-1], scope=frozenset(OLD))], steps=other, **options)
    assert other[0].step == 1, "another plan never resumes from these checkpoints"


def test_batches_that_make_one_step_together_teach_what_one_of_all_their_rows_does(base: Path, tmp_path: Path) -> None:
    rows = [replace(row, weight=0.25 if at % 3 else 1.0) for at, row in enumerate(examples(18))]
    one, several = (
        weights(learn(tmp_path, base, rows, full_epochs=2, batch_size=size, gradient_accumulation=batches))
        for size, batches in ((18, 1), (4, 5))
    )
    # A constant added to all keys moves no attention: its gradient is noise.
    assert all(torch.allclose(tensor, several[name], atol=1e-5) for name, tensor in one.items() if "key.bias" not in name)


def test_out_of_memory_passes_through(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(weighted_trainer, "loss_of_rows", exhausted)
    with pytest.raises(torch.OutOfMemoryError):
        learn(tmp_path, base, examples(10))


def test_nothing_to_learn_fails_the_run_and_says_what_is_missing(base: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="0 rows with a word and 0 entity types"):
        learn(tmp_path, base, [])
    with pytest.raises(RunFailedError, match="0 entity types"):
        learn(tmp_path, base, [example("Oslo", ("Oslo", "GPE"))])


def without_offsets(folder: Path, base: Path) -> None:
    BertForTokenClassification(
        BertConfig(vocab_size=200, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    ).save_pretrained(folder)
    CanineTokenizer().save_pretrained(folder)


def cut_short(folder: Path, base: Path) -> None:
    for path in base.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    content = (base / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def without_a_layer(folder: Path, base: Path) -> None:
    cut_short(folder, base)
    save_file(
        {name: tensor for name, tensor in weights(base).items() if "layer.1." not in name},
        folder / "model.safetensors",
        {"format": "pt"},
    )


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (without_offsets, "fast tokenizer"),
        (cut_short, "cannot be loaded"),
        (without_a_layer, "lacks weights"),
        (lambda *_: None, "cannot be loaded"),
    ],
)
def test_a_base_model_that_cannot_be_used_is_the_users_to_fix(base: Path, tmp_path: Path, make: Any, word: str) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    make(bad, base)
    with pytest.raises(UserError, match=word):
        learn(tmp_path, bad, examples(10))


def test_a_window_without_room_for_a_word_is_the_users_to_fix(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="raise max_tokens"):
        learn(tmp_path, base, examples(10), max_tokens=2)


def drop_a_layer(model: Path) -> None:
    save_file({k: v for k, v in weights(model).items() if "layer.1." not in k}, model / "model.safetensors", {"format": "pt"})


def put_nan_into_the_head(model: Path) -> None:
    save_file(
        {k: v * float("nan") if "classifier" in k else v for k, v in weights(model).items()},
        model / "model.safetensors",
        {"format": "pt"},
    )


def lose_the_labels(model: Path) -> None:
    (model / "labels.json").unlink()


def swap_two_types(model: Path) -> None:
    found = LabelSet.read(model)
    LabelSet(found.names[::-1], found.seen).write(model)


def lose_the_tokenizer(model: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (model / name).unlink(missing_ok=True)


@pytest.mark.parametrize("damage", [drop_a_layer, put_nan_into_the_head, lose_the_labels, swap_two_types, lose_the_tokenizer])
def test_a_damaged_model_is_not_opened(champion: Path, tmp_path: Path, damage: Any) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in champion.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    damage(copy)
    with pytest.raises(RunFailedError, match=str(copy)):
        opened(copy)


def test_the_loss_of_words_gives_types_out_of_scope_neither_a_yes_nor_a_no() -> None:
    logits = torch.tensor([[[0.0, 1.0, 2.0]]], requires_grad=True)
    closed = torch.zeros(3, dtype=torch.bool)
    either = losses.loss_of_rows(logits, torch.tensor([[[True, False, True]]]), torch.ones(1), closed)
    assert either.item() == pytest.approx(-torch.log(logits.softmax(-1)[0, 0, [0, 2]].sum()).item())
    one = losses.loss_of_rows(logits, torch.tensor([[[True, False, False]]]), torch.ones(1), closed)
    assert one.item() == pytest.approx(torch.nn.functional.cross_entropy(logits[0], torch.tensor([0])).item())
    nothing = losses.loss_of_rows(logits, torch.zeros((1, 1, 3), dtype=torch.bool), torch.ones(1), closed)
    assert nothing.item() == 0.0
    (one + nothing).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_a_long_text_is_answered_in_steps_between_which_others_are(champion: Path) -> None:
    model = opened(champion)
    assert isinstance(model, TokenClassifier)
    text = " ".join(row.text for row in TEST_ROWS)[:4_000]
    seen: list[list[Answer]] = []
    assert model.predict_pausing([text], lambda: seen.append(model.predict([TEST_ROWS[0].text]))) == model.predict([text])
    assert len(seen) >= 2
    assert all(answers == model.predict([TEST_ROWS[0].text]) for answers in seen)

    def gone() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        model.predict_pausing([text], gone)
    assert model.predict([text])[0]["spans"], "it answers on"
