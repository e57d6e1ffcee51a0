"""Chooses the variant that a model is published with: built, judged beside the weights, and refused with the reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config.errors import RunFailedError, UserError
from perennial_artifact.variants import note as notes
from perennial_artifact.variants.note import EXPORT_FOLDER, Variant
from trainers.export import catalog
from trainers.export.building import Limits, build, size_of
from trainers.hardware import Hardware

LEAST_GAIN = 1.1
"""How much quicker than the weights a variant must be for `auto` to take it."""
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Wish:
    """What a task asks for."""

    name: str
    """`auto`, `none`, or a variant's."""
    budget: float
    """How much quality may be lost, as a share (0.005: half a point)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A variant beside the weights that it was made from, on the same rows."""

    loss: float | None
    """Quality that is lost, as a share; None: too few rows can judge."""
    alike: bool
    """Whether it computes what the weights do but for rounding: then nothing is lost."""
    speed: float
    """How many times the texts per CPU second."""
    scores: Mapping[str, float] = field(default_factory=dict)
    told: str = ""
    """By what it was judged, in words."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One variant that was tried, for the run's report."""

    name: str
    reason: str | None
    """Why it was refused; None: it was chosen."""
    cpu_s: float
    scores: Mapping[str, float] = field(default_factory=dict)
    told: str = ""


Judge = Callable[[Variant, Path], Judged]
"""Judges what `building.build` has written into a folder. What it raises refuses the variant."""


def choose(  # noqa: PLR0917 - what a run knows
    wish: Wish, source: Path, scratch: Path, rows: Sequence[Sequence[int]], hardware: Hardware, limits: Limits, judge: Judge,
    *, tell: Callable[[str], None], note: Callable[[Attempt], None],
) -> Variant | None:  # fmt: skip
    """Return the variant that a wish comes to, its files moved into the model folder `source`; None: the weights are served.

    Each that is tried is built in `scratch` and told to `note`. No variant makes a run fail; what `tell` raises passes through.
    """
    for name in catalog.candidates(wish.name, hardware):
        for variant, folder, cpu_s in _forms(name, source, scratch, rows, hardware, limits, tell, note):
            tell(f"judging {name}")
            try:
                judged = judge(variant, folder)
            except (StopIteration, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001 - a library of another maker; the weights are there
                note(Attempt(name, f"it cannot be used: {type(error).__name__}: {error}"[:500], cpu_s))
                break
            told = _told(variant, judged, size_of(variant.files(folder)))
            reason = _refused(wish, judged)
            note(Attempt(name, reason, cpu_s, judged.scores, told))
            if reason is None:
                _adopt(folder, source)
                return variant
            if judged.loss is None or judged.loss <= wish.budget:
                break  # a gentler form would be no quicker
    return None


def taken_over(wish: Wish, champion: Path, source: Path, parent: str) -> Variant | None:
    """Give the model in `source` the variant of a champion with the same weights; None where that is not what is wished for."""
    try:
        variant = notes.read(champion)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, one is built anew
        return None
    if variant is None or variant.parent != parent or wish.name not in (catalog.AUTO, variant.name):
        return None
    shutil.copytree(champion / EXPORT_FOLDER, source / EXPORT_FOLDER)
    return variant


def _forms(  # noqa: PLR0917 - what `choose` was given
    name: str, source: Path, scratch: Path, rows: Sequence[Sequence[int]], hardware: Hardware, limits: Limits,
    tell: Callable[[str], None], note: Callable[[Attempt], None],
) -> Iterator[tuple[Variant, Path, float]]:  # fmt: skip
    """Yield a variant in its forms, the plain one first, as they are built; one that cannot be is noted, and ends them."""
    try:
        exporter = catalog.find(name)
        unfit = exporter.unfit(hardware)
    except (UserError, RunFailedError, ImportError) as error:
        note(Attempt(name, str(error), 0.0))
        return
    if unfit is not None:
        note(Attempt(name, unfit, 0.0))
        return
    for retreat in range(exporter.retreats + 1):
        folder = scratch / f"{name}-{retreat}"
        shutil.rmtree(folder, ignore_errors=True)
        tell(f"building {name}")
        built = build(name, source, folder, rows, hardware, limits, retreat=retreat, tell=tell)
        if built.variant is None:
            note(Attempt(name, built.reason, built.cpu_s))
            return
        yield built.variant, folder, built.cpu_s
        shutil.rmtree(folder, ignore_errors=True)


def _refused(wish: Wish, judged: Judged) -> str | None:
    if not judged.alike:
        if judged.loss is None:
            return "too few newer rows can judge what it loses, and it does not compute quite what the weights do"
        if judged.loss > wish.budget:
            return f"it loses {judged.loss:.4f}, and export_budget is {wish.budget:g}"
    if wish.name == catalog.AUTO and judged.speed < LEAST_GAIN:
        return f"it is {judged.speed:.2f} times as quick as the weights, too little to gain"
    return None


def _told(variant: Variant, judged: Judged, size_bytes: int) -> str:
    parts = [judged.told] if judged.told else []
    parts.append(f"{judged.speed:.1f} times the texts per CPU second")
    if size_bytes:
        parts.append(f"{size_bytes / _MIB:.1f} MiB")
    if variant.left_out:
        parts.append(f"{variant.left_out} layers left as they are")
    return ", ".join(parts)


def _adopt(folder: Path, source: Path) -> None:
    shutil.rmtree(source / EXPORT_FOLDER, ignore_errors=True)
    shutil.move(folder / EXPORT_FOLDER, source / EXPORT_FOLDER)
