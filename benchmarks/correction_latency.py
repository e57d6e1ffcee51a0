"""From the tenth effective correction to the refreshed head, and from the hundredth to the tuned model answering.

A first champion learns the demo's news; then the world drifts, readers correct the served answers over HTTP, and the clock
runs from the acknowledgement of the last correction that counts until `/predict` answers with the new version, or, where the gate
has not enough evidence or finds it no better, until the verdict. Topics are refreshed at the tenth, both tasks tuned at the
hundredth.
"""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks import report
from config.clock import utc_now
from consumers.events import schemas as events
from consumers.rows.documents import is_test_document
from daemon.demo.installation import Installation
from daemon.demo.stream import ENTITIES_TASK, TOPICS_TASK, NewsStream, Story, TaskName, same_answer
from daemon.views.models.runs import Ended
from registry.store import Registry

# Printed with the result: ten minutes of cooldown would be measured instead of the loop.
OVERRIDES = {
    task: {"trigger.cooldown_minutes": 0.0, "trigger.weekly": False, "refresh.cooldown_minutes": 0.0, "refresh.enabled": False}
    for task in (TOPICS_TASK, ENTITIES_TASK)
}
TEST_FRACTION = 0.4
SETTINGS = {
    "enrich": {"test_fraction": TEST_FRACTION, "interval_s": 0.2},
    "schedule": {"check_interval_s": 1.0, "weekly": False},
    "serving": {"refresh_interval_s": 0.5},
}
CORRECTIONS = 100
CORRECTIONS_FOR_A_REFRESH = 20
"""Those of new readers weigh half, so that these are ten effective ones."""
READERS = 50
"""One alone may give only a fifth of a run's rows."""
_LIMIT_S = 900.0
_PORTION = 10


def main() -> None:
    """Measure one kind after the other, each on an installation of its own."""
    arguments = report.parser(__doc__ or "").parse_args()
    results: dict[str, Any] = {"overrides": {**OVERRIDES[TOPICS_TASK], **SETTINGS}}
    tuned: Sequence[TaskName] = () if arguments.quick else (ENTITIES_TASK, TOPICS_TASK)
    for task, corrections in [(TOPICS_TASK, CORRECTIONS_FOR_A_REFRESH), *((task, CORRECTIONS) for task in tuned)]:
        with tempfile.TemporaryDirectory() as folder:
            results[f"{task}, {corrections} corrections"] = _measure(task, Path(folder), corrections)
    report.write("correction_latency", arguments, results, arguments.json)


def _measure(task: TaskName, folder: Path, corrections: int) -> dict[str, Any]:
    news = NewsStream(start=utc_now() - timedelta(days=20))
    # Rows chosen independently must decide: enough stories that the split's hash holds out.
    first = news.phase_one(560)
    later = news.phase_two(900)
    held_out = [story for story in later if _is_held_out(story)][:260]
    corrected = [story for story in later if not _is_held_out(story)]
    refreshing = corrections == CORRECTIONS_FOR_A_REFRESH
    # Nearly all that comes first starts the first run, so that no further one is due when the corrections come.
    refresh = {"refresh.enabled": True, "trigger.min_new_examples": 300} if refreshing else {}
    overrides = {name: {**values, **refresh} for name, values in OVERRIDES.items()}
    with Installation(folder, task_overrides=overrides, settings_overrides=SETTINGS) as installation:
        installation.publish(event for story in first for event in (news.article(story), news.gold(story, task)))
        installation.wait_until(lambda: installation.task(task).champion is not None, limit_s=_LIMIT_S, what="a first champion")
        installation.wait_until_quiet(limit_s=_LIMIT_S)
        installation.publish(event for story in held_out for event in (news.article(story), news.gold(story, task)))
        installation.wait_until_quiet(limit_s=_LIMIT_S)
        installation.wait_until(lambda: installation.task(task).run is None, limit_s=_LIMIT_S, what="the runs to end")
        before, last = installation.task(task).champion, installation.task(task).last_run
        posted, acknowledged = 0, time.monotonic()
        for event in _corrections(installation, task, corrected):
            if installation.task(task).run is not None or installation.task(task).champion != before:
                break
            installation.post(
                "/v1/feedback", event.model_dump(mode="json", exclude_none=True, exclude={"type", "schema_version"})
            )
            posted, acknowledged = posted + 1, time.monotonic()
            if posted >= corrections and (refreshing or installation.task(task).new_examples >= corrections):
                break
        else:
            message = f"only {posted} answers were wrong, too few to correct"
            raise RuntimeError(message)
        text = [corrected[0].text]
        installation.wait_until(
            lambda: installation.predict(task, text)["version"] != before or _kept(installation, task, last),
            limit_s=_LIMIT_S,
            what="the new champion to answer",
        )
        seconds = time.monotonic() - acknowledged
        with Registry.open(installation.settings.registry_url, read_only=True) as registry:
            run = registry.runs.list(task, limit=1)[0]
        metrics = (run.comparison or {}) | {}
        assert run.started_at is not None
        assert run.finished_at is not None
        return {
            "corrections_posted": posted,
            "kind": run.kind,
            "before": before,
            "after": installation.predict(task, text)["version"],
            "verdict": run.verdict,
            "reason": run.reasons[0],
            "last_correction_to_answer_s": seconds,
            "frozen_s": (run.started_at - run.created_at).total_seconds(),
            "training_and_comparison_s": (run.finished_at - run.started_at).total_seconds(),
            "champion_score": metrics.get("champion_score"),
            "candidate_score": metrics.get("candidate_score"),
        }


def _corrections(installation: Installation, task: TaskName, told: Sequence[Story]) -> Iterator[events.Feedback]:
    """Ask about each story; yield a correction where the answer is wrong."""
    for at in range(0, len(told), _PORTION):
        asked = told[at : at + _PORTION]
        answered = installation.predict(task, [story.text for story in asked])
        for story, prediction in zip(asked, answered["predictions"], strict=True):
            if same_answer(task, prediction, story.target(task)):
                continue
            yield _correction(story, task, prediction, answered["version"])


def _correction(story: Story, task: TaskName, prediction: Mapping[str, Any], version: str) -> events.Feedback:
    reader = zlib.crc32(story.article_id.encode()) % READERS
    return events.Feedback(
        event_id=f"{prediction['prediction_id']}:feedback", occurred_at=utc_now(), task=task, user_id=f"reader-{reader}",
        prediction_id=prediction["prediction_id"], model_version=version, verdict="correction", target=story.target(task),
    )  # fmt: skip


def _is_held_out(story: Story) -> bool:
    return is_test_document(story.article_id, TEST_FRACTION)


def _kept(installation: Installation, task: str, before: Ended | None) -> bool:
    """Return whether a further run has ended without a promotion."""
    last = installation.task(task).last_run
    further = last is not None and (before is None or last.run_id != before.run_id)
    return further and last is not None and last.verdict != "promote"


if __name__ == "__main__":
    main()
