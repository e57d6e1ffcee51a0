"""Candidate and champion on identical rows: per-example answers become one Comparison."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, model_validator

from config import collector
from config.tasks import TaskSpec
from trainers.compare import statistics
from trainers.compare.answers import Answers, rows_where
from trainers.compare.clusters import clusters_of
from trainers.compare.guarding.guard import Guard
from trainers.compare.guarding.parts import Newest, Parts
from trainers.compare.improvement import required_gain
from trainers.compare.metrics import catalog
from trainers.compare.metrics.scale import MaybeInfinite, Scale
from trainers.compare.parts.by_label import LabelMeasures, measures_of
from trainers.compare.parts.dimensions import DimensionScores, dimension_slices, scores_of
from trainers.compare.parts.signals import as_numbers, as_texts_with_labels, signal_slices
from trainers.compare.parts.slices import OVERLAP, Slice, label_slices, labels_of, of_known_labels, places_of, slice_of, slices_of
from trainers.compare.probabilities import Probabilities, sureness
from trainers.compare.readiness import Readiness
from trainers.compare.reading import reading_of
from trainers.compare.sequential.pair import PairTest


class Latency(BaseModel):
    """Time to answer one text, measured in the same child, in milliseconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p50_ms: float
    p95_ms: float | None = None
    """None: an earlier release measured it."""
    p99_ms: float


class Asked(BaseModel):
    """The part of the deciding rows that people were asked for because the models disagree."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool: int
    """Articles that both models answered."""
    disagreement: float
    """The share of them that they answer differently, 0..1."""
    requests: int
    """Texts that people were asked about so far."""
    labelled: int
    """Those of them with a label that counts."""
    contradicted: int = 0
    """Those of which people said different things."""
    set_aside: int = 0
    """Those whose annotator cannot be believed: all answers alike, or against both models far more often than test rows are."""
    only_label: str = ""
    """The label that all rows carry; empty where they carry several."""
    test_rows: int = 0
    """Random test rows beside them."""
    needed_test_rows: int = 0
    """Random test rows that would have decided without them, by the run's own comparison."""
    test: PairTest | None = None
    """Where the test of the pair stands; None: of a release that counted looks as at random test rows."""

    @property
    def unlabelled(self) -> int:
        """Requests without a label that counts."""
        return self.requests - self.labelled


class Comparison(BaseModel):
    """Both models on the deciding rows, with what the gate needs to know.

    Gains, bounds and minimum are improvements in the metric's direction, positive where the candidate is better, on the scale of
    the scores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    metric: str
    scale: Scale
    """How the metric's scores are to be read; it stays with the comparison, whatever becomes of the metric."""
    candidate_run: str
    champion_version: str | None
    """None: compared with the declared baseline, as for a first model."""
    opponent: str
    """Its name: `news-topics/v3` or `baseline: most frequent label`."""
    rows: int
    stories: int
    champion_score: MaybeInfinite
    candidate_score: MaybeInfinite
    gain: MaybeInfinite
    confidence: float
    lower_bound: MaybeInfinite
    """Of the gain, one-sided, paired bootstrap clustered by story."""
    upper_bound: MaybeInfinite
    standard_error: MaybeInfinite
    p_equal: float
    """One-sided probability of a gain this large if both were equal."""
    discordant: float | None
    """Share of rows on which exactly one of the two was right; None where right and wrong are a matter of degree."""
    required_gain: MaybeInfinite
    """The policy's minimum improvement, given the champion's score (infinite when it cannot be reached)."""
    required_rows: int
    """Rows at which an equal candidate shows the required gain in fewer than 1 of 100 looks."""
    anchor: Slice | None = None
    slices: tuple[Slice, ...] = ()
    calibration: Slice | None = None
    """Both calibration errors, lower is better; None where the policy does not guard it, or answers have no probabilities."""
    newest: Newest | None = None
    """The newest window; None where the policy knows no safe refresh."""
    candidate_probabilities: Probabilities | None = None
    """Of the deciding rows; None where answers carry none, or a release that did not measure them compared."""
    champion_probabilities: Probabilities | None = None
    abstain_below: float = 0.0
    """The task's, when the models were compared."""
    dimensions: tuple[DimensionScores, ...] = ()
    """Both models in each dimension, or in the score of each signal, on the deciding rows; empty where answers are no numbers."""
    labels: tuple[LabelMeasures, ...] = ()
    """Both models on each label of the deciding rows, the most frequent first; empty where a text has one. Of signals: tags."""
    known: tuple[str, ...] | None = None
    """Labels of the deciding rows that the champion can answer; None where it can answer them all, or does not tell."""
    candidate_latency: Latency | None = None
    champion_latency: Latency | None = None
    size_mib: float = 0.0
    same_answers: bool = False
    """Whether both models answer every deciding row alike: then nothing was learnt about them from these rows."""
    looks: int = 1
    """How often these rows have been looked at, the present look included (mean, rounded up)."""
    scores: Mapping[str, MaybeInfinite] = {}
    """The candidate's, by each metric that the task has absolute limits for."""
    readiness: Readiness | None = None
    """Whether the candidate is good enough as such; None until the gate has decided, and of releases without limits."""
    guards: tuple[Guard, ...] = ()
    """As the gate judged them; empty until it has decided, and of releases that recorded none."""
    asked: Asked | None = None
    """None where all deciding rows are random test rows."""

    @model_validator(mode="before")
    @classmethod
    def _of_before_scales(cls, values: Any) -> Any:  # noqa: ANN401 - pydantic hands over whatever was stored
        """Complete a comparison that was stored when every score was 0..1 and higher was better."""
        if not isinstance(values, dict) or "scale" in values or "metric" not in values:
            return values
        return {**values, "scale": catalog.find(values["metric"]).scale}

    @property
    def needed_gain(self) -> float:
        """The gain to exceed: 0 for a first version and where the champion scores 0; there any certain gain is enough."""
        scores_nothing = self.champion_score == 0.0 and not self.scale.lower_is_better
        return 0.0 if self.champion_version is None or scores_nothing else self.required_gain

    @property
    def opponent_in_words(self) -> str:
        """The opponent as it stands in a sentence: `news-topics/v3` or `the baseline (most frequent label)`."""
        kind, colon, name = self.opponent.partition(": ")
        return f"the {kind} ({name})" if colon else self.opponent


@collector.resting()
def compare(
    task: TaskSpec,
    *,
    run_id: str,
    champion_version: str | None,
    opponent: str,
    scores: pa.Table,
    candidate_latency: Latency | None,
    champion_latency: Latency | None,
    size_mib: float,
    looks: int = 1,
    seed: int = 0,
    known: Collection[str] | None = None,
) -> Comparison:
    """Return both models' scores on identical rows, and what resampling says of the difference.

    `scores` has the columns example_id, role (test, anchor or corrections), story_id, document_id, event_time, language, gold,
    candidate and opponent (the last three as JSON). Rows of role test decide; the others are slices. `known`: the labels that the
    champion can answer, under the names in force; where test rows carry others too, those that do not are a slice. Raises
    `UserError` where the policy cannot be read on the metric's scale, `RunFailedError` where an answer cannot be scored.
    """
    policy, metric = task.promotion, catalog.of(task)
    answers, roles = Answers.read(scores), scores["role"]
    test, anchor = rows_where(roles, "test"), rows_where(roles, "anchor")
    deciding = answers.take(test)
    stories = clusters_of(scores.take(pa.array(test)))
    read = reading_of(metric, answers)
    paired = read.pair(test)
    evidence = statistics.weigh(paired, stories, metric.scale, confidence=policy.confidence, seed=seed)
    candidate_score, champion_score = paired.scores()
    labels = read.label_detail(test)
    sides = [(said, sureness(deciding.gold, said)) for said in (deciding.candidate, deciding.opponent)]
    candidate_probabilities, champion_probabilities = (
        sure and Probabilities.of_sure(sure, deciding.gold, said, abstain_below=task.abstain_below) for said, sure in sides
    )
    names = [one.name for one in task.declared]
    # What reports show of numbers and labels they show of scores and tags.
    numbers, labelled = (as_numbers(deciding), as_texts_with_labels(deciding)) if task.signals else (deciding, deciding)
    needed = 0.0 if champion_version is None else required_gain(policy, champion_score, metric.scale)
    places = places_of(scores, test, {guard.slice for guard in policy.slices})
    shared = None
    if known is not None and 0 < len(both := of_known_labels(task, deciding, test, known)) < len(test):
        places[OVERLAP] = both
        shared = tuple(sorted(labels_of(task, deciding).intersection(known)))
    parts = Parts(metric, read, scores, answers, test, stories, places, signals=bool(task.signals), seed=seed)
    return Comparison(
        task=task.name,
        metric=metric.name,
        scale=metric.scale,
        candidate_run=run_id,
        champion_version=champion_version,
        opponent=opponent,
        rows=len(test),
        stories=int(stories.max(initial=-1)) + 1,
        champion_score=champion_score,
        candidate_score=candidate_score,
        gain=evidence.gain,
        confidence=policy.confidence,
        lower_bound=evidence.lower_bound,
        upper_bound=evidence.upper_bound,
        standard_error=evidence.standard_error,
        p_equal=evidence.p_equal,
        discordant=labels.discordant if labels else None,
        required_gain=needed,
        required_rows=statistics.required_rows(len(test), evidence.standard_error, needed, looks=looks * policy.ways),
        anchor=parts.whole(slice_of(metric, "anchor", read, anchor, at_least=1), anchor),
        slices=tuple(
            parts.guarded(
                chain(
                    slices_of(metric, read, places),
                    label_slices(metric, labels.by_label, [guard.slice for guard in policy.slices]) if labels else (),
                    signal_slices(metric, deciding, names) if task.signals else dimension_slices(metric, deciding, names),
                ),
                policy,
            )
        ),
        calibration=None if policy.max_calibration_rise is None else parts.calibration([sure for _said, sure in sides]),
        newest=parts.newest(policy),
        candidate_probabilities=candidate_probabilities,
        champion_probabilities=champion_probabilities,
        abstain_below=task.abstain_below,
        dimensions=scores_of(numbers, names),
        labels=measures_of(labelled),
        known=shared,
        candidate_latency=candidate_latency,
        champion_latency=champion_latency,
        size_mib=size_mib,
        same_answers=len(test) > 0 and deciding.alike,
        looks=looks,
        scores={name: catalog.named(name, task).pair(*deciding.columns).scores()[0] for name in policy.limits if len(test)},
    )
