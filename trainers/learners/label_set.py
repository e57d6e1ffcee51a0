"""Which labels the next classifier has: the previous ones under their ids, then new ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from config.foreign.labels import label_of_stored
from config.tasks import TaskSpec
from perennial_artifact.labels import LabelSet


def grow(spec: TaskSpec, counts: Mapping[str, int], previous: LabelSet | None, *, from_base: bool) -> LabelSet:
    """Return the labels of the next model: the previous ones under their ids, then declared ones, then new ones by name.

    `counts` holds training rows per label. In an open task a new label joins once `new_label_min_examples` rows carry it, the one
    with most rows first, up to `max_labels` labels in all.
    A model trained `from_base` has forgotten what the previous one had seen, so only labels in `counts` count as seen.
    """
    names = _renamed(spec, previous.names if previous else ())
    names += [name for name in spec.label_names if name not in names]
    if spec.labels == "open":
        names += joining(spec, counts, known=names)
    remembered = set() if previous is None or from_base else {_new_name(spec, name) for name in previous.seen}
    known = remembered | {name for name, rows in counts.items() if rows > 0}
    answerable = (name for name in names if name in known and name not in spec.renames and spec.teaches(name))
    return LabelSet(tuple(names), frozenset(answerable))


def joining(spec: TaskSpec, counts: Mapping[str, int], *, known: Collection[str]) -> list[str]:
    """Return the labels that join beside the `known` ones, by name: enough rows (`counts`) carry them, and there is room."""
    enough = (name for name in counts.keys() - set(known) if counts[name] >= spec.new_label_min_examples)
    return sorted(sorted(enough, key=lambda name: (-counts[name], name))[: max(0, spec.max_labels - len(known))])


def _renamed(spec: TaskSpec, names: tuple[str, ...]) -> list[str]:
    """Give renamed labels their new name in place; a label merged into one that has its own row keeps a row nobody answers."""
    renamed: list[str] = []
    for name in names:
        new = _new_name(spec, name)
        renamed.append(name if new in renamed or (new != name and new in names) else new)
    return renamed


def _new_name(spec: TaskSpec, name: str) -> str:
    # Models of earlier versions may tell labels apart that look alike.
    known = label_of_stored(name)
    return spec.renames.get(known, known)
