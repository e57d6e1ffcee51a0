"""Entity recognition with spaCy: start from the champion, a blank language or an installed pipeline, and train only `ner`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import spacy
import structlog
from spacy.language import Language
from spacy.pipeline import EntityRecognizer
from thinc.api import Adam, Optimizer, fix_random_seed, require_cpu

from config.errors import RunFailedError
from config.tasks import TaskSpec
from perennial_artifact.description import Description, Input, versions_of
from perennial_artifact.predictor import Answer, Predictor
from perennial_artifact.spacy.entities import FORMAT, Entities, recogniser_of, types_of, vector_sources
from perennial_artifact.spacy.layers import unknown_part
from perennial_artifact.spacy.pieces import PIECE_CHARS
from perennial_artifact.spacy.tokens import make_linear
from trainers.learners.protocols import Aligner, Example, TrainingPlan, TrainingStep
from trainers.learners.spacy import strings as spacy_strings
from trainers.learners.spacy.alignment import Tokens, as_compared
from trainers.learners.spacy.averaging import KeptBack, Weights, keep_back, put, settle, weights_of
from trainers.learners.spacy.judging import Judge
from trainers.learners.spacy.rows import TokenRow, lay_on_tokens, learnable_types
from trainers.learners.spacy.schedule import batches_of, epochs_of
from trainers.learners.spacy.scope import ScopedRecogniser

_LOG = structlog.get_logger(__name__)
_BLANK = "blank:"
_META_KEY = "perennial"
"""Where programs of the first release look for the types that a pipeline may answer with."""
_INITIALIZE_ROWS = 10


class SpacyNerLearner:
    """Learns and finds entities with spaCy's transition-based recogniser, on the CPU."""

    learns_from_all = False

    def has_more_to_learn(self, champion: Path) -> bool:  # noqa: ARG002 - every pipeline has been trained on all that it knows
        """Return False: what a pipeline has learnt from it was trained on."""
        return False

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Learn from `plan.rows` and write a spaCy pipeline into the new folder `output`.

        Tokens that a partial target does not speak of are left out of the loss, and so are spans that fit no token; of a type
        outside a row's scope its silence teaches nothing. What is learnt on top of a champion may be averaged with it, where it
        forgets too much (`averaging`). Raises `RunFailedError` when nothing can be learnt from the rows.
        """
        require_cpu()
        fix_random_seed(plan.seed)
        warm = plan.warm_start is not None and not plan.full
        nlp = _open(str(plan.warm_start)) if warm else _base(plan.spec)
        is_open = plan.spec.labels == "open"
        known = {*plan.spec.label_names, *(types_of(nlp) if is_open else ())} - plan.spec.renames.keys()
        # A closed task keeps to its own types, though the pipeline it began with may know others.
        types = learnable_types(plan.spec, plan.rows, known=known, waiting=plan.waiting)
        kept_back = keep_back(plan.rows, plan.seed) if warm and plan.score else KeptBack(plan.rows, (), ())
        judge = Judge(nlp, (*kept_back.older, *kept_back.newer), plan.score) if kept_back.older and plan.score else None
        # Before it knows the new types: it would answer with them unlearnt.
        before = judge.score(nlp, kept_back.older) if judge else 0.0
        rows, alignment = lay_on_tokens(
            nlp, kept_back.learnt, types, text_time_s=plan.text_time_s,
            report=lambda done: plan.tell(f"{done:,} of {len(kept_back.learnt):,} texts laid on tokens"),
        )  # fmt: skip
        if not types or not rows:
            message = (
                f"task {plan.spec.name!r} has {len(rows)} rows with a word and {len(types)} entity types to learn; a type joins "
                f"when {plan.spec.new_label_min_examples} rows carry it. Send more labels, or name the types in label_names"
            )
            raise RunFailedError(message)
        _LOG.info("rows_laid_on_tokens", task=plan.spec.name, rows=len(rows), types=types, message=str(alignment))
        recogniser = _ready(nlp, types, rows)
        nlp.meta[_META_KEY] = {"types": types}
        start, began = weights_of(recogniser.model), time.process_time()
        optimizer = _learn(nlp, recogniser, rows, plan, note=str(alignment))
        # The mean of the weights over the steps is steadier than the last weights.
        with nlp.use_params(optimizer.averages):
            end = weights_of(recogniser.model)
        trained_s = time.process_time() - began
        if judge is not None:
            end = _settled(
                nlp, recogniser, judge, plan, weights=(start, end), kept_back=kept_back, before=before, trained_s=trained_s
            )
        put(recogniser.model, end)
        nlp.to_disk(output)
        spacy_strings.keep_only(output, _base(plan.spec), recogniser.labels)
        Description(
            kind=plan.spec.kind, backend=plan.spec.backend, format=FORMAT, base=plan.spec.base_model, labels=tuple(types),
            input=Input(piece_chars=PIECE_CHARS), libraries=versions_of("spacy"),
        ).write(output)  # fmt: skip

    def aligner(self, model: Predictor) -> Aligner:
        """Return what lays gold and answers on the tokens of `model`, the candidate's for both models alike."""
        assert isinstance(model, Entities)  # noqa: S101 - narrows the type: this class loaded it

        def align(text: str, targets: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
            tokens = Tokens.of(model.borders_of(text))
            return [as_compared(text, target, tokens) for target in targets]

        return align

    def baseline(self, spec: TaskSpec, rows: Sequence[Example]) -> Predictor:  # noqa: ARG002 - finding nothing needs no rows
        """Return the untouched base pipeline where the task asks for it and it has a recogniser, else one that finds nothing."""
        if spec.promotion.baseline == "base" and not spec.base_model.startswith(_BLANK):
            require_cpu()
            nlp = _open(spec.base_model)
            if recogniser_of(nlp) is not None:
                return Entities(nlp, spec.label_names if spec.labels == "closed" else None)
        return FindsNothing()


class FindsNothing:
    """The majority answer of entity recognition: no entity anywhere."""

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return no span for every text."""
        return [{"spans": []} for _text in texts]


def _base(spec: TaskSpec) -> Language:
    if not spec.base_model.startswith(_BLANK):
        # Before it is loaded: a part that no installed package brings would end in a riddle.
        if unknown := unknown_part(_config_of(spec.base_model)):
            # Its models could be trained, and never opened again.
            message = (
                f"base_model {spec.base_model!r} of task {spec.name!r} cannot be used: {unknown}. Choose a pipeline without a "
                "transformer or parts of other packages, such as en_core_web_lg, or blank:en"
            )
            raise RunFailedError(message)
        return _open(spec.base_model)
    language = spec.base_model.removeprefix(_BLANK)
    try:
        return make_linear(spacy.blank(language))
    except ImportError:
        message = (
            f"base_model {spec.base_model!r} of task {spec.name!r}: spaCy has no language {language!r}, or a package it needs is "
            "missing; use a code such as blank:en, or blank:xx for any language"
        )
        raise RunFailedError(message) from None


def _config_of(name_or_path: str) -> Mapping[str, Any]:
    """Return the configuration of a pipeline; empty where none is found, which loading it will tell."""
    folder = Path(name_or_path) if Path(name_or_path).exists() else Path()
    if spacy.util.is_package(name_or_path):
        package = spacy.util.get_package_path(name_or_path)
        folder = package / f"{package.name}-{spacy.util.get_package_version(name_or_path)}"
    try:
        return spacy.util.load_config(folder / "config.cfg")
    except (OSError, ValueError):
        return {}


def _open(name_or_path: str) -> Language:
    try:
        return make_linear(spacy.load(name_or_path))
    except Exception as error:  # a damaged folder fails in msgpack, JSON, config, numpy or thinc
        message = (
            f"the spaCy pipeline {name_or_path} cannot be loaded ({type(error).__name__}: {error}). Nothing was changed; check "
            "that it is installed, fits this spaCy version, and is complete"
        )
        raise RunFailedError(message) from error


def _ready(nlp: Language, types: Sequence[str], rows: Sequence[TokenRow]) -> EntityRecognizer:
    """Return the pipeline's recogniser, added where there is none, knowing `types` and owning its token vectors."""
    found = recogniser_of(nlp)
    # spaCy's default recogniser: HashEmbedCNN of width 96 and depth 4, about 4 MB.
    recogniser: EntityRecognizer = nlp.add_pipe("ner") if found is None else found
    for label in types:
        recogniser.add_label(label)
    if found is None:
        sample = [row.example(nlp) for row in rows[:_INITIALIZE_ROWS]]
        recogniser.initialize(lambda: sample, nlp=nlp)
    for source in vector_sources(nlp, recogniser):
        # Training a shared layer would change the pipes that are to stay as they are.
        nlp.replace_listeners(source, recogniser.name, ["model.tok2vec"])
    return recogniser


def _settled(
    nlp: Language,
    recogniser: EntityRecognizer,
    judge: Judge,
    plan: TrainingPlan,
    *,
    weights: tuple[Weights, Weights],
    kept_back: KeptBack,
    before: float,
    trained_s: float,
) -> Weights:
    """Return the weights to publish: the candidate's (`weights` are the champion's and its), or an average that forgets less."""

    def score(tried: Weights, rows: Sequence[Example]) -> float:
        plan.tell("candidate and averages answer older training rows that were kept back")
        put(recogniser.model, tried)
        return judge.score(nlp, rows)

    chosen, tried = settle(
        score, *weights, kept_back, before=before, max_forgetting=plan.spec.promotion.max_forgetting, trained_cpu_s=trained_s
    )
    for one in tried:
        plan.note_tried(one)
        _LOG.info("tried", task=plan.spec.name, **one.model_dump())
    return chosen


def _learn(nlp: Language, recogniser: EntityRecognizer, rows: Sequence[TokenRow], plan: TrainingPlan, *, note: str) -> Optimizer:
    """Train the recogniser on all batches and return the optimizer, which holds the mean of the weights."""
    training = plan.spec.training
    rate = training.full_learning_rate if plan.full else training.learning_rate
    batches = list(batches_of(epochs_of(rows, training, full=plan.full, seed=plan.seed), plan.batch_size))
    optimizer: Optimizer = Adam(rate, L2=0.01, L2_is_weight_decay=True, grad_clip=1.0, use_averages=True)
    scoped = ScopedRecogniser(recogniser, {label for row in rows for _first, _after, label in row.entities})
    seen, began = 0, time.monotonic()
    for step, (epoch, batch) in enumerate(batches, start=1):
        makes_a_step = step % training.gradient_accumulation == 0 or step == len(batches)
        loss = scoped.learn(nlp, batch, drop=training.dropout, sgd=optimizer if makes_a_step else None)
        seen += len(batch)
        plan.report(
            TrainingStep(
                step=step,
                steps=len(batches),
                epoch=epoch,
                loss=loss / sum(row.words for row in batch),
                examples_per_s=seen / max(time.monotonic() - began, 1e-9),
                message=note if step == 1 else "",
            )
        )
    return optimizer
