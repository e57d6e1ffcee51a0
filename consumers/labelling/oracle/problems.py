"""Why an answer of a language model is refused: in words that quote nothing of the article or the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

What = Literal["cut", "refused", "not json", "schema", "unknown label", "scale", "words", "endpoint"]
"""Cut off at the limit of tokens; the model would not answer; no JSON object; other keys or types; a name that the task does not
have; a number outside its range; a quote that does not stand in the article; no answer that the protocol knows."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason."""

    what: What
    message: str
    """For the model that is asked to repair it, and for people. It is stored, so it holds no words of strangers."""
