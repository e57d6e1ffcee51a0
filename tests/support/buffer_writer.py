"""A process that holds a buffer and writes what it is told on standard input: one line `START COUNT` each, until the end."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, os.fspath(Path(__file__).parents[2]))
from tests.support.buffers import enrich, label, opened, stored


def main() -> None:
    with opened(Path(sys.argv[1])) as buffer:
        sys.stdout.write("open\n")
        sys.stdout.flush()
        for line in sys.stdin:
            start, count = map(int, line.split())
            labels = [label(f"l-{number}", f"text {number}") for number in range(start, start + count)]
            buffer.insert(stored(*labels, offset=start))
            buffer.sync()
            enrich(buffer)
            buffer.optimize_if_due()
            sys.stdout.write("done\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
