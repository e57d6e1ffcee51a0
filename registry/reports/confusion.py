"""How often each label was taken for each other one, as a matrix of the most frequent labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

MOST_LABELS = 12
"""More cannot be read; the others are one line and one column."""
OTHERS = "(others)"


class Confusion(BaseModel):
    """The candidate's and the opponent's answers by what is right."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[str, ...]
    """The most frequent first, at the end `OTHERS` where there are more."""
    candidate: tuple[tuple[int, ...], ...]
    """Rows of each label that is right, by the label that was given."""
    opponent: tuple[tuple[int, ...], ...]


def confusion_of(rows: Sequence[tuple[str, str, str]]) -> Confusion | None:
    """Return the matrices of rows given as what is right, the candidate's label and the opponent's; None without rows."""
    if not rows:
        return None
    counts = Counter(label for row in rows for label in row)
    support = Counter(right for right, _candidate, _opponent in rows)
    names = sorted(counts, key=lambda name: (-support[name], -counts[name], name))
    shown = names[:MOST_LABELS]
    labels = (*shown, OTHERS) if len(names) > len(shown) else tuple(shown)
    place = {name: number for number, name in enumerate(shown)}
    candidate, opponent = ([[0] * len(labels) for _ in labels] for _ in range(2))
    for right, ours, theirs in rows:
        line = place.get(right, len(shown))
        candidate[line][place.get(ours, len(shown))] += 1
        opponent[line][place.get(theirs, len(shown))] += 1
    return Confusion(labels=labels, candidate=tuple(map(tuple, candidate)), opponent=tuple(map(tuple, opponent)))
