"""Models that release 0.1.0 published, without `model.json`: opened, served, followed, compared with, and rolled back to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.tasks import TaskSpec
from daemon.serving.client import load_version
from daemon.serving.service import Service
from daemon.training.preparing import warm_start
from perennial_artifact.description import Description, describe
from perennial_client import Client, Model, Prediction
from registry import promotion
from tests.support import first_release
from tests.support.ner_rows import examples, training_set
from tests.support.opening import ON_CPU, opened
from tests.support.served import ServedData, eventually, listening, load_on_cpu
from tests.support.tiny_models import make_tiny_bert, toy_plan, toy_rows, toy_spec
from trainers.job import spec as job_spec
from trainers.job import steps as job_steps
from trainers.job.guards import StopRequest
from trainers.job.progress import ProgressLog
from trainers.job.spec import JobResult, JobSpec
from trainers.learners.catalog import learner_for
from trainers.learners.protocols import Example

ENTITIES, TOPICS = "entities", "topics"
LABELS = ("SPORT", "MARKETS", "WEATHER")
KNOWN = {
    TOPICS: Description("classification", "transformer", "transformers-classification", "tiny-bert", LABELS),
    ENTITIES: Description("ner", "spacy", "spacy-ner", "", ("GPE", "NEWS_ORG", "PERSON")),
}


def same(answer: Any, recorded: dict[str, Any]) -> bool:
    """Return whether two answers are the same, whatever processor computed them."""
    if "scores" in recorded:
        return dict(answer["scores"]) == pytest.approx(recorded["scores"], abs=1e-4) and answer["label"] == recorded["label"]
    return bool(list(answer["spans"]) == recorded["spans"])


def agree(predictions: list[Prediction], recorded: dict[str, dict[str, Any]]) -> bool:
    return all(same(one.answer, answer) for one, answer in zip(predictions, recorded.values(), strict=True))


@pytest.fixture
def data(tmp_path: Path) -> ServedData:
    made = ServedData(tmp_path / "server")
    for task in first_release.TASKS:
        made.promote(first_release.install(task, made.registry, made.artifacts))
    return made


@pytest.fixture
def client(data: ServedData) -> Iterator[Client]:
    with Service.open(data.settings, load=load_on_cpu) as service, listening(service) as address, Client(address) as made:
        yield made


@pytest.mark.parametrize("task", first_release.TASKS)
def test_it_is_known_by_its_files_and_answers_as_it_did(task: str, data: ServedData) -> None:
    found = describe(first_release.folder_of(task))
    assert (found.kind, found.backend, found.format, found.base) == (
        KNOWN[task].kind, KNOWN[task].backend, KNOWN[task].format, KNOWN[task].base,
    )  # fmt: skip
    assert sorted(found.labels) == sorted(KNOWN[task].labels)
    recorded = first_release.answers_of(task)
    for model in (opened(first_release.folder_of(task)), load_version(data.settings, data.registry.versions.get(f"{task}/v1"))):
        assert all(map(same, model.predict(list(recorded)), recorded.values()))


@pytest.mark.parametrize("task", first_release.TASKS)
def test_it_is_served_and_followed(task: str, client: Client, tmp_path: Path) -> None:
    recorded = first_release.answers_of(task)
    served = client.predict(task, list(recorded))
    assert agree(served, recorded)
    champion = client.champion(task)
    assert (champion.kind, champion.backend, champion.format) == (KNOWN[task].kind, KNOWN[task].backend, KNOWN[task].format)
    with Model.follow(task, client=client, cache_dir=tmp_path / "cache") as model:
        here = model.predict(list(recorded))
        assert agree(here, recorded)


def test_a_later_version_is_rolled_back_to_it(data: ServedData, client: Client) -> None:
    data.champion()
    text, answer = next(iter(first_release.answers_of(ENTITIES).items()))
    eventually(lambda: client.predict(ENTITIES, [text])[0].version == f"{ENTITIES}/v2")
    promotion.rollback(data.registry, ENTITIES, actor="test", reason="test")
    eventually(lambda: client.predict(ENTITIES, [text])[0].version == f"{ENTITIES}/v1")
    assert same(client.predict(ENTITIES, [text])[0].answer, answer)


def run(folder: Path, task: TaskSpec, champion: str, train: list[Example], test: list[Example]) -> JobResult:
    """A full run of `task` whose champion is the first release's model of task `champion`."""
    training_set(folder / "set", train=train, test=test)
    order = JobSpec(
        run_id="r1", task=task, training=ON_CPU, full=True, training_set=folder / "set", run_dir=folder,
        champion=first_release.folder_of(champion), champion_version=f"{champion}/v1", batch_size=16,
    )  # fmt: skip
    return job_steps.execute(order, StopRequest(), ProgressLog("r1", folder / job_spec.HISTORY_FILE, None))


ENTITY_TASK = TaskSpec.model_validate({
    "name": ENTITIES, "kind": "ner", "backend": "spacy", "base_model": "blank:xx", "labels": "open",
    "training": {"full_epochs": 1}, "promotion": {"metric": "entity_f1"},
})  # fmt: skip


def test_a_candidate_is_compared_with_it(tmp_path: Path) -> None:
    task = toy_spec(make_tiny_bert(tmp_path / "base"), name=TOPICS, training={"full_epochs": 1, "max_tokens": 32})
    result = run(tmp_path, task, TOPICS, toy_rows(LABELS, 8), toy_rows(LABELS, 10, seed=9))
    assert result.comparison is not None
    assert (result.comparison.champion_version, result.comparison.opponent) == (f"{TOPICS}/v1", f"{TOPICS}/v1")
    assert result.comparison.champion_score > 0.9, "it knew these labels"

    result = run(tmp_path / "ner", ENTITY_TASK, ENTITIES, examples(20), examples(20, seed=9))
    assert result.comparison is not None
    assert result.comparison.champion_version == f"{ENTITIES}/v1"
    assert result.comparison.champion_score > 0.9


@pytest.mark.parametrize("task", first_release.TASKS)
def test_an_incremental_run_goes_on_from_it(task: str, tmp_path: Path) -> None:
    learns_little = {"epochs": 1, "learning_rate": 1e-6, "max_tokens": 32}
    spec, rows = (
        (toy_spec("tiny-bert", training=learns_little), toy_rows(LABELS, 4))
        if task == TOPICS
        else (ENTITY_TASK.model_copy(update={"training": ENTITY_TASK.training.model_copy(update=learns_little)}), examples(10))
    )
    plan = toy_plan(spec, rows, tmp_path / "work", warm_start=first_release.folder_of(task))
    learner_for(spec).train(plan, tmp_path / "model")
    assert describe(tmp_path / "model").base == spec.base_model
    recorded = first_release.answers_of(task)
    key = "label" if task == TOPICS else "spans"
    found = [answer[key] for answer in opened(tmp_path / "model").predict(list(recorded))]
    assert found == [answer[key] for answer in recorded.values()]


def test_after_a_change_of_kind_the_candidate_is_compared_with_the_baseline(tmp_path: Path) -> None:
    result = run(tmp_path, ENTITY_TASK, TOPICS, examples(20), examples(20, seed=9))
    assert result.comparison is not None
    assert result.comparison.champion_version is None
    assert result.comparison.opponent.startswith("baseline")
    assert describe(tmp_path / job_spec.MODEL_FOLDER).kind == "ner"


@pytest.mark.parametrize("change", [{}, {"kind": "ner"}, {"backend": "spacy"}, {"base_model": "minilm"}])
def test_a_run_goes_on_from_it_only_while_kind_backend_and_base_are_the_same(change: dict[str, str], data: ServedData) -> None:
    task = TaskSpec.model_validate(first_release.VERSIONS[TOPICS]["settings"]["task"])
    champion = data.registry.versions.get(f"{TOPICS}/v1")
    assert warm_start.is_allowed(champion, task.model_copy(update=change)) is not bool(change)


def test_a_task_of_another_kind_leaves_its_champion_answering(data: ServedData, tmp_path: Path) -> None:
    file = data.folder / "tasks" / "topics.yaml"
    text = (data.folder / "tasks" / "entities.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("name: entities", "name: topics"), encoding="utf-8")
    recorded = first_release.answers_of(TOPICS)
    with Service.open(data.settings, load=load_on_cpu) as service, listening(service) as address, Client(address) as client:
        served = client.predict(TOPICS, list(recorded))
        assert agree(served, recorded)
        assert client.champion(TOPICS).kind == "classification"
        with Model.follow(TOPICS, client=client, cache_dir=tmp_path / "cache") as model:
            assert agree(model.predict(list(recorded)), recorded)
