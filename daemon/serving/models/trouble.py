"""Problems with the process's own threads, as `/readyz` reports them and the process acts on them."""

from __future__ import annotations

import threading
from dataclasses import dataclass

SILENT_S = 120.0
"""A thread that is busy with one task for this many seconds makes the process not ready ..."""
LOST_S = 600.0
"""... and after this many ends the process, because a thread cannot be ended from inside; its supervisor restarts it."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a part of the process does not work."""

    reason: str
    lost: bool
    """Whether only a new process can fix it."""


def trouble(thread: threading.Thread, effect: str, *, ended: bool, silent_s: float, patience: float = 1.0) -> Trouble | None:
    """Return what is wrong with a thread; None when nothing is, or when it has `ended` as it should.

    `effect` says what does not happen then; `silent_s` is how long it has been at one piece of work, of which some take
    `patience` times as long as others.
    """
    if ended:
        return None
    if not thread.is_alive():
        return Trouble(f"the thread {thread.name} has ended, so it {effect}", lost=True)
    if silent_s > patience * SILENT_S:
        told = f"the thread {thread.name} has been busy with one task for {silent_s:.0f} s, so it {effect}"
        return Trouble(told, lost=silent_s > patience * LOST_S)
    return None
