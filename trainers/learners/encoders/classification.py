"""The label of a text, or its labels: a tuned encoder, and a linear head solved on all rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import nn

from config.errors import RunFailedError
from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from perennial_artifact.blocks.features import named
from perennial_artifact.description import Description, Input, describe, versions_of
from perennial_artifact.labels import LabelSet
from perennial_artifact.predictor import Predictor
from perennial_artifact.sentence.encoder import save_encoder
from perennial_artifact.sentence.head import Features, Head, Solved
from perennial_artifact.sentence.layout import WITH_HEAD
from trainers.learners.encoders import encoder as encoders
from trainers.learners.encoders import label_words
from trainers.learners.encoders.base_block import base_beside
from trainers.learners.encoders.baseline import MostFrequentLabel, NearestCentroid
from trainers.learners.encoders.distilling import unlabelled_features, with_labels
from trainers.learners.encoders.encoder import TextEncoder, Tuned
from trainers.learners.encoders.fine_tuning import Row
from trainers.learners.encoders.label_words import LabelWords
from trainers.learners.encoders.slow_run import (
    as_it_was,
    champion_of,
    features_of_rows,
    opened,
    read_now,
    served,
    stored,
    tune,
    with_note,
)
from trainers.learners.heads import words
from trainers.learners.heads.blocks import apart, note_compared, read
from trainers.learners.heads.building import build, choice_of
from trainers.learners.heads.contradictions import lightened
from trainers.learners.heads.forward import Choice, choose
from trainers.learners.heads.rows import HeadRows, head_rows
from trainers.learners.heads.soft import taught_rows
from trainers.learners.heads.solving import Weights
from trainers.learners.heads.starts import read as starts_of
from trainers.learners.heads.tuning import LabelStart, ways
from trainers.learners.labelling import of as labelling_of
from trainers.learners.opening import usable as usable_model
from trainers.learners.protocols import Aligner, Example, TrainingPlan, TrainingStep
from trainers.learners.starting import where_to_start
from trainers.learners.tried import Tried
from trainers.learners.usable import Usable

_MOST_SAMPLED = 64


class ClassificationLearner:
    """Learns one label a text, or several: tunes the encoder where that pays, then solves the head on all rows."""

    learns_from_all = True

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Tune the champion's encoder, or the base model's in a full or first run, solve the head and write a model folder.

        Raises `RunFailedError` when there is nothing to tell apart, `UserError` when the base model cannot be loaded;
        out-of-memory errors pass through.
        """
        champion = champion_of(plan)
        plan = apart(plan, champion)
        labelling = labelling_of(plan.spec)
        found = labelling.usable(plan, _labels_of(plan))
        head_before = _head_of(champion)
        before = Choice() if head_before is None else choice_of(head_before)
        # What a champion of another format knows of itself is nothing.
        solved = None if champion is None else Solved() if head_before is None else head_before.solved
        # The base model's features have not seen the rows; those of an encoder that was tuned on wrong labels confirm them.
        found = replace(found, rows=lightened(plan, found.rows, plan.base_features, found.labels, before))
        rows = found.rows
        start = where_to_start(plan, rows, before, solved, ways(plan, found.labels, labelling.family))
        note_compared(plan, rows, found.labels, champion if start.from_champion else None, start.choice or before)
        said = label_words.of(plan, rows, found.labels)
        encoder = opened(plan, champion if start.from_champion else None)
        tokenised, cut = encoder.read([row.text for row in rows])
        report = with_note(plan.report, found.note, cut=sum(cut))
        trusted = _trusted(champion, before)
        # An encoder that was tuned has seen the rows, and what it has seen needs no words.
        untouched = solved is None or not start.from_champion or solved.tuned_rows == 0
        if start.tune:
            sample = _sampled(plan, encoder, found, tokenised, said) if start.head is None or said is not None else None
            if sample is not None and untouched:
                trusted = words.choose(sample, start.choice or before, trusted, plan.note_tried)
            before = replace(before, words=trusted or 0.0)
            about = _tune(plan, encoder, found, tokenised, start, _begun(sample, start, before), report)
        else:
            about = as_it_was(solved, start, report)
        max_tokens = encoder.max_tokens
        save_encoder(encoder.pooled, encoder.tokenizer, output, max_tokens=max_tokens)
        beside = base_beside(plan, encoder, rows, output, tuned=start.tune)
        features = features_of_rows(plan, encoder, rows, tokenised, stored(plan, start))
        blocks = named(plan.spec.training.feature_blocks, base_columns=None if beside is None else beside.shape[1])
        width = features.shape[1]
        features = features if beside is None else np.hstack([features, beside])
        matrix = read(features, [row.text for row in rows], blocks)
        starts = (
            None
            if said is None
            else said.starts(lambda texts: served(plan, encoder, texts), lambda places: features[places, :width])
        )
        seen = head_rows(rows, matrix, found.labels, labelling.family, starts)
        if not start.tune and untouched:
            trusted = words.choose(seen, start.choice or before, trusted, plan.note_tried)
        before = replace(before, words=trusted or 0.0)
        unlabelled = unlabelled_features(plan, encoder) if start.tune and blocks is None else None
        head = _solve(plan, seen, rows, found.labels, start, before, about, unlabelled)
        head.write(output)
        if starts is not None:
            starts.write(output)
        if blocks is not None:
            blocks.write(output)
        Description(
            kind=plan.spec.kind, backend=plan.spec.backend, base=plan.spec.base_model,
            format=labelling.format if blocks is None else labelling.format_with_blocks,
            labels=tuple(head.labels.names[number] for number in head.labels.seen_ids),
            input=Input(max_tokens=max_tokens), libraries=versions_of("torch", "transformers", "scikit-learn"),
        ).write(output)  # fmt: skip

    def has_more_to_learn(self, champion: Path) -> bool:
        """Return whether the champion's head knows rows that its encoder was not tuned on."""
        with usable_model():
            return describe(champion).format in WITH_HEAD and Head.read(champion).solved.refreshes > 0

    def aligner(self, model: Predictor) -> Aligner:  # noqa: ARG002 - a label is a label
        """Return what leaves labels as they are."""
        return lambda text, targets: targets  # noqa: ARG005 - see above

    def baseline(self, spec: TaskSpec, rows: Sequence[Example]) -> Predictor:
        """Return what a first model must beat.

        `majority`: always the most frequent label of `rows`. `base`: the untouched base model; a text gets the label whose
        mean training embedding (mean-pooled last layer) is nearest by cosine. Texts of several labels get
        that one too. Raises `RunFailedError` when there are no rows.
        """
        if not rows:
            message = f"task {spec.name!r} has no training rows to make its baseline from; send labels first"
            raise RunFailedError(message)
        labels, said = kinds.get(spec.kind).labels, labelling_of(spec).said
        if not any(labels(row.target) for row in rows):
            message = f"task {spec.name!r} has no training row with a label to make its baseline from; send some"
            raise RunFailedError(message)
        if spec.promotion.baseline == "base":
            return NearestCentroid(spec, rows, labels, said)
        return MostFrequentLabel(rows, labels, said)


def _labels_of(plan: TrainingPlan) -> LabelSet | None:
    if plan.warm_start is None:
        return None
    with usable_model():
        return LabelSet.read(plan.warm_start)


def _head_of(champion: Path | None) -> Head | None:
    """Return the champion's head; None without one that has a head of its own."""
    if champion is None:
        return None
    with usable_model():
        return Head.read(champion) if describe(champion).format in WITH_HEAD else None


def _trusted(champion: Path | None, before: Choice) -> float | None:
    """Return how far the champion's head trusts the words of labels; None where that was never chosen."""
    if champion is None:
        return None
    with usable_model():
        return None if starts_of(champion) is None else before.words


def _tune(  # noqa: PLR0917 - all of them are what one run has
    plan: TrainingPlan, encoder: TextEncoder, found: Usable, tokenised: Sequence[Sequence[int]], start: LabelStart,
    head: Weights, report: Callable[[TrainingStep], None],
) -> Solved:  # fmt: skip
    """Tune the encoder in place, with a head that begins as `head`; return what a head is to say of it."""
    family = labelling_of(plan.spec).family
    chosen = _to_tune(plan, found)
    gold = family.encoded([found.rows[at] for at in chosen], found.labels.ids)
    weights = np.array([found.rows[at].weight for at in chosen])
    more = family.balancing(gold, weights)
    balanced = weights if more is None else (weights * more.T).T
    learning = [Row(tokenised[at], *each) for at, *each in zip(chosen, gold.tolist(), balanced.tolist(), strict=True)]
    model = Tuned(encoder.pooled, len(found.labels.names), encoders.width(encoder.pooled))
    _begin_head(model.head, head)
    seen, examples, taught = found.labels.seen_ids, [found.rows[at] for at in chosen], plan.taught
    lessons = with_labels(taught, encoder, learning, examples, found.labels.names, seen)
    return tune(
        plan, encoder, model, lessons.rows, lessons.examples, answerable=seen, from_base=not start.from_champion,
        depends_on=(found.labels.names, seen, taught and taught.key), report=report, loss=lessons.loss,
    )  # fmt: skip


def _to_tune(plan: TrainingPlan, found: Usable) -> list[int]:
    """Return the numbers of the rows that the encoder is tuned on."""
    return [at for at, row in enumerate(found.rows) if plan.to_tune is None or row.example_id in plan.to_tune]


def _sampled(
    plan: TrainingPlan, encoder: TextEncoder, found: Usable, tokenised: Sequence[Sequence[int]], said: LabelWords | None
) -> HeadRows:
    """Return a sample of the rows that are tuned on, of each label up to 64, spread evenly over all it has.

    Features are what the encoder makes of them before it is tuned, and of the words of labels.
    """
    family, chosen = labelling_of(plan.spec).family, _to_tune(plan, found)
    gold = family.encoded([found.rows[at] for at in chosen], found.labels.ids)
    spread = (members[:: -(-len(members) // _MOST_SAMPLED)].tolist() for members in family.members(gold) if len(members))
    places = [chosen[at] for at in dict.fromkeys(chain.from_iterable(spread))]
    plan.tell(f"reading {len(places)} rows for a head to begin with")
    features = read_now(encoder, [tokenised[at] for at in places])
    starts = None
    if said is not None:
        asked = said.places
        starts = said.starts(
            lambda texts: read_now(encoder, encoder.read(texts)[0]),
            lambda _places: read_now(encoder, [tokenised[at] for at in asked]),
        )
    return head_rows([found.rows[at] for at in places], features, found.labels, family, starts)


def _begun(sample: HeadRows | None, start: LabelStart, choice: Choice) -> Weights:
    """Return the head to tune with: the one on stored features where no sample was read, else one on that, from its words."""
    if sample is None:
        assert start.head is not None  # noqa: S101 - a sample is read where there is none
        return start.head
    near = sample.centre(choice.words)
    return sample.family.solve(sample.features, sample.labels, sample.weights, strength=choice.strength, centre=near)


def _begin_head(head: nn.Linear, start: Weights) -> None:
    """Set the head that is tuned along; a label that `start` lacks decides for none."""
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(float(start.bias.mean()))
        head.weight[start.labels.tolist()] = torch.from_numpy(start.weight)
        head.bias[start.labels.tolist()] = torch.from_numpy(start.bias)


def _solve(  # noqa: PLR0917 - as above
    plan: TrainingPlan,
    seen: HeadRows,
    rows: Sequence[Example],
    labels: LabelSet,
    start: LabelStart,
    before: Choice,
    about: Solved,
    unlabelled: Features | None,
) -> Head:
    """Return the head on all rows; how it is solved was chosen on features that have not seen the rows, where there are any."""
    choice = before if start.choice is None else replace(start.choice, words=before.words)
    if start.choice is None and not start.tune:
        choice = choose(seen, before, plan.note_tried)
    began = time.process_time()
    if plan.taught is not None:
        seen = taught_rows(seen, rows, labels, plan.taught, unlabelled)
    head = build(seen, labels, choice, about, declared=plan.spec.label_names)
    plan.note_tried(Tried(name=f"solved: {choice.name}", scores={}, cpu_s=time.process_time() - began, chosen=True))
    return head
