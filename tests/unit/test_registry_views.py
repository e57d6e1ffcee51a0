"""What people read of the registry: collection, difference of two versions, model card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.errors import UserError
from daemon.views.models import changes
from registry import promotion
from registry.artifacts.local import LocalArtifacts
from registry.evidence.in_words import InWords
from registry.removal import collection
from registry.reports import cards
from registry.reports.diff import between, flatten
from registry.reports.plots import plot
from registry.store import Registry
from registry.versions import Lineage, Version
from tests.support.registries import TASK
from trainers.compare.comparison import Comparison
from trainers.compare.parts.slices import Slice
from trainers.compare.probabilities import Probabilities, Reliability
from trainers.job import files
from trainers.job.spec import Progress
from trainers.learners.tried import Tried

COMPARISON = Comparison(
    task=TASK, metric="macro_f1", candidate_run="r", champion_version=f"{TASK}/v1", opponent=f"{TASK}/v1", rows=640, stories=500,
    champion_score=0.61, candidate_score=0.68, gain=0.07, confidence=0.95, lower_bound=0.031, upper_bound=0.104,
    standard_error=0.02, p_equal=0.001, discordant=0.1, required_gain=0.0305, required_rows=400,
    anchor=Slice(name="anchor", rows=120, champion_score=0.7, candidate_score=0.69),
    slices=(Slice(name="newest", rows=200, champion_score=0.5, candidate_score=0.63),),
)  # fmt: skip

BINS = Reliability(rows=(100, 540), confidence=(0.4, 0.9), accuracy=(0.3, 0.8))
SURE = COMPARISON.model_copy(
    update={
        "candidate_probabilities": Probabilities(
            calibration_error=0.1, top_2=0.85, top_3=0.92, reliability=BINS, abstained=0.2, accuracy_of_others=0.77
        ),
        "champion_probabilities": Probabilities(
            calibration_error=0.2, top_2=0.8, top_3=0.92, reliability=BINS, abstained=1.0, accuracy_of_others=None
        ),
        "abstain_below": 0.5,
    }
)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}") as opened:
        yield opened


@pytest.fixture
def artifacts(tmp_path: Path) -> LocalArtifacts:
    return LocalArtifacts(tmp_path / "artifacts")


def publish(
    registry: Registry,
    artifacts: LocalArtifacts,
    folder: Path,
    *,
    parent: str | None = None,
    epochs: int = 2,
    comparison: Comparison = COMPARISON,
) -> Version:
    """Take a run all the way to a published version, decided but not promoted."""
    number = registry.versions.next_number(TASK)
    run = registry.runs.create(TASK, f"key-{number}", "132 new examples", full=parent is None)
    assert run is not None
    model = folder / f"model-{number}"
    model.mkdir()
    (model / "weights.safetensors").write_bytes(bytes([number]) * 1000)
    published = artifacts.publish(TASK, number, model)
    version = registry.versions.add(
        TASK,
        number,
        run_id=run.run_id,
        artifact_id=published.artifact_id,
        manifest_sha256=published.manifest_sha256,
        size_bytes=published.size_bytes,
        parent=parent,
        lineage=Lineage(
            training_set_sha256=str(number) * 64, seed=20, settings={"task": {"training": {"epochs": epochs}}, "batch_size": 32},
            code="perennial 0.1.0", counts={"train": 100 * number, "test": 50, "anchor": 0},
        ),
        metrics={
            "run_id": run.run_id, "train_s": 10.5 * number, "hardware": "cpu, bf16",
            "rows_new": 9, "rows_replayed": 0, "rows_cut": 0,
            "comparison": comparison.model_dump(mode="json"),
        },
        learnt=[f"example-{number}-{index}" for index in range(5)],
    )  # fmt: skip
    registry.runs.update(run.run_id, state="decided", verdict="keep", reasons=["too | few rows"], version=version.name)
    return version


class TestCollection:
    def test_keeps_what_is_needed_and_removes_the_rest(
        self, registry: Registry, artifacts: LocalArtifacts, tmp_path: Path
    ) -> None:
        versions = [publish(registry, artifacts, tmp_path) for _ in range(7)]
        names = [version.name for version in versions]
        promotion.promote(registry, TASK, names[1], expected=None, actor="a", reason="r")
        run = registry.runs.create(TASK, "running", "because", full=False)
        assert run is not None
        assert run.parent == names[1]
        promotion.promote(registry, TASK, names[2], expected=names[1], actor="a", reason="r")
        promotion.promote(registry, TASK, names[4], expected=names[2], actor="a", reason="r")
        planned = collection.collect(registry, artifacts, keep=1, dry_run=True)
        assert len(artifacts.list()) == 7
        done = collection.collect(registry, artifacts, keep=1)
        # v2 is the parent of a running run, v3 previous, v5 champion, v7 the newest.
        assert done == planned == [versions[gone].artifact_id for gone in (0, 3, 5)]
        assert artifacts.list() == sorted(versions[kept].artifact_id for kept in (1, 2, 4, 6))
        assert registry.versions.get(names[0]).collected_at is not None
        assert len(registry.versions.learnt(names[0])) == 5
        with pytest.raises(UserError, match="files were removed"):
            promotion.promote(registry, TASK, names[0], expected=names[4], actor="a", reason="r")
        assert collection.collect(registry, artifacts, keep=1) == []

    def test_a_version_not_yet_decided_stays(self, registry: Registry, artifacts: LocalArtifacts, tmp_path: Path) -> None:
        for _ in range(2):
            publish(registry, artifacts, tmp_path)
        first, second = registry.versions.list(TASK)[1], registry.versions.list(TASK)[0]
        run = registry.runs.get(second.run_id)
        unfinished = [run, registry.runs.get(first.run_id)]
        assert collection.choose([first, second], [], unfinished, keep=0) == []
        assert collection.choose([first, second], [], [run], keep=0) == [first]
        assert collection.choose([second, first], [], [], keep=0) == [first, second]
        assert collection.choose([second, first], [], [], keep=9) == []

    def test_orphans_go_unless_a_run_may_still_record_them(
        self, registry: Registry, artifacts: LocalArtifacts, tmp_path: Path
    ) -> None:
        version = publish(registry, artifacts, tmp_path)
        left = artifacts.publish(TASK, 2, tmp_path / "model-1")
        run = registry.runs.create(TASK, "running", "because", full=False)
        assert run is not None
        assert collection.collect(registry, artifacts, keep=5) == []
        registry.runs.update(run.run_id, state="failed")
        assert collection.collect(registry, artifacts, keep=5) == [left.artifact_id]
        assert artifacts.list() == [version.artifact_id]

    def test_with_the_wrong_registry_nothing_goes(self, registry: Registry, artifacts: LocalArtifacts, tmp_path: Path) -> None:
        version = publish(registry, artifacts, tmp_path)
        with Registry.open(f"sqlite:///{tmp_path / 'other.db'}") as empty:
            assert collection.collect(empty, artifacts, keep=0) == []
        assert artifacts.list() == [version.artifact_id]

    def test_files_that_a_killed_collection_left_go_next_time(
        self, registry: Registry, artifacts: LocalArtifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version = publish(registry, artifacts, tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(LocalArtifacts, "remove", lambda _self, _artifact_id: None)
            assert collection.collect(registry, artifacts, keep=0) == [version.artifact_id]
        assert artifacts.list() == [version.artifact_id]
        assert collection.collect(registry, artifacts, keep=0) == [version.artifact_id]
        assert artifacts.list() == []

    def test_a_negative_count_is_refused(self, registry: Registry, artifacts: LocalArtifacts) -> None:
        with pytest.raises(UserError, match="keep is -1"):
            collection.collect(registry, artifacts, keep=-1)


class TestDiff:
    def test_says_what_differs_and_nothing_else(self, registry: Registry, artifacts: LocalArtifacts, tmp_path: Path) -> None:
        first = publish(registry, artifacts, tmp_path)
        second = publish(registry, artifacts, tmp_path, parent=first.name, epochs=3)
        diff = between(registry, first.name, second.name)
        assert {entry.key: (entry.left, entry.right) for entry in diff.differences} == {
            "settings.task.training.epochs": (2, 3),
            "lineage.run": (first.run_id, second.run_id),
            "lineage.parent": (None, first.name),
            "lineage.training_set": ("1" * 64, "2" * 64),
            "counts.train": (100, 200),
            "counts.learnt_with_parents": (5, 10),
            "metrics.train_s": (10.5, 21.0),
            "scores.macro_f1": (0.61, 0.68), "scores.anchor": (0.7, 0.69), "scores.newest": (0.5, 0.63),
        }  # fmt: skip
        assert diff.scores.startswith(f"Scores are those of {second.name}'s run")
        turned = between(registry, second.name, first.name)
        assert {(entry.left, entry.right) for entry in turned.differences if entry.key == "scores.macro_f1"} == {(0.68, 0.61)}
        assert between(registry, first.name, first.name).differences == ()
        with pytest.raises(UserError, match="no version 'topics/v9'"):
            between(registry, first.name, f"{TASK}/v9")

    def test_what_a_run_recorded_is_read_in_either_direction_and_corrections_do_not_count(
        self, registry: Registry, artifacts: LocalArtifacts, tmp_path: Path
    ) -> None:
        first, second = (publish(registry, artifacts, tmp_path) for _ in range(2))
        folder = tmp_path / "runs" / second.run_id
        folder.mkdir(parents=True)
        said = {side: json.dumps({"label": label}) for side, label in {"gold": "a", "opponent": "b", "candidate": "a"}.items()}
        rows = [
            {**said, "example_id": f"e{number}", "role": role} for number, role in enumerate(("test", "anchor", "corrections"))
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / files.SCORES_FILE)
        found = changes.recorded(registry, tmp_path / "runs", first.name, second.name, limit=5)
        assert found is not None
        assert (found.rows, found.better, found.worse) == (2, 2, 0)
        turned = changes.recorded(registry, tmp_path / "runs", second.name, first.name, limit=5)
        assert turned is not None
        assert (turned.better, turned.worse, turned.before) == (0, 2, second.name)
        assert changes.recorded(registry, tmp_path / "elsewhere", first.name, second.name, limit=5) is None

    def test_scores_of_other_rows_are_left_out_and_it_says_so(
        self, registry: Registry, artifacts: LocalArtifacts, tmp_path: Path
    ) -> None:
        _first, second, third = (publish(registry, artifacts, tmp_path) for _ in range(3))
        diff = between(registry, second.name, third.name)
        assert not [entry.key for entry in diff.differences if "score" in entry.key or "comparison" in entry.key]
        assert diff.scores.startswith("Scores are left out")

    def test_how_good_probabilities_are_stands_side_by_side_and_their_bins_do_not(
        self, registry: Registry, artifacts: LocalArtifacts, tmp_path: Path
    ) -> None:
        first = publish(registry, artifacts, tmp_path, comparison=SURE)
        second = publish(registry, artifacts, tmp_path, comparison=SURE)
        found = {entry.key: (entry.left, entry.right) for entry in between(registry, first.name, second.name).differences}
        assert {name: values for name, values in found.items() if name.startswith("scores.")} == {
            "scores.macro_f1": (0.61, 0.68), "scores.calibration_error": (0.2, 0.1), "scores.top_2": (0.8, 0.85),
            "scores.anchor": (0.7, 0.69), "scores.newest": (0.5, 0.63), "scores.abstained": (1.0, 0.2),
            "scores.accuracy_of_others": (None, 0.77),
        }  # fmt: skip
        assert not [name for name in found if "reliability" in name]

    def test_flatten_names_every_leaf(self) -> None:
        nested = {"a": {"b": [1, 2]}, "c": [{"slice": "label:X", "max_drop": 0.1}, {"x": None}], "d": []}
        assert flatten(nested) == {"a.b": "1, 2", "c.label:X.slice": "label:X", "c.label:X.max_drop": 0.1, "c.1.x": None, "d": ""}


class TestCards:
    def test_a_card_says_how_it_fared_and_what_it_was_made_from(
        self, registry: Registry, artifacts: LocalArtifacts, tmp_path: Path
    ) -> None:
        first = publish(registry, artifacts, tmp_path)
        version = publish(registry, artifacts, tmp_path, parent=first.name)
        promotion.promote(registry, TASK, version.name, expected=None, actor="a", reason="r")
        history = tmp_path / "history.jsonl"
        lines = [
            Progress(run_id="r", at="2026-01-01T00:00:00Z", phase="training", step=step, steps=9, loss=3 / (1 + step))
            for step in range(9)
        ]
        history.write_text("".join(line.model_dump_json() + "\n" for line in lines) + '{"run_id": "r", "cut')
        card = cards.write_card(registry, version.name, tmp_path / "card", history=history).read_text()
        for part in (
            f"# {TASK}/v2", "Champion; made on",
            "**Not promoted: the champion was kept.** The run was started by: 132 new examples.",
            "- too | few rows", "gain +0.0700, between +0.0310 and +0.1040", "| newest | 200 | 0.5000 | 0.6300 | +0.1300 |",
            "| anchor | 120 | 0.7000 | 0.6900 | -0.0100 |", f"| Based on | {TASK}/v1 |",
            "| Examples learnt, parents included | 10 |",
            "| `task.training.epochs` | 2 |", "| Hardware | cpu, bf16 |", version.artifact_id, version.manifest_sha256,
        ):  # fmt: skip
            assert part in card
        assert "| New rows | 9 |" in card
        assert not any(zero in card for zero in ("Replayed rows", "0 anchor", "longer than the model reads")), "zeros say nothing"
        assert cards.PLOT_FILE in card
        assert cards.PLOT_FILE not in cards.card(registry, version.name)
        words = InWords(measured="v2 may be better.", decides="37 answers would decide.")
        assert "v2 may be better. 37 answers would decide." in cards.card(registry, version.name, words=words)
        assert [section.title for section in cards.sections(registry, version.name)][1:3] == ["Verdict", "Comparison"]
        assert (tmp_path / "card" / cards.PLOT_FILE).read_bytes().startswith(b"\x89PNG")
        assert len(cards.read_history(history)) == 9

    def test_a_card_without_run_comparison_or_history_still_stands(self, registry: Registry, tmp_path: Path) -> None:
        version = registry.versions.add(
            TASK, 1, run_id="forgotten", artifact_id=f"{TASK}/v1-{0:012x}", manifest_sha256="0" * 64, size_bytes=1, parent=None,
            lineage=Lineage(training_set_sha256="", seed=1, settings={"note": "a|b\nc"}, code=""), metrics={}, learnt=(),
        )  # fmt: skip
        card = cards.write_card(registry, version.name, tmp_path, history=tmp_path / "gone.jsonl").read_text()
        assert "The run's record is gone." in card
        assert "The run recorded no comparison." in card
        assert r"| `note` | a\|b c |" in card

    def test_a_card_lists_what_was_tried_and_marks_what_was_chosen(self, registry: Registry) -> None:
        tried = [
            Tried(name="half-life 365 days", scores={"accuracy": 0.44}, cpu_s=1.25, chosen=True),
            Tried(name="no decay", scores={"accuracy": 0.41}, cpu_s=0.5, chosen=False),
        ]
        version = registry.versions.add(
            TASK, 1, run_id="r", artifact_id=f"{TASK}/v1-{0:012x}", manifest_sha256="0" * 64, size_bytes=1, parent=None,
            lineage=Lineage(training_set_sha256="", seed=1, settings={}, code=""),
            metrics={"tried": [one.model_dump(mode="json") for one in tried]}, learnt=(),
        )  # fmt: skip
        card = cards.card(registry, version.name)
        assert "| **half-life 365 days** | accuracy 0.4400 | 1.25 |" in card
        assert "| no decay | accuracy 0.4100 | 0.50 |" in card

    def test_a_card_says_how_good_the_probabilities_are(
        self, registry: Registry, artifacts: LocalArtifacts, tmp_path: Path
    ) -> None:
        without = publish(registry, artifacts, tmp_path)
        assert "## Probabilities" not in cards.card(registry, without.name)
        version = publish(registry, artifacts, tmp_path, comparison=SURE)
        card = cards.card(registry, version.name)
        for line in (
            "| calibration error, lower is better | 0.2000 | 0.1000 |",
            "| label among the two most probable | 0.8000 | 0.8500 |",
            "| answers that abstain (below 0.5) | 1.0000 | 0.2000 |",
            "| accuracy of the others |  | 0.7700 |",
        ):
            assert line in card
        off = publish(registry, artifacts, tmp_path, comparison=SURE.model_copy(update={"abstain_below": 0.0}))
        assert "abstain (below" not in cards.card(registry, off.name)

    def test_of_several_labels_a_text_each_counts_in_card_picture_and_difference(
        self, registry: Registry, artifacts: LocalArtifacts, tmp_path: Path
    ) -> None:
        each = Probabilities(calibration_error=0.03, top_2=None, top_3=None, reliability=BINS, of_each_label=True)
        sure = COMPARISON.model_copy(update={"candidate_probabilities": each, "champion_probabilities": each})
        first = publish(registry, artifacts, tmp_path, comparison=sure)
        second = publish(registry, artifacts, tmp_path, comparison=sure)
        card = cards.card(registry, second.name)
        assert "| calibration error, lower is better | 0.0300 | 0.0300 |" in card
        assert "weighted by labels of texts" in card
        assert "two most probable" not in card
        reliability = plot("topics/v2", sure, []).axes[2]
        assert reliability.get_xlabel().startswith("probability of a label")
        assert not [one.key for one in between(registry, first.name, second.name).differences if "top_2" in one.key]

    def test_a_reliability_diagram_stands_beside_where_there_are_probabilities(self) -> None:
        assert len(plot("topics/v2", COMPARISON, []).axes) == 2
        _loss, _gain, reliability = plot("topics/v2", SURE, []).axes
        drawn = [(tuple(line.get_xdata()), tuple(line.get_ydata())) for line in reliability.lines]
        assert drawn == [((0, 1), (0, 1)), ((0.4, 0.9), (0.3, 0.8)), ((0.4, 0.9), (0.3, 0.8))]
        legend = reliability.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["opponent: error 0.200", "this version: error 0.100"]

    def test_the_plot_shows_the_interval_and_what_was_required(self) -> None:
        figure = plot("topics/v2", COMPARISON, [])
        _loss, gain = figure.axes
        assert [label.get_text() for label in gain.get_yticklabels()] == [
            "macro_f1, 640 rows",
            "anchor, 120 rows",
            "newest, 200 rows",
        ]
        drawn = [tuple(line.get_xdata()) for line in gain.lines]
        assert (pytest.approx(3.1), pytest.approx(10.4)) in drawn
        assert (pytest.approx(3.05), pytest.approx(3.05)) in drawn
        unreachable = plot("topics/v2", COMPARISON.model_copy(update={"required_gain": float("inf")}), [])
        assert not unreachable.axes[1].texts
