"""Low-rank adapters with tiny models: every kind learns by them, versions share what they stand on, runs go on with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from config.errors import UserError
from config.tasks import TaskSpec
from perennial_artifact.compute import Compute
from perennial_artifact.errors import UnusableError
from perennial_artifact.formats import open_model
from perennial_artifact.merging import write_merged
from perennial_artifact.sentence.encoder import open_pooled
from perennial_artifact.transformer import adapter as adapters
from registry.artifacts.local import LocalArtifacts
from tests.support import ner_rows
from tests.support.missing import missing
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
from trainers.learners.catalog import learner_for, refresher_for
from trainers.learners.encoders import fine_tuning
from trainers.learners.encoders.checkpoints import Pace
from trainers.learners.protocols import Example, TrainingStep

pytestmark = pytest.mark.slow

LABELS = ("SPORT", "MARKETS", "WEATHER")
LOW_RANK: Mapping[str, Any] = {"lora_rank": 4, "lora_targets": ["query", "value", "dense"]}
FOUNDATION = f"{adapters.FOUNDATION_FOLDER}/model.safetensors"
ADAPTER = f"{adapters.ADAPTER_FOLDER}/{adapters.WEIGHTS_FILE}"


@pytest.fixture(autouse=True, scope="module")
def _peft() -> None:
    if find_spec("peft") is None:
        missing("peft is not installed")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that knows words: adapters beside random embeddings learn little."""
    folder = tmp_path_factory.mktemp("base")
    spec = toy_spec(make_tiny_bert(folder / "random", ner_rows.PIECES))
    learner_for(spec).train(toy_plan(spec, toy_rows(LABELS, 50), folder / "work", full=True), folder / "learnt")
    AutoModel.from_pretrained(folder / "learnt").save_pretrained(folder / "bert")
    AutoTokenizer.from_pretrained(folder / "learnt").save_pretrained(folder / "bert")
    return folder / "bert"


@dataclass(frozen=True)
class Learnt:
    """A task, and what a first run and the one after it left."""

    spec: TaskSpec
    rows: Sequence[Example]
    first: Path
    second: Path


def task(kind: str, base: Path, **training: Any) -> TaskSpec:
    steps = {"epochs": 2, "full_epochs": 8, "learning_rate": 5e-3, "full_learning_rate": 5e-3, "max_tokens": 32}
    training = {**steps, **LOW_RANK, **training}
    if kind == "regression":
        return toy_numbers_spec(base, training=training)
    if kind == "ner":
        return toy_entities(base, training=training)
    metric = {"classification": "macro_f1", "multilabel": "micro_f1"}[kind]
    return toy_spec(base, kind=kind, training=training, promotion={"metric": metric})


def rows_of(kind: str, count: int, *, seed: int = 1) -> Sequence[Example]:
    if kind == "regression":
        return toy_numbers(count, seed=seed)
    if kind == "ner":
        return ner_rows.examples(count, seed=seed)
    return toy_rows_of_several(LABELS, count, seed=seed) if kind == "multilabel" else toy_rows(LABELS, count // 3, seed=seed)


def learn(folder: Path, spec: TaskSpec, rows: Sequence[Example], name: str = "model", **changes: Any) -> Path:
    learner_for(spec).train(toy_plan(spec, rows, folder / "work", **changes), folder / name)
    return folder / name


@pytest.fixture(scope="module")
def of_kind(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Learnt]:
    """Two runs of a kind, made when they are first asked for."""

    @cache
    def learnt(kind: str) -> Learnt:
        folder, spec, rows = tmp_path_factory.mktemp("learnt"), task(kind, base), rows_of(kind, 120)
        first = learn(folder / "1", spec, rows, full=True)
        more = [*(replace(row, is_new=False) for row in rows), *rows_of(kind, 30, seed=7)]
        return Learnt(spec, rows, first, learn(folder / "2", spec, more, warm_start=first))

    return learnt


@pytest.fixture(scope="module", params=["classification", "multilabel", "regression", "ner"])
def learnt(request: pytest.FixtureRequest, of_kind: Callable[[str], Learnt]) -> Learnt:
    return of_kind(str(request.param))


def share_right(spec: TaskSpec, folder: Path) -> float:
    """The share of unseen rows that are answered right; of numbers, within half a unit."""
    rows = rows_of(spec.kind, 60, seed=99)
    answers = open_model(folder, Compute()).predict([row.text for row in rows])
    pairs = [(row.target, answer) for row, answer in zip(rows, answers, strict=True)]
    if spec.kind == "regression":
        return float(np.mean([abs(gold["values"]["heat"] - said["values"]["heat"]) < 0.5 for gold, said in pairs]))
    if spec.kind == "ner":
        plain = [[(span["start"], span["end"], span["label"]) for span in said["spans"]] for _gold, said in pairs]
        gold = [[(span["start"], span["end"], span["label"]) for span in target["spans"]] for target, _said in pairs]
        return float(np.mean([one == other for one, other in zip(plain, gold, strict=True)]))
    key = "labels" if spec.kind == "multilabel" else "label"
    return float(np.mean([gold[key] == said[key] for gold, said in pairs]))


def test_every_kind_learns_by_adapters(learnt: Learnt) -> None:
    assert share_right(learnt.spec, learnt.first) > 0.7
    assert share_right(learnt.spec, learnt.second) > 0.7


def test_a_version_holds_the_base_as_it_came_and_an_adapter(learnt: Learnt) -> None:
    assert not (learnt.first / "model.safetensors").exists(), "plain transformers would answer from the base alone"
    kept, came = (load_file(path / "model.safetensors") for path in (learnt.first / "foundation", Path(learnt.spec.base_model)))
    assert all(torch.equal(tensor, came[name]) for name, tensor in kept.items())
    config = json.loads((learnt.first / "adapter" / "adapter_config.json").read_bytes())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 4, 8)
    assert config["base_model_name_or_path"] == learnt.spec.base_model
    assert sorted(config["target_modules"]) == ["dense", "query", "value"]
    tie = json.loads((learnt.first / "adapter" / "foundation.json").read_bytes())
    assert tie["base"] == learnt.spec.base_model
    assert (learnt.first / ADAPTER).stat().st_size < (learnt.first / FOUNDATION).stat().st_size / 2


def test_the_next_run_goes_on_with_the_adapter_of_the_champion(learnt: Learnt) -> None:
    assert (learnt.second / FOUNDATION).read_bytes() == (learnt.first / FOUNDATION).read_bytes()
    before, after = (load_file(folder / ADAPTER) for folder in (learnt.first, learnt.second))
    assert before.keys() == after.keys()
    far = [float((after[name] - before[name]).norm() / before[name].norm()) for name in before if "lora_A" in name]
    assert 0 < max(far) < 1, "moved, and not begun anew"


def test_two_versions_cost_the_base_once(learnt: Learnt, tmp_path: Path) -> None:
    store = LocalArtifacts(tmp_path)
    first, second = (
        store.folder(store.publish("t", at, folder).artifact_id) for at, folder in ((1, learnt.first), (2, learnt.second))
    )
    assert (first / FOUNDATION).samefile(second / FOUNDATION)
    assert not (first / ADAPTER).samefile(second / ADAPTER)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_peft_opens_the_adapter_and_gives_the_same_features(of_kind: Callable[[str], Learnt], kind: str) -> None:
    from peft import PeftModel  # noqa: PLC0415 - an extra

    learnt = of_kind(kind)
    ours, tokenizer = open_pooled(learnt.second)
    theirs = PeftModel.from_pretrained(AutoModel.from_pretrained(learnt.second / "foundation"), learnt.second / "adapter").eval()
    read = tokenizer(["storm after the match"], return_tensors="pt")
    with torch.inference_mode():
        torch.testing.assert_close(
            theirs(**read).last_hidden_state, ours.transformer.eval()(**read).last_hidden_state, atol=1e-5, rtol=1e-4
        )


def test_merged_for_other_programs_it_answers_the_same(learnt: Learnt, tmp_path: Path) -> None:
    write_merged(learnt.second, tmp_path / "merged")
    assert not {"adapter", "foundation"} & {path.name for path in (tmp_path / "merged").iterdir()}
    texts = [row.text for row in rows_of(learnt.spec.kind, 30, seed=11)]
    ours, merged = (open_model(folder, Compute()).predict(texts) for folder in (learnt.second, tmp_path / "merged"))
    assert ours == merged


def test_a_new_head_leaves_the_adapter_as_it_is(of_kind: Callable[[str], Learnt], tmp_path: Path) -> None:
    learnt = of_kind("ner")
    rows = [*(replace(row, is_new=False) for row in learnt.rows), *rows_of("ner", 12, seed=8)]
    refresher_for(learnt.spec).train(toy_plan(learnt.spec, rows, tmp_path, warm_start=learnt.second), tmp_path / "model")
    for name in (FOUNDATION, ADAPTER):
        assert (tmp_path / "model" / name).read_bytes() == (learnt.second / name).read_bytes()
    assert share_right(learnt.spec, tmp_path / "model") > 0.7


def test_rank_and_targets_may_change_and_nothing_is_forgotten(base: Path, tmp_path: Path) -> None:
    spec, rows = task("classification", base), rows_of("classification", 120)
    first = learn(tmp_path / "1", spec, rows, full=True)
    for at, changed in enumerate(({"lora_rank": 2}, {"lora_targets": []}, {"lora_rank": None, "lora_targets": []}), start=2):
        other = task("classification", base, **changed, learning_rate=1e-6)
        after = learn(tmp_path / str(at), other, rows, warm_start=first)
        assert (after / "adapter").is_dir() == (other.training.lora_rank is not None)
        weights = after / (FOUNDATION if other.training.lora_rank else "model.safetensors")
        assert weights.read_bytes() != (first / FOUNDATION).read_bytes(), (
            "what the champion's adapter adds is part of the weights"
        )
        assert share_right(spec, after) > 0.7


def test_a_champion_tuned_whole_goes_on_with_an_adapter(base: Path, tmp_path: Path) -> None:
    rows = rows_of("ner", 120)
    whole = task("ner", base, lora_rank=None, lora_targets=[])
    first = learn(tmp_path / "1", whole, rows, full=True)
    after = learn(tmp_path / "2", task("ner", base, learning_rate=1e-3), rows, warm_start=first)
    tuned, kept = load_file(first / "model.safetensors"), load_file(after / FOUNDATION)
    assert all(torch.equal(tensor, tuned[f"bert.{name}"]) for name, tensor in kept.items())
    assert share_right(whole, after) > 0.7


class KilledError(Exception):
    pass


@pytest.mark.parametrize("kind", ["classification", "ner"])
def test_a_killed_run_resumes_with_its_adapter(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(fine_tuning, "Pace", lambda: Pace(interval_s=0, max_share=1e9))
    monkeypatch.setattr(fine_tuning, "_REPORT_EVERY_S", 0.0)
    spec, rows = task(kind, base, full_epochs=2), rows_of(kind, 60)
    first = learn(tmp_path / "first", spec, rows, full=True)
    more = [*(replace(row, is_new=False) for row in rows), *rows_of(kind, 30, seed=7)]
    unbroken = learn(tmp_path / "unbroken", spec, more, warm_start=first)

    def report(step: TrainingStep) -> None:
        if step.step >= 4:
            raise KilledError

    with pytest.raises(KilledError):
        learn(tmp_path / "killed", spec, more, warm_start=first, report=report)
    steps: list[TrainingStep] = []
    resumed = learn(tmp_path / "killed", spec, more, warm_start=first, steps=steps)
    assert steps[0].step == 4
    assert all(torch.equal(tensor, load_file(unbroken / ADAPTER)[name]) for name, tensor in load_file(resumed / ADAPTER).items())
    other: list[TrainingStep] = []
    learn(tmp_path / "killed", task(kind, base, full_epochs=2, lora_alpha=16), more, "other", warm_start=first, steps=other)
    assert other[0].step == 1, "another adapter never resumes from these checkpoints"


def test_an_adapter_beside_other_weights_is_refused(learnt: Learnt, tmp_path: Path) -> None:
    folder = shutil.copytree(learnt.first, tmp_path / "model")
    moved = {name: tensor + 1e-3 for name, tensor in load_file(folder / FOUNDATION).items()}
    (folder / FOUNDATION).unlink()
    save_file(moved, folder / FOUNDATION, metadata={"format": "pt"})
    with pytest.raises(UnusableError, match="was learnt on other weights"):
        open_model(folder, Compute())


def test_an_adapter_for_other_layers_is_refused(learnt: Learnt, tmp_path: Path) -> None:
    folder = shutil.copytree(learnt.first, tmp_path / "model")
    tensors = load_file(folder / ADAPTER)
    (folder / ADAPTER).unlink()
    save_file({name.replace("layer.1.", "layer.9."): tensor for name, tensor in tensors.items()}, folder / ADAPTER)
    with pytest.raises(UnusableError, match=r"another base model .* no such layer"):
        open_model(folder, Compute())


@pytest.mark.parametrize("damage", ["cut", "missing", "not finite", "half"])
def test_a_damaged_adapter_is_refused(of_kind: Callable[[str], Learnt], tmp_path: Path, damage: str) -> None:
    folder = shutil.copytree(of_kind("classification").first, tmp_path / "model")
    path, tensors = folder / ADAPTER, load_file(folder / ADAPTER)
    content, name = path.read_bytes(), next(iter(tensors))
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "not finite":
        save_file({**tensors, name: torch.full_like(tensors[name], torch.nan)}, path)
    elif damage == "half":
        save_file({other: tensor for other, tensor in tensors.items() if other != name}, path)
    with pytest.raises(UnusableError, match="adapter"):
        open_model(folder, Compute())


@pytest.mark.parametrize("kind", ["classification", "ner"])
def test_a_target_that_the_base_lacks_is_named_with_what_there_is(base: Path, tmp_path: Path, kind: str) -> None:
    spec = task(kind, base, lora_targets=["query", "q_proj"])
    with pytest.raises(UserError, match=r"lora_targets names q_proj, .* dense, key, query, value"):
        learn(tmp_path, spec, rows_of(kind, 30), full=True)


@pytest.mark.parametrize("kind", ["classification", "ner"])
def test_an_adapter_is_no_base_model(of_kind: Callable[[str], Learnt], tmp_path: Path, kind: str) -> None:
    spec = task(kind, of_kind("classification").first / "adapter")
    with pytest.raises(UserError, match="is an adapter of"):
        learn(tmp_path, spec, rows_of(kind, 30), full=True)


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"lora_targets": ["query"]}, "no rank is given"),
        ({"lora_alpha": 8}, "no rank is given"),
        ({"lora_rank": 0}, "greater than 0"),
        ({"lora_rank": 4, "lora_targets": ["a b"]}, "pattern"),
    ],
)
def test_a_task_file_that_contradicts_itself_is_refused(training: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        toy_spec("minilm", training=training)


def test_spacy_is_not_tuned_by_adapters() -> None:
    with pytest.raises(ValidationError, match=r"training\.lora_rank \(4\) is for backend transformer"):
        TaskSpec.model_validate({
            "name": "t", "kind": "ner", "backend": "spacy", "base_model": "blank:en", "labels": "open",
            "training": {"lora_rank": 4}, "promotion": {"metric": "entity_f1"},
        })  # fmt: skip
