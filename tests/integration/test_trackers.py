"""Trackers follow a run's losses through Trainer's own reporters, and none of them can fail a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs
from transformers.integrations.integration_utils import MLflowCallback, TensorBoardCallback

from config.sections import TrainingSettings
from config.settings import load_settings
from config.tasks import TaskSpec
from daemon.process import child_environment
from tests.support.cycles import World, task
from tests.support.missing import missing
from tests.support.mlflow_server import mlflow_server
from tests.support.runners import HereRunner
from tests.support.tiny_models import make_tiny_bert, toy_plan, toy_rows, toy_spec
from trainers.job import steps
from trainers.learners.catalog import learner_for
from trainers.learners.protocols import TrainingStep
from trainers.tracking import Tracking

pytestmark = pytest.mark.slow

LABELS = ("SPORT", "MARKETS", "WEATHER")


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> TaskSpec:
    bert = make_tiny_bert(tmp_path_factory.mktemp("bert") / "bert")
    return toy_spec(bert, training={"full_epochs": 2, "full_learning_rate": 5e-3, "max_tokens": 32})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a tracker's library is told by variables is gone afterwards."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)
    before = set(os.environ)
    yield
    for name in set(os.environ) - before:
        del os.environ[name]


def tuned(spec: TaskSpec, folder: Path, *by: str) -> list[TrainingStep]:
    done: list[TrainingStep] = []
    tracking = Tracking(by=by, run="run-1", project="toy-topics", folder=folder / "tracking")
    plan = toy_plan(spec, toy_rows(LABELS, 12), folder / "work", full=True, steps=done, tracking=tracking)
    learner_for(spec).train(plan, folder / "model")
    assert (folder / "model" / "model.json").exists()
    return done


def test_tensorboard_has_the_losses_of_the_report(spec: TaskSpec, tmp_path: Path) -> None:
    if find_spec("tensorboard") is None:
        missing("tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415 - optional

    done = tuned(spec, tmp_path, "tensorboard")
    found = EventAccumulator(str(tmp_path / "tracking" / "tensorboard" / "run-1"))
    found.Reload()
    logged = {one.step: one.value for one in found.Scalars("train/loss")}
    assert logged == {one.step: pytest.approx(one.loss, abs=1e-5) for one in done}


@pytest.mark.process
def test_mlflow_has_a_run_of_the_same_name(spec: TaskSpec, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        os.environ["MLFLOW_TRACKING_URI"] = url
        done = tuned(spec, tmp_path, "mlflow")
        ask = f"{url}/api/2.0/mlflow"
        name = {"experiment_name": "toy-topics"}
        experiment = httpx.get(f"{ask}/experiments/get-by-name", params=name, timeout=60).json()["experiment"]["experiment_id"]
        (run,) = httpx.post(f"{ask}/runs/search", json={"experiment_ids": [experiment]}, timeout=60).json()["runs"]
    assert (run["info"]["run_name"], run["info"]["status"]) == ("run-1", "FINISHED")
    assert {one["key"]: one["value"] for one in run["data"]["metrics"]}["loss"] == pytest.approx(done[-1].loss, abs=1e-5)


@pytest.mark.process
def test_wandb_keeps_a_run_on_disk_when_it_is_offline(spec: TaskSpec, tmp_path: Path) -> None:
    if find_spec("wandb") is None:
        missing("wandb is not installed")
    os.environ["WANDB_MODE"] = "offline"
    with capture_logs() as said:
        tuned(spec, tmp_path, "wandb")
    assert "tracker.failed" not in [one["event"] for one in said]
    assert list((tmp_path / "tracking" / "wandb").rglob("*.wandb"))


@pytest.mark.parametrize("at", ["__init__", "on_train_begin", "on_log", "on_train_end"])
def test_a_tracker_that_fails_is_named_once_and_the_run_goes_on(
    spec: TaskSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        message = "the tracker is broken"
        raise RuntimeError(message)

    monkeypatch.setattr(TensorBoardCallback, at, fail)
    with capture_logs() as said:
        assert tuned(spec, tmp_path, "tensorboard")
    assert [one["tracker"] for one in said if one["event"] == "tracker.failed"] == ["tensorboard"]


def test_a_server_that_is_away_is_given_up_soon(spec: TaskSpec, tmp_path: Path) -> None:
    if find_spec("mlflow") is None:
        missing("mlflow-skinny is not installed")
    os.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    with capture_logs() as said:
        assert tuned(spec, tmp_path, "mlflow")
    assert [one["tracker"] for one in said if one["event"] == "tracker.failed"] == ["mlflow"]


def test_a_package_that_is_not_there_is_named_with_how_to_install_it(
    spec: TaskSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.tracking.find_spec", lambda _name: None)
    with capture_logs() as said:
        assert tuned(spec, tmp_path, "wandb", "mlflow")
    named = [(one["tracker"], one["remedy"]) for one in said if one["event"] == "tracker.missing"]
    assert named == [("wandb", "pip install 'perennial[wandb]'"), ("mlflow", "pip install 'perennial[mlflow]'")]


@pytest.mark.process
def test_a_run_of_the_daemon_is_tracked_in_its_folder(spec: TaskSpec, tmp_path: Path) -> None:
    if find_spec("tensorboard") is None:
        missing("tensorboard is not installed")
    own = task(base_model=spec.base_model, training={"full_epochs": 1, "max_tokens": 32})
    with World(tmp_path, own, trackers="tensorboard", runner=HereRunner()) as world:
        world.grow(12)
        run = world.ask(full=True)
        assert (run.error, run.state) == (None, "decided")
        assert list((world.run_folder(run) / "tracking" / "tensorboard" / run.run_id).glob("events.out.*"))


def test_a_pipeline_of_spacy_says_that_it_is_not_tracked() -> None:
    def order(backend: str, trackers: str) -> SimpleNamespace:
        asked = SimpleNamespace(tracked_by=tuple(trackers.split()))
        return SimpleNamespace(training=asked, task=SimpleNamespace(backend=backend, name="t"), run_id="r", run_dir=Path())

    with capture_logs() as said:
        assert steps._tracking(order("spacy", "tensorboard")) is None  # type: ignore[arg-type]  # what it reads of an order
        assert steps._tracking(order("spacy", "")) is None  # type: ignore[arg-type]  # same
        assert steps._tracking(order("transformer", "tensorboard")) is not None  # type: ignore[arg-type]  # same
    assert [one["event"] for one in said] == ["tracker.not_used"]


def test_settings_know_three_trackers() -> None:
    training = load_settings().training.model_dump()
    assert TrainingSettings.model_validate(training | {"trackers": "mlflow, wandb,mlflow"}).tracked_by == ("mlflow", "wandb")
    assert not TrainingSettings.model_validate(training).tracked_by
    with pytest.raises(ValidationError):
        TrainingSettings.model_validate(training | {"trackers": "comet"})


def test_a_child_gets_the_secrets_of_its_trackers_alone() -> None:
    there = {"WANDB_API_KEY": "w", "MLFLOW_TRACKING_URI": "http://old", "AWS_SECRET": "a", "WANDB_MODE": "offline"}
    mlflow = {"url": "http://mlflow.example", "token": "secret-word"}
    none = load_settings(mlflow=mlflow)
    assert child_environment.for_trackers(none, there) == {}
    both = load_settings(mlflow=mlflow, training={"trackers": "wandb,mlflow"})
    assert child_environment.for_trackers(both, there) == {
        "WANDB_API_KEY": "w", "WANDB_MODE": "offline", "MLFLOW_TRACKING_URI": "http://mlflow.example",
        "MLFLOW_TRACKING_TOKEN": "secret-word",
    }  # fmt: skip


def test_what_trackers_are_made_of_is_what_the_library_has() -> None:
    for kind in (MLflowCallback, TensorBoardCallback):
        assert all(hasattr(kind, name) for name in ("on_train_begin", "on_log", "on_train_end"))
