"""In which order, how often and in what batches a recogniser sees its rows. Pure, deterministic by seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from spacy.training.batchers import minibatch_by_words

from config.task_files.sections.training import Training
from trainers.learners.entities.passes import passes_of
from trainers.learners.spacy.rows import TokenRow

# Few rows need small first batches to get enough steps; with many, larger ones cost half the time for the same F1.
_FIRST_BATCH_WORDS = (64, 300)
_FIRST_EPOCH_STEPS = 50
_WORDS_PER_ROW = 32
_BATCH_GROWTH = 1.001


def epochs_of(rows: Sequence[TokenRow], training: Training, *, full: bool, seed: int) -> list[list[TokenRow]]:
    """Return the rows of each epoch, shuffled. A row of weight w is seen in a share w of the passes that it would have.

    Where it has fewer passes (`passes_of`) than there are epochs, they are spread over these.
    """
    order = random.Random(seed)  # noqa: S311 - shuffling
    epochs = training.full_epochs if full else training.epochs
    every: list[list[TokenRow]] = [[] for _epoch in range(epochs)]
    for row, passes in zip(rows, passes_of(rows, training, full=full), strict=True):
        begin = order.random() if passes < epochs else 0.0
        for turn in range(passes):
            if row.weight >= 1.0 or order.random() < row.weight:
                every[int((begin + turn / passes) % 1.0 * epochs)].append(row)
    for drawn in every:
        order.shuffle(drawn)
    return every


def batches_of(every: Sequence[Sequence[TokenRow]], batch_size: int) -> Iterator[tuple[float, list[TokenRow]]]:
    """Yield (epoch so far, rows) in batches that grow in words, so that early steps are many and late ones quick."""
    least, most = _FIRST_BATCH_WORDS
    words = sum(row.words for drawn in every for row in drawn) // max(1, len(every))
    first = min(max(words // _FIRST_EPOCH_STEPS, least), most)
    size = _growing(first, batch_size * _WORDS_PER_ROW)
    for epoch, drawn in enumerate(every):
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
