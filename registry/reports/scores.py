"""Both models' scores on the rows that decided, as parts of a card: overall, by slice, label and dimension, and probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from config.words import counted
from registry.reports.section import Section
from registry.reports.strangers import known_as
from trainers.compare.comparison import Comparison
from trainers.compare.metrics.scale import Scale
from trainers.compare.parts.slices import Slice
from trainers.job.scoring.gap import Beside

_SCORES = ("Rows", "Count", "Opponent", "This version", "Gain")
_LABEL_PICTURE = "F1 on each of the most frequent labels, of this version and of the opponent"
_ERRORS = {"MAE": "mae", "RMSE": "rmse", "Spearman": "spearman"}


def overall(seen: Comparison | None, plot: tuple[str, ...]) -> Section:
    """Return the comparison that decided; `plot` stands above it."""
    return Section("Comparison", (*plot, _compared(seen)), (), _SCORES if seen else (), _scored(seen))


def probabilities(seen: Comparison | None) -> Iterator[Section]:
    """Yield how good the probabilities of both models are on the test rows, where answers carry any."""
    if seen is None or (seen.candidate_probabilities is None and seen.champion_probabilities is None):
        return
    both = (seen.champion_probabilities, seen.candidate_probabilities)
    each = any(one is not None and one.of_each_label for one in both)
    shown = {"calibration_error": "calibration error, lower is better"}
    if not each:
        shown |= {"top_2": "label among the two most probable", "top_3": "label among the three most probable"}
    if seen.abstain_below > 0.0:
        below = f"below {seen.abstain_below:g}"
        shown |= {"abstained": f"answers that abstain ({below})", "accuracy_of_others": "accuracy of the others"}
    values = [(title, *(None if one is None else getattr(one, name) for one in both)) for name, title in shown.items()]
    rows = tuple((title, *("" if value is None else f"{value:.4f}" for value in sides)) for title, *sides in values)
    what = (
        "how probable each label of each text is said to be and how often it is there"
        if each
        else "how sure answers are and how often they are right"
    )
    text = (
        f"On the test rows. Calibration error: the gap between {what}, over 15 bins of equal width, weighted by "
        f"{'labels of texts' if each else 'rows'} (Guo et al. 2017)."
    )
    yield Section("Probabilities", (text,), (), ("Figure", "Opponent", "This version"), rows)


def dimensions(seen: Comparison | None) -> Iterator[Section]:
    """Yield how far both models are off in each dimension, where answers are numbers."""
    if seen is None or not seen.dimensions:
        return
    sides = (("opponent", "champion"), ("this version", "candidate"))
    shown = [(title, name, who, side) for title, name in _ERRORS.items() for who, side in sides]
    head = ("Dimension", "Rows", *(f"{title}, {who}" for title, _name, who, _side in shown))
    rows = tuple(
        (found.name, found.rows, *(f"{getattr(getattr(found, side), name):.4g}" for _title, name, _who, side in shown))
        for found in seen.dimensions
    )
    text = "On the test rows. Errors are in the units of each dimension, lower is better; of the rank correlation, higher is."
    yield Section("Dimensions", (text,), (), head, rows)


def labels(seen: Comparison | None, picture: str | None) -> Iterator[Section]:
    """Yield which labels both models miss and which they give wrongly, where a text may have several."""
    if seen is None or not seen.labels:
        return
    plot = () if picture is None else (f"![{_LABEL_PICTURE}]({picture})",)
    figures = [
        (f"{name.capitalize()}, {who}", name, side)
        for name in ("precision", "recall", "f1")
        for who, side in (("opponent", "champion"), ("this version", "candidate"))
    ]
    rows = tuple(
        (one.name, one.rows, *(f"{getattr(getattr(one, side), name):.4f}" for _title, name, side in figures))
        for one in seen.labels
    )
    text = "On the test rows, the most frequent labels first. Rows: those that have the label."
    yield Section("Labels", (*plot, text), (), ("Label", "Rows", *(title for title, _name, _side in figures)), rows)


def teacher(recorded: Mapping[str, Any] | None, scale: Scale | None) -> Iterator[Section]:
    """Yield what a student is beside its teacher, where it had one."""
    if recorded is None or scale is None:
        return
    found = Beside.model_validate(recorded)
    sides = (found.of_teacher, found.of_student)
    rows = (
        (f"{found.metric}, {counted(found.rows, 'test row')}", *(_number(scale, side.score) for side in sides)),
        ("texts per second", *(f"{side.texts_per_s:.1f}" for side in sides)),
        ("size, MiB", *(f"{side.size_mib:.1f}" for side in sides)),
    )
    behind = "behind" if found.gap > 0 else "ahead of"
    gap = "level with" if found.gap == 0 else f"{_number(scale, abs(found.gap))} {behind}"
    text = (
        f"It learnt from `{known_as(found.teacher)}` too and is {gap} it. The teacher's answers counted for "
        f"{found.answered} training rows, and it labelled {counted(found.unlabelled, 'article')} that nobody had. What decided "
        "is the comparison above."
    )
    yield Section("Teacher", (text,), (), ("Figure", "Teacher", "This version"), rows)


def _compared(seen: Comparison | None) -> str:
    if seen is None:
        return "The run recorded no comparison."
    if seen.rows == 0:
        return f"Against {seen.opponent_in_words}: there were no test rows to compare on."
    gain, lower, upper = (_number(seen.scale, value, sign=True) for value in (seen.gain, seen.lower_bound, seen.upper_bound))
    direction = " (lower scores are better)" if seen.scale.lower_is_better else ""
    return (
        f"Against {seen.opponent_in_words}, on {counted(seen.rows, 'test row')} of {seen.stories} stories: gain "
        f"{gain}{direction}, between {lower} and {upper} (paired bootstrap by story, each bound one-sided at "
        f"{seen.confidence:.0%}). Required: more than {_number(seen.scale, seen.required_gain)}. These rows have been used in "
        f"{counted(seen.looks, 'comparison')}."
    )


def _scored(seen: Comparison | None) -> tuple[tuple[object, ...], ...]:
    if seen is None:
        return ()
    measured = f"{seen.metric}, lower is better" if seen.scale.lower_is_better else seen.metric
    return (
        _scores(seen.scale, f"test rows ({measured})", seen.rows, seen.champion_score, seen.candidate_score),
        *(_scores(seen.scale, part.name, part.rows, part.champion_score, part.candidate_score) for part in _parts(seen)),
    )


def _parts(seen: Comparison) -> Iterable[Slice]:
    return (*([] if seen.anchor is None else [seen.anchor]), *seen.slices)


def _scores(scale: Scale, name: str, rows: int, opponent: float, candidate: float) -> tuple[object, ...]:
    gain = scale.gain(candidate, opponent)
    return name, rows, _number(scale, opponent), _number(scale, candidate), _number(scale, gain, sign=True)


def _number(scale: Scale, value: float, *, sign: bool = False) -> str:
    """Return a score or a gain: four places, or as many digits where the scores may be of any size."""
    return f"{value:{'+' if sign else ''}{'.4f' if scale.bounded else '.5g'}}"
