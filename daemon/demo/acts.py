"""The acts of the demo, in order. Each waits for what the daemon does and tells it once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from config.clock import utc_now
from config.errors import UserError
from config.words import counted
from consumers.events import schemas as events
from daemon.demo import watching, wording
from daemon.demo.asking import App
from daemon.demo.installation import Installation
from daemon.demo.narrator import Narrator
from daemon.demo.stream import ENTITIES_TASK, TOPICS_TASK, NewsStream, Story, TaskName
from daemon.demo.watching import Seen
from daemon.serving.client import in_words

TASKS: tuple[TaskName, ...] = (TOPICS_TASK, ENTITIES_TASK)
NEEDED = 60
"""New examples that start a run here."""
TEST_FRACTION = 0.72
"""Much is held out, so that the rows suffice to decide when so few training examples have arrived."""
STORIES = 300
"""Told at once in each of both worlds: as many as the policy's 200 test rows and `NEEDED` training rows take."""
PORTION = 20
"""Told more where they did not suffice."""
REFRESH_STORIES = 50
"""As many as `REFRESHED_AT` training rows take."""
REFRESHED_AT = 10
"""The shipped threshold of a refresh of the head."""
MOST_PORTIONS = 20
ASKED_SHARE = 5
"""Readers are shown answers for one in this many stories; editors label all."""
REFRESHING: dict[str, dict[str, Any]] = {TOPICS_TASK: {"refresh.cooldown_minutes": 0.0}}
"""So that the last act need not wait; set when it begins, or refreshes would run beside the acts before."""
EVERY = timedelta(hours=7)
"""Between two stories: the policy's window of 90 days holds about as many as one world tells."""
_COUNTED_EVERY_S = 2.5


@dataclass
class Stage:
    """What all acts share."""

    narrator: Narrator
    installation: Installation
    news: NewsStream
    deadline: float
    """On the monotonic clock."""
    tasks: Sequence[TaskName] = TASKS
    before: dict[str, str | None] = field(default_factory=dict)
    """Each task's champion when the present act began."""

    def look(self) -> dict[str, Seen]:
        """Return what goes on now, by task."""
        return {seen.task: seen for seen in watching.look(self.installation, self.tasks)}

    def wait(self, happened: Callable[[dict[str, Seen]], bool], what: str) -> dict[str, Seen]:
        """Show what goes on until something has happened; return what was seen then. Raises `InstallationError` in the end."""
        seen: dict[str, Seen] = {}

        def looked() -> bool:
            nonlocal seen
            seen = self.look()
            self.narrator.show([watching.at_work(one) for one in seen.values()])
            return happened(seen)

        self.installation.wait_until(looked, limit_s=max(1.0, self.deadline - time.monotonic()), what=what)
        return seen

    def publish(self, stories: Sequence[Story]) -> None:
        """Have the desk send articles and their labels."""
        self.installation.publish(self._desk(stories))

    def _desk(self, stories: Sequence[Story]) -> Iterator[events.AnyEvent]:
        for story in stories:
            yield self.news.article(story)
            yield from (self.news.gold(story, task) for task in self.tasks)


def first_articles(stage: Stage, stories: Sequence[Story]) -> None:
    """Wait until the first stories, which were published, have started a run of each task."""
    stage.narrator.phase("First articles")
    stage.narrator.say(
        f"{len(stories)} articles wait in the event log. An editor has labelled each: its topic, and the names in it. Three of "
        "four are held out: no model learns from them, so that models can be compared on them."
    )
    stage.before = dict.fromkeys(stage.tasks)
    _until_trained(stage, stage.news.phase_one)
    counts = stage.installation.reader.buffer.counts(stage.tasks[0])
    stage.narrator.say(f"{counts.train} to learn from, {counts.test} to test with. A run starts at {NEEDED}.")


def first_champions(stage: Stage) -> None:
    """Tell each first model as it is promoted."""
    stage.narrator.phase("First champion")
    told: set[str] = set()

    def all_have_one(seen: dict[str, Seen]) -> bool:
        for one in seen.values():
            if (ended := one.ended_after(None)) is not None and ended.run_id not in told:
                told.add(ended.run_id)
                stage.narrator.say(*wording.first(ended))
                if ended.verdict != "promote":
                    stage.publish(stage.news.phase_one(STORIES))
        return all(one.champion for one in seen.values())

    stage.wait(all_have_one, "the first models to be trained")
    until_served(stage)


def drift(stage: Stage, story: Story) -> dict[TaskName, dict[str, Any]]:
    """Show what the first champions make of a story of the changed world; return their answers."""
    stage.narrator.phase("Drift")
    stage.narrator.say("The news change: a topic that no model has seen, spaceflight, and names nobody has heard of.")
    answers = {task: stage.installation.predict(task, [story.text]) for task in stage.tasks}
    for answered in answers.values():
        _show_answer(stage, story, answered)
    return answers


def feedback(stage: Stage, stories: Sequence[Story]) -> None:
    """Have readers judge answers, and editors label the same stories."""
    stage.narrator.phase("Feedback")
    verdicts = _ask_and_correct(stage, stories[::ASKED_SHARE])
    stage.narrator.say(
        f"Readers saw {verdicts.total()} answers and corrected {verdicts['correction']}. Corrections train the next model but "
        f"never decide about it: that do {len(stories)} new articles, which editors label without seeing an answer."
    )
    stage.publish(stories)


def retraining(stage: Stage) -> dict[str, Seen]:
    """Wait until every task has had its run; return what is seen then."""
    stage.narrator.phase("Retraining")
    stage.before = {task: one.champion for task, one in stage.look().items()}
    _until_trained(stage, stage.news.phase_two)
    stage.narrator.say(f"{NEEDED} new examples are there. Each model goes on from its champion, on new articles and on old ones.")
    return stage.wait(lambda seen: all(one.ended_after(stage.before[task]) for task, one in seen.items()), "the runs to end")


def verdicts(stage: Stage, seen: dict[str, Seen]) -> None:
    """Tell how the candidates compare, and what the gate decided."""
    ended = {task: run for task, one in seen.items() if (run := one.ended_after(stage.before[task])) is not None}
    stage.narrator.phase("Comparison")
    for run in ended.values():
        stage.narrator.say(*wording.compared(run, stage.installation.settings.runs_dir))
    stage.narrator.phase("Promotion")
    stage.narrator.say("The rule: more than 5 % better, and not by chance. It is the shipped one.")
    for task, run in ended.items():
        stage.narrator.say(*wording.decided(run, stage.before[task]))


def serving_follows(stage: Stage, app: App, story: Story, before: dict[TaskName, dict[str, Any]]) -> None:
    """Tell what an app got that asked all along, and show the same text before and after."""
    stage.narrator.phase("Serving follows")
    until_served(stage, app)
    by = " and ".join(f"{version} {counted(count, 'time')}" for version, count in sorted(app.answered.items()))
    failed = counted(len(app.failures), "request") if app.failures else "no request"
    stage.narrator.say(
        f"An app asked {app.answered.total() + len(app.failures)} times meanwhile; ",
        (f"{failed} failed", "bold"),
        f". {by} answered.",
    )
    for failure in app.failures[:1]:
        stage.narrator.say(failure)
    stage.narrator.say("The same text, before and after:")
    for task, answered in before.items():
        _show_answer(stage, story, answered)
        _show_answer(stage, story, stage.installation.predict(task, [story.text]))


def refresh(stage: Stage) -> None:
    """Tell stories until a handful of examples is new; then the head of the topics' model is solved anew."""
    stage.narrator.phase("Refresh")
    task = TOPICS_TASK
    stage.before = {task: stage.look()[task].champion}
    asked: Counter[str] = Counter()
    for portion in range(MOST_PORTIONS):
        stories = stage.news.phase_two(PORTION if portion else REFRESH_STORIES)
        asked += _ask_and_correct(stage, stories[::ASKED_SHARE])
        stage.publish(stories)
        _until_taken_in(stage, REFRESHED_AT)
        if stage.installation.reader.buffer.counts(task).new >= REFRESHED_AT:
            break
    before = stage.look()[task]
    stage.narrator.say(
        f"Between such runs, from {REFRESHED_AT} new examples on, only the last layer learns anew: seconds instead of minutes. "
        f"{counted(asked['correction'], 'correction')} and {counted(len(stories), 'article')} more are enough."
    )
    began = time.monotonic()
    stage.installation.change_tasks(REFRESHING)
    known = {run.run_id for run in before.ended}
    seen = stage.wait(
        lambda seen: any(run.kind == "refresh" and run.run_id not in known for run in seen[task].ended), "the refresh to end"
    )
    ended = next(run for run in seen[task].ended if run.kind == "refresh")
    stage.narrator.say(f"In {time.monotonic() - began:.0f} s: ", *wording.compared(ended, stage.installation.settings.runs_dir))
    stage.narrator.say(*wording.decided(ended, before.champion))


def _until_trained(stage: Stage, more: Callable[[int], list[Story]]) -> None:
    """Wait until each task has its run; publish `more` stories where all that were told did not start one."""
    for _portion in range(MOST_PORTIONS):
        if _until_taken_in(stage, NEEDED):
            return
        stage.publish(more(PORTION))


def _until_taken_in(stage: Stage, needed: int) -> bool:
    """Wait until every event is buffered and enriched, or a run of each task has begun; return whether these have."""
    buffer, begun, counted_at = stage.installation.reader.buffer, False, 0.0

    def looked() -> bool:
        nonlocal begun, counted_at
        seen = stage.look()
        begun = all(one.trained_for(stage.before.get(task)) for task, one in seen.items())
        if begun or time.monotonic() - counted_at < _COUNTED_EVERY_S:
            return begun
        lines = []
        for task, one in seen.items():
            at_work = one.trained_for(stage.before.get(task))
            lines.append(watching.at_work(one) if at_work else watching.counted(task, buffer.counts(task).new_weight, needed))
        stage.narrator.show(lines)
        status = stage.installation.status()
        counted_at = time.monotonic()
        waiting = any(status.lag.values()) or any(task.counts.unenriched for task in status.tasks)
        due = all(task.due or seen[task.task].run for task in status.tasks if task.task in seen)
        return not waiting and not due and not any(one.run for one in seen.values())

    stage.installation.wait_until(looked, limit_s=max(1.0, stage.deadline - time.monotonic()), what="the stories to be taken in")
    return begun


def until_served(stage: Stage, app: App | None = None) -> None:
    """Wait until serving answers with each task's champion."""
    champions = {task: one.champion for task, one in stage.look().items()}

    def follows() -> bool:
        if app is not None:
            return app.latest == champions
        return _answering(stage) == champions

    stage.installation.wait_until(follows, limit_s=max(1.0, stage.deadline - time.monotonic()), what="serving to follow")


def _answering(stage: Stage) -> dict[str, str]:
    try:
        return {task: stage.installation.predict(task, ["."])["version"] for task in stage.tasks}
    except UserError:
        return {}  # the first champion of a task is still being loaded


def _ask_and_correct(stage: Stage, stories: Sequence[Story]) -> Counter[str]:
    """Ask over HTTP as a production app does, post each reader's verdict, and count them."""
    found: Counter[str] = Counter()
    for task in stage.tasks:
        answered = stage.installation.predict(task, [story.text for story in stories])
        for story, prediction in zip(stories, answered["predictions"], strict=True):
            said = stage.news.feedback(
                story, task, prediction, prediction_id=prediction["prediction_id"],
                model_version=answered["version"], at=utc_now(),
            )  # fmt: skip
            body = said.model_dump(mode="json", exclude_none=True, exclude={"type", "schema_version"})
            stage.installation.post("/v1/feedback", body)
            found[said.verdict] += 1
    return found


def _show_answer(stage: Stage, story: Story, answered: dict[str, Any]) -> None:
    stage.narrator.say((f"{answered['version']}  ", "dim"), in_words(story.text, answered["predictions"][0]))
