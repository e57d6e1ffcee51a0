"""What an oracle is worth: it is asked about texts that test and that people labelled; its answers are scored, no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from config.errors import UserError
from config.settings import Settings
from config.tasks import TaskSpec
from config.words import counted
from consumers.labelling.oracle.answers import Said
from consumers.labelling.oracle.asking import Oracle, Text
from consumers.labelling.oracle.calibration import samples
from consumers.labelling.oracle.held_out import HeldOut
from consumers.labelling.oracle.ledger import Spent
from consumers.labelling.oracle.problems import Problem
from daemon.operations.oracle.labelling import Progress, opened, task_with_rubric, why_not
from daemon.views import opening
from trainers.compare.alone import alone
from trainers.compare.clusters import clusters_of
from trainers.compare.metrics import catalog
from trainers.compare.metrics.scale import Scale


@dataclass(frozen=True, slots=True)
class Checked:
    """What the oracle is worth on texts that people labelled and no model has learnt."""

    task: str
    prompt: str
    forced: bool
    metric: str
    scale: Scale
    confidence: float
    rows: int
    """Texts that it answered."""
    stories: int
    score: float | None
    """None where it answered none."""
    lower: float | None
    """Bounds of the score, each one-sided at `confidence`; a bootstrap that draws whole stories."""
    upper: float | None
    refused: Mapping[str, int]
    """Texts without a usable answer, by what was wrong."""
    unasked: int
    """Further texts of the test side that were not asked about."""
    stopped: str
    """Why texts were left over; empty where none were."""
    spent: Spent
    """On this task, ever."""


def check(
    settings: Settings, name: str, most: int, *, force: bool = False, progress: Progress = lambda _done, _of: None
) -> Checked:  # fmt: skip
    """Ask about up to `most` of the newest texts that test, and score the answers. No label comes of it.

    Reports of later runs set the answers beside student and people. Raises `UserError` where the prompt has not passed both
    samples and `force` is not given: a prompt that is tuned on these texts is judged too kindly by them. Raises it too where no
    text tests.
    """
    task = task_with_rubric(settings, name)
    with opened(settings) as (ledger, endpoint):
        oracle = Oracle(task, settings.oracle, ledger, endpoint)
        reason = why_not(ledger, name, oracle.prompt)
        if reason and not force:
            message = (
                f"the prompt of task {name!r} is not to see texts that test: {reason}. Run `perennial oracle calibrate {name}` "
                "first, or add --force"
            )
            raise UserError(message)
        with opening.buffer(settings) as buffer:
            there = buffer.held_out_texts(task)
        fit = [one for one in there if samples.can_be_shown(task, one.text) and not one.target.get("partial")]
        if not fit:
            message = (
                f"no text of task {name!r} tests and can be asked about; label some at the desk, lane `test` "
                f"(`perennial review {name} --lane test`), or import labels"
            )
            raise UserError(message)
        said, refused = _asked(oracle, fit[:most], progress)
        return _scored(task, fit, said, refused, oracle, forced=bool(reason), spent=ledger.spent(name))


def _asked(oracle: Oracle, chosen: Sequence[HeldOut], progress: Progress) -> tuple[dict[str, Said], Counter[str]]:
    said, refused = dict[str, Said](), Counter[str]()
    for number, one in enumerate(oracle.ask_all(Text(text.text_sha256, text.text) for text in chosen), start=1):
        if isinstance(one.answer, Said):
            said[one.text.text_sha256] = one.answer
        elif isinstance(one.answer, Problem):
            refused[one.answer.what] += 1
        progress(number, len(chosen))
    return said, refused


def _scored(
    task: TaskSpec, there: Sequence[HeldOut], said: Mapping[str, Said], refused: Mapping[str, int], oracle: Oracle, *,
    forced: bool, spent: Spent,
) -> Checked:  # fmt: skip
    metric, rows = catalog.of(task), [one for one in there if one.text_sha256 in said]
    score = lower = upper = None
    stories = 0
    if rows:
        gold, answers = [dict(one.target) for one in rows], [dict(said[one.text_sha256].target) for one in rows]
        columns = {
            "example_id": [one.example_id for one in rows], "story_id": [one.story_id for one in rows],
            "document_id": pa.array([one.document_id for one in rows], pa.string()),
        }  # fmt: skip
        clusters = clusters_of(pa.table(columns))
        stories = int(clusters.max()) + 1
        score, lower, upper = alone(metric, gold, answers, clusters, confidence=task.promotion.confidence, seed=0)
    return Checked(
        task.name, oracle.prompt, forced, metric.name, metric.scale, task.promotion.confidence, len(rows), stories, score, lower,
        upper, dict(refused), len(there) - len(rows) - sum(refused.values()), oracle.why, spent,
    )  # fmt: skip


def in_words(found: Checked) -> str:
    """Return the score as a sentence."""
    if found.score is None or found.lower is None or found.upper is None:
        return f"{found.task}: no usable answer, so no score"
    low, score, high = map(found.scale.format_score, (found.lower, found.score, found.upper))
    better = ", lower is better" if found.scale.lower_is_better else ""
    return (
        f"{found.task}: {found.scale.title} of the oracle against people's labels {score}, between {low} and {high}{better} "
        f"({counted(found.rows, 'held-out row')} of {found.stories:,} {'story' if found.stories == 1 else 'stories'})"
    )
