from __future__ import annotations

from dataclasses import dataclass

from config.task_files.sections.training import Training
from trainers.learners.entities.passes import passes_of


@dataclass
class Row:
    entities: tuple[tuple[int, int, str], ...]
    is_new: bool


FREQUENT = [Row(((0, 1, "ORG"),), is_new=False) for _ in range(300)]
RARE, NEW, EMPTY = Row(((0, 1, "ORG"), (1, 2, "RARE")), is_new=False), Row((), is_new=True), Row((), is_new=False)
TRAINING = Training(epochs=8, full_epochs=3, replay_epochs=1)


def test_new_rows_have_all_passes_and_older_ones_few_but_for_rare_types() -> None:
    *frequent, rare, new, empty = passes_of([*FREQUENT, RARE, NEW, EMPTY], TRAINING, full=False)
    assert set(frequent) == {1}
    assert (rare, new, empty) == (8, 8, 1)


def test_a_full_run_and_one_without_replay_epochs_see_all_rows_alike() -> None:
    rows = [*FREQUENT, RARE, NEW]
    assert set(passes_of(rows, TRAINING, full=True)) == {3}
    assert set(passes_of(rows, TRAINING.model_copy(update={"replay_epochs": None}), full=False)) == {8}
