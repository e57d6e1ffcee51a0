"""One candidate is opened, warmed up and asked, as serving would; what was found becomes `Findings`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from daemon.serving.models.batching import Batcher
from daemon.serving.sandbox.checks import WrongError, broken_by, check_examples, check_shape, differences
from daemon.training.sandbox.order import Findings, Order
from perennial_artifact.description import Description
from perennial_artifact.predictor import Answer, Predictor
from perennial_artifact.warming import warm
from trainers.job import guards, origin
from trainers.job.passing import cause_that_passes, causes, is_allocation_failure
from trainers.learners.catalog import learner_for
from trainers.learners.features import read_features
from trainers.learners.heads.published.answering import open_from_features
from trainers.learners.opening import described, usable
from trainers.learners.protocols import Aligner

_MIB = 1 << 20


class TryLaterError(Exception):
    """The machine had no room, or something else that passes; it says nothing of the candidate."""


@dataclass(slots=True)
class _Figures:
    """What is measured on the way, up to where it ended."""

    load_s: float = 0.0
    warm_s: float = 0.0
    texts: int = 0
    examples: int = 0
    broken: int = 0
    compared: int = 0
    differ: int = 0
    latencies_ms: list[float] = field(default_factory=list)


def examine(order: Order) -> Findings:
    """Return what is found of the candidate. Raises `TryLaterError` for what is not its fault."""
    figures = _Figures()
    reason = ""
    try:
        _asked(order, TaskSpec.model_validate(order.task), figures)
    except WrongError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - whatever a broken model raises
        reason = _blamed(error, order)
    return findings_of(order, reason, figures)


def findings_of(order: Order, reason: str, figures: _Figures | None = None) -> Findings:
    """Return what was found up to here; without a `reason` it has passed."""
    seen = figures or _Figures()
    p50, p95 = np.percentile(seen.latencies_ms, [50, 95]).tolist() if seen.latencies_ms else (None, None)
    size = sum(path.stat().st_size for path in order.folder.rglob("*") if path.is_file())
    return Findings(
        outcome="failed" if reason else "passed",
        reason=reason,
        scope="model" if order.features is None else "head",
        code=origin.code(),
        texts=seen.texts,
        examples=seen.examples,
        broken=seen.broken,
        compared=seen.compared,
        differ=seen.differ,
        load_s=seen.load_s,
        warm_s=seen.warm_s,
        p50_ms=p50,
        p95_ms=p95,
        peak_memory_mib=guards.peak_memory_mib(),
        size_mib=size / _MIB,
    )


def _asked(order: Order, task: TaskSpec, figures: _Figures) -> None:
    """Open the candidate and ask it everything. Raises what is wrong with it."""
    began = time.monotonic()
    with usable():
        description = described(order.folder)
    if description.kind != task.kind:
        message = f"its model.json says kind {description.kind}, and the task is of kind {task.kind}"
        raise WrongError(message)
    predictor, align = _opened(order, task)
    figures.load_s = time.monotonic() - began
    if order.features is None:
        began = time.monotonic()
        warm(predictor)
        figures.warm_s = time.monotonic() - began
    batcher = Batcher(predictor, name="sandbox", text_time_s=order.text_time_s)
    try:
        _ask_all(order, task, description, ask=lambda text: batcher.submit([text]).result()[0], align=align, figures=figures)
    finally:
        batcher.close()


def _ask_all(
    order: Order,
    task: TaskSpec,
    description: Description,
    *,
    ask: Callable[[str], Answer],
    align: Aligner,
    figures: _Figures,
) -> None:
    def answer_to(text: str) -> Answer:
        began = time.perf_counter()
        answer = ask(text)
        figures.latencies_ms.append((time.perf_counter() - began) * 1000.0)
        check_shape(text, answer, task, description)
        figures.texts += 1
        return answer

    compared = []
    for one in order.asked:
        answer = answer_to(one.text)
        if one.recorded is not None:
            compared.append((one.text, answer, one.recorded))
    figures.compared = len(compared)
    figures.differ = differences(compared, task, align)
    broken = []
    for example in task.must_not_break:
        what = broken_by(example, answer_to(example.text), task)
        figures.examples += 1
        if what is not None:
            broken.append(what)
            figures.broken += 1
    check_examples(broken, figures.examples)


def _opened(order: Order, task: TaskSpec) -> tuple[Predictor, Aligner]:
    """Return the candidate, and what lays its answers as they lay in the comparison."""
    if order.features is not None:
        stored = read_features(order.features)
        by_text = {name: name for name in stored.places}
        return open_from_features(order.folder, stored, by_text), _as_they_are
    from daemon.serving.models.loading import loader  # noqa: PLC0415 - with the registry, which a head alone has no use for

    opened = loader(order.training, order.threads)(order.folder, None)
    if kinds.get(task.kind).positional:
        return opened.predictor, learner_for(task).aligner(opened.predictor)
    return opened.predictor, _as_they_are


def _as_they_are(text: str, targets: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:  # noqa: ARG001 - an aligner
    return targets


def _blamed(error: Exception, order: Order) -> str:
    """Return in words what is wrong with the candidate. Raises `TryLaterError` where it is the machine."""
    if any(map(is_allocation_failure, causes(error))):
        if not order.memory_limit_mib:
            message = f"there was no memory for it ({type(error).__name__}: {error})"
            raise TryLaterError(message) from error
        return beyond_memory(order)
    if (passing := cause_that_passes(error)) is not None:
        raise TryLaterError(passing) from error
    said = " ".join(str(error).split())[:500]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def beyond_memory(order: Order) -> str:
    """Return in words that it needs more memory than it may have."""
    return (
        f"it needs more than {order.memory_limit_mib:,} MiB of memory (sandbox.memory_limit_mib); give serving more and raise "
        "the limit, or train a smaller model"
    )
