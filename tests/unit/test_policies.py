"""A policy: sections of another task file, or of a part of one, in the place of a task's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.errors import UserError
from config.task_files.policies import differences, load_policy
from config.tasks import TaskSpec
from tests.support.buffers import TOPICS


def written(folder: Path, content: Any) -> Path:
    path = folder / "policy.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_part_changes_the_keys_that_it_has(tmp_path: Path) -> None:
    path = written(tmp_path, {"trigger": {"min_new_examples": 300}, "promotion": {"min_improvement": 0.1}})
    found = load_policy(path, TOPICS)
    assert differences(TOPICS, found) == {"trigger.min_new_examples": (100, 300), "promotion.min_improvement": (0.05, 0.1)}
    assert found.promotion.metric == TOPICS.promotion.metric


def test_a_whole_task_file_gives_all_its_sections(tmp_path: Path) -> None:
    content = TOPICS.model_dump(mode="json") | {"description": "another"}
    del content["trigger"]
    found = load_policy(written(tmp_path, content), TOPICS)
    assert found.trigger == TaskSpec.model_validate(content).trigger
    assert found.description == TOPICS.description
    assert load_policy(written(tmp_path, TOPICS.model_dump(mode="json")), TOPICS) == TOPICS


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"trigger": {"min_new_example": 3}}, "trigger.min_new_example"),
        ({"trigger": {"min_new_examples": 0}}, "trigger.min_new_examples"),
        ({"trigger": 300}, "trigger"),
        ({"base_model": "roberta-base"}, "base_model"),
        (TOPICS.model_dump(mode="json") | {"base_model": "roberta-base"}, "base_model"),
        ({"promotion": {"metric": "entity_f1"}}, "promotion.metric"),
        ({"promotion": {"mode": "canary"}}, "canary"),
        ({"description": "nothing else"}, "sets nothing"),
        ("", "must hold a mapping"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_what_is_no_policy_is_refused_by_name(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        load_policy(written(tmp_path, content), TOPICS)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        load_policy(tmp_path / "nowhere.yaml", TOPICS)
