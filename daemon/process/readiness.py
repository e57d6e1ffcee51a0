"""Whether this daemon is working now, and if not, why: the answer of `/readyz`."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.process.side_task import SideTask


class Readiness:
    """Collects present problems. Thread-safe: values are replaced as a whole."""

    def __init__(self) -> None:
        self._state = "starting"
        self._side_tasks: Sequence[SideTask] = ()
        self._paused: dict[str, str] = {}

    def stands_by(self) -> None:
        """Another daemon leads: this one does all that it is there for."""
        self._state = "standing by"

    def leads(self, side_tasks: Sequence[SideTask]) -> None:
        """From now on these must make progress."""
        self._side_tasks, self._state = tuple(side_tasks), "leading"

    def ingest_paused(self, topic: str, reason: str | None) -> None:
        """Note why ingest of a topic pauses; None: it does not."""
        self._paused = {name: why for name, why in self._paused.items() if name != topic} | ({topic: reason} if reason else {})

    def look(self) -> tuple[bool, dict[str, object]]:
        """Return whether all is well, and the answer of `/readyz`: the state, and why each stuck part makes no progress."""
        reasons = {f"ingest {topic}": why for topic, why in self._paused.items()}
        reasons |= {task.name: problem for task in self._side_tasks if (problem := task.problem()) is not None}
        ready = not reasons and self._state != "starting"
        return ready, {"ready": ready, "state": self._state, "reasons": reasons}
