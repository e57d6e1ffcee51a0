"""`perennial feedback` as a process beside a real daemon: what waits for a person, the decision, and what became of it."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from config.clock import utc_now
from consumers.events.schemas import Feedback, Label
from daemon.demo.installation import Installation
from daemon.process import presence
from tests.support.commands import perennial, perennial_here

TASK = "news-topics"
LIMIT_S = 120.0
MARKUP = "A headline with [/] markup, \x1b[2J a terminal's own words and $(a command) in it"
MOVE = "(unknown) -> $(touch x) [/bold]"


def said(event_id: str, text: str, label: str, user: str) -> Feedback:
    return Feedback(
        event_id=event_id, occurred_at=utc_now(), task=TASK, text=text, target={"label": label}, user_id=user,
        verdict="correction",
    )  # fmt: skip


def gold(event_id: str, text: str, label: str) -> Label:
    return Label(event_id=event_id, occurred_at=utc_now(), task=TASK, text=text, target={"label": label})


class Beside:
    """Runs `perennial feedback` with an installation's settings; `decide` does it as a process of its own."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return perennial_here(self.installation, "feedback", *arguments)

    def decide(self, *arguments: str) -> str:
        return perennial(self.installation, "feedback", *arguments).stdout

    def json(self, *arguments: str) -> Any:
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def fate(self, event_id: str) -> dict[str, Any]:
        """What HTTP says."""
        here = presence.read(self.installation.settings.data_dir)
        assert here is not None
        with urllib.request.urlopen(  # noqa: S310 - our own serving process
            f"{here.address}/v1/feedback/{event_id}", timeout=20
        ) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


@pytest.mark.slow
def test_from_the_quarantine_to_a_decision_that_outlives_the_daemon(tmp_path: Path) -> None:
    settings = {
        "feedback": {"alarm_min_count": 30, "max_per_article": 0},
        "enrich": {"interval_s": 0.1, "test_fraction": 0.001, "max_test_fraction": 0.001},
    }
    installation = Installation(tmp_path, settings_overrides=settings)
    feedback = Beside(installation)
    with installation:
        installation.publish(
            [
                gold("g-1", "The central bank raised its rates on Thursday morning", "economy"),
                said("f-1", MARKUP, "sport", "desk-1"),
                said("f-2", MARKUP, "economy", "desk-2"),
                said("f-3", "The central bank raised its rates on Thursday morning", "sport", "desk-3"),
            ]
        )
        installation.wait_until(lambda: installation.task(TASK).feedback.quarantined == 2, limit_s=LIMIT_S, what="the judgement")
        found = feedback.json("quarantine")
        assert [(one["event_id"], one["user_id"], one["standing"]) for one in found["feedback"]] == [
            ("f-1", "desk-1", "conflict"), ("f-2", "desk-2", "conflict"),
        ]  # fmt: skip
        shown = feedback("quarantine").stdout
        assert "[/] markup" in shown
        assert "\x1b[2J" not in shown
        assert feedback.fate("f-1")["status"] == "quarantined"
        installation.wait_until(lambda: feedback.fate("f-3")["status"] == "set_aside", limit_s=LIMIT_S, what="the judgement")
        assert "a label wins over feedback" in feedback("show", "f-3").stdout, "nobody is asked where a label decides"

        unknown = feedback("accept", "f-9")
        assert unknown.returncode == 2
        assert "no feedback f-9 is stored; nothing was decided" in unknown.stderr
        for wrong in ([], ["f-1", "--user", "desk-1"], ["f-1", "--task", TASK], ["--alarm", "a -> b"], ["--user", "nobody"]):
            assert feedback("reject", *wrong).returncode == 2
        assert "accepted; the daemon applies it" in feedback.decide("accept", "f-2")
        installation.wait_until(lambda: feedback.fate("f-1")["status"] == "set_aside", limit_s=LIMIT_S, what="the decision")
        assert feedback.fate("f-2")["status"] == "joined"

        installation.publish(said(f"x-{n}", f"Headline number {n} of a flood of them", MOVE[13:], "mallory") for n in range(40))
        installation.wait_until(lambda: bool(installation.task(TASK).feedback.alarms), limit_s=LIMIT_S, what="the alarm")
        assert "feedback.label_flip_alarm" in installation.log_file.read_text()
        assert "1 open label-flip alarm" in installation.task(TASK).reasons[0]
        assert "ALARM" in perennial_here(installation, "status").stdout
        alarms = feedback("quarantine").stdout
        assert f"perennial feedback accept --task {TASK} --alarm '{MOVE}'" in " ".join(alarms.split()), (
            "safe to copy into a shell"
        )
    # No daemon runs: the log keeps the decision for the next one.
    assert "no daemon is running" in feedback.decide("reject", "--task", TASK, "--alarm", MOVE)
    with installation:
        installation.wait_until(lambda: not installation.task(TASK).feedback.alarms, limit_s=LIMIT_S, what="the decision")
        assert feedback.fate("x-0")["status"] == "set_aside"
        assert feedback.fate("f-2")["status"] == "joined", "the earlier decision holds"
        (least, *_) = feedback.json("users")
        assert (least["contributor"], least["contradicted"], least["excluded"], least["effective"]) == ("mallory", 40, True, 0)
        assert "mallory" in feedback("users", TASK).stdout


def test_without_anything_it_says_what_to_do(tmp_path: Path) -> None:
    feedback = Beside(Installation(tmp_path))
    for arguments in (["quarantine"], ["users"], ["show", "f-1"], ["accept", "f-1"]):
        done = feedback(*arguments)
        assert done.returncode == 2
        assert "perennial run" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()
