"""`perennial init` from what somebody has to a task that imports it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from daemon.demo.installation import Installation
from tests.support.commands import perennial_here


def test_the_steps_that_it_names_work(tmp_path: Path) -> None:
    town = Installation(tmp_path / "town", serve=False)
    file = tmp_path / "desk news.jsonl"
    rows = [{"headline": f"Story number {n}", "section": "ab"[n % 2], "date": f"2026-01-{n + 1:02}"} for n in range(9)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "tasks"
    nobody = perennial_here(town, "init", str(file), "--folder", str(folder))
    assert nobody.returncode == 2
    assert "--yes" in nobody.stderr
    done = json.loads(perennial_here(town, "init", str(file), "--folder", str(folder), "--yes", "--json").stdout)
    assert (done["kind"], done["name"]) == ("classification", "desk-news")
    assert Path(done["task_file"]).is_file()
    command = next(step for step in done["next"] if "import" in step)
    town.settings = town.settings.model_copy(update={"tasks_dir": str(folder)})
    told = perennial_here(town, *shlex.split(command)[1:], "--dry-run", "--json").stdout
    assert (json.loads(told)["rows"], json.loads(told)["labels"]) == (len(rows), {"a": 5, "b": 4})
