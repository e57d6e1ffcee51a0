"""Answers a JSONL file of texts: over HTTP, or with the champion in this process when a cache folder is given.

    python batch.py stories.jsonl answers.jsonl --task news-topics --url http://127.0.0.1:8310 [--cache models]

Every line in has a `text`; every line out is that line with `version` and the answer. The key is read from PERENNIAL_API_KEY.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from perennial_client import Client, Model, PerennialError, Prediction

BATCH = 100

Predict = Callable[[Sequence[str]], list[Prediction]]


def main() -> int:
    """Return 0 when every line was answered, 1 with the reason when not; then there is no file of answers."""
    options = arguments()
    versions: Counter[str] = Counter()
    unfinished = options.output.with_name(f"{options.output.name}.part")
    try:
        with ExitStack() as stack:
            predict = opened(options, stack)
            out = stack.enter_context(unfinished.open("w", encoding="utf-8"))
            for rows in batches(options.input):
                predictions = predict([row["text"] for row in rows])
                for row, prediction in zip(rows, predictions, strict=True):
                    line = row | {"version": prediction.version, **prediction.answer}
                    out.write(json.dumps(line, ensure_ascii=False) + "\n")
                    versions[prediction.version] += 1
    except PerennialError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    unfinished.replace(options.output)
    answered = ", ".join(f"{count} by {version}" for version, count in versions.items()) or "nothing to answer"
    sys.stdout.write(f"{answered}\n")
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--task", required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8310")
    parser.add_argument("--cache", type=Path, help="load the champion here instead of asking serving for every answer")
    return parser.parse_args()


def opened(options: argparse.Namespace, stack: ExitStack) -> Predict:
    """Return what answers, and have `stack` close it."""
    client = stack.enter_context(Client(options.url, api_key=os.environ.get("PERENNIAL_API_KEY")))
    if options.cache is None:
        return lambda texts: client.predict(options.task, texts)
    model = stack.enter_context(Model.follow(options.task, client=client, cache_dir=options.cache))
    # The cache may hold an older version: a batch that starts now wants the newest.
    model.refresh()
    return model.predict


def batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of a JSONL file, some at a time."""
    with path.open(encoding="utf-8") as lines:
        rows = (json.loads(line) for line in lines if line.strip())
        while batch := list(itertools.islice(rows, BATCH)):
            yield batch


if __name__ == "__main__":
    sys.exit(main())
