"""The sections of a report, in order: one function each, which yields its section where the run has something to tell there."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from config.words import counted
from registry.reports import beside, cards
from registry.reports.run.blocks import Block, Examples, Items, Picture, Section, Standing, Table, Text
from registry.reports.run.told import Told
from registry.runs import Level

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MEANS: dict[Level | None, str] = {
    "DEPLOY": "Good enough, and better than what it was compared with.",
    "REVIEW": "A person should look at it before it goes into production.",
    "FAIL": "Not to be deployed.",
    None: "Not decided yet.",
}
_EPOCH = re.compile(r"tuned for (\d+) of ")
_MARKS = re.compile(r"\*\*|`")
_MINUTE = 60
_JOULES_PER_WH = 3_600.0


def _drawn(chart: str, *seen: object) -> Figure:
    """Return one of the charts, by the name of the function that draws it."""
    # matplotlib takes half a second to import, and a daemon that starts draws nothing.
    from registry.reports.run import charts  # noqa: PLC0415 - see above

    found: Figure = getattr(charts, chart)(*seen)
    return found


def verdict(told: Told) -> Iterator[Section]:
    """Yield the verdict in words, its reasons, and why there was a run."""
    run = told.run
    words = f"The run failed: {run.error}" if run.state == "failed" else cards.VERDICTS[run.verdict]
    if run.state != "failed" and not run.finished and run.verdict is None:
        words = f"The run is not over ({run.state})."
    blocks: list[Block] = [Standing(told.level, f"{_MEANS[told.level]} {words}")]
    if run.reasons:
        blocks.append(Items(run.reasons))
    if told.version is not None and told.version.affected_at is not None:
        blocks.append(Text("The version has learnt from texts that were erased since; it goes once another one replaces it."))
    blocks.append(Text(f"The run was started by: {run.reason}.", quiet=True))
    yield Section("Verdict", tuple(blocks))


def limits(told: Told) -> Iterator[Section]:
    """Yield the scores beside the absolute limits of the task, where it has any."""
    yield from _of_card(told, "Limits")


def guards(told: Told) -> Iterator[Section]:
    """Yield what must not get worse: each guard with margin, bound, rows and result."""
    yield from _of_card(told, "Guards")


def comparison(told: Told) -> Iterator[Section]:
    """Yield both models on the test rows and on each part of them."""
    seen = told.seen
    if seen is not None and seen.rows:
        alt = f"Gain over {seen.opponent_in_words} on all test rows, with its interval, and on parts of them"
        yield from _of_card(told, "Comparison", Picture(alt, partial(_drawn, "gain", seen)))
    else:
        yield from _of_card(told, "Comparison")


def labels(told: Told) -> Iterator[Section]:
    """Yield precision, recall and F1 of each label, where a text may have several."""
    seen = told.seen
    if seen is not None and seen.labels:
        alt = "F1 on each of the most frequent labels, of this version and of its opponent"
        yield from _of_card(told, "Labels", Picture(alt, partial(_drawn, "labels", seen)))


def dimensions(told: Told) -> Iterator[Section]:
    """Yield the errors in each dimension, where answers are numbers."""
    seen = told.seen
    if seen is not None and seen.dimensions:
        alt = "Right numbers over answers, in parts by rising answer: on the diagonal they agree"
        yield from _of_card(told, "Dimensions", Picture(alt, partial(_drawn, "levels", seen)))


def probabilities(told: Told) -> Iterator[Section]:
    """Yield how good the probabilities are, with the reliability diagram."""
    seen = told.seen
    if seen is not None and seen.candidate_probabilities is not None:
        alt = "Reliability diagram: how often answers are right over how sure they are"
        yield from _of_card(told, "Probabilities", Picture(alt, partial(_drawn, "reliability", seen)))


def confusion(told: Told) -> Iterator[Section]:
    """Yield what was taken for what, where a text has one label."""
    found = told.left.answers
    if found is None or found.confusion is None:
        return
    blocks: list[Block] = [
        Picture("Rows by right label and the candidate's answer", partial(_drawn, "confusion", found.confusion))
    ]
    if found.mistaken:
        rows = tuple((one.gold, one.said or "(none)", f"{one.candidate:,}", f"{one.champion:,}") for one in found.mistaken)
        blocks.append(Table(("Right label", "Said", "This version", "Opponent"), rows, frozenset({2, 3})))
    yield Section("Confusion", tuple(blocks))


def curve(told: Told) -> Iterator[Section]:
    """Yield the loss over the steps of training, and that of rows which were kept back where there are any."""
    points = [(point.step, point.loss) for point in told.left.curve if math.isfinite(point.loss)]
    if not points:
        why = "Nothing was tuned step by step, or its history is gone: a head that is solved has no curve."
        yield Section("Learning curve", (Text(why, quiet=True),))
        return
    told_of = f"Loss over {counted(len(points), 'step')} that were told of; the last is {points[-1][1]:.4g}."
    if len(told.left.curve) > len(points):
        told_of += f" At {counted(len(told.left.curve) - len(points), 'step')} it was not a number."
    if told.run.attempt > 1:
        told_of += f" The run took {counted(told.run.attempt, 'attempt')}; earlier ones are pale."
    alt = f"Training loss over steps, from {points[0][1]:.4g} to {points[-1][1]:.4g}"
    yield Section("Learning curve", (Text(told_of), Picture(alt, partial(_drawn, "loss", points, _judged(told)))))


def _judged(told: Told) -> list[tuple[int, float]]:
    """Return the loss on rows that were kept back, at the last step of each epoch that was judged."""
    found = []
    for one in told.metrics.get("tried") or ():
        epoch, loss = _EPOCH.match(one["name"]), one["scores"].get("loss")
        steps = [point.step for point in told.left.curve if epoch is not None and point.epoch <= int(epoch[1]) + 1e-6]
        if steps and loss is not None and math.isfinite(loss):
            found.append((max(steps), float(loss)))
    return found


def overfitting(told: Told) -> Iterator[Section]:
    """Yield how the candidate does on rows that it has learnt, beside those that it has not."""
    yield from _of_card(told, "Over-fitting")


def sandbox(told: Told) -> Iterator[Section]:
    """Yield what the sandbox measured, or why it refused the candidate."""
    yield from _of_card(told, "Sandbox")


def tried(told: Told) -> Iterator[Section]:
    """Yield what forward validation tried before it settled on the candidate."""
    part = told.of_card("Tried")
    if part is None:
        return
    rows = [tuple(map(str, row)) for row in part.rows]
    cells = tuple((_plain(name), "chosen" if name.startswith("**") else "", *others) for name, *others in rows)
    text = Text("Tried on training rows that were held back for it; the test rows take no part.")
    yield Section("What forward validation tried", (text, Table((part.head[0], "", *part.head[1:]), cells, frozenset({3}))))


def teacher(told: Told) -> Iterator[Section]:
    """Yield what a student is beside its teacher."""
    yield from _of_card(told, "Teacher")


def rows(told: Told) -> Iterator[Section]:
    """Yield rows that got worse, that got better, and that the models answer differently otherwise."""
    found = told.left.answers
    if found is None:
        return
    gone = told.left.texts_gone_at
    counts = f"{found.worse:,} got worse, {found.better:,} got better, and {found.differ:,} are answered differently in all."
    part = "" if found.read == found.rows else f" Of the first {found.read:,} rows."
    blocks: list[Block] = [Text(f"Of {counted(found.rows, 'row')} {counts}{part}")]
    if gone is not None:
        blocks.append(
            Text(f"Their texts were removed on {gone:%Y-%m-%d}, because some of them were erased or have passed their time.")
        )
    groups = (
        Examples("worse", "Worst regressions", found.rows_worse, found.in_text),
        Examples("better", "Best gains", found.rows_better, found.in_text),
        Examples("otherwise", "Different, and neither is better", found.rows_otherwise, found.in_text),
    )
    yield Section("Rows where the models differ", (*blocks, *(one for one in groups if one.rows)))


def oracle_and_people(told: Told) -> Iterator[Section]:
    """Yield the version, its opponent, the oracle and people side by side on held-out rows that people labelled."""
    yield from _of_card(told, beside.TITLE)


def cost(told: Told) -> Iterator[Section]:
    """Yield what the run took: time by the clock, processor time, memory, and an estimate of energy."""
    run, metrics = told.run, told.metrics
    wall_s = (run.finished_at - run.started_at).total_seconds() if run.started_at and run.finished_at else None
    known = (
        ("From start to end", None if wall_s is None else _span(wall_s)),
        ("Processor time", None if run.cpu_s is None else f"{run.cpu_s:,.1f} CPU seconds"),
        ("Training", _span(metrics["train_s"]) if metrics.get("train_s") else None),
        ("Scoring", _span(metrics["score_s"]) if metrics.get("score_s") else None),
        ("Memory at most", f"{metrics['peak_memory_mib']:,.0f} MiB" if metrics.get("peak_memory_mib") else None),
        ("Energy, estimated", _energy(run.cpu_s, told.watts_per_core)),
        ("Hardware", metrics.get("hardware") or None),
    )
    shown = tuple((name, str(value)) for name, value in known if value is not None)
    if not shown:
        return
    blocks: list[Block] = [Table(("", ""), shown)]
    if run.cpu_s is not None and told.watts_per_core:
        how = f"{told.watts_per_core:g} W for each busy core (reports.watts_per_core)"
        blocks.append(Text(f"Energy is an estimate, not a measurement: processor time at {how}; a GPU is not in it.", quiet=True))
    yield Section("Cost", tuple(blocks))


def lineage(told: Told) -> Iterator[Section]:
    """Yield what the version was made from, and what that had been made from."""
    came_from = Text(f"It went on from {', that from '.join(told.ancestors)}.") if told.ancestors else None
    for section in _of_card(told, "Made from"):
        yield Section("Lineage", (*([came_from] if came_from else []), *section.blocks))


def work(told: Told) -> Iterator[Section]:
    """Yield which rows it learnt from, and how fast."""
    yield from _of_card(told, "Training")


def settings(told: Told) -> Iterator[Section]:
    """Yield all that was set for the run, and the files that came out."""
    for title in ("Settings", "Files"):
        for section in _of_card(told, title):
            yield Section(section.title, section.blocks, folded=True)


SECTIONS: tuple[Callable[[Told], Iterator[Section]], ...] = (
    verdict, limits, guards, comparison, labels, dimensions, probabilities, oracle_and_people, confusion, rows, curve,
    overfitting, sandbox, tried, teacher, cost, lineage, work, settings,
)  # fmt: skip
"""Another section is another function here."""


def sections_of(told: Told) -> list[Section]:
    """Return the sections of the report of a run."""
    return [section for make in SECTIONS for section in make(told)]


def _of_card(told: Told, title: str, *blocks: Block) -> Iterator[Section]:
    """Yield a part of the version's card, with `blocks` before its table."""
    part = told.of_card(title)
    if part is None:
        return
    text = [Text(_plain(line)) for line in part.text]
    items = [Items(tuple(map(_plain, part.items)))] if part.items else []
    cells = tuple(tuple("" if cell is None else _plain(str(cell)) for cell in row) for row in part.rows)
    numbers = frozenset(place for place in range(1, len(part.head)) if cells and all(_is_number(row[place]) for row in cells))
    yield Section(title, (*text, *items, *blocks, *([Table(part.head, cells, numbers)] if cells else [])))


def _plain(markdown: str) -> str:
    return _MARKS.sub("", markdown)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", ""))
    except ValueError:
        return not cell
    return True


def _span(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _energy(cpu_s: float | None, watts_per_core: float) -> str | None:
    if cpu_s is None or not watts_per_core:
        return None
    return f"about {cpu_s * watts_per_core / _JOULES_PER_WH:.3g} Wh"
