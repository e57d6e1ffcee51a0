"""A policy: another task file, or a part of one, whose sections stand in the place of a task's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.errors import UserError
from config.tasks import TaskSpec, mapping_of, validated

SECTIONS = ("trigger", "refresh", "training", "promotion", "feedback", "review")
"""What says when the daemon trains, how, what it promotes, and what it asks people."""
_SAYS_NOTHING = ("name", "description", "must_not_break")


def load_policy(path: Path, task: TaskSpec) -> TaskSpec:
    """Return `task` under the policy in a file: a whole task file gives all its sections, a part of one the keys that it has.

    Raises `UserError` as `config.tasks.load_task` does, and where the file sets what is no policy otherwise than the task.
    """
    content = mapping_of(path)
    if not content.keys() - _SAYS_NOTHING:
        message = f"{path} sets nothing; a policy sets keys of {', '.join(SECTIONS)}"
        raise UserError(message)
    return _of_file(path, content, task) if "kind" in content else _of_part(path, content, task)


def differences(task: TaskSpec, policy: TaskSpec) -> dict[str, tuple[Any, Any]]:
    """Return which keys a policy sets otherwise than the task, as `section.key`: the task's value, and the policy's."""
    return {
        f"{section}.{key}": (before, now)
        for section in SECTIONS
        for key, before in getattr(task, section).model_dump(mode="json").items()
        if (now := getattr(policy, section).model_dump(mode="json")[key]) != before
    }


def _of_file(path: Path, content: Mapping[str, Any], task: TaskSpec) -> TaskSpec:
    found = validated({"name": task.name, **content}, path)
    others = [name for name in TaskSpec.model_fields if name not in (*SECTIONS, *_SAYS_NOTHING)]
    if other := next((name for name in others if getattr(found, name) != getattr(task, name)), None):
        raise UserError(_no_policy(path, other, task))
    return task.model_copy(update={name: getattr(found, name) for name in SECTIONS})


def _of_part(path: Path, content: Mapping[str, Any], task: TaskSpec) -> TaskSpec:
    if other := next((name for name in content if name not in (*SECTIONS, *_SAYS_NOTHING)), None):
        raise UserError(_no_policy(path, other, task))
    before, sections = task.model_dump(), {}
    for name in SECTIONS:
        given = content.get(name)
        if given is not None and not isinstance(given, dict):
            message = f"{path}: `{name}` must hold keys as in the file of task {task.name}, got {given!r}"
            raise UserError(message)
        sections[name] = {**before[name], **(given or {})}
    found = validated({**before, **sections}, path)
    return task.model_copy(update={name: getattr(found, name) for name in SECTIONS})


def _no_policy(path: Path, key: str, task: TaskSpec) -> str:
    return (
        f"{path}: `{key}` is not what the file of task {task.name} has, and no part of a policy, which sets keys of "
        f"{', '.join(SECTIONS)}; remove it"
    )
