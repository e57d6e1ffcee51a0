"""`perennial demo`: the whole loop on generated news, told by what the daemon itself reports."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from config.clock import utc_now
from config.errors import PerennialError
from daemon.demo import acts
from daemon.demo.acts import Stage
from daemon.demo.asking import App
from daemon.demo.installation import Installation
from daemon.demo.narrator import Narrator
from daemon.demo.stream import ENTITIES_TASK, TOPICS_TASK, NewsStream, Story

LIMIT_S = 1_800.0
"""A machine that is busy with other work takes several times as long as an idle one."""

# What differs from the shipped settings and policies; `_introduce` says it in words.
TASK_OVERRIDES: dict[str, dict[str, Any]] = {
    TOPICS_TASK: {"trigger.min_new_examples": acts.NEEDED, "trigger.cooldown_minutes": 0.0},
    ENTITIES_TASK: {
        "trigger.min_new_examples": acts.NEEDED, "trigger.cooldown_minutes": 0.0, "training.full_epochs": 5, "training.epochs": 4,
    },
}  # fmt: skip
SETTINGS_OVERRIDES: dict[str, dict[str, Any]] = {
    "enrich": {"test_fraction": acts.TEST_FRACTION, "interval_s": 0.5},
    "schedule": {"check_interval_s": 1.0},
    "serving": {"refresh_interval_s": 0.5},
    # Serving has little to do here, so that training may use every core.
    "training": {"threads": os.cpu_count() or 2},
}


def run(*, seed: int, keep: bool) -> int:
    """Play the demo; return the exit code: 0 when both tasks got a new champion, or a verdict with reasons, in time."""
    console = Console(highlight=False)
    # Whoever ends the demo, by Ctrl-C or by a signal, ends its daemon too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="perennial-demo-"))
    try:
        port = _free_port()
        _introduce(console, port)
        settings = {**SETTINGS_OVERRIDES, "serving": {**SETTINGS_OVERRIDES["serving"], "port": port}}
        installation = Installation(folder, task_overrides=TASK_OVERRIDES, settings_overrides=settings)
        with Narrator(console) as narrator:
            news = NewsStream(seed=seed, start=utc_now() - acts.EVERY * (3 * acts.STORIES), every=acts.EVERY)
            _play(Stage(narrator, installation, news, deadline=time.monotonic() + LIMIT_S))
    except PerennialError as error:
        console.print(Text(f"The demo cannot continue: {error}", "bold red"))
        console.print(f"Everything it wrote is kept in {folder}")
        return 1
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        console.print("Stopped; nothing of the demo is left.")
        return 130
    console.print(f"\n[bold]Done[/] in {narrator.seconds:.0f} s.")
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    _next_steps(console, folder if keep else None)
    return 0


def _play(stage: Stage) -> None:
    stage.narrator.phase("Start")
    # Before the daemon is there, as a crawler would: events wait in the log.
    first = stage.news.phase_one(acts.STORIES)
    stage.publish(first)
    with stage.installation:
        stage.narrator.say("A daemon is up, and the process that serves its models. No task has a model yet.")
        acts.first_articles(stage, first)
        acts.first_champions(stage)
        shown = _telling(stage.news.phase_two(acts.PORTION))
        before = acts.drift(stage, shown)
        with App(stage.installation, stage.tasks, shown.text) as app:
            acts.feedback(stage, stage.news.phase_two(acts.STORIES))
            seen = acts.retraining(stage)
            acts.verdicts(stage, seen)
            acts.serving_follows(stage, app, shown, before)
        acts.refresh(replace(stage, tasks=(TOPICS_TASK,)))


def _telling(stories: Sequence[Story]) -> Story:
    """Return the story to show before and after: of the new topic, and short."""
    return min((story for story in stories if story.topic == "spaceflight"), key=lambda story: len(story.text))


def _free_port() -> int:
    """Return a port of this machine that is free now: the page's address is told before anything listens there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _introduce(console: Console, port: int) -> None:
    console.print(f"[bold]Page:[/] http://127.0.0.1:{port}/ui  [dim](open it; it answers in a few seconds)[/]\n")
    console.print(
        "[bold]Perennial demo[/]: made-up news runs through a real daemon; nothing is recorded or faked. "
        f"Two models learn from it: {TOPICS_TASK} tells an article's topic, {ENTITIES_TASK} finds the names in it."
    )
    passes = TASK_OVERRIDES[ENTITIES_TASK]
    console.print(
        f"[dim]So that minutes are enough, {acts.NEEDED} new examples start a run (shipped: 100), {acts.TEST_FRACTION:.0%} "
        f"of the articles are held out (shipped: 20%), {ENTITIES_TASK} reads its rows {passes['training.full_epochs']} and "
        f"{passes['training.epochs']} times (shipped: 10 and 16), and nothing waits between runs. The policy that decides on "
        "promotion is the shipped one.[/]"
    )


def _next_steps(console: Console, kept: Path | None) -> None:
    # `make demo` calls the command by its path; that is how this person can call it, too.
    command = "perennial" if shutil.which("perennial") else os.path.relpath(sys.argv[0])
    steps = Table.grid(padding=(0, 2))
    steps.add_column(no_wrap=True, overflow="fold")
    if kept is not None:
        place = f"PERENNIAL_DATA_DIR={kept / 'data'} PERENNIAL_TASKS_DIR={kept / 'tasks'}"
        console.print(f"The data is kept. To look at it: {place} {command} dashboard")
    for typed, told in (
        *([(f"{command} demo --keep", "keep the data, and look at it on the page")] if kept is None else []),
        ("make run", "a daemon of your own; it prints the address of its page"),
        (f"{command} init FILE", "a task from your own labelled texts"),
        (f"{command} review TASK", "label the articles that decide on promotion; the page has a desk for it, /ui/desk"),
        (f"{command} top", "your daemon at work, in the terminal"),
        ("docs/quickstart.md", "all of it, step by step"),
    ):
        steps.add_row(f"  {escape(typed)}", told)
    console.print("\n[bold]What to look at next[/]")
    console.print(steps)
