"""What the shell proposes for tasks, versions and runs: asked of the real command, as bash asks."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from registry.store import Registry
from tests.support.registries import add_version

_AS_INSTALLED = """
import atexit, sys
sys.argv = ["perennial"]
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from daemon.cli.main import main
main()
"""
"""The installed script, which tells at its end what it has loaded."""
_SLOW = {"pydantic", "structlog", "sqlalchemy", "yaml", "torch", "lancedb", "spacy"}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an installation with two tasks, a filter folder, and two versions."""
    folder = tmp_path_factory.mktemp("town")
    (folder / "tasks" / "uplifting").mkdir(parents=True)
    (folder / "tasks" / "uplifting" / "config.yaml").write_text("filter: {name: uplifting}\n")
    (folder / "tasks" / "desk.yaml").write_text("# name: no\nname: news-desk   # ours\nkind: classification\n")
    (folder / "tasks" / "names.yaml").write_text('name: "news-names"\n')
    (folder / "tasks" / "torn.yaml").write_bytes(b"\xff\xfe")
    (folder / "perennial.toml").write_text('tasks_dir = "tasks"\ndata_dir = "kept"\n')
    (folder / "kept").mkdir()
    with closing(Registry.open(f"sqlite:///{folder / 'kept' / 'registry.db'}")) as registry:
        for _version in range(2):
            add_version(registry, "news-desk")
        registry.runs.create("news-desk", "k", "asked", full=True)
    return folder


def completed(folder: Path, *words: str, **variables: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
    asked = {"_PERENNIAL_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(("perennial", *words)), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _AS_INSTALLED], cwd=folder, env={**kept, **asked, **variables},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert not _SLOW.intersection(done.stderr.split()), "a shell waits for this"
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (("train", ""), ["news-desk", "news-names", "uplifting"]),
        (("models", "history", "news-d"), ["news-desk"]),
        (("import", "labels.jsonl", "--task", "u"), ["uplifting"]),
        (("models", "show", "news-desk/"), ["news-desk/v2", "news-desk/v1"]),
        (("models", "diff", "news-desk/v1", "news-desk/v2"), ["news-desk/v2"]),
        (("simulate", "--task", "news-"), ["news-desk", "news-names"]),
    ],
)
def test_names_in_force_are_proposed(town: Path, words: tuple[str, ...], proposed: list[str]) -> None:
    assert completed(town, *words) == proposed


def test_a_run_to_repeat_may_be_named_by_its_id(town: Path) -> None:
    *versions, run = completed(town, "train", "--from-manifest", "news-desk")
    assert versions == ["news-desk/v2", "news-desk/v1"]
    assert run.startswith("news-desk-")


@pytest.mark.parametrize("setting", ["tasks_dir", "data_dir"])
def test_nothing_is_proposed_where_nothing_can_be_read(town: Path, setting: str) -> None:
    variable = {f"PERENNIAL_{setting.upper()}": str(town / "nowhere")}
    assert completed(town, *(("train", "") if setting == "tasks_dir" else ("models", "show", "")), **variable) == []
    (town / "broken.toml").write_text("tasks_dir = [\n")
    assert completed(town, "train", "news-t", PERENNIAL_CONFIG=str(town / "broken.toml")) == ["news-topics"]
