"""A command, option, setting or task key that the docs leave out fails here."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.text import Text

from config.settings import DEFAULTS_FILE, known_keys
from config.task_files.sections.due import Refresh, Trigger
from config.task_files.sections.feedback import FeedbackPolicy
from config.task_files.sections.next_labels import NextLabels
from config.task_files.sections.promotion import Promotion
from config.task_files.sections.quality import Quality
from config.task_files.sections.review import Review
from config.task_files.sections.training import Training
from config.tasks import TaskSpec
from daemon.cli.main import app

ROOT = Path(__file__).parents[2]
COMMANDS = (ROOT / "docs" / "commands.md").read_text()


def commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    if hasattr(group, "commands"):
        for name, command in group.commands.items():
            yield from commands(command, f"{path} {name}")
    else:
        yield path, group


ALL = list(commands(typer.main.get_command(app), "perennial"))


def test_the_commands_that_were_promised_exist() -> None:
    names = {path.split()[1] for path, _ in ALL}
    assert names >= {
        "run", "serve", "demo", "import", "status", "tasks", "train", "models", "keys", "predict", "dlq", "config", "schema",
        "doctor",
    }  # fmt: skip


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_every_command_and_option_is_documented(path: str, command: Any) -> None:
    assert f"`{path}" in COMMANDS, f"docs/commands.md does not mention `{path}`"
    assert command.help, f"{path} has no help text"
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            assert any(option in COMMANDS for option in [*parameter.opts, *parameter.secondary_opts]), (
                f"docs/commands.md leaves out {parameter.opts} of {path}"
            )


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_help_texts_are_shown_as_they_are_written(path: str, command: Any) -> None:
    # Square brackets are markup to Rich: `[/FOLDER]` closes what nobody opened, and `--help` ended in a traceback.
    for text in (command.help, *(getattr(parameter, "help", None) for parameter in command.params)):
        assert Text.from_markup(text or "").plain == (text or ""), path


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_every_argument_is_spelt_in_capitals(path: str, command: Any) -> None:
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            assert parameter.metavar, f"{parameter.name} of {path} has no metavar"
            assert parameter.metavar.isupper(), f"{parameter.metavar} of {path}"


def test_the_docs_name_no_command_that_does_not_exist() -> None:
    known = {path for path, _ in ALL}
    groups = {path.rsplit(" ", 1)[0] for path, _ in ALL if path.count(" ") == 2}
    for text in [path.read_text() for path in [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]]:
        for found in re.findall(r"`(perennial [a-z]+(?: [a-z]+)?)", text):
            words = found.split()
            candidates = {" ".join(words), " ".join(words[:2])}
            assert candidates & (known | groups | {"perennial toml"}), f"the docs speak of `{found}`"


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    defaults = tomllib.loads(DEFAULTS_FILE.read_text())
    for key in known_keys():
        section, _, name = key.rpartition(".")
        value = defaults[section][name] if section else defaults[name]
        row = re.search(rf"^\| `{re.escape(key)}` \| `(.+?)` \| .{{5,}} \|$", text, flags=re.MULTILINE)
        assert row, f"docs/settings.md has no row for {key}"
        assert tomllib.loads(f"v = {row[1]}")["v"] == value, f"docs/settings.md gives another default for {key}"


@pytest.mark.parametrize("part", [TaskSpec, Trigger, Refresh, Training, Promotion, FeedbackPolicy, Quality, Review, NextLabels])
def test_every_key_of_a_task_file_is_documented(part: type[TaskSpec]) -> None:
    text = (ROOT / "docs" / "define-a-task.md").read_text()
    for key, field in part.model_fields.items():
        assert f"`{key}`" in text, f"docs/define-a-task.md leaves out {key}"
        if field.annotation not in (Trigger, Refresh, Training, Promotion, FeedbackPolicy, Quality, Review, NextLabels):
            assert field.description, f"{part.__name__}.{key} has no description"
