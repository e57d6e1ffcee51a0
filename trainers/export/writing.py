"""Writes one variant of a model into a folder, checked: it opens, computes numbers, and much the same as the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np

from config.errors import RunFailedError
from perennial_artifact.compute import Compute
from perennial_artifact.variants import processor, runtimes
from perennial_artifact.variants.graph import Graph, Numbers, cosine
from perennial_artifact.variants.note import Probe, Variant
from trainers.export import catalog
from trainers.export.exporter import Written
from trainers.export.network import Network, numbers_of, open_network, parent_of
from trainers.hardware import Hardware

_LEAST_COSINE = 0.8
"""On average; below it a variant is broken, whatever its budget."""
_PROBES = 3
_CHECKED_ROWS = 32


def write(
    name: str, source: Path, target: Path, rows: Sequence[Sequence[int]], hardware: Hardware, *, retreat: int = 0
) -> Variant:
    """Write the variant `name` of the model in `source` into the folder `target`, as `export/` of a model, and return its note.

    Its own files are where `Variant.files` says. `rows` are token ids of texts: INT8 is calibrated on them, and every variant
    checked; none: made-up ones check it. Raises `RunFailedError` for one that cannot be made here, does not compute numbers, or
    computes others than the weights, and whatever a library raises.
    """
    exporter = catalog.find(name)
    if (why := exporter.unfit(hardware)) is not None:
        message = f"{name}: {why}"
        raise RunFailedError(message)
    network = open_network(source)
    rows = rows or [[token % network.vocabulary for token in (101, *range(2000, 2000 + more), 102)] for more in (3, 17)]
    note = Variant(name=name, runtime="", precision="", parent=parent_of(source))
    written = exporter.write(source, note.files(target), rows, retreat=retreat)
    note = _note(note, written, hardware)
    if written.runtime not in (runtimes.WEIGHTS, runtimes.COMPILED):
        graph = open_written(note, target, hardware.compute, threads=hardware.threads)
        note = _checked(note, graph, network, rows[:: -(-len(rows) // _CHECKED_ROWS)])
    note.write(target)
    return note


def open_written(note: Variant, folder: Path, compute: Compute, *, threads: int) -> Graph:
    """Return the network of a variant that `write` wrote into `folder`; not for those that are the weights themselves."""
    return runtimes.find(note.runtime)(note.files(folder), precision=note.precision, compute=compute, threads=threads)


def _note(note: Variant, written: Written, hardware: Hardware) -> Variant:
    of_here = written.of_processor
    return replace(
        note, runtime=written.runtime, precision=written.precision,
        libraries={library: metadata.version(library) for library in written.libraries},
        machine=processor.machine() if of_here else "", features=tuple(sorted(processor.features())) if of_here else (),
        device=hardware.device, calibration_rows=written.calibration_rows, left_out=written.left_out,
    )  # fmt: skip


def _checked(note: Variant, graph: Graph, network: Network, rows: Sequence[Sequence[int]]) -> Variant:
    """Return the note with probes. Raises `RunFailedError` for a variant that is broken."""
    ours, theirs = numbers_of(graph, rows, network.fill), network.numbers(rows)
    if not all(np.isfinite(one).all() for one in ours):
        message = f"{note.name} computes numbers that are not finite"
        raise RunFailedError(message)
    alike = float(np.mean([_alike(one, other) for one, other in zip(ours, theirs, strict=True)]))
    if alike < _LEAST_COSINE:
        message = f"{note.name} computes something else than the weights that it was made from (cosine {alike:.3f})"
        raise RunFailedError(message)
    shortest = sorted(range(len(rows)), key=lambda at: len(rows[at]))[:_PROBES]
    probes = tuple(
        Probe(tuple(rows[at]), tuple(float(value) for value in _alone(graph, rows[at], network.fill).reshape(-1)))
        for at in shortest
    )
    return replace(note, probes=probes)


def _alone(graph: Graph, row: Sequence[int], fill: int) -> Numbers:
    [found] = numbers_of(graph, [row], fill)
    return found


def _alike(first: Numbers, second: Numbers) -> float:
    return cosine(first.reshape(1, -1), second.reshape(1, -1))
