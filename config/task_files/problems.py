"""What is wrong with a task file, in words: the key, and what to write there."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from config.kinds import catalog as kinds
from config.kinds.regression.dimensions import Dimension
from config.kinds.signals.categories import Category, Tag
from config.task_files.sections import limits
from config.task_files.sections.due import Refresh, Trigger
from config.task_files.sections.feedback import FeedbackPolicy
from config.task_files.sections.next_labels import NextLabels
from config.task_files.sections.oracle import Calibration, Oracle
from config.task_files.sections.promotion import Promotion, SafeRefresh, SliceGuard
from config.task_files.sections.quality import Quality
from config.task_files.sections.rates import NUMBER_TAG
from config.task_files.sections.review import Review
from config.task_files.sections.training import Training
from config.task_files.sections.weak_labels import WeakLabels, WeakRule

_TO_WRITE = {
    "name": "write `name:` with lower-case letters, digits and dashes, such as `name: news-topics`",
    "labels": "write `labels: open` (new labels may join) or `labels: closed`",
    "slice": "write `slice: newest`, `slice: corrections`, or one such as `slice: label:sport` or `slice: language:de`",
    "max_drop": "write `max_drop: 0.03` or another largest drop",
}
"""What to write where a key is missing that has no default, whatever the kind."""


def explain(problem: Any, whole: type[BaseModel]) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    """Return what is wrong with a key, and what to write; `whole` is the schema of the file."""
    key = ".".join(str(part) for part in problem["loc"] if part != NUMBER_TAG)
    if problem["type"] == "extra_forbidden":
        parts: dict[str, type[BaseModel]] = {
            "trigger": Trigger,
            "refresh": Refresh,
            "training": Training,
            "promotion": _of_promotion(problem["loc"][1:-1]),
            "feedback": FeedbackPolicy,
            "quality": Quality,
            "review": Review,
            "next_labels": NextLabels,
            "weak_labels": WeakRule if "rules" in problem["loc"][:-1] else WeakLabels,
            "oracle": Calibration if "calibration" in problem["loc"][:-1] else Oracle,
            "dimensions": Dimension,
            "signals": Tag if "tags" in problem["loc"][:-1] else Category,
        }
        parent = parts.get(str(problem["loc"][0]) if len(problem["loc"]) > 1 else "", whole)
        return f"unknown key `{key}`; the keys there are {', '.join(parent.model_fields)}"
    if problem["type"] == "missing":
        return f"key `{key}` is missing; {_to_write(str(problem['loc'][-1]))}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"`{key}`: {message}, got {problem['input']!r}" if key else message


def _of_promotion(path: tuple[object, ...]) -> type[BaseModel]:
    """Return the section that a key of `promotion` stands in."""
    inner: dict[object, type[BaseModel]] = {"limits": limits.Limit, "slices": SliceGuard, "safe_refresh": SafeRefresh}
    return inner.get(path[0], Promotion) if path else Promotion


def _to_write(key: str) -> str:
    """Return what to write where a key is missing that has no default."""
    every = kinds.every()
    if key == "kind":
        return "write " + " or ".join(f"`kind: {kind.name}` ({kind.words.about})" for kind in every)
    if key == "backend":
        return "write " + " or ".join(f"`backend: {backend}` (for {kind.name})" for kind in every for backend in kind.backends)
    if key == "base_model":
        others = "".join(f"; for {kind.name} {kind.words.base_model}" for kind in every if kind.words.base_model)
        return f"write `base_model: minilm`, a Hugging Face id or a path{others}"
    if key in ("promotion", "metric"):
        choices = ", or ".join(f"{' or '.join(f'`metric: {name}`' for name in kind.metrics)} ({kind.name})" for kind in every)
        return f"write `promotion:` and under it {choices}" if key == "promotion" else f"write {choices}"
    return _TO_WRITE.get(key, "add it")
