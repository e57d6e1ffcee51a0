"""`perennial demo`: the whole loop on generated news, shown by what the daemon itself reports."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from config.clock import utc_now
from config.errors import PerennialError
from consumers.events import schemas as events
from daemon.demo.installation import Installation
from daemon.demo.narrator import Narrator
from daemon.demo.stream import ENTITIES_TASK, TOPICS_TASK, NewsStream, Story, TaskName
from daemon.serving.client import in_words

TASKS: tuple[TaskName, ...] = (TOPICS_TASK, ENTITIES_TASK)
PORTION = 20
"""Stories told at a time, before the drift and after it, until the hundredth new example of each task is there."""
MOST_STORIES = 600
ASKED_SHARE = 3
"""Readers are shown answers for one in this many stories; editors label all."""
BACKLOG = 40
"""Examples waiting for enrichment above which the stream holds back."""
SHOWN = 2
TEST_FRACTION = 0.7
"""Much is held out, so that the rows suffice to decide when the hundredth training example arrives."""
NEEDED = 100
"""The shipped threshold of both tasks."""
REFRESHED_AT = 10
"""The shipped threshold of a refresh of the head."""
LIMIT_S = 600.0

# What differs from the shipped settings and policies, printed before anything runs.
TASK_OVERRIDES: dict[str, dict[str, Any]] = {
    TOPICS_TASK: {"trigger.cooldown_minutes": 0.0},
    ENTITIES_TASK: {"trigger.cooldown_minutes": 0.0, "training.full_epochs": 5, "training.epochs": 4},
}
# So that the last act need not wait; set when it begins, or refreshes would run beside the acts before.
REFRESHING: dict[str, dict[str, Any]] = {TOPICS_TASK: {"refresh.cooldown_minutes": 0.0}}
SETTINGS_OVERRIDES: dict[str, dict[str, Any]] = {
    "enrich": {"test_fraction": TEST_FRACTION, "interval_s": 0.2},
    "schedule": {"check_interval_s": 1.0},
    "serving": {"refresh_interval_s": 0.5},
    # Serving has little to do here, so that training may use every core.
    "training": {"threads": os.cpu_count() or 2},
}


def run(*, seed: int, keep: bool) -> int:
    """Play the demo; return the exit code: 0 when both tasks got a new champion, or a verdict with reasons, in time."""
    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="perennial-demo-"))
    started = time.monotonic()
    try:
        port = _free_port()
        _introduce(console, seed, port)
        settings = {**SETTINGS_OVERRIDES, "serving": {**SETTINGS_OVERRIDES["serving"], "port": port}}
        installation = Installation(folder, task_overrides=TASK_OVERRIDES, settings_overrides=settings)
        with installation:
            _play(console, installation, seed, started)
    except PerennialError as error:
        console.print(Text(f"The demo cannot continue: {error}", "bold red"))
        console.print(f"Everything it wrote is kept in {folder}")
        return 1
    console.print(f"\n[bold]Done[/] in {time.monotonic() - started:.0f} s.")
    if keep:
        place = f"PERENNIAL_DATA_DIR={folder / 'data'} PERENNIAL_TASKS_DIR={folder / 'tasks'}"
        console.print(f"The data is kept. To look at it: {place} perennial dashboard")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    _next_steps(console)
    return 0


def _play(console: Console, installation: Installation, seed: int, started: float) -> None:
    def left_s() -> float:
        return max(1.0, LIMIT_S - (time.monotonic() - started))

    # So far apart that the policy's window of 90 days holds about as many stories as one phase tells.
    every = timedelta(hours=6)
    news = NewsStream(seed=seed, start=utc_now() - every * (2 * MOST_STORIES), every=every)
    with Narrator(console, installation, TASKS) as narrator:
        narrator.say("The daemon is up. Editors label stories; each task trains its first model at 100 new examples.")
        _stream(narrator, installation, left_s, news.phase_one, lambda stories: installation.publish(_desk(news, stories)))
        narrator.watch_until(lambda: all(narrator.champion(task) for task in TASKS), limit_s=left_s())
        narrator.settle()

        narrator.say(
            "Drift: new names appear, and a topic that no model has seen. Apps ask for predictions and readers correct them. "
            "Editors label the same stories without seeing a model's answer; only their labels decide on promotion."
        )
        generations = {task: narrator.champion(task) for task in TASKS}
        shown = _telling(news.phase_two(PORTION))
        before = {task: installation.predict(task, [story.text for story in shown]) for task in TASKS}
        counts = {"asked": 0, "correction": 0, "confirmation": 0}

        def drifted(stories: Sequence[Story]) -> None:
            _ask_and_correct(installation, news, stories[::ASKED_SHARE], counts)
            installation.publish(_desk(news, stories))

        _stream(narrator, installation, left_s, news.phase_two, drifted)
        narrator.say(
            f"{counts['asked']} answers shown to readers: {counts['correction']} corrected, {counts['confirmation']} confirmed."
        )
        narrator.watch_until(lambda: all(narrator.runs_since(task, generations[task]) for task in TASKS), limit_s=left_s())
        narrator.settle()
        _refresh(narrator, installation, news, left_s)
    after = {task: installation.predict(task, [story.text for story in shown]) for task in TASKS}
    _before_and_after(console, shown, before, after)


def _refresh(narrator: Narrator, installation: Installation, news: NewsStream, left_s: Callable[[], float]) -> None:
    """Tell stories until a handful of examples is new; then the head of the topics' model is solved anew."""
    narrator.say(
        f"Between such runs the head alone is solved anew, on all rows, from {REFRESHED_AT} new examples on. Readers correct the "
        "model and editors label a few stories more."
    )
    counts = {"asked": 0, "correction": 0, "confirmation": 0}
    for _portion in range(MOST_STORIES // PORTION):
        stories = news.phase_two(PORTION)
        _ask_and_correct(installation, news, stories[::ASKED_SHARE], counts, [TOPICS_TASK])
        installation.publish(_desk(news, stories, [TOPICS_TASK]))
        narrator.watch_until(lambda: _all_taken_in(installation), limit_s=left_s())
        if installation.task(TOPICS_TASK).new_examples >= REFRESHED_AT:
            break
    narrator.say(
        f"{counts['correction']} of {counts['asked']} answers corrected. {TOPICS_TASK} reloads with refresh.cooldown_minutes = 0."
    )
    before = narrator.refreshes(TOPICS_TASK)
    installation.change_tasks(REFRESHING)
    narrator.watch_until(lambda: narrator.refreshes(TOPICS_TASK) > before, limit_s=left_s())
    narrator.settle()


def _all_taken_in(installation: Installation) -> bool:
    status = installation.status()
    return not any(status.lag.values()) and not any(task.counts.unenriched for task in status.tasks)


def _stream(
    narrator: Narrator,
    installation: Installation,
    left_s: Callable[[], float],
    tell: Callable[[int], list[Story]],
    deal_with: Callable[[Sequence[Story]], object],
) -> None:
    """Tell stories in small portions, so that counts are seen to rise, until each task has had the examples that start a run."""
    before: dict[str, int] = {task: narrator.runs_started(task) for task in TASKS}
    started = False

    def taken_in() -> bool:
        nonlocal started
        counted = [task for task in narrator.look().tasks if task.task in TASKS]
        runs = [narrator.runs_started(task.task) > before[task.task] for task in counted]
        started = all(runs)
        # Counted examples may be taken away again, by a text that ties two sides or by a run that holds out more documents.
        reached = all(ran or task.new_examples >= NEEDED for ran, task in zip(runs, counted, strict=True))
        return started or (not reached and sum(task.counts.unenriched for task in counted) < BACKLOG)

    for _portion in range(MOST_STORIES // PORTION):
        deal_with(tell(PORTION))
        installation.wait_until(taken_in, limit_s=left_s(), what="the stories told so far to be enriched")
        if started:
            return


def _desk(news: NewsStream, stories: Sequence[Story], tasks: Sequence[TaskName] = TASKS) -> Iterator[events.AnyEvent]:
    for story in stories:
        yield news.article(story)
        yield from (news.gold(story, task) for task in tasks)


def _ask_and_correct(
    installation: Installation,
    news: NewsStream,
    stories: Sequence[Story],
    counts: dict[str, int],
    tasks: Sequence[TaskName] = TASKS,
) -> None:
    """Ask over HTTP as a production app does, post each reader's verdict, and count them."""
    for task in tasks:
        answered = installation.predict(task, [story.text for story in stories])
        for story, prediction in zip(stories, answered["predictions"], strict=True):
            feedback = news.feedback(
                story, task, prediction, prediction_id=prediction["prediction_id"],
                model_version=answered["version"], at=utc_now(),
            )  # fmt: skip
            body = feedback.model_dump(mode="json", exclude_none=True, exclude={"type", "schema_version"})
            installation.post("/v1/feedback", body)
            counts["asked"] += 1
            counts[feedback.verdict] += 1


def _telling(stories: Sequence[Story]) -> list[Story]:
    """Return the stories to show before and after: of the new topic, short enough for a line or two."""
    new = [story for story in stories if story.topic == "spaceflight"]
    return sorted(new, key=lambda story: len(story.text))[:SHOWN]


def _before_and_after(
    console: Console, shown: Sequence[Story], before: Mapping[TaskName, Any], after: Mapping[TaskName, Any]
) -> None:
    for task in TASKS:
        console.print(f"\n[bold]{task}[/], the same texts before and after")
        lines = Table.grid(padding=(0, 0, 0, 2))
        for number, story in enumerate(shown):
            for answered in (before[task], after[task]):
                lines.add_row(
                    Text(answered["version"], "dim", no_wrap=True), in_words(story.text, answered["predictions"][number])
                )
        console.print(lines)


def _free_port() -> int:
    """Return a port of this machine that is free now: the page's address is told before anything listens there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _introduce(console: Console, seed: int, port: int) -> None:
    console.print(f"[bold]Page:[/] http://127.0.0.1:{port}/ui  [dim](open it beside this; it answers in a few seconds)[/]\n")
    console.print("[bold]Perennial demo[/]: generated news through a real daemon; nothing here is recorded or faked.")
    console.print(f"[dim]Seed {seed}. The shipped promotion policy decides. Changed so that a few minutes are enough:[/]")
    changes = Table.grid(padding=(0, 2))
    settings = {f"{section}.{key}": value for section, values in SETTINGS_OVERRIDES.items() for key, value in values.items()}
    for owner, values in (*TASK_OVERRIDES.items(), ("settings", settings)):
        new = ", ".join(f"{key} = {value}" for key, value in values.items())
        changes.add_row(Text(f"  {owner}", "dim"), Text(new, "dim"))
    console.print(changes)


def _next_steps(console: Console) -> None:
    # `make demo` calls the command by its path; that is how this person can call it, too.
    command = "perennial" if shutil.which("perennial") else sys.argv[0]
    steps = Table.grid(padding=(0, 2))
    steps.add_column(no_wrap=True, overflow="fold")
    for typed, told in (
        ("make run", "run a daemon"),
        (f"{command} import FILE --task news-topics", "import labelled rows"),
        (f"{command} status", "which task is due for training, and why"),
        ("docs/quickstart.md", "all of it, step by step"),
    ):
        steps.add_row(f"  {escape(typed)}", told)
    console.print("\n[bold]Next[/]")
    console.print(steps)
