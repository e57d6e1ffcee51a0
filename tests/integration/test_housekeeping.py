"""What goes with time, once an hour, over everything a daemon keeps: counted, said, and never what something still needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.clock import ClockWatch
from consumers.events.schemas import Erase
from consumers.log.protocols import Position, RawEvent
from daemon.upkeep.housekeeping import Housekeeping
from tests.support import buffers
from tests.support.cycles import NAME
from tests.support.towns import Town

DAY_S = 86_400.0


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with Town(tmp_path) as made:
        yield made


def keep_house(town: Town, **changes: Any) -> dict[str, Any]:
    """Do it once; return what it said it removed, without what was nothing."""
    settings = town.settings
    for section, values in changes.items():
        settings = settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})
    town.buffer._settings = settings.buffer
    housekeeping = Housekeeping(
        town.leading(settings), event_log=town.log, dead_letters=town.letters, erasures=town.erasures, artifacts=town.artifacts
    )
    with capture_logs() as logs:
        assert housekeeping.step() > 0
    (said,) = (line for line in logs if line["event"] == "daemon.housekeeping")
    return {name: value for name, value in said.items() if name not in ("event", "log_level") and value}


def test_everything_has_its_time_and_a_champion_keeps_what_it_needs(town: Town) -> None:
    run = town.champion_with_feedback()
    town.letters.add(RawEvent(Position("t", 0, 1), b"{", None, (), town.clock()), "not JSON")
    town.take_in(Erase(event_id="erase-1", occurred_at=town.clock(), user_id="nobody"), buffers.prediction("p-1", task=NAME))
    town.erasures.reached("done_at", [1])
    town.registry.outbox.mark_sent([row.id for row in town.registry.outbox.pending()])
    events = keep_house(town)
    assert events == {}, "nothing is old"

    town.clock.forward(100 * DAY_S)
    found = keep_house(town)
    assert found.pop("outgoing_removed") > 0
    assert found.pop("events_removed") > 0
    assert found == {"rows_removed": {"predictions": 1}, "dead_letters_removed": 1}
    learnt = town.registry.versions.learnt(f"{NAME}/v1")
    assert learnt

    town.clock.forward(1_500 * DAY_S)
    found = keep_house(town)
    assert found.pop("rows_removed")["examples"] > 0
    assert found == {"looks_removed": 10, "erasures_removed": 1}
    assert town.buffer.table_counts()["examples"] == 0
    assert (town.champion(), town.registry.versions.learnt(f"{NAME}/v1")) == (f"{NAME}/v1", learnt)
    assert town.registry.runs.get(run.run_id).finished, "its version has its files"
    assert town.erasures.tombstones().has("user", "nobody"), "what was erased stays refused"
    assert keep_house(town) == {}


def test_after_a_jump_of_the_clock_nothing_is_removed(town: Town) -> None:
    town.champion_with_feedback()
    before = town.buffer.table_counts()
    town.clock.forward(9_999 * DAY_S)
    wall = [0.0]
    housekeeping = Housekeeping(
        town.leading(), event_log=town.log, dead_letters=town.letters, erasures=town.erasures, artifacts=town.artifacts,
        watch=ClockWatch(wall=lambda: wall[0], steady=lambda: 0.0),
    )  # fmt: skip
    wall[0] = 2 * DAY_S
    with capture_logs() as logs:
        assert housekeeping.step() > 0
    assert [line["event"] for line in logs] == ["clock.jumped"]
    assert town.buffer.table_counts() == before


def test_0_keeps_all_and_a_run_is_known_as_long_as_its_request(town: Town) -> None:
    town.champion_with_feedback()
    town.clock.forward(9_999 * DAY_S)
    kept = {"buffer": {"retention_days": 0.0, "predictions_days": 0.0}, "ingest": {"dead_letters_days": 0.0}}
    found = keep_house(town, **kept, registry={"history_days": 1.0})
    assert found.keys() <= {"outgoing_removed", "events_removed"}
    runs = len(town.registry.runs.list(limit=99))
    keep_house(town, buffer={"retention_days": 99_999.0, "predictions_days": 0.0}, registry={"history_days": 1.0})
    assert len(town.registry.runs.list(limit=99)) == runs
