from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from config.errors import UserError
from config.settings import SHIPPED_TASKS_DIR
from config.tasks import TaskSpec, load_task, load_tasks

GOOD = """
name: mine
kind: classification
backend: transformer
base_model: minilm
labels: open
promotion: {metric: accuracy}
"""


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_shipped_tasks_are_valid_and_as_they_were() -> None:
    tasks = load_tasks(SHIPPED_TASKS_DIR)
    assert {name: task.kind for name, task in tasks.items()} == {"news-entities": "ner", "news-topics": "classification"}
    wanted = {"NEWS_ORG", "POLICY_TERM", "FINANCIAL_METRIC", "POLITICAL_ROLE", "PERSON", "ORG", "GPE"}
    assert wanted <= set(tasks["news-entities"].label_names)
    assert all(task.promotion.min_improvement == 0.05 and task.trigger.min_new_examples == 100 for task in tasks.values())


def test_every_example_is_a_valid_task_file_that_is_not_on_by_itself() -> None:
    examples = load_tasks(SHIPPED_TASKS_DIR / "examples")
    assert examples["news-tags"].kind == "multilabel"
    entities = examples["news-entities-transformer"]
    assert (entities.kind, entities.backend) == ("ner", "transformer")
    assert entities.label_names == load_tasks(SHIPPED_TASKS_DIR)["news-entities"].label_names
    assert not entities.refreshes
    assert examples.keys().isdisjoint(load_tasks(SHIPPED_TASKS_DIR))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("abstain_below: 0.5", "needs one label a text"),
        ("training: {contradicted_weight: 0.3}", "needs one label a text"),
        ("promotion: {metric: accuracy}", "choose one of macro_f1, micro_f1, subset_accuracy"),
    ],
)
def test_what_several_labels_a_text_cannot_have_is_refused(tmp_path: Path, change: str, said: str) -> None:
    several = GOOD.replace("kind: classification", "kind: multilabel").replace("accuracy", "macro_f1")
    lines = [line for line in several.strip().splitlines() if not line.startswith(change.partition(":")[0])]
    with pytest.raises(UserError, match=said):
        load_task(written(tmp_path, "\n".join([*lines, change])))


def test_the_example_of_numbers_is_valid() -> None:
    task = load_task(SHIPPED_TASKS_DIR / "examples" / "news-emotions.yaml")
    assert (task.kind, task.promotion.metric, len(task.dimensions), len(task.tiers)) == ("regression", "mae", 3, 3)


def test_a_short_file_takes_the_defaults(tmp_path: Path) -> None:
    task = load_task(written(tmp_path, GOOD))
    assert task.trigger.min_new_examples == 100
    assert task.promotion.improvement == "relative"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("colour: red", r"unknown key `colour`; the keys there are name, kind"),
        ("trigger: {min_examples: 5}", r"unknown key `trigger.min_examples`; the keys there are min_new_examples"),
        ("kind: ranking", r"`kind`: there is no kind 'ranking'; the kinds are ner, classification"),
        ("kind: regression", r"does not fit kind regression|needs dimensions"),
        ("backend: spacy", r"kind classification runs on backend 'transformer'"),
        ("promotion: {metric: entity_f1}", r"'entity_f1' does not fit kind classification; choose one of macro_f1, accuracy"),
        ("promotion: {metric: accuracy, mode: canary}", r"mode 'canary' is not built yet; use auto or manual"),
        ("trigger: {max_age_days: 1000000000}", r"`trigger.max_age_days`: Input should be less than or equal to 36500"),
        ("promotion: {metric: accuracy, window_days: 36501}", r"`promotion.window_days`: .* less than or equal to 36500"),
        ("labels: closed", r"closed needs label_names"),
        ("label_names: [A, A]", r"holds a label twice"),
        ("name: Mine!", r"`name`: String should match pattern"),
    ],
)
def test_a_wrong_key_is_named_with_the_choices(tmp_path: Path, change: str, said: str) -> None:
    key = change.split(":", maxsplit=1)[0]
    lines = [line for line in GOOD.strip().splitlines() if not line.startswith(f"{key}:")]
    path = written(tmp_path, "\n".join([*lines, change]))
    with pytest.raises(UserError, match=said) as caught:
        load_task(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("learning_rate: 0", r"`training.learning_rate`: Input should be greater than 0, got 0"),
        ("learning_rate: .nan", r"`training.learning_rate`: Input should be"),
        ("full_learning_rate: fast", r"`training.full_learning_rate`: Input should be a valid number"),
        ("layer_decay: 0", r"`training.layer_decay`: Input should be greater than 0"),
        ("layer_decay: 1.5", r"`training.layer_decay`: Input should be less than or equal to 1"),
        ("gradient_checkpointing: often", r"`training.gradient_checkpointing`: Input should be a valid boolean"),
    ],
)
def test_an_impossible_way_of_learning_is_named(tmp_path: Path, change: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_task(written(tmp_path, f"{GOOD}training: {{{change}}}"))


def test_rates_may_be_left_to_the_run_on_a_transformer_alone(tmp_path: Path) -> None:
    training = load_task(written(tmp_path, GOOD + "training: {learning_rate: auto, full_learning_rate: 5e-5}")).training
    assert (training.learning_rate, training.full_learning_rate) == ("auto", 5e-5)
    spacy = GOOD.replace("classification", "ner").replace("transformer", "spacy").replace("minilm", "blank:en")
    spacy = spacy.replace("accuracy", "entity_f1")
    for option in ("learning_rate: auto", "layer_decay: 0.9", "gradient_checkpointing: true"):
        key = option.partition(":")[0]
        with pytest.raises(UserError, match=rf"training\.{key} \(.*\) is for backend transformer; remove it"):
            load_task(written(tmp_path, spacy + f"training: {{{option}}}"))


def test_a_missing_key_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="key `base_model` is missing; write `base_model: minilm`"):
        load_task(written(tmp_path, GOOD.replace("base_model: minilm\n", "")))


def test_every_missing_key_is_told_with_what_to_write(tmp_path: Path) -> None:
    file = tmp_path / "bare.yaml"
    for text, keys in (
        ("description: bare", ("name", "kind", "backend", "base_model", "labels", "promotion")),
        ("promotion: {slices: [{min_rows: 3}]}", ("promotion.metric", "promotion.slices.0.slice", "promotion.slices.0.max_drop")),
    ):
        file.write_text(text)
        with pytest.raises(UserError) as refused:
            load_task(file)
        for key in keys:
            assert f"key `{key}` is missing; write `{key.rpartition('.')[2]}:" in str(refused.value)
    file.write_text("description: bare")
    with pytest.raises(UserError, match=r"write `labels: open` \(new labels may join\) or `labels: closed`"):
        load_task(file)


@pytest.mark.parametrize("text", ["[1, 2]", "name: [", ""])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"mine\.yaml"):
        load_task(written(tmp_path, text))


def test_two_files_with_one_name_are_refused(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    written(tmp_path, GOOD, "other.yaml")
    with pytest.raises(UserError, match="'mine' is defined in two files"):
        load_tasks(tmp_path)


def test_a_folder_without_task_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no task file"):
        load_tasks(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        load_tasks(tmp_path / "nowhere")


def test_renames_widen_what_a_closed_task_accepts(tmp_path: Path) -> None:
    text = GOOD.replace("labels: open", "labels: closed\nlabel_names: [NEW]\nrenames: {OLD: NEW}")
    task = load_task(written(tmp_path, text))
    assert task.accepts_label("OLD")
    assert task.accepts_label("NEW")
    assert not task.accepts_label("OTHER")


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"teacher": "champion", "processes": 2}, "training.teacher is not built for several processes"),
        ({"teacher": "champion", "teacher_share": 0.0}, "greater than 0"),
        ({"teacher": "champion", "teacher_temperature": 0.5}, "greater than or equal to 1"),
        ({"teacher": ""}, "at least 1 character"),
    ],
)
def test_a_teacher_that_is_not_built_for_a_task_is_refused(training: dict[str, object], said: str) -> None:
    content = load_task(SHIPPED_TASKS_DIR / "news-topics.yaml").model_dump()
    with pytest.raises(ValidationError, match=said):
        TaskSpec.model_validate({**content, "training": {**content["training"], **training}})
