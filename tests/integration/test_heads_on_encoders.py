"""What every kind of head on an encoder keeps, with a tiny BERT: runs that go on, refreshes, new heads that are swapped in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.errors import RunFailedError
from config.tasks import TaskSpec
from perennial_artifact import formats
from perennial_artifact.compute import Compute
from perennial_artifact.description import describe
from perennial_artifact.sentence.head import read_solved
from perennial_artifact.sentence.model import SentenceModel
from tests.support.tiny_models import (
    dated,
    make_tiny_bert,
    toy_numbers,
    toy_numbers_spec,
    toy_plan,
    toy_rows,
    toy_rows_of_several,
    toy_signals,
    toy_signals_spec,
    toy_spec,
)
from trainers.learners.catalog import learner_for, refresher_for
from trainers.learners.features import FeatureSet
from trainers.learners.heads.published.answering import open_from_features
from trainers.learners.protocols import Example

pytestmark = pytest.mark.slow

LABELS = ("SPORT", "MARKETS", "WEATHER")
KINDS: Mapping[str, tuple[Callable[..., TaskSpec], Callable[[int, int], Sequence[Example]]]] = {
    "classification": (toy_spec, lambda count, seed: toy_rows(LABELS, count // 3, seed=seed)),
    "multilabel": (
        lambda base, **of: toy_spec(base, kind="multilabel", **of),
        lambda count, seed: toy_rows_of_several(LABELS, count, seed=seed),
    ),
    "regression": (toy_numbers_spec, lambda count, seed: toy_numbers(count, seed=seed)),
    "signals": (toy_signals_spec, lambda count, seed: toy_signals(count, seed=seed)),
}
TRAINING = {"epochs": 1, "full_epochs": 1, "learning_rate": 5e-3, "full_learning_rate": 5e-3, "max_tokens": 32}


@dataclass(frozen=True)
class Tuned:
    """A first model, and the features it made."""

    kind: str
    base: Path
    rows: Sequence[Example]
    folder: Path
    features: FeatureSet

    def spec(self, **training: Any) -> TaskSpec:
        return KINDS[self.kind][0](self.base, training={**TRAINING, **training})

    def refreshed(self, output: Path, **changes: Any) -> Path:
        given = {"warm_start": self.folder, "champion_features": self.features, **changes}
        refresher_for(self.spec()).train(toy_plan(self.spec(), self.rows, output.with_name("work"), **given), output)
        return output


@pytest.fixture(scope="module", params=KINDS)
def tuned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    folder, kept, kind = tmp_path_factory.mktemp("tuned"), list[FeatureSet](), str(request.param)
    base = make_tiny_bert(folder / "base")
    spec, rows = KINDS[kind][0](base, training=TRAINING), dated(KINDS[kind][1](120, 1))
    learner_for(spec).train(toy_plan(spec, rows, folder / "work", full=True, keep_features=kept.append), folder / "model")
    return Tuned(kind, base, rows, folder / "model", kept[0])


def opened(folder: Path) -> SentenceModel[Any]:
    model = formats.open_model(folder, Compute())
    assert isinstance(model, SentenceModel)
    return model


def test_a_refresh_solves_the_head_and_leaves_the_encoder(tuned: Tuned, tmp_path: Path) -> None:
    made = tuned.refreshed(tmp_path / "model")
    assert (made / "model.safetensors").read_bytes() == (tuned.folder / "model.safetensors").read_bytes()
    assert (read_solved(tuned.folder).refreshes, read_solved(made).refreshes) == (0, 1)
    assert read_solved(made).tuned_rows == len(tuned.rows)
    learner = learner_for(tuned.spec())
    assert (learner.has_more_to_learn(tuned.folder), learner.has_more_to_learn(made)) == (False, True)
    texts = {row.text: row.example_id for row in tuned.rows}
    model, stored = opened(made), open_from_features(made, tuned.features, texts)
    several = list(texts)[:20]
    answers = [{name: said for name, said in answer.items() if name != "truncated"} for answer in model.predict(several)]
    assert stored.predict(several) == list(map(approximately, answers))


def approximately(said: Any) -> Any:
    if isinstance(said, Mapping):
        return {name: approximately(one) for name, one in said.items()}
    return pytest.approx(said, abs=1e-4) if isinstance(said, float) else said


def test_a_refresh_without_its_encoders_features_fails_by_name(tuned: Tuned, tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="no features"):
        tuned.refreshed(tmp_path / "none", champion_features=None)
    narrow = FeatureSet(tuned.features.matrix[:, :3], tuned.features.places)
    with pytest.raises(RunFailedError, match="another encoder"):
        tuned.refreshed(tmp_path / "narrow", champion_features=narrow)


def test_a_new_head_on_the_same_encoder_loads_no_encoder(tuned: Tuned, tmp_path: Path) -> None:
    made, before = tuned.refreshed(tmp_path / "model"), opened(tuned.folder)
    after = type(before).open_after(made, describe(made), before=before, changed={"head/model.safetensors", "head/head.json"})
    assert after is not None
    assert after.encoder is before.encoder
    assert after.predict(["goal"])[0].keys() == before.predict(["goal"])[0].keys()
    assert type(before).open_after(made, describe(made), before=before, changed={"model.safetensors"}) is None


@pytest.mark.parametrize("tuning", ["always", "never"])
def test_an_incremental_run_goes_on_from_the_champion(tuned: Tuned, tmp_path: Path, tuning: str) -> None:
    rows = dated(KINDS[tuned.kind][1](60, 4))
    spec = tuned.spec(tuning=tuning, **({"loss": "huber"} if tuned.kind in ("regression", "signals") else {}))
    learner_for(spec).train(toy_plan(spec, rows, tmp_path / "work", warm_start=tuned.folder), tmp_path / "model")
    solved = read_solved(tmp_path / "model")
    assert (solved.tuned_rows, solved.refreshes) == ((60, 0) if tuning == "always" else (120, 1))


@pytest.mark.process
@pytest.mark.parametrize("module", ["heads.published", "ridge", "signals"])
def test_a_refresh_loads_no_torch(module: str) -> None:
    code = f"import sys, trainers.learners.{module}.refresh; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
