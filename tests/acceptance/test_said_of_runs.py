"""What the commands say where no run can start, where a daemon runs already, and where none does any more."""

from __future__ import annotations

import socket
from pathlib import Path

from config.clock import utc_now
from consumers.events.schemas import Label
from daemon.demo.installation import Installation
from tests.support.commands import perennial, perennial_here

TASK = "news-topics"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_without_anything_to_train_on_train_says_so_at_once_and_queues_nothing(tmp_path: Path) -> None:
    town = Installation(tmp_path, serve=False)
    done = perennial(town, "train", TASK, check=False)
    assert done.returncode == 2
    assert f"{TASK} has no training examples. Import some, then train again. Nothing was queued." in done.stderr
    assert not town.settings.data_dir.exists(), "nothing was made either"


def test_a_second_daemon_says_that_one_runs_and_a_dead_one_never_trains(tmp_path: Path) -> None:
    town = Installation(tmp_path, serve=False)
    # The same for both, as in a file of settings: the second cannot have it.
    telemetry = town.settings.telemetry.model_copy(update={"port": free_port()})
    town.settings = town.settings.model_copy(update={"telemetry": telemetry})
    with town:
        second = perennial(town, "run", "--no-serve", check=False)
        assert second.returncode == 2
        said = f"A daemon (pid {town.pid}) already runs on {town.settings.data_dir}; stop it, or choose another data_dir."
        assert said in second.stderr
        assert "Traceback" not in second.stderr

        nothing = perennial_here(town, "train", TASK)
        assert nothing.returncode == 2
        assert "Nothing was queued" in nothing.stderr

        town.kill()
        status = perennial_here(town, "status").stdout
        assert "none: no daemon has run since" in status
        assert "training" not in status.replace("training rows", "")

        # Sent and not read yet: train has something to wait for, and asks.
        town.publish(
            Label(event_id=f"l-{n}", occurred_at=utc_now(), task=TASK, text=f"A text number {n}", target={"label": "AB"[n % 2]})
            for n in range(3)
        )
        counted = perennial_here(town, "status", "--json").stdout
        assert '"perennial.feedback": 3' in counted
