"""A model's first calls, made before it answers anybody: they are slow, and a model that cannot answer gets no further."""

from __future__ import annotations

import json
import time

from perennial_artifact.errors import UnusableError
from perennial_artifact.portions import MAX_TEXTS, WHOLE_CHARS
from perennial_artifact.predictor import Predictor

_TEXTS = (
    "Parliament passed the budget on Tuesday.",
    "The central bank left its policy rate unchanged, while core inflation eased to 2.1 percent in October. " * 3,
    "Reporters in Stockholm said the prime minister would meet the finance secretary before the vote. " * 12,
)
_SIZES = (1, 8, MAX_TEXTS)


def warm(predictor: Predictor, *, shares: bool = False) -> float:
    """Ask `predictor` a few times; one that `shares` what is warm already is asked once, to see that it answers.

    Returns the processor time of this thread for a character of the last call, in seconds. Raises `UnusableError` where answers
    are missing, else whatever a broken model raises.
    """
    s_per_char = 0.0
    for size in _SIZES[:1] if shares else _SIZES:
        texts = [_TEXTS[number % len(_TEXTS)] for number in range(size)]
        began = time.thread_time()
        answers = predictor.predict(texts)
        s_per_char = (time.thread_time() - began) / sum(min(len(text), WHOLE_CHARS) for text in texts)
        if len(answers) != size:
            message = f"it gave {len(answers)} answers to {size} texts"
            raise UnusableError(message)
        json.dumps(answers, allow_nan=False)  # a score that is not a number could never be sent
    return s_per_char
