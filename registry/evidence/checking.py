"""Reaching a verdict again from its evidence bundle alone: no model, no daemon, no log."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from config.errors import PerennialError, UserError
from config.files.durable import sha256_of_file
from config.tasks import TaskSpec
from registry.evidence import bundle
from registry.evidence.bundle import About, Again, Words
from registry.evidence.circumstances import Circumstances
from registry.evidence.records import Recorded
from trainers.compare.asked import compare_asked
from trainers.compare.clusters import clusters_of
from trainers.compare.comparison import Comparison, compare
from trainers.compare.parts.slices import OVERLAP
from trainers.job import origin

Outcome = Literal["equal", "differs", "changed", "erased", "unreadable"]
_LAST_DIGITS = 1e-9


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that comes out otherwise; None where one side does not have it."""

    name: str
    """Where it stands in the comparison: `slices.3.candidate_score`."""
    recorded: Any
    recomputed: Any
    last_digits: bool
    """Whether both are the same number but for the last digits: another processor adds in another order."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of reaching a verdict again."""

    about: About
    outcome: Outcome
    """`equal`: the same words. `changed`: the bundle is not the one that was recorded. `differs`: it is, and figures or words are
    others. `erased`: rows were erased since, so that words cannot be reached exactly. `unreadable`: not by this program."""
    hash_known: bool
    """Whether the registry has the bundle's hash; without it nobody can tell whether it was changed."""
    words: Words | None
    """The gate's, reached again; None where that was not possible."""
    problems: tuple[str, ...]
    """What is wrong, in words."""
    differences: tuple[Difference, ...]
    program: str
    """Versions of this program and its libraries."""

    @property
    def same_program(self) -> bool:
        """Whether the very versions that reached the verdict reached it again."""
        return self.program == self.about.program


def check(path: Path, recorded: Recorded | None, told: Words | None) -> Checked:
    """Reach the verdict of a bundle again. `recorded` and `told` are what the registry says of the bundle and of the run.

    Raises `UserError` where the file is no bundle.
    """
    about = About.of(path)
    problems: list[str] = []
    changed = False
    if recorded is not None and sha256_of_file(path) != recorded.sha256:
        changed = True
        problems.append(f"{path.name} was changed after it was written: its SHA-256 is not the one in the registry")
    if told is not None and told != about.told:
        problems.append("the registry tells another verdict or other reasons than the bundle")
    if about.told.reasons != about.gate.reasons and not _within(about.gate.reasons, about.told.reasons):
        problems.append("the recorded reasons do not hold those that the gate gave")
    here, unreadable = origin.code(), None
    words: Words | None = None
    differences: tuple[Difference, ...] = ()
    try:
        words, differences = _again(about, bundle.rows_of(path))
    except (PerennialError, ValidationError, KeyError, ValueError, TypeError, AttributeError, pa.ArrowException) as error:
        unreadable = f"this program cannot recompute it ({type(error).__name__}: {' '.join(str(error).split())[:300]})"
        problems.append(unreadable)
    if words is not None and (words.verdict, words.reasons) != (about.gate.verdict, about.gate.reasons):
        problems.append("recomputed, the gate says something else")
    if any(not one.last_digits for one in differences):
        problems.append(f"{sum(not one.last_digits for one in differences)} figures come out otherwise")
    return Checked(
        about=about,
        outcome=_outcome(about, changed=changed, unreadable=unreadable is not None, problems=problems),
        hash_known=recorded is not None,
        words=words,
        problems=tuple(problems),
        differences=differences,
        program=here,
    )


_WORST: tuple[Outcome, ...] = ("changed", "unreadable", "differs", "erased", "equal")


_STANDING = (
    "metric", "opponent", "champion_version", "anchor", "slices", "calibration", "newest", "candidate_latency",
    "champion_latency", "size_mib",
)  # fmt: skip
"""What a later look takes over from the comparison of its run."""


def after(first: Checked, look: Checked, earlier: Sequence[tuple[Path, Recorded | None]] = ()) -> Checked:
    """Return what became of a later look, which stands on what the run had measured: no better than the run's own outcome.

    `earlier` are the bundles of the looks before it, in order: what they say that was known then is what this one counts.
    """
    problems = [*(f"before people were asked: {problem}" for problem in first.problems), *look.problems]
    outcomes = {first.outcome, look.outcome}
    before = look.about.again.before if look.about.again else {}
    if any(before.get(name) != first.about.comparison.get(name) for name in _STANDING):
        problems.append("the look stands on another comparison than that of its run")
        outcomes.add("differs")
    for problem, outcome in _earlier(look.about, earlier):
        problems.append(problem)
        outcomes.add(outcome)
    outcome = next(one for one in _WORST if one in outcomes)
    return replace(look, outcome=outcome, problems=tuple(problems))


def _earlier(about: About, earlier: Sequence[tuple[Path, Recorded | None]]) -> Iterator[tuple[str, Outcome]]:
    """Yield what is wrong with the looks that a look counts before it, and the outcome of that."""
    told = []
    for path, recorded in earlier:
        if recorded is not None and path.exists() and sha256_of_file(path) != recorded.sha256:
            yield f"{path.name} was changed after it was written: its SHA-256 is not the one in the registry", "changed"
        try:
            test = _test_of(About.of(path))
        except UserError as error:
            yield str(error), "differs"
            return
        told += [test["now"]] if test and test["now"] else []
    counted = _test_of(about)
    # A look that left no rows has no bundle; then this cannot be told.
    if counted and about.again and about.again.look == len(earlier) + 1 and list(counted["earlier"]) != told:
        yield "the look counts other looks before it than there were", "differs"


def _test_of(about: About) -> Mapping[str, Any] | None:
    """Return where the test of the pair stood, as JSON has it."""
    return (about.comparison.get("asked") or {}).get("test")


def _outcome(about: About, *, changed: bool, unreadable: bool, problems: list[str]) -> Outcome:
    if changed:
        return "changed"
    if about.erased:
        return "erased"
    if unreadable:
        return "unreadable"
    return "differs" if problems else "equal"


def _again(about: About, rows: pa.Table) -> tuple[Words, tuple[Difference, ...]]:
    recorded = Comparison.model_validate(about.comparison)
    words, found = reached(about, rows)
    # As JSON tells them: a figure that a release adds has its default on both sides.
    left, right = (dict(_flat(one.model_dump(mode="json"))) for one in (recorded, found))
    if about.gate.guards:
        left |= dict(_flat([one.model_dump(mode="json") for one in about.gate.guards], "guards"))
        right |= dict(_flat([one.model_dump(mode="json") for one in words.guards], "guards"))
    # What a later release measures beside it was not recorded.
    known = dict(_flat(about.comparison)).keys() | {name for name in left if name.startswith("guards")}
    added = {name for name in right if name not in known and not left.get(name)}
    differences = tuple(
        Difference(name, left.get(name), right.get(name), last_digits=_close(left.get(name), right.get(name)))
        for name in sorted((left.keys() | right.keys()) - added)
        if left.get(name) != right.get(name)
    )
    return words, differences


def reached(about: About, rows: pa.Table) -> tuple[Words, Comparison]:
    """Return what the gate says of these rows and all that it was told beside them, and the comparison that it says it of."""
    recorded, task = Comparison.model_validate(about.comparison), TaskSpec.model_validate(about.task)
    found = _compared(about, task, recorded, rows) if about.again is None else _looked(about, about.again, task, recorded, rows)
    decision = Circumstances.model_validate(about.circumstances).decide(found)
    return Words.of(decision), found


def _looked(about: About, again: Again, task: TaskSpec, recorded: Comparison, rows: pa.Table) -> Comparison:
    """Return the comparison of a later look: test rows, then those that people were asked about, each for its stratum."""
    if recorded.asked is None:
        message = "it is of a later look and says nothing of what people were asked"
        raise UserError(message)
    gold = [None if text is None else json.loads(text) for text in rows["gold"].to_pylist()]
    candidate, opponent = ([json.loads(text) for text in rows[side].to_pylist()] for side in ("candidate", "opponent"))
    strata = rows["stratum"].to_numpy().astype(np.intp)
    # Rows that were erased are in it no more.
    random = pc.sum(pc.equal(rows["role"], "test")).as_py() or 0
    of_test = np.bincount(strata[:random], minlength=len(again.sizes))
    return compare_asked(
        task, Comparison.model_validate(again.before), gold=gold, candidate=candidate, opponent=opponent, strata=strata,
        sizes=np.array(again.sizes, dtype=np.float64) + of_test, clusters=clusters_of(rows), random=random,
        looks=recorded.looks, seed=about.seed, asked=recorded.asked,
    )  # fmt: skip


def _compared(about: About, task: TaskSpec, recorded: Comparison, rows: pa.Table) -> Comparison:
    found = compare(
        task,
        run_id=recorded.candidate_run,
        champion_version=recorded.champion_version,
        opponent=recorded.opponent,
        scores=rows,
        candidate_latency=recorded.candidate_latency,
        champion_latency=recorded.champion_latency,
        size_mib=recorded.size_mib,
        looks=recorded.looks,
        seed=about.seed,
        known=recorded.known,
    )
    return found if recorded.known is not None else _with_overlap(found, recorded)


def _with_overlap(found: Comparison, recorded: Comparison) -> Comparison:
    """Return the comparison with the slice of labels that both know as recorded: earlier releases did not say which those are."""
    slices = list(found.slices)
    for place, one in enumerate(recorded.slices):
        if one.name == OVERLAP:
            slices.insert(place, one)
    return found.model_copy(update={"slices": tuple(slices)})


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - what JSON can hold
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{name}.{number}")
    else:
        yield name, value


def _close(left: Any, right: Any) -> bool:  # noqa: ANN401 - what JSON can hold
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (left, right))
    return numbers and math.isclose(left, right, rel_tol=_LAST_DIGITS, abs_tol=_LAST_DIGITS)


def _within(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    return any(outer[start : start + len(inner)] == inner for start in range(len(outer) - len(inner) + 1))


def told_of(verdict: str | None, reasons: tuple[str, ...]) -> Words:
    """Return what a run's record tells."""
    if verdict is None:
        message = "the run has no verdict yet; `perennial runs` shows how far it is"
        raise UserError(message)
    return Words(verdict=verdict, reasons=reasons)


def as_plain(task: TaskSpec) -> dict[str, Any]:
    """Return a task as a bundle holds it."""
    plain: dict[str, Any] = json.loads(task.model_dump_json())
    return plain
