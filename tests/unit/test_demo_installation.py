"""The throw-away installation of the demo: the user's own one is not in its way, and nothing of it stays behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from config.settings import SHIPPED_TASKS_DIR
from config.tasks import load_tasks
from daemon.demo.installation import Installation, InstallationError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the installation, below one with settings of the user's, one of them wrong."""
    (tmp_path / "perennial.toml").write_text("tasks_dir = 'nowhere'\nunknown = 1\n[serving]\nmax_texts = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERENNIAL_TASKS_DIR", "elsewhere")
    monkeypatch.setenv("PERENNIAL_SERVING__MAX_TEXTS", "2")
    monkeypatch.setenv("PERENNIAL_TRAINING__THREADS", "3")
    made = tmp_path / "demo"
    made.mkdir()
    return made


def test_only_the_training_settings_come_from_the_environment(folder: Path) -> None:
    installation = Installation(folder, settings_overrides={"enrich": {"test_fraction": 0.7}})
    settings = installation.settings
    assert settings.data_dir == folder / "data"
    assert load_tasks(settings.tasks_folder).keys() == load_tasks(SHIPPED_TASKS_DIR).keys()
    assert (settings.training.threads, settings.serving.max_texts, settings.enrich.test_fraction) == (3, 256, 0.7)
    assert (settings.serving.port, settings.telemetry.port) == (0, 0)


def test_a_port_that_is_asked_for_is_the_one_that_is_told(folder: Path) -> None:
    settings = Installation(folder, settings_overrides={"serving": {"port": 18_310}}).settings
    assert (settings.serving.port, settings.telemetry.port) == (18_310, 0)


@pytest.mark.process
def test_its_daemon_reads_the_same_settings(folder: Path) -> None:
    code = "from config.settings import load_settings; raise SystemExit(load_settings().training.threads)"
    with pytest.raises(InstallationError, match="ended with code 3"):
        Installation(folder).start(("-P", "-c", code))


@pytest.mark.process
def test_a_start_that_fails_leaves_no_process(folder: Path) -> None:
    class Slow(Installation):
        def start(self, program: Sequence[str] = ("-c", "import time; time.sleep(60)")) -> None:
            self._process = subprocess.Popen([sys.executable, *program])
            message = "waited in vain"
            raise InstallationError(message)

    installation = Slow(folder)
    with pytest.raises(InstallationError, match="in vain"), installation:
        pass
    assert installation._process is not None
    assert installation._process.returncode is not None
