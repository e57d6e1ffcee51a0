"""Opens the variant beside a model's weights where it fits this machine; else says why the weights answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from perennial_artifact import manifest
from perennial_artifact.compute import Compute, Used
from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import inert
from perennial_artifact.variants import note as notes
from perennial_artifact.variants import processor, runtimes
from perennial_artifact.variants.graph import ALIKE, Graph, cosine
from perennial_artifact.variants.note import Variant


@dataclass(frozen=True, slots=True)
class Found:
    """What answers: a network, or the weights in the precision of `compute`."""

    used: Used
    compute: Compute
    graph: Graph | None = None
    """None: the weights."""
    compiled: bool = False
    """Whether the weights are to be compiled by torch."""


def misfit(variant: Variant, compute: Compute, parent: Callable[[], str]) -> str | None:
    """Return, in words, why a variant is not used here; None where nothing speaks against opening it.

    `parent` returns the hash of the weights that it must have been made from.
    """
    if variant.device != compute.device:
        return f"it is for {inert(variant.device)}, and this process computes on {compute.device}"
    for name, version in variant.libraries.items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            return f"{inert(name)[:80]} is not installed here; it needs version {inert(version)[:40]}"
        if here != version:
            return f"it was made for {inert(name)[:80]} {inert(version)[:40]}, and {here} is installed here"
    lacking = sorted(set(variant.features) - processor.features())
    if variant.machine and (variant.machine != processor.machine() or lacking):
        other = f" with {inert(', '.join(lacking))[:80]}" if lacking else ""
        return f"it was made on another processor ({inert(variant.machine)[:40]}{other})"
    if variant.parent != parent():
        return "it was made from other weights than those beside it"
    return None


def served_as(folder: Path, compute: Compute, is_parent: Callable[[str], bool]) -> Used:
    """Return what a model folder would answer by, from its note alone: nothing is opened."""
    if not compute.variants:
        return Used(compute.precision)
    try:
        variant = notes.read(folder)
        reason = None if variant is None else misfit(variant, compute, lambda: _parent(folder, is_parent))
    except UnusableError as error:
        return Used(compute.precision, str(error))
    if variant is None or reason is not None:
        return Used(compute.precision, _told(variant, reason))
    return Used(variant.name)


def open_variant(folder: Path, compute: Compute, is_parent: Callable[[str], bool], *, threads: int) -> Found:
    """Return the variant in a model folder; the weights, and why, where it does not fit, cannot be opened, or answers otherwise.

    `is_parent` tells of the name of a file whether the variant was made from it. Whatever a variant does, the weights are there.
    """
    weights = Found(Used(compute.precision), compute)
    if not compute.variants:
        return weights
    variant = None
    try:
        variant = notes.read(folder)
        if variant is None:
            return weights
        reason = misfit(variant, compute, lambda: _parent(folder, is_parent))
        if reason is None:
            if variant.runtime in (runtimes.WEIGHTS, runtimes.COMPILED):
                chosen = Compute(compute.device, variant.precision)
                return Found(Used(variant.name), chosen, compiled=variant.runtime == runtimes.COMPILED)
            opened = runtimes.find(variant.runtime)
            graph = opened(variant.files(folder), precision=variant.precision, compute=compute, threads=threads)
            reason = differs(graph, variant)
            if reason is None:
                return Found(Used(variant.name), compute, graph)
    except UnusableError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - a library of another maker; the weights are there
        reason = f"{type(error).__name__}: {inert(error)[:200]}"
    return Found(Used(compute.precision, _told(variant, reason)), compute)


def differs(graph: Graph, variant: Variant) -> str | None:
    """Return, in words, how a network computes otherwise than where it was made; None where it does the same."""
    for probe in variant.probes:
        ids = np.array([probe.input_ids], dtype=np.int64)
        found = graph(ids, np.ones_like(ids)).reshape(1, -1)
        if not np.isfinite(found).all():
            return "it computes numbers that are not finite"
        alike = cosine(found, np.array([probe.numbers], dtype=np.float32))
        if alike < ALIKE:
            return f"it computes otherwise than where it was made (cosine {alike:.3f})"
    return None


def _parent(folder: Path, is_parent: Callable[[str], bool]) -> str:
    return notes.hash_of(folder, filter(is_parent, manifest.regular_files(folder)))


def _told(variant: Variant | None, reason: str | None) -> str | None:
    return reason if variant is None or reason is None else f"{variant.name} is not used: {reason}"
