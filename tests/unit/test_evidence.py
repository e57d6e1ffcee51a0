"""What `verify` finds out: changes, erased rows, other programs, files that are no bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from structlog.testing import capture_logs

from config.errors import StopError, UserError
from registry.evidence import bundle, checking, keeping
from registry.evidence.bundle import About, Words
from registry.evidence.records import Recorded
from registry.store import Registry
from tests.support.proven import RUN, proof
from tests.support.scored import labelled, topics

ROWS = 240


@pytest.fixture(scope="module")
def proven() -> tuple[About, pa.Table]:
    gold = ["a", "b", "c"] * (ROWS // 3)
    candidate = ["a" if number % 9 == 1 else label for number, label in enumerate(gold)]
    opponent = ["b" if number % 3 == 0 else label for number, label in enumerate(gold)]
    return proof(topics(), labelled(gold, candidate, opponent))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}") as opened:
        yield opened


def changed(rows: pa.Table, column: str, row: int, value: Any) -> pa.Table:
    values = rows[column].to_pylist()
    values[row] = value
    return rows.set_column(rows.schema.get_field_index(column), column, pa.array(values, rows.schema.field(column).type))


def written(folder: Path, about: About, rows: pa.Table) -> tuple[Path, Recorded]:
    """Return a bundle in a file, and what the registry says of the bundle that was written first."""
    content = bundle.to_bytes(about, rows)
    path = bundle.path_of(folder, about.run_id)
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return path, Recorded(about.run_id, sha256, len(content), rows.num_rows, 0, datetime.now(UTC), None)


def test_rows_of_a_label_that_the_champion_does_not_know_are_compared_again(tmp_path: Path) -> None:
    gold = ["a", "b", "c"] * (ROWS // 3)
    champion = ["a" if label == "c" else label for label in gold]
    about, rows = proof(topics(), labelled(gold, gold, champion), known={"a", "b", "other"})
    assert about.comparison["known"] == ["a", "b"]
    assert "labels that both know" in {one["name"] for one in about.comparison["slices"]}
    assert checking.check(written(tmp_path, about, rows)[0], None, about.told).outcome == "equal"
    earlier = about.model_copy(update={"comparison": {name: said for name, said in about.comparison.items() if name != "known"}})
    assert checking.check(written(tmp_path, earlier, rows)[0], None, about.told).outcome == "equal"


@pytest.mark.parametrize(
    ("column", "value", "figures"),
    [
        ("candidate", json.dumps({"label": "b"}), True),
        ("opponent", json.dumps({"label": "a"}), True),
        ("gold", json.dumps({"label": "a"}), True),
        (bundle.TEXT_HASH, "f" * 64, False),
        ("story_id", "test-story-7", True),
        ("role", "anchor", True),
    ],
)
def test_a_changed_row_is_found(tmp_path: Path, proven: tuple[About, pa.Table], column: str, value: str, figures: bool) -> None:
    about, rows = proven
    path, recorded = written(tmp_path, about, rows)
    path.write_bytes(bundle.to_bytes(about, changed(rows, column, 5, value)))
    found = checking.check(path, recorded, about.told)
    assert found.outcome == "changed"
    assert bool(found.differences) == figures


def test_a_changed_row_is_found_by_its_figures_where_nobody_has_the_hash(tmp_path: Path, proven: tuple[About, pa.Table]) -> None:
    about, rows = proven
    path, _recorded = written(tmp_path, about, changed(rows, "candidate", 5, json.dumps({"label": "b"})))
    found = checking.check(path, None, None)
    assert (found.outcome, found.hash_known) == ("differs", False)
    assert "candidate_score" in {one.name for one in found.differences}


def test_other_words_in_bundle_or_registry_are_found(tmp_path: Path, proven: tuple[About, pa.Table]) -> None:
    about, rows = proven
    path, recorded = written(tmp_path, about, rows)
    assert checking.check(path, recorded, about.told).outcome == "equal"
    assert checking.check(path, recorded, Words(verdict="keep", reasons=about.told.reasons)).outcome == "differs"
    other = about.model_copy(update={"gate": Words(verdict=about.gate.verdict, reasons=("Much better.",))})
    path, recorded = written(tmp_path, other, rows)
    found = checking.check(path, recorded, other.told)
    assert found.outcome == "differs"
    assert found.words == about.gate


def test_guards_are_reached_again_with_their_numbers(tmp_path: Path) -> None:
    task = topics(
        slices=[{"slice": "newest", "max_drop": 0.1}, {"slice": "source:desk", "max_drop": 0.1}], strict=True,
        safe_refresh={"max_drop": 0.05, "newest_days": 3},
    )  # fmt: skip
    gold = [("a", "b", "c")[index % 3] for index in range(300)]
    about, rows = proof(task, labelled(gold, gold, ["a"] * 300))
    names = [guard.name for guard in about.gate.guards]
    assert names == ["all test rows", "slice newest", "slice source:desk", "anchor set", "size"]
    path, recorded = written(tmp_path, about, rows)
    assert checking.check(path, recorded, about.told).outcome == "equal"
    better = about.gate.guards[1].model_copy(update={"bound": 0.9})
    gate = about.gate.model_copy(update={"guards": (about.gate.guards[0], better, *about.gate.guards[2:])})
    path, recorded = written(tmp_path, about.model_copy(update={"gate": gate}), rows)
    found = checking.check(path, recorded, about.told)
    assert found.outcome == "differs"
    assert [one.name for one in found.differences] == ["guards.1.bound"]


def test_what_a_later_release_measures_beside_it_is_no_difference(tmp_path: Path) -> None:
    gold = [("a", "b", "c")[index % 3] for index in range(300)]
    anchor = labelled(gold[:60], gold[:60], gold[:60], role="anchor")
    about, rows = proof(topics(), pa.concat_tables([labelled(gold, gold, ["a"] * 300), anchor]))
    later = ("calibration", "newest", "guards")
    before = {name: value for name, value in about.comparison.items() if name not in later}
    for part in (before["anchor"], *before["slices"]):
        del part["documents"], part["standard_error"]
    old = about.model_copy(update={"comparison": before, "gate": about.gate.model_copy(update={"guards": ()})})
    path, recorded = written(tmp_path, old, rows)
    found = checking.check(path, recorded, about.told)
    assert found.differences == ()
    assert found.outcome == "equal"


def test_what_held_a_promotion_up_stands_around_the_gates_words(tmp_path: Path, proven: tuple[About, pa.Table]) -> None:
    about, rows = proven
    told = Words(verdict="keep", reasons=("Not promoted: promotion.mode is manual.", *about.gate.reasons, "Not learnt, yet."))
    path, recorded = written(tmp_path, about.model_copy(update={"told": told}), rows)
    assert checking.check(path, recorded, told).outcome == "equal"


def test_another_program_is_told_of(tmp_path: Path, proven: tuple[About, pa.Table]) -> None:
    about, rows = proven
    path, recorded = written(tmp_path, about.model_copy(update={"program": "Python 3.9, perennial 0.0.1"}), rows)
    found = checking.check(path, recorded, about.told)
    assert (found.outcome, found.same_program) == ("equal", False)


@pytest.mark.parametrize(
    "change",
    [
        {"task": {"name": "news-topics", "kind": "a kind of another installation"}},
        {"comparison": {}},
        {"circumstances": {"policy": {"metric": "macro_f1", "an option": "of a later release"}}},
    ],
)
def test_what_this_program_cannot_read_is_said_and_ends_nothing(
    tmp_path: Path, proven: tuple[About, pa.Table], change: dict[str, Any]
) -> None:
    about, rows = proven
    path, recorded = written(tmp_path, about.model_copy(update=change), rows)
    found = checking.check(path, recorded, about.told)
    assert (found.outcome, found.words) == ("unreadable", None)


def test_answers_that_are_no_json_are_said(tmp_path: Path, proven: tuple[About, pa.Table]) -> None:
    about, rows = proven
    path, recorded = written(tmp_path, about, changed(rows, "candidate", 0, "{"))
    assert checking.check(path, recorded, about.told).outcome == "unreadable"


def test_a_file_that_is_no_bundle_or_of_a_later_format_is_refused(tmp_path: Path, proven: tuple[About, pa.Table]) -> None:
    about, rows = proven
    path, _recorded = written(tmp_path, about.model_copy(update={"format_version": 2}), rows)
    with pytest.raises(UserError, match="format 2"):
        checking.check(path, None, None)
    for content in (b"", b"PAR1", b"{}"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="no evidence bundle"):
            checking.check(path, None, None)
    pq.write_table(rows, path)
    with pytest.raises(UserError, match="no evidence bundle"):
        checking.check(path, None, None)


def test_a_bundle_holds_no_text_and_is_small(proven: tuple[About, pa.Table]) -> None:
    about, rows = proven
    assert not {"text", "title", "body"}.intersection(rows.column_names)
    assert len(bundle.to_bytes(about, rows)) < 100 * ROWS + 10_000


def test_an_erased_row_leaves_and_the_rest_is_not_called_changed(
    tmp_path: Path, registry: Registry, proven: tuple[About, pa.Table]
) -> None:
    about, rows = proven
    folder = tmp_path / "evidence"
    path = keeping.keep(registry, folder, about, rows)
    assert keeping.erase(registry, folder, ["nobody"]) == 0
    assert keeping.erase(registry, folder, ["test-3", "test-8", "nobody"]) == 1
    assert keeping.erase(registry, folder, ["test-3"]) == 0
    assert keeping.erase(registry, folder, ["test-9"]) == 1
    assert b"test-3" not in path.read_bytes()
    recorded = registry.evidence.of_run(RUN)
    assert recorded is not None
    assert (recorded.rows, recorded.erased, recorded.erased_at is not None) == (ROWS, 3, True)
    found = checking.check(path, recorded, about.told)
    assert (found.outcome, found.about.erased) == ("erased", 3)
    assert bundle.rows_of(path).num_rows == ROWS - 3


def test_killed_between_hash_and_file_an_erasure_goes_on(
    tmp_path: Path, registry: Registry, proven: tuple[About, pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    about, rows = proven
    path = keeping.keep(registry, tmp_path, about, rows)
    with monkeypatch.context() as patched:
        patched.setattr(keeping, "write_atomic", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            keeping.erase(registry, tmp_path, ["test-3"])
    assert keeping.erase(registry, tmp_path, ["test-3"]) == 1
    assert checking.check(path, registry.evidence.of_run(RUN), about.told).outcome == "erased"


def test_what_cannot_be_read_goes_with_an_erasure(tmp_path: Path, registry: Registry, proven: tuple[About, pa.Table]) -> None:
    path = keeping.keep(registry, tmp_path, *proven)
    path.write_bytes(b"torn")
    with capture_logs() as lines:
        assert keeping.erase(registry, tmp_path, ["test-3"]) == 1
    assert [line["event"] for line in lines] == ["evidence.removed"]
    assert not path.exists()
    assert registry.evidence.names() == []


def test_what_killed_processes_left_is_swept_and_our_own_is_not(
    tmp_path: Path, registry: Registry, proven: tuple[About, pa.Table]
) -> None:
    run = registry.runs.create("news-topics", "k", "asked", full=True)
    assert run is not None
    kept = keeping.keep(registry, tmp_path, proven[0].model_copy(update={"run_id": run.run_id}), proven[1])
    nobodys = keeping.keep(registry, tmp_path, *proven)
    theirs = tmp_path / f".{kept.name}.0.abcd.tmp"
    theirs.write_bytes(b"half")
    assert keeping.sweep(registry, tmp_path) == 2
    assert (kept.exists(), nobodys.exists(), theirs.exists()) == (True, False, False)


def test_a_former_leader_records_nothing(tmp_path: Path, registry: Registry, proven: tuple[About, pa.Table]) -> None:
    with pytest.raises(StopError):
        keeping.keep(registry, tmp_path, *proven, fencing_token=99)
    assert registry.evidence.names() == []


def test_the_same_run_again_takes_the_place(tmp_path: Path, registry: Registry, proven: tuple[About, pa.Table]) -> None:
    about, rows = proven
    keeping.keep(registry, tmp_path, about, rows.slice(0, 10))
    path = keeping.keep(registry, tmp_path, about, rows)
    assert checking.check(path, registry.evidence.of_run(RUN), about.told).outcome == "equal"
