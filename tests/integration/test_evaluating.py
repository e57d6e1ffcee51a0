"""`perennial evaluate` and `perennial compare` on real, tiny models: rows of a file, without what a model has learnt from."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.metrics import accuracy_score, f1_score
from typer.testing import CliRunner

from config.errors import RunFailedError
from config.settings import environment_of, load_settings
from daemon.cli.main import app
from daemon.operations.evaluating import evaluate
from daemon.operations.evaluating.rows import Known
from perennial_artifact.errors import UnusableError
from registry.store import Registry
from tests.support.cycles import NAME, World
from tests.support.registries import LINEAGE
from tests.support.tiny_models import make_tiny_bert, toy_plan, toy_rows, toy_spec
from trainers.learners.catalog import learner_for
from trainers.learners.protocols import Example

pytestmark = pytest.mark.slow

LABELS = ("SPORT", "MARKETS", "WEATHER")
FIRST, SECOND = f"{NAME}/v1", f"{NAME}/v2"
UNKNOWN = "NEWER"


@dataclass(frozen=True)
class Judged:
    """An installation with two versions, and files to judge them by."""

    environment: dict[str, str]
    folder: Path
    rows: Sequence[Example]
    learnt: Sequence[Example]

    def file(self, name: str, rows: Sequence[Example]) -> Path:
        path = self.folder / name
        path.write_text("".join(json.dumps({"text": row.text, **row.target}) + "\n" for row in rows), encoding="utf-8")
        return path


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("judged")
    spec = toy_spec(make_tiny_bert(folder / "bert"), name=NAME)
    known = toy_rows(LABELS, 20, seed=1)
    with World(folder, spec) as world:
        (folder / "tasks").mkdir()
        (folder / "tasks" / "toy.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json")), encoding="utf-8")
        world.settings = world.settings.model_copy(update={"tasks_dir": str(folder / "tasks")})
        world.learn((row.example_id, row.text, row.target["label"]) for row in known)
        # The first knows two of the labels, and those badly.
        for number, rows in enumerate(([row for row in known if row.target["label"] != "WEATHER"][:16], known), start=1):
            learner_for(spec).train(toy_plan(spec, rows, folder / f"work-{number}", full=True), folder / f"model-{number}")
            published = world.artifacts.publish(NAME, number, folder / f"model-{number}")
            world.registry.versions.add(
                NAME, number, run_id=f"run-{number}", artifact_id=published.artifact_id,
                manifest_sha256=published.manifest_sha256, size_bytes=published.size_bytes, parent=None, lineage=LINEAGE,
                metrics={}, learnt=[row.example_id for row in rows],
            )  # fmt: skip
        return Judged(environment_of(world.settings), folder, toy_rows(LABELS, 30, seed=2), known)


@pytest.fixture(autouse=True)
def here(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in judged.environment.items():
        monkeypatch.setenv(name, value)


def told(*arguments: object) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)  # type: ignore[no-any-return]  # an object


def test_a_score_is_that_of_the_answers_written_beside_it(judged: Judged) -> None:
    file, answers = judged.file("held-out.jsonl", judged.rows), judged.folder / "answers.jsonl"
    found = told("evaluate", SECOND, file, "--answers", answers)
    lines = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    assert [line["text"] for line in lines] == [row.text for row in judged.rows]
    gold, said = [line["gold"]["label"] for line in lines], [line[SECOND]["label"] for line in lines]
    scores = {one["name"]: one["scores"] for one in found["figures"]}
    assert scores["accuracy"] == [pytest.approx(accuracy_score(gold, said))]
    assert scores["macro_f1"] == [pytest.approx(f1_score(gold, said, average="macro"))]
    (lower, upper) = next(one["bounds"][0] for one in found["figures"] if one["name"] == "accuracy")
    assert lower <= scores["accuracy"][0] <= upper
    assert (found["rows"], found["verdict"], found["learnt_left_out"]) == (len(judged.rows), None, 0)
    assert {part["name"]: part["rows"] for part in found["parts"] if part["name"].startswith("label:")} == {
        f"label:{label}": 30 for label in LABELS
    }


def test_texts_that_a_model_has_learnt_from_are_left_out_unless_they_are_asked_for(judged: Judged) -> None:
    file = judged.file("mixed.jsonl", [*judged.rows, *judged.learnt])
    clean, whole = told("evaluate", SECOND, file), told("evaluate", SECOND, file, "--with-learnt")
    assert (clean["rows"], clean["learnt_left_out"]) == (len(judged.rows), len(judged.learnt))
    assert (whole["rows"], whole["learnt_left_out"]) == (len(judged.rows) + len(judged.learnt), 0)
    alone = CliRunner().invoke(app, ["evaluate", SECOND, str(judged.file("learnt.jsonl", judged.learnt))])
    assert alone.exit_code != 0
    assert "--with-learnt" in str(alone.exception)


def test_two_versions_are_compared_as_candidate_and_champion_on_the_same_rows(judged: Judged) -> None:
    file, answers = judged.file("both.jsonl", judged.rows), judged.folder / "both.csv"
    found = told("compare", FIRST, SECOND, file, "--answers", answers)
    seen = found["comparison"]
    deciding = next(one for one in found["figures"] if one["decides"])
    assert [model["name"] for model in found["models"]] == [FIRST, SECOND]
    assert deciding["scores"] == [seen["champion_score"], seen["candidate_score"]]
    assert deciding["scores"][1] > deciding["scores"][0]
    assert seen["gain"] == pytest.approx(deciding["scores"][1] - deciding["scores"][0])
    assert found["verdict"] in ("promote", "insufficient_evidence")
    assert found["reasons"]
    with answers.open(newline="", encoding="utf-8") as lines:
        table = list(csv.DictReader(lines))
    assert len(table) == found["rows"]
    differ = sum(json.loads(row[FIRST])["label"] != json.loads(row[SECOND])["label"] for row in table)
    assert found["answers_differ"] == differ > 0
    back = told("compare", SECOND, FIRST, file)
    assert back["comparison"]["gain"] == pytest.approx(-seen["gain"])
    assert back["verdict"] != "promote"


def test_a_folder_is_a_model_of_the_task_that_is_named(judged: Judged) -> None:
    file, folder = judged.file("folder.jsonl", judged.rows), judged.folder / "model-2"
    unnamed = CliRunner().invoke(app, ["evaluate", str(folder), str(file)])
    assert unnamed.exit_code != 0
    assert "--task" in str(unnamed.exception)
    found = told("evaluate", folder, file, "--task", NAME)
    assert found["models"] == [{"name": str(folder), "learnt_known": False, "readiness": None}]
    assert found["figures"] == told("evaluate", SECOND, file)["figures"]


def test_a_label_that_no_model_can_give_counts_and_is_told(judged: Judged) -> None:
    new = [Example(f"new-{n}", f"{row.text} again", {"label": UNKNOWN}) for n, row in enumerate(judged.rows[:5])]
    found = told("evaluate", SECOND, judged.file("newer.jsonl", [*judged.rows, *new]))
    assert found["unknown_labels"] == {UNKNOWN: 5}
    assert next(part for part in found["parts"] if part["name"] == f"label:{UNKNOWN}")["scores"] == [0.0]


def test_people_read_figures_and_what_was_left_out(judged: Judged) -> None:
    file = judged.file("bad.jsonl", judged.rows)
    with file.open("a", encoding="utf-8") as lines:
        lines.write('{"text": "no label"}\n')
    done = CliRunner().invoke(app, ["compare", FIRST, SECOND, str(file)])
    assert done.exit_code == 0, done.output
    for words in ("macro F1 (decides)", "accuracy", "label:SPORT", "1 row unusable", "Nothing was recorded or promoted."):
        assert words in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([f"{NAME}/v9"], "there is no version"),
        ([SECOND, "--task", "nobody"], "is not defined"),
        ([SECOND, "--answers", "answers.xlsx"], ".jsonl or .csv"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_asked(judged: Judged, arguments: list[str], said: str) -> None:
    file = judged.file("few.jsonl", judged.rows[:3])
    done = CliRunner().invoke(app, ["evaluate", arguments[0], str(file), *arguments[1:]])
    assert done.exit_code != 0
    assert said in str(done.exception)


def test_diff_asks_both_the_rows_of_a_file_that_neither_has_learnt(judged: Judged) -> None:
    file = judged.file("changed.jsonl", [*judged.rows, judged.learnt[0]])
    found = told("models", "diff", FIRST, SECOND, file, "--limit", 3)
    changes = found["changes"]
    assert (changes["before"], changes["after"], changes["rows"]) == (FIRST, SECOND, len(judged.rows))
    assert changes["changed"] == changes["better"] + changes["worse"] + changes["neither"] > 0
    assert changes["better"] > changes["worse"]
    assert len(changes["examples"]) == 3
    assert any(move["after"] == "WEATHER" for move in changes["moves"])
    compared = told("compare", FIRST, SECOND, file)
    assert compared["answers_differ"] == changes["changed"]


def test_diff_reads_the_columns_of_a_file_as_evaluate_does(judged: Judged) -> None:
    file = judged.folder / "columns.csv"
    with file.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines, delimiter=";").writerows([("words", "desk"), *((row.text, row.target["label"]) for row in judged.rows)])
    columns = ("--text", "words", "--label", "desk", "--delimiter", ";")
    found = told("models", "diff", FIRST, SECOND, file, *columns, "--limit", 1)
    assert (found["changes"]["rows"], len(found["changes"]["examples"])) == (len(judged.rows), 1)
    assert found["changes"]["changed"] == told("compare", FIRST, SECOND, file, *columns)["answers_differ"]
    done = CliRunner().invoke(app, ["models", "diff", FIRST, SECOND, *columns])
    assert done.exit_code != 0
    assert "FILE" in str(done.exception)


def test_evaluate_tells_what_the_report_of_a_version_says_of_it(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    file = judged.file("ready.jsonl", judged.rows[:6])
    assert told("evaluate", SECOND, file)["models"][0]["readiness"] is None, "it was published by hand"
    with Registry.open(load_settings().registry_url) as registry:
        run = registry.runs.create(NAME, "request:ready", "asked for", full=True)
        assert run is not None
        decided = registry.runs.update(
            run.run_id, state="decided", verdict="promote", comparison={"readiness": {"level": "REVIEW", "limits": []}}
        )
    monkeypatch.setattr("registry.runs.Runs.find", lambda _runs, _run_id: decided)
    assert told("evaluate", SECOND, file)["models"][0]["readiness"] == "REVIEW"
    assert "REVIEW" in CliRunner().invoke(app, ["evaluate", SECOND, str(file)]).output


def test_without_a_file_and_held_out_rows_diff_says_why_and_tells_the_rest(judged: Judged) -> None:
    found = told("models", "diff", FIRST, SECOND)
    assert found["changes"] is None
    assert "held-out row" in found["not_asked"]
    assert "counts.learnt_with_parents" in {one["key"] for one in found["differences"]}


def test_another_name_for_what_a_label_says_is_no_change(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    file = judged.file("renamed.jsonl", judged.rows)
    before, known = told("models", "diff", FIRST, SECOND, file)["changes"]["changed"], evaluate.known

    def merged(*given: Any) -> Known:
        found = known(*given)
        return replace(found, task=found.task.model_copy(update={"renames": {"WEATHER": "SPORT", "MARKETS": "SPORT"}}))

    monkeypatch.setattr(evaluate, "known", merged)
    found = told("models", "diff", FIRST, SECOND, file)["changes"]
    assert (found["changed"], found["better"]) == (0, 0) < (before, before)
    assert told("compare", FIRST, SECOND, file)["answers_differ"] == 0


def test_a_model_that_computes_no_numbers_is_named(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def predict(self, _texts: Sequence[str]) -> list[dict[str, Any]]:
            message = "its numbers are not finite"
            raise UnusableError(message)

    monkeypatch.setattr(evaluate, "opened", lambda *_given: [Broken()])
    done = CliRunner().invoke(app, ["evaluate", SECOND, str(judged.file("broken.jsonl", judged.rows))])
    assert isinstance(done.exception, RunFailedError)
