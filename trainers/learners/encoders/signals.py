"""Signals: a tuned encoder, and on its features a score and a tag head for each category, solved on all rows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from config.errors import RunFailedError
from config.kinds.signals.categories import SIGNALS
from config.tasks import TaskSpec
from perennial_artifact.compute import Compute
from perennial_artifact.description import Description, Input, describe, versions_of
from perennial_artifact.keywords import NOTHING
from perennial_artifact.predictor import Answer, Predictor
from perennial_artifact.sentence.encoder import save_encoder
from perennial_artifact.sentence.head import Features, Solved
from perennial_artifact.sentence.layout import SIGNALS_FORMAT
from perennial_artifact.sentence.signal_head import SignalHead
from trainers.learners.encoders import encoder as encoders
from trainers.learners.encoders.encoder import TextEncoder, Tuned
from trainers.learners.encoders.fine_tuning import Row
from trainers.learners.encoders.losses.signals import loss_of
from trainers.learners.encoders.slow_run import (
    as_it_was,
    champion_of,
    features_of_rows,
    opened,
    read_now,
    stored,
    tune,
    with_note,
)
from trainers.learners.heads.families.grouped import NOT_KNOWN
from trainers.learners.opening import usable as usable_model
from trainers.learners.protocols import Aligner, Example, TrainingPlan, TrainingStep
from trainers.learners.ridge.rows import matrix
from trainers.learners.signals import choosing
from trainers.learners.signals.choosing import Choice, build, choice_of, choose
from trainers.learners.signals.rows import Shown, Usable, as_numbers, shown_by, signal_rows, usable
from trainers.learners.signals.starting import SignalStart, ways
from trainers.learners.starting import where_to_start
from trainers.learners.tried import Tried

_MOST_SAMPLED = 640


class SignalsLearner:
    """Learns signals: tunes the encoder where that pays, then solves all heads on all rows."""

    learns_from_all = True

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Tune the champion's encoder, or the base model's in a full or first run, solve the heads and write a model folder.

        Raises `RunFailedError` when no row tells a category, `UserError` when the base model cannot be loaded; out-of-memory
        errors pass through.
        """
        champion, found = champion_of(plan), usable(plan)
        rows = found.rows
        head_before = _head_of(champion)
        before = Choice() if head_before is None else choice_of(head_before)
        # What a champion of another format knows of itself is nothing.
        solved = None if champion is None else Solved() if head_before is None else head_before.solved
        start = where_to_start(plan, rows, before, solved, ways(plan, found.shown))
        encoder = opened(plan, champion if start.from_champion else None)
        tokenised, cut = encoder.read([row.text for row in rows])
        report = with_note(plan.report, found.note, cut=sum(cut))
        about = _tune(plan, encoder, found, tokenised, start, before, report) if start.tune else as_it_was(solved, start, report)
        max_tokens = encoder.max_tokens
        save_encoder(encoder.pooled, encoder.tokenizer, output, max_tokens=max_tokens)
        features = features_of_rows(plan, encoder, rows, tokenised, stored(plan, start))
        head = _solve(plan, found, features, start, before, about)
        head.write(output)
        Description(
            kind=plan.spec.kind, backend=plan.spec.backend, format=SIGNALS_FORMAT, base=plan.spec.base_model,
            labels=tuple(one.name for one in head.categories),
            input=Input(max_tokens=max_tokens), libraries=versions_of("torch", "transformers", "scikit-learn"),
        ).write(output)  # fmt: skip

    def has_more_to_learn(self, champion: Path) -> bool:
        """Return whether the champion's heads know rows that its encoder was not tuned on."""
        with usable_model():
            return describe(champion).format == SIGNALS_FORMAT and SignalHead.read(champion).solved.refreshes > 0

    def aligner(self, model: Predictor) -> Aligner:  # noqa: ARG002 - a signal is a signal
        """Return what leaves signals as they are."""
        return lambda text, targets: targets  # noqa: ARG005 - see above

    def baseline(self, spec: TaskSpec, rows: Sequence[Example]) -> Predictor:
        """Return what a first model must beat.

        `majority`: of each category the mean score and the most frequent tag. `base`: heads on the untouched base model's
        features of the newest 2,000 rows. Raises `RunFailedError` when there are no rows.
        """
        if not rows:
            message = f"task {spec.name!r} has no training rows to make its baseline from; send some first"
            raise RunFailedError(message)
        return OnBase(spec, rows) if spec.promotion.baseline == "base" else MostFrequent(spec, rows)


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


def _head_of(champion: Path | None) -> SignalHead | None:
    """Return the champion's heads; None without one that gives signals."""
    if champion is None:
        return None
    with usable_model():
        return SignalHead.read(champion) if describe(champion).format == SIGNALS_FORMAT else None


def _tune(  # noqa: PLR0917 - all of them are what one run has
    plan: TrainingPlan, encoder: TextEncoder, found: Usable, tokenised: Sequence[Sequence[int]], start: SignalStart,
    before: Choice, report: Callable[[TrainingStep], None],
) -> Solved:  # fmt: skip
    """Tune the encoder in place; return what the heads are to say of it."""
    chosen = [at for at, row in enumerate(found.rows) if plan.to_tune is None or row.example_id in plan.to_tune]
    rows, shown = [found.rows[at] for at in chosen], found.shown
    learning = [Row(tokenised[at], truth, row.weight) for at, row, truth in zip(chosen, rows, _truth(rows, shown), strict=True)]
    sizes = [len(tags) for _name, tags in shown.categories]
    model = Tuned(encoder.pooled, len(sizes) + sum(sizes), encoders.width(encoder.pooled))
    _begin_head(model.head, start.head or _sampled_heads(plan, encoder, rows, learning, shown, before), len(sizes))
    return tune(
        plan, encoder, model, learning, rows, answerable=range(model.head.out_features), from_base=not start.from_champion,
        depends_on=(shown, plan.spec.training.loss), report=report, loss=loss_of(plan.spec.training.loss, sizes),
    )  # fmt: skip


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


def _sampled_heads(  # noqa: PLR0917 - as above
    plan: TrainingPlan, encoder: TextEncoder, rows: Sequence[Example], learning: Sequence[Row], shown: Shown, choice: Choice
) -> choosing.Start:
    """Return heads to tune with, solved on up to 640 of the rows, spread evenly over them."""
    step = -(-len(rows) // _MOST_SAMPLED)
    sample = rows[::step]
    plan.tell(f"reading {len(sample)} rows for heads to begin with")
    features = read_now(encoder, [row.input_ids for row in learning[::step]])
    return choosing.start(signal_rows(sample, features, shown), choice, plan.spec.training.loss)


def _begin_head(head: nn.Linear, start: choosing.Start, categories: int) -> None:
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


def _solve(  # noqa: PLR0917 - as above
    plan: TrainingPlan, found: Usable, features: Features, start: SignalStart, before: Choice, about: Solved
) -> SignalHead:
    """Return the heads on all rows; how they are solved was chosen on features that had not seen them, where there are any."""
    keywords = plan.spec.keywords
    seen = signal_rows(found.rows, features, found.shown, keywords)
    choice = start.choice
    if choice is None:
        choice = before if start.tune else choose(seen, before, plan.note_tried)
    began = time.process_time()
    head = build(seen, found.shown, choice, plan.spec.training.loss, about, keywords=keywords)
    plan.note_tried(Tried(name=f"solved: {choice.name}", scores={}, cpu_s=time.process_time() - began, chosen=True))
    return head
