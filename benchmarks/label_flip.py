"""A label-flip flood: what poisoned corrections do to the anchor metric, with the feedback defence and without.

A first champion learns HuffPost headlines of 2012 and 2013, beside an anchor set. Then the desk labels new headlines, honest
readers correct the champion where it is wrong, and attackers "correct" thousands of WELLNESS headlines to PARENTING: from one
user and from fifty, as feedback events through the whole daemon. Each arm continues from a copy of the same installation and asks
for one run, because a run that starts anyway (weekly, by request) is where poison does its harm. `clean` is the same without
the flood: what the anchor metric moves there is not the attackers' doing.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks import huffpost, report
from benchmarks.huffpost import TASK, Row
from config.clock import utc_now
from config.tasks import load_tasks
from consumers.buffer.open import open_reader
from consumers.events import schemas as events
from daemon.demo.installation import Installation
from daemon.serving.client import load_version
from registry.store import Registry

FLIPPED, TO = "WELLNESS", "PARENTING"
# Printed with the result: two years' headlines are sampled so thinly that 90 days hold too few to decide on, nothing is served
# beside training, and one run is asked for when all has come, instead of many that start on the way.
OVERRIDES: dict[str, Any] = {
    "trigger.cooldown_minutes": 0.0, "trigger.weekly": False, "promotion.window_days": 1_000, "promotion.min_test_examples": 30,
}  # fmt: skip
AFTER_THE_FIRST: dict[str, Any] = {"trigger.min_new_examples": 1_000_000, "trigger.max_age_min_examples": 1_000_000}
SETTINGS: dict[str, dict[str, Any]] = {
    "schedule": {"check_interval_s": 1.0, "weekly": False},
    "enrich": {"interval_s": 0.2},
    "training": {"threads": 2},
}
# A new user's correction still weighs half of a label: that cannot be turned off.
UNDEFENDED_TASK = {"feedback.max_share": 1.0, "feedback.max_user_share": 1.0}
UNDEFENDED = {
    "feedback": {
        "max_per_user_day": 0, "max_per_source_day": 0, "max_per_article": 0, "trust_min_evidence": 1_000_000,
        "alarm_min_count": 1_000_000,
    }
}  # fmt: skip
# What the other layers hold when the flood comes so slowly, or so mixed, that the alarm never rises.
NO_ALARM = {"feedback": {"alarm_min_count": 1_000_000}}
_LIMIT_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows of each sort."""

    first: int
    anchor: int
    labelled: int
    shown: int
    """Headlines that honest readers are shown."""
    flipped: int


@dataclass(frozen=True, slots=True)
class Arm:
    """One way for the story to continue."""

    name: str
    users: int
    """Attackers."""
    settings: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sets:
    """Headlines, each in one set only."""

    first: Sequence[Row]
    anchor: Sequence[Row]
    labelled: Sequence[Row]
    shown: Sequence[Row]
    flipped: Sequence[Row]


def main() -> None:
    """Train the champion, then play each arm on a copy of its installation."""
    arguments = report.parser(__doc__ or "").parse_args()
    size = Size(300, 200, 100, 100, 250) if arguments.quick else Size(2_000, 1_000, 400, 400, 10_000)
    arms = [Arm("clean", 0), Arm("50 users, undefended", 50, UNDEFENDED, UNDEFENDED_TASK), Arm("50 users, defended", 50)]
    if not arguments.quick:
        arms += [
            Arm("50 users, the alarm evaded", 50, NO_ALARM),
            Arm("1 user, undefended", 1, UNDEFENDED, UNDEFENDED_TASK),
            Arm("1 user, defended", 1),
        ]
    sets = _sets(size)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        champion = _first_champion(base, sets)
        print(f"{champion} from {size.first} headlines, {time.monotonic() - started:.0f} s")
        lines: dict[str, dict[str, Any]] = {}
        for number, arm in enumerate(arms):
            lines[arm.name] = _play(Path(folder) / str(number), base, sets, arm)
            print(_in_words(arm.name, lines[arm.name]))
    clean = lines["clean"]["anchor_after"]
    for name, line in lines.items():
        line["moved_points"] = 100 * (line["anchor_after"] - clean)
        if name.endswith(" defended"):
            assert abs(line["moved_points"]) < 1, (
                f"{name}: the flood moved the anchor metric by {line['moved_points']:.2f} points"
            )
    results = {
        "overrides": {**OVERRIDES, **AFTER_THE_FIRST, **SETTINGS},
        "undefended": {**UNDEFENDED_TASK, **UNDEFENDED},
        "the alarm evaded": NO_ALARM,
        "flip": f"{FLIPPED} -> {TO}",
        "sizes": {name: getattr(size, name) for name in Size.__slots__},
        "wall_s": time.monotonic() - started,
        "arms": lines,
    }
    report.write("label_flip", arguments, results, arguments.json)


def _sets(size: Size) -> Sets:
    rows = [row for month, found in sorted(huffpost.by_month().items()) if "2012-01" <= month < "2014-01" for row in found]
    flipped = huffpost.sample([row for row in rows if row.label == FLIPPED], size.flipped, seed=1)
    taken = {row.identifier for row in flipped}
    others = huffpost.sample(
        [row for row in rows if row.identifier not in taken], size.first + size.anchor + size.labelled + size.shown, seed=2
    )
    # The last ones are labelled and shown now; anchors stand among the first, as an archive's would.
    early, late = others[: size.first + size.anchor], others[size.first + size.anchor :]
    anchor = huffpost.sample(early, size.anchor, seed=3)
    anchored = {row.identifier for row in anchor}
    return Sets(
        first=[row for row in early if row.identifier not in anchored],
        anchor=anchor,
        labelled=late[: size.labelled],
        shown=late[size.labelled :],
        flipped=flipped,
    )


def _first_champion(folder: Path, sets: Sets) -> str:
    # One run over nearly all of what is not held out.
    task = OVERRIDES | {"trigger.min_new_examples": len(sets.first) * 7 // 10}
    with Installation(folder, task_overrides={TASK: task}, serve=False, settings_overrides=SETTINGS) as installation:
        installation.publish(row.event().model_copy(update={"anchor": True}) for row in sets.anchor)
        installation.publish(row.event() for row in sets.first)
        installation.wait_until_quiet(limit_s=_LIMIT_S)
        found = installation.task(TASK)
        if found.champion is None:
            message = f"no first champion: {found.last_run}"
            raise SystemExit(message)
        return found.champion


def _play(folder: Path, base: Path, sets: Sets, arm: Arm) -> dict[str, Any]:
    shutil.copytree(base / "data", folder / "data")
    task = OVERRIDES | AFTER_THE_FIRST | arm.task
    began = time.monotonic()
    with Installation(
        folder, task_overrides={TASK: task}, serve=False, settings_overrides=SETTINGS | arm.settings
    ) as installation:
        before = installation.task(TASK).champion
        shown = _shown(installation, before or "", sets.shown)
        installation.publish(_prediction(*one) for one in shown)
        installation.publish(_in_turn([*_labels(sets.labelled), *_corrections(shown)], _flood(sets.flipped, arm.users)))
        installation.wait_until_quiet(limit_s=_LIMIT_S)
        taken_in_s = time.monotonic() - began
        standing = installation.task(TASK).feedback
        installation.publish([events.Retrain(event_id="r-1", occurred_at=utc_now(), task=TASK, reason="the benchmark asks")])
        installation.wait_until(
            lambda: (ended := installation.task(TASK).last_run) is not None and ended.trigger.startswith("requested"),
            limit_s=_LIMIT_S,
            what="the run that was asked for",
        )
        last = installation.task(TASK).last_run
        assert last is not None
        assert last.comparison is not None, last
        anchor = last.comparison.anchor
        assert anchor is not None, last
        return {
            "anchor_before": anchor.champion_score,
            "anchor_after": anchor.candidate_score,
            "verdict": last.verdict,
            "champion_after": installation.task(TASK).champion,
            "poison_in_effect": _in_effect(installation, "attacker-"),
            "poison_learnt": _learnt(installation, "poison"),
            "honest_corrections": sum(answer["label"] != row.label for row, answer in shown),
            "honest_in_effect": _in_effect(installation, "reader-"),
            "honest_learnt": _learnt(installation, "honest"),
            "standings": dict(standing.standings),
            "alarms": [alarm.move for alarm in standing.alarms],
            "taken_in_s": taken_in_s,
            "run_s": time.monotonic() - began - taken_in_s,
        }


def _shown(installation: Installation, version: str, rows: Sequence[Row]) -> list[tuple[Row, Mapping[str, Any]]]:
    """Return what the champion answers to the headlines that honest readers are shown."""
    settings = installation.settings
    with Registry.open(settings.registry_url, read_only=True) as registry:
        predictor = load_version(settings, registry.versions.get(version))
    return list(zip(rows, predictor.predict([row.text for row in rows]), strict=True))


def _prediction(row: Row, answer: Mapping[str, Any]) -> events.PredictionMade:
    return events.PredictionMade(
        event_id=f"p-{row.identifier}", prediction_id=f"p-{row.identifier}", occurred_at=row.at, task=TASK, text=row.text,
        model_version=f"{TASK}/v1", answer=dict(answer),
    )  # fmt: skip


def _labels(rows: Sequence[Row]) -> Iterator[events.AnyEvent]:
    for row in rows:
        yield row.event()


def _corrections(shown: Sequence[tuple[Row, Mapping[str, Any]]]) -> Iterator[events.AnyEvent]:
    for number, (row, answer) in enumerate(shown):
        if answer["label"] != row.label:
            yield _feedback(row, row.label, f"reader-{number % 40}", "honest").model_copy(
                update={"prediction_id": f"p-{row.identifier}", "source": "honest-app"}
            )


def _flood(rows: Sequence[Row], users: int) -> list[events.AnyEvent]:
    """Return the poison; each attacker has a source of their own, so that the cap of one source does not stop all."""
    if not users:
        return []
    return [_feedback(row, TO, f"attacker-{number % users}", "poison") for number, row in enumerate(rows)]


def _feedback(row: Row, label: str, user: str, prefix: str) -> events.Feedback:
    return events.Feedback(
        event_id=f"{prefix}-{row.identifier}", occurred_at=row.at + timedelta(hours=1), task=TASK, text=row.text, user_id=user,
        source=user, verdict="correction", target={"label": label},
    )  # fmt: skip


def _in_turn(honest: Sequence[events.AnyEvent], flood: Sequence[events.AnyEvent]) -> Iterator[events.AnyEvent]:
    """Yield both mixed evenly, so that neither comes first."""
    share = len(flood) / max(1, len(honest))
    at = 0.0
    for one in honest:
        yield one
        yield from flood[int(at) : int(at + share)]
        at += share
    yield from flood[int(at) :]


def _in_effect(installation: Installation, users: str) -> int:
    """Return how many answers of users whose names begin so would train."""
    settings = installation.settings
    tasks = load_tasks(settings.tasks_folder)
    with closing(open_reader(settings.buffer_dir, tasks=tasks)) as buffer:
        return sum(one.effective for one in buffer.users(TASK, settings.feedback) if one.contributor.startswith(users))


def _learnt(installation: Installation, prefix: str) -> int:
    """Return how many rows of the last version's lineage bear ids with this prefix."""
    with Registry.open(installation.settings.registry_url, read_only=True) as registry:
        newest = registry.versions.list(TASK, 1)[0]
        return Counter(example_id.partition("-")[0] for example_id in registry.versions.learnt(newest.name))[prefix]


def _in_words(name: str, line: Mapping[str, Any]) -> str:
    return (
        f"{name}: anchor {line['anchor_before']:.3f} -> {line['anchor_after']:.3f} ({line['verdict']}); "
        f"{line['poison_learnt']} poisoned rows learnt, {line['honest_in_effect']} of {line['honest_corrections']} honest "
        f"corrections in effect; alarms: {', '.join(line['alarms']) or 'none'}; {line['taken_in_s']:.0f} + {line['run_s']:.0f} s"
    )


if __name__ == "__main__":
    main()
