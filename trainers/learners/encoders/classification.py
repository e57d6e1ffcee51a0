"""The label of a text, or its labels: a tuned encoder, and a linear head solved on all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import nn

from config.errors import RunFailedError
from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from perennial_artifact.labels import LabelSet
from perennial_artifact.predictor import Answer, Predictor
from perennial_artifact.sentence.head import Features, Head, Solved
from perennial_artifact.sentence.layout import WITH_HEAD
from trainers.learners.encoders import label_words
from trainers.learners.encoders.baseline import MostFrequentLabel, NearestCentroid
from trainers.learners.encoders.distilling import with_labels
from trainers.learners.encoders.encoder import TextEncoder
from trainers.learners.encoders.fine_tuning import Row
from trainers.learners.encoders.label_words import LabelWords
from trainers.learners.encoders.slow.heads import Seen, Solution, Tuning, known_of, read_from
from trainers.learners.encoders.slow.order import as_they_are, learn, more_to_learn, refuse_no_rows
from trainers.learners.encoders.slow.steps import read_now, served, to_tune
from trainers.learners.heads.blocks import note_compared
from trainers.learners.heads.building import build, choice_of, thresholds_of
from trainers.learners.heads.label_words import words
from trainers.learners.heads.label_words.starts import Starts
from trainers.learners.heads.label_words.starts import read as starts_of
from trainers.learners.heads.rows import HeadRows, head_rows
from trainers.learners.heads.soft import taught_rows
from trainers.learners.heads.solving import Weights
from trainers.learners.heads.tuning import LabelStart, ways
from trainers.learners.heads.validation.contradictions import lightened
from trainers.learners.heads.validation.forward import Choice
from trainers.learners.labelling import Labelling
from trainers.learners.labelling import of as labelling_of
from trainers.learners.opening import usable as usable_model
from trainers.learners.protocols import Aligner, Example, TrainingPlan
from trainers.learners.starting import Ways
from trainers.learners.usable import Usable

_MOST_SAMPLED = 64


class ClassificationLearner:
    """Learns one label a text, or several: tunes the encoder where that pays, then solves the head on all rows."""

    learns_from_all = True

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Learn as `order.learn`. Raises `RunFailedError` when there is nothing to tell apart."""
        learn(plan, output, _Labels.of)

    def has_more_to_learn(self, champion: Path) -> bool:
        """Return whether the champion's head knows rows that its encoder was not tuned on."""
        return more_to_learn(champion, WITH_HEAD)

    def aligner(self, model: Predictor) -> Aligner:  # noqa: ARG002 - a label is a label
        """Return what leaves labels as they are."""
        return as_they_are

    def baseline(self, spec: TaskSpec, rows: Sequence[Example]) -> Predictor:
        """Return what a first model must beat.

        `majority`: always the most frequent label of `rows`. `base`: the untouched base model; a text gets the label whose
        mean training embedding (mean-pooled last layer) is nearest by cosine. Texts of several labels get
        that one too. Raises `RunFailedError` when there are no rows.
        """
        refuse_no_rows(spec, rows, "labels")
        labels, said = kinds.get(spec.kind).labels, labelling_of(spec).said
        if not any(labels(row.target) for row in rows):
            message = f"task {spec.name!r} has no training row with a label to make its baseline from; send some"
            raise RunFailedError(message)
        if spec.promotion.baseline == "base":
            return NearestCentroid(spec, rows, labels, said)
        return MostFrequentLabel(rows, labels, said)


@dataclass(slots=True)
class _Labels:
    """A head of labels in one slow run."""

    plan: TrainingPlan
    labelling: Labelling
    found: Usable
    champion: Path | None
    before: Choice
    known: Solved | None
    trusted: float | None
    """How far the words of labels are trusted; None where that was never chosen."""
    said: LabelWords | None = None
    """What labels mean in words; None where heads start from nothing."""
    starts: Starts | None = None
    """The same in the features of the encoder that will be served."""

    @classmethod
    def of(cls, plan: TrainingPlan, champion: Path | None) -> _Labels:
        labelling = labelling_of(plan.spec)
        found = labelling.usable(plan, _labels_of(plan))
        head = read_from(champion, WITH_HEAD, Head.read)
        before = Choice() if head is None else choice_of(head)
        # The base model's features have not seen the rows; those of an encoder that was tuned on wrong labels confirm them.
        found = replace(found, rows=lightened(plan, found.rows, plan.base_features, found.labels, before))
        known = known_of(champion, None if head is None else head.solved)
        return cls(plan, labelling, found, champion, before, known, _trusted(champion, before))

    @property
    def rows(self) -> Sequence[Example]:
        return self.found.rows

    @property
    def note(self) -> str:
        return self.found.note

    @property
    def ways(self) -> Ways[HeadRows, Choice, Weights]:
        return ways(self.plan, self.found.labels, self.labelling.family)

    def started(self, start: LabelStart) -> None:
        champion = self.champion if start.from_champion else None
        note_compared(self.plan, self.rows, self.found.labels, champion, start.choice or self.before)
        self.said = label_words.of(self.plan, self.rows, self.found.labels)

    def tuning(self, encoder: TextEncoder, tokenised: Sequence[Sequence[int]], start: LabelStart) -> Tuning:
        family, labels, taught, chosen = self.labelling.family, self.found.labels, self.plan.taught, to_tune(self.plan, self.rows)
        sample = self._sampled(encoder, tokenised, chosen) if start.head is None or self.said is not None else None
        if sample is not None:
            self._choose_trust(sample, start)
        self.before = self.settled(self.before)
        examples, seen = [self.rows[at] for at in chosen], labels.seen_ids
        gold, weights = family.encoded(examples, labels.ids), np.array([row.weight for row in examples])
        more = family.balancing(gold, weights)
        balanced = weights if more is None else (weights * more.T).T
        rows = [Row(tokenised[at], *each) for at, *each in zip(chosen, gold.tolist(), balanced.tolist(), strict=True)]
        lessons = with_labels(taught, encoder, rows, examples, labels.names, seen)
        return Tuning(
            len(labels.names), partial(_begin, start=_begun(sample, start, self.before)), lessons.rows, lessons.examples,
            answerable=seen, depends_on=(labels.names, seen, taught and taught.key), loss=lessons.loss,
            answers=partial(_answers, labels=labels, thresholds=thresholds_of(family.answering(None, gold), len(labels.names))),
        )  # fmt: skip

    def _sampled(self, encoder: TextEncoder, tokenised: Sequence[Sequence[int]], chosen: Sequence[int]) -> HeadRows:
        """Return a sample of the rows that are tuned on, of each label up to 64, spread evenly over all it has.

        Features are what the encoder makes of them before it is tuned, and of the words of labels.
        """
        family, labels = self.labelling.family, self.found.labels
        gold = family.encoded([self.rows[at] for at in chosen], labels.ids)
        members = (found for found in family.members(gold) if len(found))
        spread = (found[:: -(-len(found) // _MOST_SAMPLED)].tolist() for found in members)
        places = [chosen[at] for at in dict.fromkeys(chain.from_iterable(spread))]
        self.plan.tell(f"reading {len(places)} rows for a head to begin with")
        features = read_now(encoder, [tokenised[at] for at in places])
        starts = None
        if self.said is not None:
            asked = self.said.places
            starts = self.said.starts(
                lambda texts: read_now(encoder, encoder.read(texts)[0]),
                lambda _places: read_now(encoder, [tokenised[at] for at in asked]),
            )
        return head_rows([self.rows[at] for at in places], features, labels, family, starts)

    def read(self, seen: Seen, start: LabelStart) -> HeadRows:
        if self.said is not None:
            self.starts = self.said.starts(
                lambda texts: served(self.plan, seen.encoder, texts), lambda places: seen.features[places, : seen.own]
            )
        rows = head_rows(self.rows, seen.matrix, self.found.labels, self.labelling.family, self.starts)
        if not start.tune:
            self._choose_trust(rows, start)
        self.before = self.settled(self.before)
        return rows

    def _choose_trust(self, rows: HeadRows, start: LabelStart) -> None:
        """Choose how far words are trusted; an encoder that was tuned has seen the rows, and what it has seen needs no words."""
        if self.known is None or not start.from_champion or self.known.tuned_rows == 0:
            self.trusted = words.choose(rows, start.choice or self.before, self.trusted, self.plan.note_tried)

    def settled(self, choice: Choice) -> Choice:
        """Return a choice with words trusted so far."""
        return replace(choice, words=self.trusted or 0.0)

    def solve(self, rows: HeadRows, choice: Choice, about: Solved, unlabelled: Features | None) -> Solution:
        labels, taught = self.found.labels, self.plan.taught
        if taught is not None:
            rows = taught_rows(rows, self.rows, labels, taught, unlabelled)
        head = build(rows, labels, choice, about, declared=self.plan.spec.label_names)
        return Solution(head, tuple(head.labels.names[number] for number in head.labels.seen_ids), self.starts)

    def format(self, *, blocks: bool) -> str:
        return self.labelling.format_with_blocks if blocks else self.labelling.format


def _answers(outputs: Features, labels: LabelSet, thresholds: Features | None) -> list[Answer]:
    """Return what logits answer."""
    count = len(labels.names)
    head = Head(np.eye(count, dtype=np.float32), np.zeros(count, dtype=np.float32), labels, thresholds=thresholds)
    return head.answers(outputs, [False] * len(outputs))


def _labels_of(plan: TrainingPlan) -> LabelSet | None:
    if plan.warm_start is None:
        return None
    with usable_model():
        return LabelSet.read(plan.warm_start)


def _trusted(champion: Path | None, before: Choice) -> float | None:
    """Return how far the champion's head trusts the words of labels; None where that was never chosen."""
    if champion is None:
        return None
    with usable_model():
        return None if starts_of(champion) is None else before.words


def _begun(sample: HeadRows | None, start: LabelStart, choice: Choice) -> Weights:
    """Return the head to tune with: the one on stored features where no sample was read, else one on that, from its words."""
    if sample is None:
        assert start.head is not None  # noqa: S101 - a sample is read where there is none
        return start.head
    near = sample.centre(choice.words)
    return sample.family.solve(sample.features, sample.labels, sample.weights, strength=choice.strength, centre=near)


def _begin(head: nn.Linear, start: Weights) -> None:
    """Set the head that is tuned along; a label that `start` lacks decides for none."""
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(float(start.bias.mean()))
        head.weight[start.labels.tolist()] = torch.from_numpy(start.weight)
        head.bias[start.labels.tolist()] = torch.from_numpy(start.bias)
