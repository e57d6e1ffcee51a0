"""An app that asks the models again and again, while they are trained and replaced under it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from config.errors import PerennialError
from daemon.demo.installation import Installation

_EVERY_S = 1.0


class App:
    """Asks each task in turn over HTTP, from a thread of its own, until the `with` block ends; counts what comes back."""

    def __init__(self, installation: Installation, tasks: Sequence[str], text: str) -> None:
        self._installation = installation
        self._tasks = tasks
        self._text = text
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="app", daemon=True)
        self.answered: Counter[str] = Counter()
        """By the version that answered."""
        self.failures: list[str] = []
        self._last: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def latest(self) -> Mapping[str, str]:
        """The version that answered last, by task."""
        return dict(self._last)

    def _ask(self) -> None:
        while not self._stop.is_set():
            for task in self._tasks:
                try:
                    version = str(self._installation.predict(task, [self._text])["version"])
                except PerennialError as error:
                    self.failures.append(str(error))
                else:
                    self.answered[version] += 1
                    self._last[task] = version
                if self._stop.wait(_EVERY_S):
                    return
