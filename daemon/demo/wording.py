"""What came of a run, in the words of the demo."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from config.words import counted
from daemon.views.models.runs import Ended
from registry.reports import answers

Part = str | tuple[str, str]


def first(ended: Ended) -> Iterable[Part]:
    """Say what a first model is worth beside the baseline."""
    found = ended.comparison
    if ended.verdict != "promote" or found is None:
        return _undecided(ended)
    title = found.scale.title if found.scale else "score"
    baseline = (found.opponent or "the baseline").removeprefix("baseline: ")
    return (
        (str(ended.version), "bold"), f": {title} ", (_score(found.candidate_score), "bold green"),
        f" on {found.rows} held-out articles (1 is perfect); without learning ({baseline}) it is {_score(found.champion_score)}.",
    )  # fmt: skip


def compared(ended: Ended, runs_dir: Path) -> Iterable[Part]:
    """Say how candidate and champion did on the same rows."""
    found = ended.comparison
    if found is None or found.champion_score is None or found.candidate_score is None or found.rows is None:
        return _undecided(ended)
    title = found.scale.title if found.scale else "score"
    said: list[Part] = [
        (str(ended.version), "bold"), f" and {found.champion_version} answered the same {found.rows} articles: {title} ",
        (_score(found.candidate_score), "bold"), f" after {_score(found.champion_score)}",
    ]  # fmt: skip
    if found.champion_score > 0 and (percent := round(100 * (found.candidate_score / found.champion_score - 1))):
        said.append(f", {percent:+d} %")
    said.append(".")
    told = answers.of_run(runs_dir / ended.run_id)
    if told is not None:
        said.append(f" {_articles(told.better)} only the new one gets right, {told.worse} only the old one.")
    if found.lower_bound is not None and found.confidence is not None and found.lower_bound > 0:
        said.append(f" With {found.confidence:.0%} confidence it is better by at least {100 * found.lower_bound:.0f} points.")
    return said


def decided(ended: Ended, before: str | None) -> Iterable[Part]:
    """Say what the gate made of it."""
    if ended.verdict == "promote":
        return ((str(ended.version), "bold"), (" is promoted", "bold green"), f"; {before} is kept, to go back to.")
    return _undecided(ended)


def _undecided(ended: Ended) -> Iterable[Part]:
    return ((ended.version or ended.run_id, "bold"), (f" is {ended.word}", "bold yellow"), f": {' '.join(ended.why)}")


def _score(score: float | None) -> str:
    return "no score" if score is None else f"{score:.2f}"


def _articles(count: int) -> str:
    return counted(count, "article")
