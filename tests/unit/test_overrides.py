"""What a request sets for one run stands in the place of the task file's value, and of nothing else."""

from __future__ import annotations

from config.task_files.overrides import Overrides
from config.task_files.sections.training import Training


def test_what_is_set_goes_for_incremental_and_full_runs_alike_and_the_rest_stays() -> None:
    training = Training(epochs=2, full_epochs=3, batch_size=16, max_tokens=64)
    found = Overrides(epochs=7, learning_rate=0.001, gradient_accumulation=4).applied_to(training)
    wanted = {"epochs": 7, "full_epochs": 7, "learning_rate": 0.001, "full_learning_rate": 0.001, "gradient_accumulation": 4}
    assert found == Training.model_validate(training.model_dump() | wanted)
    assert Overrides().applied_to(training) == training


def test_what_is_set_is_told_in_words() -> None:
    assert Overrides(epochs=7, learning_rate=5e-5).told == "epochs 7, learning rate 5e-05"
    assert Overrides().told == ""
