"""Version, opponent, oracle and people beside each other: on gold, on the same rows, and with words where one is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from config.settings import load_settings
from config.tasks import TaskSpec
from consumers.labelling.oracle.answers import Said
from consumers.labelling.oracle.belief import Belief, belief
from registry.reports import beside
from tests.support import oracles
from trainers.job import files
from trainers.job.scoring import siding
from trainers.job.scoring.sides import Sides
from trainers.job.spec import JobSpec

TASK = oracles.task()


def spec_for(task: TaskSpec, run_dir: Path) -> JobSpec:
    return JobSpec(
        run_id="r", task=task, training=load_settings().training, full=True, training_set=run_dir / "set", run_dir=run_dir,
        champion=None, champion_version=None, batch_size=4,
    )  # fmt: skip


def rows(*labels: str, role: str = "test") -> pa.Table:
    ids = [f"e-{number}" for number in range(len(labels))]
    return pa.table(
        {"example_id": ids, "text": [f"text {one}" for one in ids], "gold": [f'{{"label": "{label}"}}' for label in labels]}
        | {"role": [role] * len(ids), "story_id": ids, "document_id": pa.nulls(len(ids), pa.string())}
    )


def scored(table: pa.Table, candidate: str, opponent: str) -> pa.Table:
    for name, said in (("candidate", candidate), ("opponent", opponent)):
        table = table.append_column(name, pa.array([f'{{"label": "{said}"}}'] * table.num_rows))
    return table


def as_they_are(_text: str, targets: Any) -> Any:
    return targets


def found(tmp_path: Path, task: Any = TASK, **said: Any) -> Sides | None:
    spec = spec_for(task, tmp_path)
    if said:
        siding.write(spec, **({"oracle": {}, "people": {}, "refused": 0, "prompt": "ab"} | said))
    table = rows("sport", "sport", "economy", "economy")
    return siding.sides(spec, scored(table, "sport", "economy"), table, align=as_they_are)


def test_each_is_scored_on_the_very_same_rows(tmp_path: Path) -> None:
    oracle = {"e-0": {"label": "sport"}, "e-1": {"label": "sport"}, "e-2": {"label": "economy"}}
    sides = found(tmp_path, oracle=oracle, people={"e-0": {"label": "economy"}}, refused=1)
    assert sides is not None
    assert (sides.tested, sides.oracle, sides.people, sides.refused, sides.asked) == (4, 3, 1, 1, True)
    both, of_oracle = sides.grounds
    assert [(one.who, one.score) for one in both.scored] == [
        ("this version", 1.0), ("opponent", 0.0), ("oracle", 1.0), ("people", 0.0),
    ]  # fmt: skip
    assert (of_oracle.rows, of_oracle.stories) == (3, 3)
    scores = {one.who: one for one in of_oracle.scored}
    assert scores["oracle"].score == pytest.approx(1.0)
    assert scores["this version"].score == pytest.approx(0.4), "sport 0.8, economy 0"
    assert all(one.lower <= one.score <= one.upper for ground in sides.grounds for one in ground.scored)


def test_a_task_without_oracle_and_second_people_tells_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, TASK.model_copy(update={"oracle": type(TASK.oracle)()})) is None
    bare = found(tmp_path)
    assert bare is not None
    assert (bare.grounds, bare.oracle) == ((), 0)


def test_an_answer_that_leaves_out_what_gold_says_is_none(tmp_path: Path) -> None:
    task = oracles.task("regression", dimensions=[{"name": "hope", "low": 0, "high": 10}, {"name": "fear", "low": 0, "high": 10}])
    table = rows("sport", "sport").drop_columns(["gold"])
    whole = '{"values": {"hope": 3.0, "fear": 4.0}}'
    for name in ("gold", "candidate", "opponent"):
        table = table.append_column(name, pa.array([whole] * 2))
    spec = spec_for(task, tmp_path)
    people = {"e-0": {"values": {"hope": 3.0}}, "e-1": {"values": {"hope": 3.0, "fear": 5.0}}}
    siding.write(spec, oracle={}, people=people, refused=0, prompt="")
    sides = siding.sides(spec, table, table, align=as_they_are)
    assert sides is not None
    assert sides.people == 1
    assert {one.who: one.score for one in sides.grounds[0].scored}["people"] == pytest.approx(0.5)


def test_what_is_half_written_is_nothing(tmp_path: Path) -> None:
    (tmp_path / files.BESIDE_FILE).write_text("{")
    bare = found(tmp_path)
    assert bare is not None
    assert bare.grounds == ()


def test_the_card_shows_scores_with_rows_and_ranges_and_says_what_to_do(tmp_path: Path) -> None:
    sides = found(tmp_path, oracle={f"e-{number}": {"label": "sport"} for number in range(4)})
    assert sides is not None
    (section,) = beside.sides(sides.model_dump(mode="json"), "mine", "mine/v1")
    assert [row[1] for row in section.rows] == ["this version", "mine/v1", "oracle"]
    assert all(row[2] == 4 for row in section.rows)
    assert any("second person" in one for one in section.items)
    (empty,) = beside.sides(sides.model_copy(update={"grounds": (), "oracle": 0}).model_dump(mode="json"), "mine", "mine/v1")
    assert not empty.rows
    assert any("perennial oracle check mine" in one for one in empty.items)
    assert not list(beside.sides(None, "mine", "mine/v1"))


@pytest.mark.parametrize(
    ("right", "of", "confidence", "factor"), [(40, 40, 0.9, 1.0), (20, 40, 0.9, 0.5556), (9, 10, 0.9, 1.0), (0, 0, 0.5, 1.0)]
)
def test_a_stated_confidence_is_believed_as_far_as_people_bear_it_out(
    right: int, of: int, confidence: float, factor: float
) -> None:  # fmt: skip
    gold = [{"label": "sport"}] * right + [{"label": "economy"}] * (of - right)
    made = belief(TASK, [(Said({"label": "sport"}, confidence), one) for one in gold])
    assert (made.right, made.of) == (right, of)
    assert made.factor == pytest.approx(factor, abs=1e-4)


def test_a_prompt_without_gold_is_believed_as_it_says() -> None:
    assert Belief().factor == 1.0
