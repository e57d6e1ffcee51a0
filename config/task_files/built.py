"""Which options of `training` are built for which shipped kinds and backends: what is not built is refused, never ignored."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from config.task_files.sections.training import Training

if TYPE_CHECKING:
    from config.tasks import TaskSpec

Pair = tuple[str, str]
"""A kind and a backend."""

_ONE, _SEVERAL, _NUMBERS = (("classification", "transformer"), ("multilabel", "transformer"), ("regression", "transformer"))
_SIGNALS = ("signals", "transformer")
_TAGS, _SPACY = ("ner", "transformer"), ("ner", "spacy")
_LABELS = frozenset({_ONE, _SEVERAL})
_ENCODERS = _LABELS | {_NUMBERS, _SIGNALS}
_ENTITIES = frozenset({_TAGS, _SPACY})
SHIPPED = _ENCODERS | _ENTITIES

BUILT: dict[str, frozenset[Pair]] = {
    "tuning": _ENCODERS,
    "tuning_rows": _ENCODERS,
    "full_tuning_rows": _ENCODERS,
    "epochs": SHIPPED,
    "full_epochs": SHIPPED,
    "learning_rate": SHIPPED,
    "full_learning_rate": SHIPPED,
    "batch_size": SHIPPED,
    "layer_decay": SHIPPED - {_SPACY},
    "gradient_accumulation": SHIPPED,
    "gradient_checkpointing": SHIPPED - {_SPACY},
    "auto_batch_size": SHIPPED - {_SPACY},
    "processes": SHIPPED - {_SPACY},
    "early_stopping": SHIPPED - {_SPACY},
    "max_tokens": SHIPPED - {_SPACY},
    "replay_ratio": _ENTITIES,
    "replay_floor": _ENTITIES,
    "replay_epochs": _ENTITIES,
    "max_rows": SHIPPED,
    "contradicted_weight": frozenset({_ONE}),
    "feature_blocks": _LABELS | {_NUMBERS},
    "exclude_labels": _LABELS,
    "majority_share": _LABELS,
    "max_rows_per_label": _LABELS,
    "class_weights": _LABELS,
    "dropout": frozenset({_SPACY}),
    "lora_rank": SHIPPED - {_SPACY},
    "lora_alpha": SHIPPED - {_SPACY},
    "lora_targets": SHIPPED - {_SPACY},
    "teacher": SHIPPED,
    "teacher_share": SHIPPED,
    "teacher_temperature": SHIPPED,
    "teacher_rows": SHIPPED,
    "loss": frozenset({_NUMBERS, _SIGNALS}),
}
"""By option. Kinds that a module brings may use any."""


def misfit(task: TaskSpec) -> str | None:
    """Return, in words, which option of a task's training is not built for its kind and backend; None where all are."""
    pair = (task.kind, task.backend)
    if pair not in SHIPPED:
        return None
    for name, field in Training.model_fields.items():
        built = BUILT.get(name, SHIPPED)
        if pair not in built and getattr(task.training, name) != field.default:
            return (
                f"training.{name} is not built for kind {task.kind} on backend {task.backend}, only for {_said(built)}; remove it"
            )
    return None


def _said(pairs: Collection[Pair]) -> str:
    """Return pairs as `classification, multilabel on transformer`."""
    backends = sorted({backend for _kind, backend in pairs})
    kinds = {backend: sorted(kind for kind, other in pairs if other == backend) for backend in backends}
    return " and ".join(f"{', '.join(kinds[backend])} on {backend}" for backend in backends)
