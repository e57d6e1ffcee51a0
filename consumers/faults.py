"""Whether a failed step is the fault of the machine or of one row, and the search for that row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from config.errors import PerennialError

Row = TypeVar("Row")
Result = TypeVar("Result")

# LanceDB and torch report these as RuntimeError; only the text distinguishes them from other errors.
_OF_THE_MACHINE = ("LanceError(IO)", "Commit conflict", "allocate memory", "out of memory", "can't start new thread")
_REASON_CHARS = 300


@dataclass(frozen=True, slots=True)
class Faulty(Generic[Row]):
    """A row that a step fails on, also alone."""

    row: Row
    error: Exception


def of_the_machine(error: BaseException) -> bool:
    """Return whether disk, memory or a service failed, so that the same step may succeed later.

    What the program foresaw (`PerennialError`) says itself what to do and is not a row's fault either.
    """
    if isinstance(error, PerennialError | OSError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OF_THE_MACHINE)


def isolated(
    rows: Sequence[Row], step: Callable[[Sequence[Row]], Result], *, check: Callable[[], object]
) -> tuple[list[Result], list[Faulty[Row]]]:
    """Take `rows` through `step`; where it fails, halve them until the rows that it fails on are found.

    `step` must be repeatable: a part of its rows may have been done when it failed. `check` fails when the fault is not the
    rows': it is called before a row is blamed. Returns what each successful call of `step` gave, and the rows to set aside.
    Raises what is the machine's fault.
    """
    try:
        return [step(rows)], []
    except Exception as error:
        if of_the_machine(error):
            raise
        if len(rows) <= 1:
            check()
            return [], [Faulty(row, error) for row in rows]
    middle = len(rows) // 2
    results, faulty = isolated(rows[:middle], step, check=check)
    more_results, more_faulty = isolated(rows[middle:], step, check=check)
    return results + more_results, faulty + more_faulty


def in_words(error: BaseException) -> str:
    """Return what an error that nobody foresaw says, on one line and not for ever."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}"[:_REASON_CHARS] if said else type(error).__name__
