"""What shows read models stays light: serving and its page load no tables and no models for them."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"lancedb", "pyarrow", "numpy", "torch", "spacy", "transformers", "matplotlib", "kafka"}
LIGHT = [
    "daemon.serving.http.api", "daemon.serving.service", "daemon.dashboard.app", "registry.reports.answers",
    *(f"daemon.views.{name}" for name in (
        "installation.alerts", "task.explanation", "history", "models.reports", "models.logs", "models.scores",
        "installation.runbooks", "installation.serving_pace", "installation.system", "models.comparison", "dead_letters",
        "erasures", "feedback.corrections", "feedback.fates", "feedback.overview", "installation.flow", "installation.keys",
        "opening", "models.runs", "installation.settings", "task.task_status", "tasks", "models.versions", "view",
    )),
]  # fmt: skip


@pytest.mark.process
def test_views_are_imported_without_what_they_read_from() -> None:
    code = f"import sys, {', '.join(LIGHT)}; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.process
def test_a_daemon_starts_without_what_draws_and_what_computes_trust() -> None:
    code = "import sys, daemon.app; print(sorted({'matplotlib', 'scipy', 'sklearn', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.process
def test_a_head_answers_from_features_without_what_solves_it() -> None:
    code = "import sys, daemon.serving.sandbox.examining; print(sorted({'scipy', 'sklearn', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
