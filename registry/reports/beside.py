"""Student, oracle and people side by side on what is right: a part of the card, and so of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from config.words import counted
from registry.reports.section import Section
from trainers.job.scoring.sides import Ground, Sides

TITLE = "Oracle and people"
_HEAD = ("Rows", "Who", "Count", "Stories", "Score", "From", "To")
_FEW = 50
"""Rows below which two scores are told apart by nobody."""


def sides(recorded: Mapping[str, Any] | None, task: str, opponent: str) -> Iterator[Section]:
    """Yield each one's score on held-out rows that people labelled, or what is missing for one and what to do about it."""
    if recorded is None:
        return
    found = Sides.model_validate(recorded)
    rows = tuple(
        (
            _of(ground) if at == 0 else "", opponent if one.who == "opponent" else one.who, ground.rows, ground.stories,
            *(found.scale.format_score(value) for value in (one.score, one.lower, one.upper)),
        )
        for ground in found.grounds
        for at, one in enumerate(ground.scored)
    )  # fmt: skip
    yield Section(TITLE, tuple(_words(found)), tuple(_missing(found, task)), _HEAD if rows else (), rows)


def _words(found: Sides) -> Iterator[str]:
    direction = ", lower is better" if found.scale.lower_is_better else ""
    if found.grounds:
        yield (
            f"On test rows with people's label, which nobody here has learnt: {found.scale.title} of each{direction}, within "
            f"the range of a bootstrap by story (each bound one-sided at {found.confidence:.0%}). In a block all answered the "
            "very same rows. Ranges that overlap widely tell nothing apart."
        )
    if any("people" in [one.who for one in ground.scored] for ground in found.grounds):
        yield "People: a second person, against the label that counts. It is about what anybody can reach here."
    if found.oracle:
        told = f", prompt `{found.prompt[:8]}`" if found.prompt else ""
        yield (
            f"Of {counted(found.tested, 'test row')} the oracle answered {found.oracle:,}{told}, gave no usable answer to "
            f"{found.refused:,}, and was not asked about the others."
        )


def _missing(found: Sides, task: str) -> Iterator[str]:
    if not found.tested:
        yield f"No row tests: label some (`perennial review {task}`), so that student and oracle can be judged."
        return
    if found.asked and not found.oracle:
        refused = f" ({counted(found.refused, 'answer')} refused)" if found.refused else ""
        yield (
            f"No test row has an answer of the oracle{refused}, so nobody knows what it is worth here: "
            f"`perennial oracle check {task} --most 200` asks about them and labels nothing; the next run tells."
        )
    if not found.people:
        yield (
            "No test row has the label of a second person, so nobody knows how far people agree with what counts: let another "
            f"one label some of them (`perennial review {task} --lane test --annotator NAME`)."
        )
    few = min((ground.rows for ground in found.grounds), default=_FEW)
    if few < _FEW:
        yield f"With {counted(few, 'row')} a score says little; from some hundred on ranges become narrow enough to tell."


def _of(ground: Ground) -> str:
    others = [one.who for one in ground.scored if one.who in ("oracle", "people")]
    return f"answered by {' and '.join(others)}"
