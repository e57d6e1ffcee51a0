"""What a file gives, counted before anything of it is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from config.kinds import catalog as kinds
from consumers.events.schemas import AnyEvent, Label
from consumers.formats.rows import BadRow, LeftOut

_MOST_LABELS = 100_000
_TAG = re.compile(r"[BIESLUMW][-_:].+|.+[-_][BIESLUM]", re.IGNORECASE)
_NO_ANSWER = frozenset({"none", "n/a", "na", "unknown", "undefined", "missing", "?", "-", "_", "*", "."})
_SHOWN = 5


@dataclass(slots=True)
class Summary:
    """Counts of one reading."""

    events: int = 0
    bad: int = 0
    swallowed: int = 0
    """How many bad rows are only the beginning of what may be lost."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Reason -> rows left out on purpose."""
    labels: dict[str, int] = field(default_factory=dict)
    """Label or entity type -> how often it was given."""
    empty: dict[str, int] = field(default_factory=dict)
    """What texts without a label are called -> how many there are."""
    documents: set[str] = field(default_factory=set)

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return self.events + self.bad + sum(self.left_out.values())

    def count(self, rows: Iterator[AnyEvent | BadRow | LeftOut], bad: Callable[[BadRow], None]) -> Iterator[AnyEvent]:
        """Yield the events among `rows` while all are counted; `bad` hears of each row that gave none."""
        for row in rows:
            if isinstance(row, BadRow):
                self.bad += 1
                self.swallowed += row.swallowed
                bad(row)
            elif isinstance(row, LeftOut):
                self.left_out[row.reason] = self.left_out.get(row.reason, 0) + 1
            else:
                self.events += 1
                self._note(row)
                yield row

    def _note(self, event: AnyEvent) -> None:
        if not isinstance(event, Label):
            return
        if event.document_id is not None:
            self.documents.add(event.document_id)
        kind = kinds.of(event.target)
        labels = kind.labels(event.target)
        if not labels and kind.words.empty:
            self.empty[kind.words.empty] = self.empty.get(kind.words.empty, 0) + 1
        for label in labels:
            if label in self.labels or len(self.labels) < _MOST_LABELS:
                self.labels[label] = self.labels.get(label, 0) + 1


def odd_labels(counts: dict[str, int]) -> list[str]:
    """Return what is odd about labels, in words: what looks like a mistake of the file or of how it was read."""
    said = []
    folded: dict[str, list[str]] = {}
    for label in counts:
        folded.setdefault(label.casefold(), []).append(label)
    said += _named(
        "differ in upper and lower case only", [" and ".join(map(repr, same)) for same in folded.values() if len(same) > 1]
    )
    said += _named("are whole numbers; --label-map gives them names", [repr(label) for label in counts if label.isdecimal()])
    tags = [repr(label) for label in counts if _TAG.fullmatch(label) or _of_a_pair(label, counts)]
    said += _named("look like tags of tokens", tags)
    said += _named("look like no answer", [repr(label) for label in counts if label.casefold() in _NO_ANSWER])
    return said


def _of_a_pair(label: str, labels: Collection[str]) -> bool:
    """Return whether a label is `BORG` or `IORG` where both are labels."""
    return label[:1] in {"B", "I"} and len(label) > 1 and {f"B{label[1:]}", f"I{label[1:]}"} <= set(labels)


def _named(what: str, labels: list[str]) -> list[str]:
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return [f"{', '.join(labels[:_SHOWN])}{more} {what}"] if labels else []
