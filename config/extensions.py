"""Modules that bring kinds of task, learners or metrics: named in one setting, imported by every process at its start.

Importing such a module registers what it brings (`config.kinds.catalog`, `trainers.learners.catalog`,
`trainers.compare.metrics.catalog`); nothing is looked for that was not named.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from config.errors import UserError


def load(modules: Iterable[str]) -> None:
    """Import `modules`, in order; one that was imported before is left alone.

    Raises `UserError` naming the module and what is wrong with it.
    """
    for name in modules:
        try:
            import_module(name)
        except Exception as error:  # whatever somebody else's module raises
            message = (
                f"extensions.modules names {name!r}, which cannot be imported ({type(error).__name__}: {error}). Fix the name, "
                "or install the module where this Python finds it (PYTHONPATH); nothing was started"
            )
            raise UserError(message) from error
