"""Runs whose task wishes for a variant: which one is published, why others are not, and what reads it afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.tasks import TaskSpec
from perennial_artifact.compute import Compute
from perennial_artifact.description import describe
from perennial_artifact.formats import Opened, open_after
from perennial_artifact.variants import note as notes
from tests.support.exporting import learn
from tests.support.ner_rows import PIECES, examples
from tests.support.tiny_models import (
    TOPIC_WORDS,
    dated,
    make_tiny_bert,
    toy_entities,
    toy_numbers,
    toy_numbers_spec,
    toy_rows,
    toy_signals,
    toy_signals_spec,
    toy_spec,
)
from trainers.export import choosing
from trainers.export.building import Built
from trainers.learners.catalog import refresher_for
from trainers.learners.features import FeatureSet
from trainers.learners.protocols import Example
from trainers.learners.tried import Tried

pytestmark = pytest.mark.slow

LABELS = ("SPORT", "MARKETS", "WEATHER")
ROWS = toy_rows(LABELS, 60)
SHORT: dict[str, Any] = {"full_epochs": 3, "full_learning_rate": 5e-3, "max_tokens": 32}


@dataclass(frozen=True)
class Made:
    spec: TaskSpec
    folder: Path
    tried: Sequence[Tried]

    def opened(self) -> Opened:
        return open_after(self.folder, Compute(), None)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("models") / "base", PIECES)


def wishing(base: Path, export: str = "openvino-int8", **changes: Any) -> TaskSpec:
    return toy_spec(base, export=export, export_budget=0.2, training=SHORT, **changes)


@pytest.fixture(scope="module")
def made(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    spec = wishing(base)
    return Made(spec, *learn(tmp_path_factory.mktemp("made"), spec, ROWS))


def answered(opened: Opened, texts: Sequence[str]) -> list[dict[str, Any]]:
    return [dict(answer) for answer in opened.predictor.predict(texts)]


def test_the_variant_is_published_beside_the_weights_and_answers(made: Made) -> None:
    opened = made.opened()
    assert opened.used is not None
    assert (opened.used.name, opened.used.passed_over) == ("openvino-int8", None)
    assert (made.folder / "model.safetensors").is_file()
    answers = opened.predictor.predict([row.text for row in ROWS])
    assert sum(answer["label"] == row.target["label"] for answer, row in zip(answers, ROWS, strict=True)) > 0.9 * len(ROWS)


def test_the_report_says_what_it_costs(made: Made) -> None:
    [chosen] = made.tried
    assert chosen.chosen
    assert chosen.name.startswith("export openvino-int8 (accuracy ")
    assert "newer rows" in chosen.name
    assert chosen.scores["accuracy"] > 0.8
    assert chosen.cpu_s > 0


def test_a_new_head_goes_on_with_the_variant(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "build", lambda *_given, **_options: pytest.fail("a variant was built"))
    before = made.opened()
    features = FeatureSet.of([row.example_id for row in ROWS], before.predictor.encoder.features([row.text for row in ROWS])[0])  # type: ignore[attr-defined]  # a sentence classifier
    from tests.support.tiny_models import toy_plan  # noqa: PLC0415 - of this test alone

    (tmp_path / "work").mkdir()
    plan = toy_plan(made.spec, dated(ROWS), tmp_path / "work", warm_start=made.folder, champion_features=features)
    refresher_for(made.spec).train(plan, tmp_path / "new")
    refreshed = open_after(tmp_path / "new", Compute(), None)
    assert refreshed.used == before.used
    names = [path.relative_to(made.folder) for path in (made.folder / notes.EXPORT_FOLDER).rglob("*") if path.is_file()]
    assert all((made.folder / name).samefile(tmp_path / "new" / name) for name in names)


def test_an_encoder_that_goes_on_keeps_its_variant(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "build", lambda *_given, **_options: pytest.fail("a variant was built"))
    spec = wishing(Path(made.spec.base_model), "auto").model_copy(
        update={"training": made.spec.training.model_copy(update={"tuning": "never"})}
    )
    folder, [tried] = learn(tmp_path, spec, ROWS, warm_start=made.folder)
    assert "champion's" in tried.name
    assert notes.read(folder) == notes.read(made.folder)


@pytest.mark.parametrize(
    ("spec", "rows"),
    [
        (toy_numbers_spec, toy_numbers(120)),
        (toy_signals_spec, toy_signals(150)),
    ],
)
def test_other_heads_on_an_encoder_have_variants_too(base: Path, tmp_path: Path, spec: Any, rows: Sequence[Example]) -> None:
    wishes = spec(base, export="openvino-fp32", export_budget=0.2)
    folder, [tried] = learn(tmp_path, wishes.model_copy(update={"training": wishes.training.model_copy(update=SHORT)}), rows)
    opened = open_after(folder, Compute(), None)
    assert tried.chosen
    assert opened.used is not None
    assert opened.used.name == "openvino-fp32"
    assert len(answered(opened, [row.text for row in rows[:5]])) == 5


def test_entities_have_variants_too(base: Path, tmp_path: Path) -> None:
    rows = examples(120)
    spec = toy_entities(base, training={"full_epochs": 4}, export="openvino-int8", export_budget=0.5)
    folder, [tried] = learn(
        tmp_path, spec, rows, score=lambda gold, answers: float(len(gold) == len(answers)), metric="entity_f1"
    )
    exported = open_after(folder, Compute(), None)
    weights = open_after(folder, Compute(variants=False), None)
    texts = [row.text for row in rows[:40]]
    assert tried.chosen
    assert (exported.used and exported.used.name, weights.used and weights.used.name) == ("openvino-int8", "fp32")
    same = sum(one == other for one, other in zip(answered(exported, texts), answered(weights, texts), strict=True))
    assert same > 0.7 * len(texts)
    assert describe(folder).format == "transformers-ner"


@pytest.mark.parametrize(
    ("wish", "says"),
    [("broken-crash", "SIGSEGV"), ("broken-nan", "not finite"), ("torch-compile", "GPU"), ("abacus", "not known")],
)
def test_a_variant_that_fails_leaves_the_weights(base: Path, tmp_path: Path, wish: str, says: str) -> None:
    rows = toy_rows(LABELS, 30)
    folder, [tried] = learn(tmp_path, wishing(base, wish), rows)
    opened = open_after(folder, Compute(), None)
    assert not tried.chosen
    assert tried.name.startswith(f"export {wish} refused: ")
    assert says in tried.name
    assert opened.used is not None
    assert (opened.used.name, opened.used.passed_over) == ("fp32", None)
    assert not (folder / notes.EXPORT_FOLDER).exists()
    assert answered(opened, ["the striker says goal"])[0]["label"] in TOPIC_WORDS


class TestRefusing:
    """What is refused though it could be built; nothing is built here."""

    @pytest.fixture(autouse=True)
    def _as_if_built(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
        self.built: list[tuple[str, int]] = []

        def build(name: str, source: Path, target: Path, *_given: Any, retreat: int, **_options: Any) -> Built:
            self.built.append((name, retreat))
            note = notes.Variant(name, "openvino", "int8", "0" * 64)
            note.files(target).mkdir(parents=True)
            note.write(target)
            return Built(note, cpu_s=1.0)

        monkeypatch.setattr(choosing, "build", build)
        # Whatever processor the tests run on.
        monkeypatch.setattr("trainers.export.openvino.native_bf16", lambda _device: True)
        return self.built

    def choose(self, folder: Path, wish: str, *judged: choosing.Judged) -> tuple[notes.Variant | None, list[choosing.Attempt]]:
        from trainers.export.building import USUAL  # noqa: PLC0415 - of this class alone
        from trainers.hardware import Hardware  # noqa: PLC0415 - of this class alone

        (folder / "source").mkdir()
        attempts: list[choosing.Attempt] = []
        said = iter(judged)
        found = choosing.choose(
            choosing.Wish(wish, 0.005), folder / "source", folder / "scratch", [[1]], Hardware("cpu", "bf16", 1), USUAL,
            lambda _variant, _folder: next(said), tell=lambda _message: None, note=attempts.append,
        )  # fmt: skip
        return found, attempts

    def test_gentler_forms_follow_where_too_much_is_lost(self, tmp_path: Path) -> None:
        lossy = choosing.Judged(0.02, alike=False, speed=3.0)
        found, attempts = self.choose(tmp_path, "openvino-int8", lossy, choosing.Judged(0.004, alike=False, speed=2.5))
        assert found is not None
        assert self.built == [("openvino-int8", 0), ("openvino-int8", 1)]
        assert ["0.0200" in (one.reason or "") for one in attempts] == [True, False]

    def test_none_is_taken_where_all_lose_too_much(self, tmp_path: Path) -> None:
        found, attempts = self.choose(tmp_path, "openvino-int8", *[choosing.Judged(0.02, alike=False, speed=3.0)] * 3)
        assert (found, len(attempts)) == (None, 3)
        assert not (tmp_path / "source" / notes.EXPORT_FOLDER).exists()

    def test_what_cannot_be_judged_must_compute_the_same(self, tmp_path: Path) -> None:
        found, [attempt] = self.choose(tmp_path, "openvino-int8", choosing.Judged(None, alike=False, speed=3.0))
        assert (found, "too few" in (attempt.reason or "")) == (None, True)
        (tmp_path / "other").mkdir()
        assert self.choose(tmp_path / "other", "openvino-int8", choosing.Judged(None, alike=True, speed=3.0))[0] is not None

    def test_auto_takes_only_what_is_quicker_and_goes_down_the_chain(self, tmp_path: Path) -> None:
        slow = choosing.Judged(0.0, alike=True, speed=1.0)
        found, attempts = self.choose(tmp_path, "auto", slow, choosing.Judged(0.0, alike=True, speed=1.5))
        assert found is not None
        assert [one.name for one in attempts] == ["openvino-int8", "openvino-bf16"]
        assert "1.00 times" in (attempts[0].reason or "")
