"""The real `perennial` as a process: what it prints, how it ends, and that no mistake shows a traceback.

Most of these processes are forks, which spares each the imports; some are started as users do (`alone`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.events.schemas import FEEDBACK_TOPIC, Erase
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.protocols import Position, RawEvent
from registry.store import Registry
from tests.support.forked_commands import Commands
from tests.support.registries import add_version


class Shell:
    """Runs `perennial` in a folder of its own."""

    def __init__(self, folder: Path, commands: Commands) -> None:
        self.folder = folder
        self._commands = commands
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
        self.environment |= {"PERENNIAL_SERVING__PORT": "0", "COLUMNS": "200"}

    def __call__(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return self._commands.run(*arguments, folder=self.folder, environment=self.environment, stdin=stdin)

    def alone(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Start the command as users do, with all its imports."""
        return subprocess.run(
            # As the installed script does, it looks for no modules in the working folder.
            [sys.executable, "-P", "-m", "daemon", *arguments], cwd=self.folder, env=self.environment,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def json(self, *arguments: str) -> Any:
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def perennial(tmp_path: Path, commands: Commands) -> Shell:
    return Shell(tmp_path, commands)


def test_help_lists_the_commands_without_loading_models(perennial: Shell) -> None:
    done = perennial.alone("--help")
    assert done.returncode == 0
    for command in ("run", "serve", "demo", "import", "status", "train", "models", "predict", "dlq", "doctor"):
        assert command in done.stdout
    code = "import sys, daemon.cli.main; print({'torch', 'spacy', 'lancedb', 'transformers'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"


def test_the_version_is_told(perennial: Shell) -> None:
    assert perennial.alone("--version").stdout == f"perennial {metadata.version('perennial')}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status"], "perennial run"),
        (["dlq", "list"], "nothing has run"),
        (["models", "list"], "nothing has run"),
        (["predict", "news-topics", "hello"], "nothing has run"),
        (["predict", "nothing", "hello"], "news-topics"),
        (["train", "nothing"], "the tasks are news-entities, news-topics"),
        (["train"], "name the task to train"),
        (["train", "--from-manifest", "nothing"], "no run folder 'nothing', and nothing has run in"),
        (["train", "news-topics", "--learning-rate", "7"], "learning_rate must be at most 1.0, got 7.0"),
        (["train", "news-topics", "--downsample", "0"], "give rows (500), a share above 0"),
        (["erase"], "--user ID, --article ID or both"),
        (["erase", "--user", "anna", "--yes"], "nothing to erase"),
        (["import", "nowhere.csv"], "nowhere.csv"),
        (["import", "nowhere.csv", "--task", "nothing"], "the tasks are"),
        (["import", "file.xyz"], "--format"),
    ],
)
def test_a_mistake_ends_with_a_message_and_code_2(perennial: Shell, arguments: list[str], said: str) -> None:
    (perennial.folder / "file.xyz").write_text("x")
    done = perennial(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_models_commands_create_no_registry(perennial: Shell) -> None:
    (perennial.folder / "perennial-data").mkdir()
    done = perennial.alone("models", "gc")
    assert done.returncode == 2
    assert f"there is no registry at sqlite:///{perennial.folder / 'perennial-data' / 'registry.db'}" in done.stderr
    assert not list((perennial.folder / "perennial-data").iterdir())


def test_models_of_an_unknown_task_are_a_mistake_and_of_one_without_file_are_not(perennial: Shell) -> None:
    folder = perennial.folder / "perennial-data"
    folder.mkdir()
    with Registry.open(f"sqlite:///{folder / 'registry.db'}") as registry:
        run = registry.runs.create("former-task", "request:1", "asked for", full=True)
        assert run is not None
        add_version(registry, "former-task", run_id=run.run_id)
    for command in ("list", "history"):
        wrong = perennial("models", command, "news-topisc")
        assert wrong.returncode == 2
        assert "the tasks are news-entities, news-topics" in wrong.stderr
        for known in ("news-topics", "former-task"):
            assert perennial("models", command, known).returncode == 0


def test_a_task_is_paused_and_resumed_and_history_tells_of_both(perennial: Shell) -> None:
    folder = perennial.folder / "perennial-data"
    folder.mkdir()
    with Registry.open(f"sqlite:///{folder / 'registry.db'}"):
        pass
    assert perennial("pause", "news-topics").returncode == 2, "a reason is needed"
    assert perennial("pause", "nothing", "--why", "x").returncode == 2
    assert perennial("pause", "news-topics", "--why", "elections").returncode == 0
    again = perennial("pause", "news-topics", "--why", "once more")
    assert (again.returncode, "elections" in again.stderr) == (2, True)
    assert perennial("resume", "news-topics", "--why", "they are over").returncode == 0
    assert perennial("resume", "news-topics").returncode == 2
    told = json.loads(perennial("history", "--json").stdout)
    assert [(one["what"], one["task"], one["by"], one["why"]) for one in told] == [
        ("resume", "news-topics", "operator", "they are over"), ("pause", "news-topics", "operator", "elections"),
    ]  # fmt: skip


def test_runs_are_listed_with_what_came_of_them_failed_ones_too(perennial: Shell) -> None:
    folder = perennial.folder / "perennial-data"
    folder.mkdir()
    with Registry.open(f"sqlite:///{folder / 'registry.db'}") as registry:
        for number in range(2):
            run = registry.runs.create(
                "news-topics", f"request:{number}", f"asked for {number}", full=False, further_keys=[f"request:beside-{number}"]
            )
            assert run is not None
            if number == 0:
                registry.runs.update(run.run_id, state="failed", error="the disk is full")
            else:
                registry.runs.update(run.run_id, state="decided", verdict="keep", reasons=["it is worse"])
    newest, oldest = perennial.json("runs", "news-topics")
    assert (newest["reason"], newest["verdict"], newest["reasons"]) == ("asked for 1", "keep", ["it is worse"])
    assert (oldest["state"], oldest["error"]) == ("failed", "the disk is full")
    assert [run["reason"] for run in perennial.json("runs", "--limit", "1")] == ["asked for 1"]
    assert [run["reason"] for run in perennial.json("runs", "--request", "beside-0")] == ["asked for 0"]
    assert perennial("runs", "--request", "nobody-asked").returncode == 2
    perennial.environment["COLUMNS"] = "200"
    shown = perennial("runs").stdout
    assert "the disk is full" in shown
    assert "not promoted" in shown
    assert perennial("runs", "news-topisc").returncode == 2


def test_wrong_settings_name_the_key(perennial: Shell) -> None:
    (perennial.folder / "perennial.toml").write_text("[serving]\nmax_texts = 'many'\n")
    done = perennial.alone("config")
    assert done.returncode == 2
    assert "serving.max_texts" in done.stderr
    assert "perennial.toml" in done.stderr
    assert "Traceback" not in done.stderr


def test_config_shows_sources_and_masks_the_token(perennial: Shell) -> None:
    perennial.environment["PERENNIAL_SERVING__TOKEN"] = "hush-hush"
    shown = perennial("config")
    assert "hush-hush" not in shown.stdout
    values = perennial.json("config")
    assert values["serving.token"] == {"value": "********", "source": "PERENNIAL_SERVING__TOKEN"}
    assert values["serving.port"]["source"] == "PERENNIAL_SERVING__PORT"
    assert values["log.level"] == {"value": "info", "source": "default"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hush-hush@db/news", "postgresql://me:***@db/news"),
        ("postgresql://me@db/news?password=hush-hush", "postgresql://me@db/news?password=hidden"),
        ("me:hush-hush@db", "********"),
    ],
)
def test_config_masks_the_password_of_the_registry(perennial: Shell, url: str, shown: str) -> None:
    perennial.environment["PERENNIAL_REGISTRY__URL"] = url
    assert perennial.json("config")["registry.url"]["value"] == shown
    assert "hush-hush" not in perennial("config").stdout


def test_schemas_are_written_for_every_event(perennial: Shell) -> None:
    assert perennial("schema", "schemas").returncode == 0
    written = {path.name for path in (perennial.folder / "schemas").iterdir()}
    assert {"article.schema.json", "feedback.schema.json", "label.schema.json", "target.ner.schema.json"} <= written
    feedback = json.loads((perennial.folder / "schemas" / "feedback.schema.json").read_text())
    assert {"type", "event_id", "user_id", "verdict"} <= set(feedback["required"])
    assert "target" not in feedback["required"], "a confirmation may cite a prediction instead"


def test_tasks_are_listed(perennial: Shell) -> None:
    assert [task["name"] for task in perennial.json("tasks")] == ["news-entities", "news-topics"]
    assert "better by more than 5%" in perennial("tasks").stdout
    # What the files say needs no registry.
    perennial.environment["PERENNIAL_REGISTRY__URL"] = "sqlite:////nowhere/registry.db"
    assert [task["champion"] for task in perennial.json("tasks")] == [None, None]


def test_an_import_counts_what_it_sent_and_shows_what_it_left_out(perennial: Shell) -> None:
    rows = [{"text": f"story number {number} of the day", "label": "sports", "when": "2026-01-02"} for number in range(5)]
    rows[2]["text"] = ""
    (perennial.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "not json\n")
    done = perennial("import", "rows.jsonl", "--task", "news-topics", "--time", "when", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["rows"], told["sent"], told["known"], told["bad"], told["labels"]) == (6, 4, 0, 2, {"sports": 4})
    assert "row 3 left out" in done.stderr
    assert "row 6 left out" in done.stderr
    wrong = perennial("import", "rows.jsonl", "--task", "news-topics", "--label", "topic")
    assert wrong.returncode == 2
    assert "label" in wrong.stderr
    assert "when" in wrong.stderr


def test_doctor_says_what_to_fix_and_fails(perennial: Shell) -> None:
    well = perennial("doctor")
    assert well.returncode == 0, well.stdout
    perennial.environment["PERENNIAL_SERVING__HOST"] = "0.0.0.0"  # noqa: S104 - the mistake under test
    ill = perennial("doctor", "--json")
    assert ill.returncode == 1
    problems = [finding for finding in json.loads(ill.stdout) if finding["level"] == "problem"]
    assert [problem["check"] for problem in problems] == ["serving address"]
    assert "serving.token" in problems[0]["remedy"]


def test_serving_refuses_a_wide_bind_without_a_token(perennial: Shell) -> None:
    perennial.environment["PERENNIAL_SERVING__HOST"] = "0.0.0.0"  # noqa: S104 - the mistake under test
    # A user's own module of the same name as one of ours is not in the way.
    (perennial.folder / "config.py").write_text("raise SystemExit('not the one that was meant')")
    done = perennial.alone("serve")
    assert done.returncode == 2
    assert "serving.token" in done.stderr
    assert "Traceback" not in done.stderr


def test_dead_letters_are_mended_dropped_and_removed_and_history_tells_of_each(perennial: Shell) -> None:
    file = perennial.folder / "perennial-data" / "dead_letters.db"
    file.parent.mkdir()
    with Registry.open(f"sqlite:///{file.parent / 'registry.db'}"), closing(DeadLetters(file)) as letters:
        for offset in range(4):
            letters.add(RawEvent(Position("perennial.articles", 0, offset), b"{", None, (), datetime.now(UTC)), "not JSON")
    for wrong in (["drop"], ["drop", "1", "--before", "2026-01-01"], ["drop", "99"], ["mend", "99", "-"]):
        assert perennial("dlq", *wrong, stdin="{}").returncode == 2
    assert perennial("dlq", "show", "4", "--content").stdout == "{"
    broken = perennial("dlq", "mend", "4", "-", stdin='{"type": "article", "event_id": "a-1", "body": 7}')
    assert (broken.returncode, "body is not a string" in broken.stderr, "occurred_at is missing" in broken.stderr) == (
        2,
        True,
        True,
    )
    right = {
        "type": "article",
        "event_id": "a-1",
        "occurred_at": "2026-05-01T12:00:00Z",
        "article_id": "a",
        "title": "t",
        "body": "b",
    }
    mended = perennial("dlq", "mend", "4", "-", "--why", "cut short by the crawler", stdin=json.dumps(right))
    assert (mended.returncode, "article a-1" in mended.stdout) == (0, True), mended.stderr
    assert "1 dead letter dropped; 2 wait, and 4 are kept" in perennial("dlq", "drop", "1", "--why", "spam").stdout
    assert [one["id"] for one in perennial.json("dlq", "list")] == [3, 2]
    asked = perennial("dlq", "drop", "1", "--permanently", stdin="n\n")
    assert asked.returncode != 0
    assert "Remove 1 dead letter permanently" in asked.stdout + asked.stderr
    assert "0 dead letters removed; 4 remain" in perennial("dlq", "drop", "--before", "2026-01-01", "--permanently").stdout
    assert (
        "4 dead letters removed; 0 remain" in perennial("dlq", "drop", "--before", "2999-01-01", "--permanently", "--yes").stdout
    )
    told = [(one["what"], one["subject"], one["why"]) for one in perennial.json("history")]
    assert told == [
        ("dead_letter.remove", "dead letters 1, 2, 3, 4", "dropped by hand"),
        ("dead_letter.drop", "dead letter 1", "spam"),
        ("dead_letter.mend", "dead letter 4", "cut short by the crawler"),
    ]


def test_an_erasure_is_asked_for_listed_and_its_tombstone_forgotten(perennial: Shell) -> None:
    assert perennial.json("erasures") == {"limit_hours": 24.0, "erasures": []}
    data = perennial.folder / "perennial-data"
    data.mkdir()
    assert perennial("erase", "--user", "anna", stdin="n\n").returncode == 1
    for arguments, said in ((["--forget-tombstone"], "nothing was ever erased"), (["--user", "an\u200bna"], "is not an id")):
        refused = perennial("erase", "--user", "anna", "--yes", *arguments)
        assert (refused.returncode, said in refused.stderr) == (2, True)
    assert not (data / "events.db").exists(), "nothing was requested"
    asked = perennial("erase", "--user", "anna", "--article", "a-1", stdin="y\n")
    assert asked.returncode == 0, asked.stderr
    assert "user 'anna' and article 'a-1'" in asked.stdout
    waited = perennial("erase", "--user", "bert", "--yes", "--wait")
    assert waited.returncode == 1
    assert "no daemon is running" in waited.stderr
    with (
        closing(EmbeddedLog(data / "events.db", retention=timedelta(days=1))) as log,
        closing(log.source("test", [FEEDBACK_TOPIC])) as source,
    ):
        sent = [json.loads(raw.value or b"") for raw in source.poll(timeout_s=0.1, max_events=10)]
    assert [(event["type"], event.get("user_id"), event.get("article_id")) for event in sent] == [
        ("erase", "anna", "a-1"), ("erase", "bert", None),
    ]  # fmt: skip
    with closing(Erasures(data)) as erasures:
        erasures.request(Erase.model_validate(sent[0]))
    (listed,) = perennial.json("erasures")["erasures"]
    assert (listed["number"], listed["what"], listed["state"], listed["late"]) == (1, "user and article", "requested", False)
    assert "anna" not in perennial("erasures").stdout
    forgotten = perennial("erase", "--article", "a-1", "--forget-tombstone")
    assert "New events of this article are stored again" in forgotten.stdout
    again = perennial("erase", "--article", "a-1", "--forget-tombstone")
    assert (again.returncode, "never erased here" in again.stderr) == (2, True)
    with closing(Erasures(data)) as erasures:
        assert erasures.tombstones().has("user", "anna")
