"""Entity recognition with spaCy: start from the champion, a blank language or an installed pipeline, and train only `ner`."""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import spacy
import structlog
from spacy.language import Language
from spacy.pipeline import EntityRecognizer
from spacy.tokens import Doc
from spacy.training.batchers import minibatch_by_words
from thinc.api import Adam, Optimizer, fix_random_seed, require_cpu

from config.errors import RunFailedError
from config.tasks import TaskSpec
from trainers.hardware import Hardware
from trainers.learners.protocols import Aligner, Answer, Example, Predictor, TrainingPlan, TrainingStep
from trainers.learners.spacy import layers as spacy_layers
from trainers.learners.spacy import strings as spacy_strings
from trainers.learners.spacy.alignment import Tokens, as_compared, without_outer_space
from trainers.learners.spacy.rows import TokenRow, lay_on_tokens, learnable_types, pieces, readable, tokens_of
from trainers.learners.spacy.tokens import make_linear

_LOG = structlog.get_logger(__name__)
_BLANK = "blank:"
_META_KEY = "perennial"
# Few rows need small first batches to get enough steps; with many, larger ones cost half the time for the same F1.
_FIRST_BATCH_WORDS = (64, 300)
_FIRST_EPOCH_STEPS = 50
_WORDS_PER_ROW = 32
_BATCH_GROWTH = 1.001
_INITIALIZE_ROWS = 10
_PORTION_CHARS = 50_000


class SpacyNerTask:
    """Learns and finds entities with spaCy's transition-based recogniser, on the CPU."""

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Learn from `plan.rows` and write a spaCy pipeline into the new folder `output`.

        Tokens that a partial target does not speak of are left out of the loss, and so are spans that fit no token. A row
        of weight w is seen in a share w of the epochs. Raises `RunFailedError` when nothing can be learnt from the rows.
        """
        require_cpu()
        fix_random_seed(plan.seed)
        warm = plan.warm_start is not None and not plan.full
        nlp = _open(str(plan.warm_start)) if warm else _base(plan.spec)
        is_open = plan.spec.labels == "open"
        known = {*plan.spec.label_names, *(_types(nlp) if is_open else ())} - plan.spec.renames.keys()
        # A closed task keeps to its own types, though the pipeline it began with may know others.
        types = learnable_types(plan.spec, plan.rows, known=known, waiting=plan.waiting)
        rows, alignment = lay_on_tokens(
            nlp, plan.rows, types, text_time_s=plan.text_time_s,
            report=lambda done: plan.tell(f"{done:,} of {len(plan.rows):,} texts laid on tokens"),
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
        optimizer = _learn(nlp, recogniser, rows, plan, note=str(alignment))
        # The mean of the weights over the steps is steadier than the last weights.
        with nlp.use_params(optimizer.averages):
            nlp.to_disk(output)
        spacy_strings.keep_only(output, _base(plan.spec), recogniser.labels)

    def load(self, folder: Path, hardware: Hardware) -> Predictor:  # noqa: ARG002 - spaCy runs on the CPU whatever there is
        """Return the pipeline in `folder`. Raises `RunFailedError` when it cannot be read."""
        require_cpu()
        _refuse_unknown_parts(folder)
        nlp = _open(str(folder))
        return SpacyPredictor(nlp, nlp.meta.get(_META_KEY, {}).get("types"))

    def aligner(self, model: Predictor) -> Aligner:
        """Return what lays gold and answers on the tokens of `model`, the candidate's for both models alike."""
        assert isinstance(model, SpacyPredictor)  # noqa: S101 - narrows the type: this class loaded it

        def align(text: str, targets: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
            tokens = model.tokens_of(text)
            return [as_compared(text, target, tokens) for target in targets]

        return align

    def baseline(self, spec: TaskSpec, rows: Sequence[Example]) -> Predictor:  # noqa: ARG002 - finding nothing needs no rows
        """Return the untouched base pipeline where the task asks for it and it has a recogniser, else one that finds nothing."""
        if spec.promotion.baseline == "base" and not spec.base_model.startswith(_BLANK):
            require_cpu()
            nlp = _open(spec.base_model)
            if _recogniser(nlp) is not None:
                return SpacyPredictor(nlp, spec.label_names if spec.labels == "closed" else None)
        return FindsNothing()


class SpacyPredictor:
    """A loaded pipeline. Memory that a call takes is given back at its end."""

    def __init__(self, nlp: Language, types: Collection[str] | None) -> None:
        """Answer with `nlp`, keeping only entities of `types` (None: all)."""
        self._nlp = nlp
        self._types = None if types is None else frozenset(types)
        self._disable = _without_influence(nlp)

    @property
    def labels(self) -> tuple[str, ...]:
        """The entity types this model may answer with, sorted."""
        return tuple(sorted(label for label in _types(self._nlp) if self._types is None or label in self._types))

    def divide(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of the parts of a text that can be answered one by one; `join` puts their answers together."""
        return list(pieces(text))

    def join(self, starts: Sequence[int], answers: Sequence[Answer]) -> Answer:
        """Return the answer to a text from those to its parts, which begin at `starts`."""
        spans = [
            {**span, "start": start + span["start"], "end": start + span["end"]}
            for start, answer in zip(starts, answers, strict=True)
            for span in answer["spans"]
        ]
        return {**answers[0], "spans": spans}

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return `{"spans": [{"start", "end", "label"}]}` per text, offsets in code points, in order of the text."""
        spans: list[list[dict[str, Any]]] = [[] for _text in texts]
        for portion in _portions([readable(text) for text in texts]):
            with self._nlp.memory_zone():
                docs = self._nlp.pipe((text for _at, _offset, text in portion), disable=self._disable, batch_size=len(portion))
                for (at, offset, _text), doc in zip(portion, docs, strict=True):
                    spans[at] += _spans(doc, offset, self._types)
        return [{"spans": found} for found in spans]

    def tokens_of(self, text: str) -> Tokens:
        """Return where the tokens of a text lie."""
        return tokens_of(self._nlp, text)


def _spans(doc: Doc, offset: int, types: Collection[str] | None) -> Iterator[dict[str, Any]]:
    """Yield the entities of a document that are of `types` (None: of any), without the white space around them."""
    for entity in doc.ents:
        start, end = without_outer_space(doc.text, entity.start_char, entity.end_char)
        if start < end and (types is None or entity.label_ in types):
            yield {"start": offset + start, "end": offset + end, "label": entity.label_}


class FindsNothing:
    """The majority answer of entity recognition: no entity anywhere."""

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return no span for every text."""
        return [{"spans": []} for _text in texts]


def _base(spec: TaskSpec) -> Language:
    if not spec.base_model.startswith(_BLANK):
        nlp = _open(spec.base_model)
        if unknown := spacy_layers.unknown_part(nlp.config):
            # Its models could be trained, and never opened again.
            message = f"base_model {spec.base_model!r} of task {spec.name!r} cannot be used: {unknown}; choose another pipeline"
            raise RunFailedError(message)
        return nlp
    language = spec.base_model.removeprefix(_BLANK)
    try:
        return make_linear(spacy.blank(language))
    except ImportError:
        message = (
            f"base_model {spec.base_model!r} of task {spec.name!r}: spaCy has no language {language!r}, or a package it needs is "
            "missing; use a code such as blank:en, or blank:xx for any language"
        )
        raise RunFailedError(message) from None


def _open(name_or_path: str) -> Language:
    try:
        return make_linear(spacy.load(name_or_path))
    except Exception as error:  # a damaged folder fails in msgpack, JSON, config, numpy or thinc
        message = (
            f"the spaCy pipeline {name_or_path} cannot be loaded ({type(error).__name__}: {error}). Nothing was changed; check "
            "that it is installed, fits this spaCy version, and is complete"
        )
        raise RunFailedError(message) from error


def _refuse_unknown_parts(folder: Path) -> None:
    """Look at what a published pipeline is built of before any of it is built. Raises `RunFailedError`."""
    try:
        unknown = spacy_layers.unknown_part(spacy.util.load_config(folder / "config.cfg"))
    except Exception as error:  # a damaged file fails in configparser, JSON or confection
        message = f"the spaCy pipeline {folder} cannot be read ({type(error).__name__}: {error}); publish it again or roll back"
        raise RunFailedError(message) from error
    if unknown is not None:
        message = f"the spaCy pipeline {folder} is not opened: {unknown}. Train again from another base_model, or roll back"
        raise RunFailedError(message)


def _recogniser(nlp: Language) -> EntityRecognizer | None:
    return next((pipe for _name, pipe in nlp.pipeline if isinstance(pipe, EntityRecognizer)), None)


def _types(nlp: Language) -> tuple[str, ...]:
    recogniser = _recogniser(nlp)
    return () if recogniser is None else recogniser.labels


def _ready(nlp: Language, types: Sequence[str], rows: Sequence[TokenRow]) -> EntityRecognizer:
    """Return the pipeline's recogniser, added where there is none, knowing `types` and owning its token vectors."""
    found = _recogniser(nlp)
    # spaCy's default recogniser: HashEmbedCNN of width 96 and depth 4, about 4 MB.
    recogniser: EntityRecognizer = nlp.add_pipe("ner") if found is None else found
    for label in types:
        recogniser.add_label(label)
    if found is None:
        sample = [row.example(nlp) for row in rows[:_INITIALIZE_ROWS]]
        recogniser.initialize(lambda: sample, nlp=nlp)
    for source in _vector_sources(nlp, recogniser):
        # Training a shared layer would change the pipes that are to stay as they are.
        nlp.replace_listeners(source, recogniser.name, ["model.tok2vec"])
    return recogniser


def _vector_sources(nlp: Language, recogniser: EntityRecognizer) -> list[str]:
    """Return the pipes whose token vectors the recogniser listens to."""
    return [name for name, pipe in nlp.pipeline if recogniser.name in getattr(pipe, "listening_components", ())]


def _learn(nlp: Language, recogniser: EntityRecognizer, rows: Sequence[TokenRow], plan: TrainingPlan, *, note: str) -> Optimizer:
    """Train the recogniser on all batches and return the optimizer, which holds the mean of the weights."""
    training = plan.spec.training
    epochs, rate = (training.full_epochs, training.full_learning_rate) if plan.full else (training.epochs, training.learning_rate)
    batches = list(_batches(rows, epochs, plan.batch_size, plan.seed))
    optimizer: Optimizer = Adam(rate, L2=0.01, L2_is_weight_decay=True, grad_clip=1.0, use_averages=True)
    seen, began = 0, time.monotonic()
    for step, (epoch, batch) in enumerate(batches, start=1):
        examples = [row.example(nlp) for row in batch]
        losses = recogniser.update(examples, drop=training.dropout, sgd=optimizer)
        seen += len(batch)
        plan.report(
            TrainingStep(
                step=step,
                steps=len(batches),
                epoch=epoch,
                loss=float(losses[recogniser.name]) / sum(row.words for row in batch),
                examples_per_s=seen / max(time.monotonic() - began, 1e-9),
                message=note if step == 1 else "",
            )
        )
    return optimizer


def _batches(rows: Sequence[TokenRow], epochs: int, batch_size: int, seed: int) -> Iterator[tuple[float, list[TokenRow]]]:
    """Yield (epoch so far, rows) in shuffled batches that grow in words, so that early steps are many and late ones quick."""
    order = random.Random(seed)  # noqa: S311 - shuffling
    least, most = _FIRST_BATCH_WORDS
    first = min(max(sum(row.words for row in rows) // _FIRST_EPOCH_STEPS, least), most)
    size = _growing(first, batch_size * _WORDS_PER_ROW)
    for epoch in range(epochs):
        drawn = [row for row in rows if row.weight >= 1.0 or order.random() < row.weight]
        order.shuffle(drawn)
        done = 0
        # A generator is right, whatever the annotation says: spaCy calls iter() on it.
        for batch in minibatch_by_words(drawn, size, get_length=lambda row: row.words):  # type: ignore[arg-type]  # see above
            done += len(batch)
            yield epoch + done / len(drawn), batch


def _growing(start: float, stop: float) -> Iterator[int]:
    size = min(start, stop)
    while True:
        yield int(size)
        size = min(size * _BATCH_GROWTH, stop)


def _portions(texts: Sequence[str]) -> Iterator[list[tuple[int, int, str]]]:
    """Yield (number of the text, offset in it, piece) in portions of bounded size."""
    portion: list[tuple[int, int, str]] = []
    chars = 0
    for at, text in enumerate(texts):
        for start, end in pieces(text):
            portion.append((at, start, text[start:end]))
            chars += end - start
            if chars >= _PORTION_CHARS:
                yield portion
                portion, chars = [], 0
    if portion:
        yield portion


def _without_influence(nlp: Language) -> list[str]:
    """Return the pipes that entities do not depend on; none when a later pipe changes entities by rules of its own."""
    recogniser = _recogniser(nlp)
    setters = [name for name in nlp.pipe_names if "doc.ents" in nlp.get_pipe_meta(name).assigns]
    if recogniser is None or setters != [recogniser.name]:
        return []
    needed = {recogniser.name, *_vector_sources(nlp, recogniser)}
    return [name for name in nlp.pipe_names if name not in needed]
