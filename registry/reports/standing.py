"""How good a version is as such: beside the absolute limits of its task, and on rows that it has learnt."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from config.words import counted
from registry.people import corrected
from registry.reports.section import Section
from registry.runs import Run
from registry.store import Registry
from registry.versions import Version
from trainers.compare.guarding.guard import Guard
from trainers.compare.metrics.scale import Scale
from trainers.compare.readiness import Judged, Readiness
from trainers.job.scoring.fit import Fit

_JUDGED = ("Metric", "Score", "Deploy", "Review", "Level")
_GUARDS = ("Guard", "Result", "Rows", "Documents", "Measured", "Bound", "Allowed")
_FEW = 50
"""With fewer rows on a side a difference may be chance."""


def corrections(registry: Registry, version: Version) -> Iterator[str]:
    """Yield how many labels that the version was decided on were corrected since, if any were."""
    if found := corrected.since(registry, version.task, version.run_id):
        yield (
            f"Since then {counted(len(found), 'correction')} came of labels that it was decided on; the verdict stands as it "
            f"fell. `perennial verify {version.name} --recompute` says what it would be now."
        )


def limits(run: Run | None) -> Iterator[Section]:
    """Yield the scores beside the absolute limits of the task, where it has any."""
    recorded = (run.comparison or {}).get("readiness") if run is not None else None
    judged = Readiness.model_validate(recorded).limits if recorded else ()
    if not judged:
        return
    rows = tuple(
        (one.title, f"{one.score:.4g}", _limit(one, one.deploy), _limit(one, one.review, within=True), f"**{one.level}**")
        for one in judged
    )
    text = "On the test rows, whatever the champion does (`promotion.limits`). Beyond the last one nothing is promoted by itself."
    yield Section("Limits", (text,), (), _JUDGED, rows)


def guards(run: Run | None) -> Iterator[Section]:
    """Yield each guard as it was judged: what was measured, its bound, its margin, and what followed."""
    recorded = (run.comparison or {}).get("guards") if run is not None else None
    judged = [Guard.model_validate(one) for one in recorded or ()]
    if not judged:
        return
    rows = tuple(
        (
            one.name, f"**{one.result}**", one.rows, one.documents, one.told(one.measured, sign=one.bound is not None),
            one.told(one.bound, sign=True), one.told(one.allowed),
        )
        for one in judged
    )  # fmt: skip
    text = (
        "Of parts of the rows: the gain, positive is better, its lower bound by document, and the largest drop allowed; all of "
        "these bounds hold at once but for `promotion.guard_error`. Of others: the figure and the largest that is allowed."
    )
    found = tuple(one.in_words for one in judged if one.result != "holds")
    yield Section("Guards", (text,), found, _GUARDS, rows)


def overfitting(version: Version, scale: Scale | None) -> Iterator[Section]:
    """Yield how the version does on rows that it has learnt beside those it has not, where that was measured."""
    recorded = version.metrics.get("fit")
    if recorded is None or scale is None:
        return
    found = Fit.model_validate(recorded)
    policy = version.lineage.settings.get("task", {}).get("promotion", {})
    rows = (
        ("Training rows (a sample)", found.rows, scale.format_score(found.score)),
        ("Test rows", found.held_out, scale.format_score(found.held_out_score)),
    )
    text = fit_in_words(found, scale, policy.get("overfitting_from"))
    yield Section("Over-fitting", (text,), (), ("", "Rows", scale.title), rows)


def sandbox(found: Mapping[str, Any] | None) -> Iterator[Section]:
    """Yield how a version fared in a process of its own, opened as serving opens it, before it could be promoted."""
    if found is None:
        return
    passed = "**Passed.**" if found["outcome"] == "passed" else f"**Refused**, because {found['reason']}."
    asked = "The whole model was opened and asked" if found["scope"] == "model" else "Only its head is new, and was asked"
    shown = {
        "texts": "Texts answered", "examples": "Examples that must not break", "compared": "Answers compared with the comparison",
        "differ": "Of these different", "load_s": "Opening, s", "warm_s": "Warming up, s", "p50_ms": "Median of one text, ms",
        "p95_ms": "95 % of texts within, ms", "peak_memory_mib": "Peak memory, MiB", "size_mib": "Size, MiB",
        "cpu_s": "Processor time, s",
    }  # fmt: skip
    rows = tuple(
        (title, f"{found[key]:.2f}" if isinstance(found[key], float) else found[key])
        for key, title in shown.items()
        if found.get(key)
    )
    yield Section("Sandbox", (f"{passed} {asked}.",), (), ("", ""), rows)


def fit_in_words(found: Fit, scale: Scale, from_gap: float | None) -> str:
    """Say how far training rows are ahead, and whether that is over-fitting: from the gap `from_gap` on, None: not said."""
    gap = scale.gain(found.score, found.held_out_score)
    if not math.isfinite(gap):
        return "Over-fitting cannot be told: one of the two scores is not a number."
    scores = f"{scale.title} {scale.format_score(found.score)} on {counted(found.rows, 'training row')}"
    scores += f" against {scale.format_score(found.held_out_score)} on {counted(found.held_out, 'test row')}"
    ahead = f"training rows are {scale.format_gain(abs(gap))} {'ahead' if gap > 0 else 'behind'}"
    few = " With so few rows this may be chance." if min(found.rows, found.held_out) < _FEW else ""
    if from_gap is None:
        return f"{scores}: {ahead}.{few}"
    share = gap if scale.bounded else gap / abs(found.held_out_score) if found.held_out_score else 0.0
    most = scale.format_gain(from_gap) if scale.bounded else f"{from_gap * 100:.3g} % of the test score"
    if share >= from_gap:
        return f"Over-fitted: {scores}; {ahead}, and from {most} on that is over-fitting (promotion.overfitting_from).{few}"
    return f"Not over-fitted: {scores}; {ahead}, and over-fitting begins at {most} (promotion.overfitting_from).{few}"


def _limit(judged: Judged, limit: float | None, *, within: bool = False) -> str:
    if limit is None:
        return ""
    if within:
        return f"at {'most' if judged.lower_is_better else 'least'} {limit:g}"
    return f"{'below' if judged.lower_is_better else 'above'} {limit:g}"
