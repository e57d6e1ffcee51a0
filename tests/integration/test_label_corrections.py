"""A label that was wrong is corrected everywhere it is stored, with who and when; verdicts that it took part in are marked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs
from typer.testing import CliRunner

from config.clock import utc_now
from config.errors import UserError
from config.settings import environment_of
from consumers.events.correcting import LabelCorrection
from consumers.events.schemas import Erase
from daemon.cli.main import app
from daemon.labelling import correcting
from daemon.training.label_corrections import LabelCorrectionsTask
from daemon.views import history
from daemon.views.models import lineage, recomputation, verification
from registry.people import corrected
from registry.people.audit import By
from registry.reports import cards
from tests.support import buffers
from tests.support.cycles import NAME
from tests.support.proven import scored
from tests.support.tables import rows_of
from tests.support.towns import Town

WHY = By("test", "the desk agreed on it")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A champion that was decided on ten test rows, which say A and B in turn; each test corrects rows of its own."""
    folder = tmp_path_factory.mktemp("corrected")
    with Town(folder, train=scored) as made:
        made.champion_with_feedback()
        tasks = folder / "tasks"
        tasks.mkdir()
        (tasks / "toy.yaml").write_text(yaml.safe_dump(made.tasks[NAME].model_dump(mode="json")), encoding="utf-8")
        made.settings = made.settings.model_copy(update={"tasks_dir": str(tasks)})
        yield made


def correct(town: Town, label_id: str, target: Mapping[str, Any], by: By = WHY) -> bool:
    at = correcting.At(town.settings, town.tasks, town.registry, town.buffer)
    return correcting.correct(at, label_id, target, annotator="anna", by=by)


def put_in_force(town: Town) -> LabelCorrectionsTask:
    town.take_in()
    task = LabelCorrectionsTask(town.leading())
    task.step()
    return task


def says(town: Town, label_id: str) -> tuple[Any, Any, Any]:
    rows = rows_of(town.settings.buffer_dir, "examples", ["row_id", "target", "first_target", "corrected_by"]).to_pylist()
    row = next(one for one in rows if one["row_id"] == label_id)
    first = row["first_target"]
    return json.loads(row["target"]), json.loads(first) if first else None, row["corrected_by"]


def test_a_correction_changes_the_target_everywhere_and_marks_what_was_decided_on_it(town: Town) -> None:
    unchanged = recomputation.of(town.settings, town.registry, town.buffer, f"{NAME}/v1")
    assert (unchanged.corrected, unchanged.same, unchanged.now) == (0, True, unchanged.recorded)
    before = {row["row_id"]: row for row in _enrichment(town)}
    assert correct(town, "test-1", {"label": "A"})
    assert says(town, "test-1")[0] == {"label": "B"}, "only the leading daemon writes the buffer"
    put_in_force(town)
    now, first, by = says(town, "test-1")
    assert (now, first) == ({"label": "A"}, {"label": "B"})
    after = {row["row_id"]: row for row in _enrichment(town)}
    assert after["test-1"]["answer_sha256"] != before["test-1"]["answer_sha256"]
    assert after["test-1"]["enriched_seq"] > max(row["enriched_seq"] for row in before.values()), "it is new to what follows"
    assert {key: row for key, row in after.items() if key != "test-1"} == {
        key: row for key, row in before.items() if key != "test-1"
    }
    run = town.only_run()
    (mark,) = corrected.since(town.registry, NAME, run.run_id)
    assert (mark.event_id, mark.by, mark.why) == (by, "anna (test)", WHY.reason)
    (stored,) = town.buffer.labels.corrections(NAME)
    assert (stored.annotator, stored.label_id, stored.at) == ("anna", "test-1", town.clock().replace(microsecond=0))
    moves = history.entries(town.registry, town.buffer, NAME, 10)
    assert {one.what: one.corrected for one in moves} == {corrected.ACTION: 0, "promote": 1}
    assert next(one.subject for one in moves if one.what == corrected.ACTION) == f"a label that decided {NAME}/v1"
    assert "--recompute" in cards.card(town.registry, f"{NAME}/v1")
    found = lineage.of_row(town.registry, town.settings.evidence_dir, "test-1", town.buffer)
    assert found.corrected is not None
    assert (found.corrected.first, found.corrected.now) == ({"label": "B"}, {"label": "A"})
    frozen = town.buffer.freeze(town.tasks[NAME], run_id="r", folder=town.settings.data_dir / "set", learnt=frozenset())
    targets = dict(zip(frozen.rows("test")["example_id"].to_pylist(), frozen.rows("test")["target"].to_pylist(), strict=True))
    assert json.loads(targets["test-1"]) == {"label": "A"}


def _enrichment(town: Town) -> list[dict[str, Any]]:
    return rows_of(town.settings.buffer_dir, "example_enrichment", ["row_id", "answer_sha256", "enriched_seq"]).to_pylist()


def test_what_cannot_be_corrected_is_refused_and_nothing_is_sent(town: Town) -> None:
    for label_id, target, words in (
        ("nobody", {"label": "A"}, "never came"),
        ("", {"label": "A"}, "never came"),
        ("'; DROP", {"label": "A"}, "never came"),
        ("f-1", {"label": "B"}, "is feedback of a user"),
        ("test-3", {"label": "B"}, "says that already"),
        ("test-3", {"spans": []}, "target.label"),
        ("test-3", {"label": " "}, "only white space"),
    ):
        with pytest.raises(UserError, match=words):
            correct(town, label_id, target)
    with pytest.raises(UserError, match="names the label"):
        correct(town, "test-3", {"label": "A"}, By("test", "test-3 is wrong"))
    put_in_force(town)
    assert "test-3" not in {one.label_id for one in town.buffer.labels.corrections()}


def test_the_same_correction_twice_counts_once(town: Town) -> None:
    marks = len(corrected.marks(town.registry, NAME))
    correct(town, "test-5", {"label": "A"})
    correct(town, "test-5", {"label": "A"})  # the first is on its way
    put_in_force(town)
    assert len(corrected.marks(town.registry, NAME)) == marks + 1
    with pytest.raises(UserError, match="says that already"):
        correct(town, "test-5", {"label": "A"})
    correct(town, "test-5", {"label": "C"})
    put_in_force(town)
    now, first, _by = says(town, "test-5")
    assert (now, first) == ({"label": "C"}, {"label": "B"})
    assert len(corrected.marks(town.registry, NAME)) == marks + 2


def test_a_crash_before_the_row_is_written_leaves_one_mark(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = len(corrected.marks(town.registry, NAME))
    correct(town, "test-7", {"label": "A"})
    town.take_in()
    with monkeypatch.context() as patched:
        patched.setattr(type(town.buffer), "correct_label", _crash)
        with pytest.raises(KeyboardInterrupt):
            put_in_force(town)
    put_in_force(town)
    assert says(town, "test-7")[0] == {"label": "A"}
    assert len(corrected.marks(town.registry, NAME)) == marks + 1


def _crash(*_: object) -> None:
    raise KeyboardInterrupt


def event(label_id: str, target: Mapping[str, Any], event_id: str = "c-1", **more: Any) -> LabelCorrection:
    return LabelCorrection(
        event_id=event_id, occurred_at=buffers.NOW, task=NAME, label_id=label_id, target=dict(target), annotator="bob", **more
    )


def test_a_program_may_send_one_before_its_label_and_one_that_does_not_fit_is_passed_over(town: Town) -> None:
    town.take_in(event("later", {"label": "A"}), event("f-1", {"label": "B"}, "c-2"))
    with capture_logs() as logs:
        task = put_in_force(town)
        task.step()
    assert [(one["event"], one["event_id"]) for one in logs if one["event"].startswith("label.")] == [
        ("label.not_corrected", "c-2"),
    ]  # fmt: skip
    town.take_in(buffers.label("later", "A text that comes later", "B", task=NAME))
    task.step()
    assert says(town, "later") == ({"label": "A"}, {"label": "B"}, "c-1")


def test_a_redelivered_label_does_not_take_its_correction_back(town: Town) -> None:
    town.take_in(event("test-9", {"label": "A"}, "c-9"))
    put_in_force(town)
    town.learn([("test-9", "held out text 9", "B")])
    assert says(town, "test-9") == ({"label": "A"}, {"label": "B"}, "c-9")


def test_an_erasure_takes_a_label_its_correction_and_what_it_said_at_first(town: Town) -> None:
    town.take_in(buffers.label("gone", "A text of an article", "A", task=NAME, article_id="article-9"))
    correct(town, "gone", {"label": "B"})
    put_in_force(town)
    town.take_in(Erase(event_id="erase", occurred_at=town.clock(), article_id="article-9"))
    town.work()
    assert "gone" not in {one.label_id for one in town.buffer.labels.corrections()}
    assert "gone" not in town.buffer.example_ids()
    with pytest.raises(UserError, match="was erased"):
        correct(town, "gone", {"label": "A"})


def test_the_commands_correct_and_recompute(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment_of(town.settings).items():
        monkeypatch.setenv(name, value)
    invoke = CliRunner().invoke
    done = invoke(app, ["correct", "test-2", "--label", "B", "--why", "wrong", "--annotator", "anna"])
    assert done.exit_code == 0, done.output
    for words in (
        ["test-4", "--why", "x"], ["test-4", "--why", "x", "--label", "A", "--target", "{}"],
        ["test-4", "--why", "x", "--target", "{"],
        ["test-4", "--why", "x", "--target", "[]"], ["nobody", "--why", "x", "--label", "A"],
        ["test-4", "--why", "x", "--label", "A", "--annotator", "key:anna"],
    ):  # fmt: skip
        assert isinstance(invoke(app, ["correct", *words]).exception, UserError), words
    town.clock.now = utc_now()
    put_in_force(town)
    assert says(town, "test-2")[0] == {"label": "B"}
    found = invoke(app, ["verify", f"{NAME}/v1", "--recompute", "--json"])
    told = json.loads(found.output)
    assert (found.exit_code, told["same"]) == (int(not told["same"]), told["recorded"]["verdict"] == told["now"]["verdict"])
    assert told["corrected"] >= 1
    path = next(town.settings.evidence_dir.glob("*.parquet"))
    assert isinstance(invoke(app, ["verify", str(path), "--recompute"]).exception, UserError)
    assert isinstance(invoke(app, ["verify", "nobody/v1", "--recompute"]).exception, UserError)
    row = invoke(app, ["lineage", "row", "test-2"])
    assert "at first A" in " ".join(row.output.split())


def test_a_verdict_is_recomputed_with_what_was_corrected_and_no_alias_moves(town: Town) -> None:
    name = f"{NAME}/v1"
    for number in range(10):
        if says(town, f"test-{number}")[0] != {"label": "C"}:
            correct(town, f"test-{number}", {"label": "C"})
    put_in_force(town)
    found = recomputation.of(town.settings, town.registry, town.buffer, name)
    assert (found.corrected, found.recorded.verdict, found.same) == (10, "promote", False)
    assert found.now.verdict != "promote"
    assert (found.candidate_score, town.champion()) == (0.0, name)
    assert verification.of(town.settings, town.registry, name).outcome == "equal", "the evidence stands as it was"
    assert recomputation.of(town.settings, town.registry, town.buffer, town.only_run().run_id) == found
