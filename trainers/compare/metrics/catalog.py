"""Metrics by name: those that are built in, and those that a module of one's own registers."""

from __future__ import annotations

from config.errors import UserError
from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from trainers.compare.metrics import errors, f1, signals, spearman
from trainers.compare.metrics.metric import Metric, TakesWeights

_BUILT_IN: tuple[Metric, ...] = (
    f1.ACCURACY, f1.MACRO_F1, f1.MICRO_F1, f1.SUBSET_ACCURACY, f1.ENTITY_F1, errors.MAE, errors.RMSE, spearman.SPEARMAN,
    signals.SIGNAL_SCORE, signals.TAG_F1, signals.INTENSITY,
)  # fmt: skip
_METRICS: dict[str, Metric] = {metric.name: metric for metric in _BUILT_IN}


def register(metric: Metric) -> None:
    """Make a metric known under its name, when its module is imported. Raises `UserError` where another has that name."""
    if _METRICS.setdefault(metric.name, metric) != metric:
        message = f"two metrics have the name {metric.name!r}; rename the one that was registered last"
        raise UserError(message)


def find(name: str) -> Metric:
    """Return the metric of this name. Raises `UserError` where there is none."""
    if name not in _METRICS:
        message = f"there is no metric {name!r}; the metrics are {', '.join(sorted(_METRICS))}"
        raise UserError(message)
    return _METRICS[name]


def of(task: TaskSpec) -> Metric:
    """Return the metric that decides for a task, with the weights of the task's dimensions. Raises as `find` does."""
    return named(task.promotion.metric, task)


def named(name: str, task: TaskSpec) -> Metric:
    """Return a metric as a task reads it, with the weights of its dimensions. Raises as `find` does."""
    return _weighted(find(name), task)


def all_of(task: TaskSpec) -> list[Metric]:
    """Return the metric that decides, then the others that could decide for a task of its kind. Raises as `find` does."""
    deciding = task.promotion.metric
    others = (name for name in kinds.get(task.kind).metrics if name != deciding)
    return [named(name, task) for name in (deciding, *others)]


def _weighted(metric: Metric, task: TaskSpec) -> Metric:
    weights = {dimension.name: dimension.weight for dimension in task.dimensions}
    return metric.weighted(weights) if weights and isinstance(metric, TakesWeights) else metric
