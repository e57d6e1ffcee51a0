"""Evidence bundles of real verdicts: written by the cycle, verified by the command, erased and removed with what they are of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from config.errors import UserError
from config.settings import environment_of
from consumers.events.schemas import Erase
from daemon.cli.main import app
from daemon.training.concluding.telling import Teller
from daemon.views.models import verification
from registry.evidence import bundle, keeping
from registry.lineage import looks_at
from registry.runs import Run
from tests.integration.test_housekeeping import DAY_S, keep_house
from tests.support import buffers
from tests.support.cycles import NAME, better
from tests.support.proven import scored
from tests.support.towns import Town

TESTED = [f"test-{number}" for number in range(10)]


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with Town(tmp_path, train=scored) as made:
        yield made


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """An installation with a champion and a candidate that was kept aside, to be looked at only."""
    with Town(tmp_path_factory.mktemp("settled"), train=scored) as made:
        made.champion_with_feedback()
        made.train_with(partial(scored, right=0.1, opponent_right=1.0))
        made.grow(10)
        made.ask("request:second")
        yield made


def bundle_of(town: Town, run: Run) -> Path:
    return bundle.path_of(town.settings.evidence_dir, run.run_id)


def verified(town: Town, run: Run) -> verification.Verification:
    return verification.of(town.settings, town.registry, run.run_id)


def test_every_verdict_leaves_evidence_that_it_follows_from(settled: Town) -> None:
    second, first = settled.registry.runs.list()
    assert (first.verdict, second.verdict) == ("promote", "keep")
    for run in (first, second):
        found = verified(settled, run)
        assert (found.outcome, found.problems, found.figures, found.rows) == ("equal", (), (), 10)
        assert found.told.reasons == run.reasons
        assert found.recomputed == found.recorded
    assert verification.of(settled.settings, settled.registry, f"{NAME}/v2") == verified(settled, second)
    rows = bundle.rows_of(bundle_of(settled, first))
    assert sorted(rows["example_id"].to_pylist()) == TESTED
    assert all(len(one) == 64 for one in rows[bundle.TEXT_HASH].to_pylist())
    assert b"held out text" not in bundle_of(settled, first).read_bytes()


def test_where_a_pair_was_judged_again_the_first_verdict_is_verified(settled: Town) -> None:
    run = settled.registry.runs.list()[0]
    pools = settled.registry.pools
    pool = pools.want(task=NAME, run_id=run.run_id, candidate=f"{NAME}/v2", champion=f"{NAME}/v1", seed=1)
    pools.looked(pool.pool_id, 2)
    settled.registry.runs.update(run.run_id, reasons=["What people answered decided."])
    settled.registry.looks.record(NAME, f"{run.run_id}:look-1", ["test-1"])
    found = verified(settled, run)
    assert (found.outcome, found.look, found.told.reasons) == ("equal", 0, run.reasons)
    assert looks_at(settled.registry, "test-1")[-1] == run.run_id
    settled.registry.runs.update(run.run_id, reasons=run.reasons)
    pools.looked(pool.pool_id, 0)


def test_what_held_a_promotion_up_is_told_around_the_gates_words(town: Town) -> None:
    town.grow(10)
    run = town.ask("request:kept", promote=False)
    assert run.reasons[0].startswith("Not promoted:")
    found = verified(town, run)
    assert (found.outcome, found.told.verdict, found.recorded.verdict) == ("equal", "keep", "promote")


def test_a_decision_repeated_after_a_crash_leaves_one_bundle(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.grow(10)
    with monkeypatch.context() as patched:
        patched.setattr(Teller, "announce", _crash_at_the_end(Teller.announce))
        with pytest.raises(KeyboardInterrupt):
            town.ask("request:first")
    (run,) = town.registry.runs.unfinished()
    assert (run.state, bundle_of(town, run).exists()) == ("published", True)
    town.next_cycle().step()
    assert verified(town, town.registry.runs.get(run.run_id)).outcome == "equal"


def _crash_at_the_end(announce: Any) -> Any:
    def crashing(self: object, run: Run, kind: str, **details: object) -> None:
        if kind == "training.finished":
            raise KeyboardInterrupt
        announce(self, run, kind, **details)

    return crashing


def test_an_erased_text_leaves_the_evidence(town: Town) -> None:
    town.buffer.insert(
        buffers.stored(buffers.label("test-mark", "The article's text", "A", task=NAME, article_id="a-9"), offset=900)
    )
    town.grow(10)
    run = town.ask("request:first")
    assert b"test-mark" in bundle_of(town, run).read_bytes()
    town.take_in(Erase(event_id="erase-a-9", occurred_at=buffers.NOW, article_id="a-9"))
    assert town.work().state == "removed from tables"
    assert b"test-mark" not in bundle_of(town, run).read_bytes()
    found = verified(town, run)
    assert (found.outcome, found.erased, found.erased_at is not None) == ("erased", 1, True)


def test_a_bundle_goes_with_the_record_of_its_run_and_a_champion_keeps_its_own(town: Town) -> None:
    champion = town.champion_with_feedback()
    about, rows = bundle.About.of(bundle_of(town, champion)), bundle.rows_of(bundle_of(town, champion))
    old = []
    for number in range(25):
        run = town.registry.runs.create(NAME, f"request:{number}", "asked", full=False)
        assert run is not None
        keeping.keep(town.registry, town.settings.evidence_dir, about.model_copy(update={"run_id": run.run_id}), rows)
        old.append(town.registry.runs.update(run.run_id, state="decided", verdict="keep"))
    town.clock.forward(5_000 * DAY_S)
    assert keep_house(town, registry={"keep_versions": 1})["runs_removed"] > 0
    gone = [run for run in old if town.registry.runs.find(run.run_id) is None]
    assert gone
    assert not any(bundle_of(town, run).exists() for run in gone)
    assert set(town.registry.evidence.names()) == {run.run_id for run in (champion, *old)} - {run.run_id for run in gone}
    assert verified(town, champion).outcome == "equal"


def test_a_run_without_scores_is_logged_and_verify_says_so(town: Town) -> None:
    town.train_with(better)
    town.grow(10)
    with capture_logs() as lines:
        run = town.ask("request:first")
    assert [line["event"] for line in lines if line["event"] == "run.unproven"] == ["run.unproven"]
    with pytest.raises(UserError, match="no evidence bundle"):
        verified(town, run)


@pytest.fixture
def here(settled: Town, monkeypatch: pytest.MonkeyPatch) -> Town:
    for name, value in environment_of(settled.settings).items():
        monkeypatch.setenv(name, value)
    return settled


def command(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["verify", *words])
    return done.exit_code, done.output


def test_the_command_tells_by_its_exit_code(here: Town) -> None:
    run = here.registry.runs.get(here.registry.versions.get(f"{NAME}/v1").run_id)
    path = bundle_of(here, run)
    content = path.read_bytes()
    for name in (f"{NAME}/v1", run.run_id, str(path)):
        code, shown = command(name, "--json")
        assert (code, json.loads(shown)["outcome"], json.loads(shown)["hash_known"]) == (0, "equal", name != str(path))
    about, rows = bundle.About.of(path), bundle.rows_of(path)
    answers = rows["candidate"].to_pylist()
    answers[2] = '{"label": "wrong"}'
    path.write_bytes(bundle.to_bytes(about, rows.set_column(rows.schema.get_field_index("candidate"), "candidate", [answers])))
    code, shown = command(f"{NAME}/v1")
    assert code == 1
    assert "changed" in shown
    assert "candidate_score" in shown
    path.write_bytes(bundle.to_bytes(about.model_copy(update={"erased": 1}), rows))
    assert command(str(path))[0] == 3
    path.unlink()
    assert isinstance(CliRunner().invoke(app, ["verify", f"{NAME}/v1"]).exception, UserError)
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["nobody/v1", "nobody", "", "../../etc/passwd", "a" * 5_000, "\0"])
def test_a_name_that_nothing_has_is_a_users_mistake(here: Town, name: str) -> None:
    done = CliRunner().invoke(app, ["verify", name])
    assert isinstance(done.exception, UserError)


def test_a_file_that_is_no_bundle_is_a_users_mistake(here: Town, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("notes")
    assert isinstance(CliRunner().invoke(app, ["verify", str(path)]).exception, UserError)
