"""The kinds of task there are: the shipped ones, and those that modules named in `extensions.modules` register."""

from __future__ import annotations

from collections.abc import Mapping

from config.kinds.classification import Classification
from config.kinds.kind import Kind
from config.kinds.multilabel import MultiLabel
from config.kinds.ner.kind import Ner
from config.kinds.regression.kind import Regression
from config.kinds.signals.kind import Signals

_KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Make a kind known by its name and its key. Raises `ValueError` when another kind has one of them."""
    for known in _KINDS.values():
        if kind.name == known.name or kind.key == known.key:
            message = f"kind {kind.name!r} (key {kind.key!r}) has the same name or key as kind {known.name!r} (key {known.key!r})"
            raise ValueError(message)
    _KINDS[kind.name] = kind


def get(name: str) -> Kind:
    """Return the kind of this name. Raises `LookupError`."""
    if name not in _KINDS:
        message = f"there is no kind {name!r}; the kinds are {', '.join(_KINDS)}"
        raise LookupError(message)
    return _KINDS[name]


def of(value: object) -> Kind:
    """Return the kind of a target or an answer, by its key. Raises `LookupError` where it fits no kind."""
    if isinstance(value, Mapping):
        for kind in _KINDS.values():
            if kind.key in value:
                return kind
    message = f"it fits no kind: it has none of the keys {', '.join(kind.key for kind in _KINDS.values())}"
    raise LookupError(message)


def every() -> list[Kind]:
    """Return all kinds, the shipped ones first."""
    return list(_KINDS.values())


register(Ner())
register(Classification())
register(MultiLabel())
register(Regression())
register(Signals())
