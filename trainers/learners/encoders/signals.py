"""Signals: a tuned encoder, and on its features a score and a tag head for each category, solved on all rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from config.kinds.signals.categories import SIGNALS
from config.tasks import TaskSpec
from perennial_artifact.compute import Compute
from perennial_artifact.keywords import NOTHING
from perennial_artifact.predictor import Answer, Predictor
from perennial_artifact.sentence.head import Features, Solved
from perennial_artifact.sentence.layout import SIGNALS_FORMAT
from perennial_artifact.sentence.signal_head import SignalHead, Told
from trainers.learners.encoders import encoder as encoders
from trainers.learners.encoders.distilling import with_signals
from trainers.learners.encoders.encoder import TextEncoder
from trainers.learners.encoders.fine_tuning import Row
from trainers.learners.encoders.slow.heads import Seen, Solution, Tuning, known_of, read_from
from trainers.learners.encoders.slow.order import as_they_are, learn, more_to_learn, refuse_no_rows
from trainers.learners.encoders.slow.steps import sampled, to_tune
from trainers.learners.heads.families.grouped import NOT_KNOWN
from trainers.learners.protocols import Aligner, Example, TrainingPlan
from trainers.learners.ridge.rows import matrix
from trainers.learners.signals import choosing
from trainers.learners.signals.choosing import Choice, build, choice_of, told_by
from trainers.learners.signals.rows import Shown, SignalRows, Usable, as_numbers, shown_by, signal_rows, usable
from trainers.learners.signals.soft import taught_signals
from trainers.learners.signals.starting import SignalStart, ways
from trainers.learners.starting import Ways

_FORMATS = frozenset({SIGNALS_FORMAT})


class SignalsLearner:
    """Learns signals: tunes the encoder where that pays, then solves all heads on all rows."""

    learns_from_all = True

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Learn as `order.learn`. Raises `RunFailedError` when no row tells a category."""
        learn(plan, output, _Signals.of)

    def has_more_to_learn(self, champion: Path) -> bool:
        """Return whether the champion's heads know rows that its encoder was not tuned on."""
        return more_to_learn(champion, _FORMATS)

    def aligner(self, model: Predictor) -> Aligner:  # noqa: ARG002 - a signal is a signal
        """Return what leaves signals as they are."""
        return as_they_are

    def baseline(self, spec: TaskSpec, rows: Sequence[Example]) -> Predictor:
        """Return what a first model must beat.

        `majority`: of each category the mean score and the most frequent tag. `base`: heads on the untouched base model's
        features of the newest 2,000 rows. Raises `RunFailedError` when there are no rows.
        """
        refuse_no_rows(spec, rows, "some")
        return OnBase(spec, rows) if spec.promotion.baseline == "base" else MostFrequent(spec, rows)


@dataclass(frozen=True, slots=True)
class _Signals:
    """Heads of signals in one slow run."""

    plan: TrainingPlan
    found: Usable
    before: Choice
    known: Solved | None

    @classmethod
    def of(cls, plan: TrainingPlan, champion: Path | None) -> _Signals:
        found, head = usable(plan), read_from(champion, _FORMATS, SignalHead.read)
        return cls(
            plan, found, Choice() if head is None else choice_of(head), known_of(champion, None if head is None else head.solved)
        )

    @property
    def rows(self) -> Sequence[Example]:
        return self.found.rows

    @property
    def note(self) -> str:
        return self.found.note

    @property
    def ways(self) -> Ways[SignalRows, Choice, choosing.Start]:
        return ways(self.plan, self.found.shown)

    def started(self, start: SignalStart) -> None:
        """Do nothing: signals have no further blocks of features."""

    def tuning(self, encoder: TextEncoder, tokenised: Sequence[Sequence[int]], start: SignalStart) -> Tuning:
        shown, chosen, loss = self.found.shown, to_tune(self.plan, self.rows), self.plan.spec.training.loss
        examples = [self.rows[at] for at in chosen]
        told = zip(chosen, _truth(examples, shown), examples, strict=True)
        rows = [Row(tokenised[at], truth, row.weight) for at, truth, row in told]
        sizes = [len(tags) for _name, tags in shown.categories]
        outputs, taught = len(sizes) + sum(sizes), self.plan.taught
        lessons = with_signals(taught, encoder, rows, examples, shown, loss)
        heads = start.head or self._begun(encoder, tokenised, chosen)
        return Tuning(
            outputs, partial(_begin, start=heads, categories=len(sizes)), lessons.rows, lessons.examples,
            answerable=range(outputs), depends_on=(shown, loss, taught and taught.key), loss=lessons.loss,
            answers=partial(_answers, categories=told_by(examples, shown)),
        )  # fmt: skip

    def _begun(self, encoder: TextEncoder, tokenised: Sequence[Sequence[int]], chosen: Sequence[int]) -> choosing.Start:
        """Return heads to tune with, solved on a sample of the rows."""
        sample, features = sampled(self.plan, encoder, chosen, tokenised)
        rows = signal_rows([self.rows[at] for at in sample], features, self.found.shown)
        return choosing.start(rows, self.before, self.plan.spec.training.loss)

    def read(self, seen: Seen, start: SignalStart) -> SignalRows:  # noqa: ARG002 - the same however a run began
        return signal_rows(self.rows, seen.features, self.found.shown, self.plan.spec.keywords)

    def settled(self, choice: Choice) -> Choice:
        return choice

    def solve(self, rows: SignalRows, choice: Choice, about: Solved, unlabelled: Features | None) -> Solution:
        spec, taught, keywords = self.plan.spec, self.plan.taught, self.plan.spec.keywords
        if taught is not None:
            rows = taught_signals(rows, self.rows, self.found.shown, taught, unlabelled, keywords)
        head = build(rows, self.found.shown, choice, spec.training.loss, about, keywords=keywords)
        return Solution(head, tuple(one.name for one in head.categories))

    def format(self, *, blocks: bool) -> str:  # noqa: ARG002 - there are none
        return SIGNALS_FORMAT


def _truth(rows: Sequence[Example], shown: Shown) -> list[list[float]]:
    """Return of each row each score on a scale from 0 to 1, then the place of each tag in its category, else not a number."""
    scores = (matrix(as_numbers(rows), shown.measured) + 1.0) / 2.0
    tags, family, column = np.full((len(rows), len(shown.categories)), np.nan), shown.family, 0
    gold = family.encoded(rows, shown.labels.ids)
    for at, (_name, own) in enumerate(shown.categories):
        if own:
            told = gold[:, column] != NOT_KNOWN
            tags[told, at] = gold[told, column] - family.starts[column]
            column += 1
    found: list[list[float]] = np.hstack([scores, tags]).tolist()
    return found


def _begin(head: nn.Linear, start: choosing.Start, categories: int) -> None:
    """Set the heads that are tuned along: scores from 0 to 1, and tags; a tag that `start` lacks decides for none.

    They read the encoder's features alone: what `start` makes of keywords is left out.
    """
    width = head.in_features
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        head.weight[:categories] = torch.from_numpy(start.scores.weight[:, :width] / 2.0)
        head.bias[:categories] = torch.from_numpy((start.scores.bias + 1.0) / 2.0)
        places = [categories + tag for tag in start.tags.labels.tolist()]
        head.weight[places] = torch.from_numpy(start.tags.weight[:, :width])
        head.bias[places] = torch.from_numpy(start.tags.bias)


def _answers(outputs: Features, categories: tuple[Told, ...]) -> list[Answer]:
    """Return what scores from 0 to 1, and the logits of tags, answer."""
    count, scale = len(categories), np.ones(outputs.shape[1], dtype=np.float32)
    scale[:count] = 2.0
    bias = np.where(np.arange(len(scale)) < count, -1.0, 0.0).astype(np.float32)
    return SignalHead(np.diag(scale), bias, categories).answers(outputs, [False] * len(outputs))


class MostFrequent:
    """Answers, of each category, the mean score and the most frequent tag of the training rows."""

    def __init__(self, spec: TaskSpec, rows: Sequence[Example]) -> None:
        said = {}
        for name, tags in shown_by(rows, spec.signals).categories:
            known = [row.target[SIGNALS][name] for row in rows if name in row.target[SIGNALS]]
            counts = Counter(one["tag"] for one in known if one.get("tag") is not None)
            tag = max(tags, key=lambda tag: counts[tag], default=None)
            score = 0.0 if tag == NOTHING else float(np.mean([one["score"] for one in known]))
            said[name] = {"score": score} if tag is None else {"score": score, "tag": tag}
        self._answer: Answer = {SIGNALS: said}

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return the same answer for every text."""
        return [self._answer for _ in texts]


class OnBase:
    """The base model as it came, and heads on its features of the newest training rows."""

    _MOST_ROWS = 2_000

    def __init__(self, spec: TaskSpec, rows: Sequence[Example]) -> None:
        newest = sorted(rows, key=lambda row: row.event_time)[-self._MOST_ROWS :]
        shown = shown_by(newest, spec.signals)
        self._encoder = encoders.open_base(spec.base_model, max_tokens=spec.training.max_tokens).as_served(Compute())
        features, _cut = self._encoder.features([row.text for row in newest])
        known = signal_rows(newest, features, shown, spec.keywords)
        self._head = build(known, shown, Choice(), spec.training.loss, Solved(), keywords=spec.keywords)

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return one answer per text, in order."""
        if not texts:
            return []
        features, cut = self._encoder.features(texts)
        return self._head.answers(self._head.read_by(features, texts), cut)
