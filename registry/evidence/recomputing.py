"""What a verdict would be with corrected labels, from its evidence bundles: both models' answers stay as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from config.tasks import TaskSpec
from registry.evidence import bundle, checking
from registry.evidence.bundle import About, Words
from trainers.compare.comparison import Comparison

Targets = Callable[[TaskSpec], Mapping[str, Mapping[str, Any]]]
"""Returns the targets of corrected labels, under the names that the labels of a task file have: by id, and of those that answer a
request to tell two models apart by the SHA-256 of their text."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """A verdict beside what it would be."""

    about: About
    """Of the verdict that counts."""
    corrected: int
    """Rows of it whose gold is another now."""
    words: Words
    """What the gate would say."""
    comparison: Comparison


def recompute(paths: Sequence[Path], targets: Targets) -> Recomputed:
    """Return what the verdict of a run would be, by its bundles: its own, then those of later looks at its pair.

    Raises `UserError` where a bundle cannot be read, or this program cannot score it.
    """
    first, last = paths[0], paths[-1]
    about, corrected, rows = _with_targets(first, targets)
    words, comparison = checking.reached(about, rows)
    if last != first:
        before = comparison.model_dump(mode="json")
        about, corrected_last, rows = _with_targets(last, targets)
        corrected |= corrected_last
        again = about.again
        about = about if again is None else about.model_copy(update={"again": again.model_copy(update={"before": before})})
        words, comparison = checking.reached(about, rows)
    return Recomputed(about, len(corrected), words, comparison)


def _with_targets(path: Path, targets: Targets) -> tuple[About, set[str], pa.Table]:
    about, rows = About.of(path), bundle.rows_of(path)
    right = targets(TaskSpec.model_validate(about.task))
    gold: list[str | None] = []
    changed = set()
    for example_id, text, role, before in zip(
        *(rows[name].to_pylist() for name in ("example_id", bundle.TEXT_HASH, "role", "gold")), strict=True
    ):
        known_as = text if role == "asked" else example_id
        now = before if before is None or known_as not in right else _corrected(before, right[known_as])
        gold.append(now)
        if before is not None and now is not None and json.loads(now) != json.loads(before):
            changed.add(example_id)
    return about, changed, rows.set_column(rows.schema.get_field_index("gold"), "gold", pa.array(gold, pa.string()))


def _corrected(before: str, target: Mapping[str, Any]) -> str:
    # The labels that whoever annotated it knew stay those.
    scope = {name: value for name, value in json.loads(before).items() if name == "scope"}
    return json.dumps({**target, **scope}, ensure_ascii=False)
