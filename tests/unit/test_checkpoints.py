from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainers.learners.encoders import checkpoints
from trainers.learners.encoders.checkpoints import Pace, newest_valid, seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three sealed checkpoints; steps 9 and 10 tell numeric from alphabetic order."""
    for step in (8, 9, 10):
        checkpoint = tmp_path / f"checkpoint-{step}"
        checkpoint.mkdir()
        (checkpoint / "model.safetensors").write_bytes(bytes(1000) + bytes([step]))
        (checkpoint / "trainer_state.json").write_text("{}")
        seal(checkpoint)
    return tmp_path


def test_the_newest_is_the_one_with_most_steps(folder: Path) -> None:
    assert newest_valid(folder) == folder / "checkpoint-10"


def test_nothing_there_is_no_checkpoint(tmp_path: Path) -> None:
    assert newest_valid(tmp_path / "absent") is None


def truncate(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(bytes(500))


def flip_one_bit(checkpoint: Path) -> None:
    content = bytearray((checkpoint / "model.safetensors").read_bytes())
    content[300] ^= 1
    (checkpoint / "model.safetensors").write_bytes(content)


def lose_a_file(checkpoint: Path) -> None:
    (checkpoint / "trainer_state.json").unlink()


def die_before_the_seal(checkpoint: Path) -> None:
    (checkpoint / "sealed.json").unlink()


def tear_the_seal(checkpoint: Path) -> None:
    (checkpoint / "sealed.json").write_text('{"model.safe')


@pytest.mark.parametrize("damage", [truncate, flip_one_bit, lose_a_file, die_before_the_seal, tear_the_seal])
def test_a_damaged_newest_is_dropped_and_the_one_before_is_used(folder: Path, damage: Any) -> None:
    damage(folder / "checkpoint-10")
    assert newest_valid(folder) == folder / "checkpoint-9"
    assert not (folder / "checkpoint-10").exists()
    damage(folder / "checkpoint-9")
    damage(folder / "checkpoint-8")
    assert newest_valid(folder) is None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    held = SimpleNamespace(now=100.0)
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: held.now)
    return held


def test_pace_bounds_number_and_cost(clock: SimpleNamespace, tmp_path: Path) -> None:
    pace = Pace(interval_s=10, max_share=0.05)
    arguments, state = SimpleNamespace(output_dir=str(tmp_path)), SimpleNamespace(global_step=1, max_steps=1_000)

    def due_after(seconds: float) -> bool:
        clock.now += seconds
        control = SimpleNamespace(should_save=False, should_training_stop=False)
        pace.on_step_end(arguments, state, control)  # type: ignore[arg-type]  # stand-ins
        return control.should_save

    pace.on_train_begin(arguments, state, SimpleNamespace())  # type: ignore[arg-type]  # stand-ins
    assert not due_after(9)
    assert due_after(1)
    (tmp_path / "checkpoint-1").mkdir()
    clock.now += 2  # what writing it took
    pace.on_save(arguments, state, SimpleNamespace())  # type: ignore[arg-type]  # stand-ins
    assert (tmp_path / "checkpoint-1" / "sealed.json").exists()
    assert not due_after(39), "2 s of writing may come once in 40 s, not once in 10"
    assert due_after(1)
    state.global_step = 1_000
    assert not due_after(100), "the last step ends in the model itself"
