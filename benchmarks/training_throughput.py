"""Training speed of the classification task beside stock Trainer: same rows, same batch size, same steps, same packaged model.

Stock is what the library's tutorial does: fp32, random order, each batch padded to its longest text. Both then answer the same
held-out rows, so that a gain in speed that costs quality shows. Three kinds of news: headlines with a line of text, full
articles, and a mix of four headlines to one article, as a crawl of feeds brings them.
"""

from __future__ import annotations

import itertools
import json
import lzma
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import huffpost, report
from consumers.events.schemas import article_text
from trainers.hardware import usable_cores

BATCH_SIZE = 32
LEARNING_RATE = 2e-4
SEED = 20
OWED = 4.0
_STEPS, _QUICK_STEPS = 200, 8
_HELD_OUT = 1_000
_HEADLINES_PER_ARTICLE = 4

Labelled = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of text at one length limit."""

    kind: str
    max_tokens: int

    @property
    def name(self) -> str:
        """Return for example `mix at 128 tokens`."""
        return f"{self.kind} at {self.max_tokens} tokens"


CASES = (Case("mix", 128), Case("mix", 256), Case("headlines", 128), Case("articles", 128))
QUICK_CASES = CASES[:2]


def headlines() -> Labelled:
    """Return HuffPost rows of 2012 and 2013 with their sections, in a fixed random order."""
    rows = [(row.text, row.label) for month, rows in huffpost.by_month().items() if month < "2014" for row in rows]
    random.Random(SEED).shuffle(rows)
    return rows


def articles() -> Labelled:
    """Return full finance articles, each once, in a fixed random order; the year is the label there is to learn."""
    found: dict[str, str] = {}
    for year in ("2017", "2018", "2019"):
        with lzma.open(report.data(f"yahoo_finance/{year}_processed.json.xz"), "rt", encoding="utf-8") as file:
            for article in json.load(file):
                found.setdefault(article_text((article["title"] or "").strip(), (article["maintext"] or "").strip()), year)
    rows = [(text, f"FINANCE {year}") for text, year in found.items() if text]
    random.Random(SEED).shuffle(rows)
    return rows


def split(kind: str, train: int, held_out: int) -> tuple[Labelled, Labelled]:
    """Return training and held-out rows of a kind. Articles are few: in training they come round again, held out they do not."""
    every = {"headlines": 0, "articles": 1, "mix": _HEADLINES_PER_ARTICLE + 1}[kind]
    short, long = headlines(), articles()
    test = _blend(short, long, held_out, every)
    return _blend(short[held_out:], long[held_out:], train, every), test


def _blend(short: Labelled, long: Labelled, count: int, every: int) -> Labelled:
    """Return `count` rows, one in `every` of them long (0: none)."""
    is_long = [every > 0 and index % every == 0 for index in range(count)]
    shorts, longs = itertools.cycle(short), itertools.cycle(long)
    return [next(longs if wanted else shorts) for wanted in is_long]


def race(case: Case, steps: int, held_out: int, threads: int, *, run: Callable[[str, Path], dict[str, Any]]) -> dict[str, Any]:
    """Let both train on the same rows, one after the other, and return what each measured and the ratios."""
    train, test = split(case.kind, steps * BATCH_SIZE, held_out)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "case.json"
        path.write_text(
            json.dumps(
                {
                    "texts": [text for text, _ in train],
                    "labels": [label for _, label in train],
                    "held_out_texts": [text for text, _ in test],
                    "held_out_labels": [label for _, label in test],
                    "max_tokens": case.max_tokens,
                    "steps": steps,
                    "batch_size": BATCH_SIZE,
                    "learning_rate": LEARNING_RATE,
                    "seed": SEED,
                    "threads": threads,
                }
            ),
            encoding="utf-8",
        )
        measured = {contestant: run(contestant, path) for contestant in ("stock", "ours")}
    ratio = measured["ours"]["examples_per_s"] / measured["stock"]["examples_per_s"]
    by_processor_time = measured["ours"]["examples_per_cpu_s"] / measured["stock"]["examples_per_cpu_s"]
    return {"ratio": ratio, "ratio_by_processor_time": by_processor_time, **measured}


def in_own_process(contestant: str, case: Path) -> dict[str, Any]:
    """Run a contestant in a process of its own, so that neither finds the other's memory or settings."""
    command = [sys.executable, "-m", "benchmarks.training_contestants", contestant, str(case)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return measured


def main() -> None:
    """Race both over every case."""
    arguments = report.parser(__doc__ or "")
    arguments.add_argument("--steps", type=int, help=f"steps per run (default {_STEPS}, quick {_QUICK_STEPS})")
    arguments.add_argument("--threads", type=int, default=usable_cores(), help="threads of each run (default: all cores)")
    arguments.add_argument(
        "--case", action="append", choices=[case.name for case in CASES], help="only this case; may be given several times"
    )
    chosen = arguments.parse_args()
    steps = chosen.steps or (_QUICK_STEPS if chosen.quick else _STEPS)
    held_out = 0 if chosen.quick else _HELD_OUT
    cases: tuple[Case, ...] = QUICK_CASES if chosen.quick else CASES
    if chosen.case:
        cases = tuple(case for case in CASES if case.name in chosen.case)
    results: dict[str, Any] = {"steps": steps, "batch_size": BATCH_SIZE, "owed_ratio": OWED}
    for case in cases:
        results[case.name] = race(case, steps, held_out, chosen.threads, run=in_own_process)
    results["owed_ratio_reached_at"] = [case.name for case in cases if results[case.name]["ratio"] >= OWED]
    report.write("training_throughput", chosen, results, chosen.json)


if __name__ == "__main__":
    main()
