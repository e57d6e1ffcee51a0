"""What one look tells to be wrong, under the names that Prometheus' alerts and the runbooks have."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from daemon.views.installation import alerts, runbooks
from daemon.views.installation.alerts import Looked, OfTask
from daemon.views.installation.flow import Backlog, Flow
from tests.unit.test_docs import ROOT

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NONE = Backlog(texts=0, since=None)
FLOW = Flow(
    lag={},
    log_problem=None,
    tables={},
    backlog={"articles": NONE, "examples": NONE},
    enriched_per_s=None,
    dead_letters=0,
    set_aside=0,
)
WELL = Looked(
    now=NOW, flow=FLOW, leader_gone_since=None, serving_problem=None, late_erasures=0, dead_letters_since=None, outgoing=0,
    free_bytes=10 << 30, needed_bytes=1 << 30, last_backup_at=None, tasks={"t": OfTask(0, None, {})},
)  # fmt: skip
BEHIND = FLOW.model_copy(update={"backlog": {"articles": Backlog(texts=1, since=NOW - timedelta(minutes=31)), "examples": NONE}})
TROUBLES = [
    ("NoLeader", "critical", replace(WELL, leader_gone_since=NOW)),
    ("ServingDown", "critical", replace(WELL, serving_problem="it hangs")),
    ("ErasureLate", "critical", replace(WELL, late_erasures=1)),
    ("LogNotAnswering", "critical", replace(WELL, flow=FLOW.model_copy(update={"log_problem": "away"}))),
    ("DiskLow", "warning", replace(WELL, free_bytes=3 << 30)),
    ("BackupTooOld", "warning", replace(WELL, last_backup_at=NOW - timedelta(days=3))),
    ("EnrichmentBehind", "warning", replace(WELL, flow=BEHIND)),
    ("DeadLettersRising", "warning", replace(WELL, dead_letters_since=NOW - timedelta(minutes=14))),
    ("OutboxBacklog", "warning", replace(WELL, outgoing=101)),
    ("LabelFlips", "warning", replace(WELL, tasks={"t": OfTask(0, None, {"a -> b": 50})})),
    ("RunsFailing", "warning", replace(WELL, tasks={"t": OfTask(3, None, {})})),
    ("NoRunDecided", "warning", replace(WELL, tasks={"t": OfTask(0, NOW - timedelta(days=9), {})})),
]


def test_where_all_is_well_nothing_is_told() -> None:
    assert alerts.alerts(WELL) == ()
    quiet = replace(
        WELL, outgoing=100, dead_letters_since=NOW - timedelta(minutes=16), last_backup_at=NOW - timedelta(days=1),
        free_bytes=4 << 30, tasks={"t": OfTask(2, NOW - timedelta(days=7), {})},
    )  # fmt: skip
    assert alerts.alerts(quiet) == ()


@pytest.mark.parametrize(("name", "severity", "seen"), TROUBLES, ids=[name for name, _severity, _seen in TROUBLES])
def test_each_trouble_is_told_with_its_severity_and_has_a_runbook(name: str, severity: str, seen: Looked) -> None:
    (alert,) = alerts.alerts(seen)
    assert (alert.name, alert.severity) == (f"Perennial{name}", severity)
    runbook = runbooks.of_name(alert.name)
    assert runbook.sections[0].title == "What it means"
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    known = {rule["alert"]: rule["labels"]["severity"] for group in rules["groups"] for rule in group["rules"]}
    assert known[alert.name] == severity


def test_critical_ones_come_first() -> None:
    found = alerts.alerts(replace(WELL, outgoing=101, leader_gone_since=NOW))
    assert [alert.severity for alert in found] == ["critical", "warning"]


def test_a_champion_that_does_not_answer_is_an_alert_of_serving() -> None:
    (alert,) = alerts.of_serving({"t": "corrupt"})
    assert (alert.name, alert.task, alert.what) == ("PerennialServingNotReady", "t", "corrupt")


@pytest.mark.parametrize("name", ["../security", "PerennialNothing", "", "a/b"])
def test_there_is_no_other_runbook(name: str) -> None:
    with pytest.raises(runbooks.UserError, match="no runbook"):
        runbooks.of_name(name)


def test_a_runbook_is_read_into_paragraphs_items_and_what_is_typed() -> None:
    blocks = [block for section in runbooks.of_name("PerennialLabelFlips").sections for block in section.blocks]
    assert {block.kind for block in blocks} == {"text", "item"}
    typed = [piece.text for block in blocks for piece in block.pieces if piece.code]
    assert "perennial feedback quarantine" in typed
    assert not any("](" in piece.text or "`" in piece.text for block in blocks for piece in block.pieces)
