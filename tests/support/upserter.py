"""A process in which threads insert, update and optimise at once until it is killed: `upserter.py FOLDER START`.

It says how far the rows are durable, one number a line.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from pathlib import Path

sys.path.insert(0, os.fspath(Path(__file__).parents[2]))
from tests.support.buffers import SETTINGS, enrich, label, opened, stored

PORTION = 5
EAGER = SETTINGS.model_copy(update={"optimize_every": 2})


def main() -> None:
    """Go on until killed."""
    folder, start = Path(sys.argv[1]), int(sys.argv[2])
    with opened(folder, EAGER) as buffer:

        def forever(step: object) -> None:
            while True:
                step()  # type: ignore[operator]  # a function

        for step in (lambda: enrich(buffer, portion=3), buffer.optimize_if_due):
            threading.Thread(target=forever, args=(step,), daemon=True).start()
        for first in itertools.count(start, PORTION):
            numbers = range(first, first + PORTION)
            buffer.insert(stored(*(label(f"l-{number}", f"text {number}") for number in numbers), offset=first))
            buffer.sync()
            sys.stdout.write(f"{first + PORTION}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
