"""Kinds: what a task file may ask for, with a line each."""

from __future__ import annotations

from config.kinds import catalog
from daemon.views.view import View
from trainers.learners.catalog import can_refresh, known


class KindView(View):
    """One kind of task."""

    name: str
    """As task files write it."""
    about: str
    """What it finds."""
    backends: tuple[str, ...]
    """Where it is learnt, as task files write them."""
    refreshed_on: tuple[str, ...]
    """Those of the backends whose head is solved anew between runs."""
    metrics: tuple[str, ...]
    """What may decide a promotion; the first is usual."""
    columns: tuple[str, ...]
    """Columns that an imported file needs beside the text."""


def kinds() -> list[KindView]:
    """Return every kind, the shipped ones first; a backend that nothing learns on is left out."""
    learnt = set(known())
    return [
        KindView(
            name=kind.name,
            about=kind.words.about,
            backends=tuple(backend for backend in kind.backends if (kind.name, backend) in learnt),
            refreshed_on=tuple(backend for backend in kind.backends if can_refresh(kind.name, backend)),
            metrics=kind.metrics,
            columns=kind.columns,
        )
        for kind in catalog.every()
    ]
