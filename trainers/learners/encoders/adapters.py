"""Low-rank adapters (LoRA): a large base is tuned by few weights, while its own stay as they came.

A published model keeps the adapter apart from the weights it was learnt on, so that versions share these; it is added when the
model is opened, and serving needs no peft (`perennial_artifact.transformer.adapter`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from config.errors import UserError
from config.task_files.sections.training import Training
from perennial_artifact.transformer.adapter import Adapter, adapter_of, keep_foundation, note
from trainers.learners.tuning import processes

_FOUNDATION_FOLDER = "foundation"


@dataclass(frozen=True, slots=True)
class LowRank:
    """How a run tunes by an adapter."""

    rank: int
    alpha: int
    """What the adapter adds is multiplied by `alpha / rank`."""
    targets: tuple[str, ...]
    """The linear layers that it is added to, by their names or the ends of these; none: all."""

    @classmethod
    def of(cls, training: Training) -> LowRank | None:
        """Return what a task asks for; None where all weights are tuned."""
        if training.lora_rank is None:
            return None
        return cls(training.lora_rank, training.lora_alpha or 2 * training.lora_rank, training.lora_targets)


def settle_on(model: PreTrainedModel, options: LowRank | None) -> None:
    """Let an adapter that a run does not go on with become part of the weights.

    It does not where rank, alpha or targets have changed, or the task has none any more: then it learns on top of the sum.
    """
    adapter = adapter_of(model)
    if adapter is None:
        return
    if options is None or adapter.options != (options.rank, options.alpha, _named(model, options, adapter.base)):
        note(model, None)


@contextmanager
def adapted(model: PreTrainedModel, options: LowRank | None, *, base: str, work: Path) -> Iterator[str]:
    """Let the body of a model be tuned by an adapter while the context lasts; without options by all its weights.

    It goes on with the adapter that the model has, where that has the same options; else a new one is added to the weights as
    they are, which are kept in `work` meanwhile. At the end it has been added to the weights, and the model knows it. The context
    is the content of the weights that it stands on (SHA-256). Raises `UserError` where the library is not installed, or a target
    is none of the layers of the `base` model.
    """
    settle_on(model, options)
    if options is None:
        yield ""
        return
    try:
        from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict  # noqa: PLC0415 - an extra
    except ImportError as error:
        message = "training.lora_rank needs the library peft; install perennial[lora], or remove the key"
        raise UserError(message) from error
    targets, before = _named(model, options, base), adapter_of(model)
    if before is None:
        foundation = work / _FOUNDATION_FOLDER
        # Of several processes that tune together the first writes.
        sha256 = processes.first_says(keep_foundation(model, foundation) if processes.here().first else "")
    else:
        foundation, sha256 = before.foundation, before.sha256
        before.take_from(model)
    chosen = LoraConfig(r=options.rank, lora_alpha=options.alpha, lora_dropout=0.0, target_modules=list(targets))
    body: Any = model.base_model
    # The adapters stand inside the body's own layers, so it is called as before.
    tuned: Any = get_peft_model(body, chosen)
    if before is not None:
        set_peft_model_state_dict(tuned, dict(before.tensors))
    yield sha256
    tensors = {name: tensor.detach().cpu().clone() for name, tensor in get_peft_model_state_dict(tuned).items()}
    tuned.base_model.unload()
    body.requires_grad_(requires_grad=True)
    said: dict[str, Any] = chosen.to_dict()  # type: ignore[no-untyped-call]  # the library leaves it without types
    config = {**said, "base_model_name_or_path": base, "target_modules": list(targets), "inference_mode": True}
    adapter = Adapter(base, foundation, sha256, config, tensors)
    adapter.add_to(model)
    note(model, adapter)


def _named(model: PreTrainedModel, options: LowRank, base: str) -> tuple[str, ...]:
    """Return the names of the targets, each the end of a layer's name, in order. Raises `UserError`."""
    layers = [name for name, layer in model.base_model.named_modules() if isinstance(layer, nn.Linear)]
    kinds = sorted({name.rpartition(".")[2] for name in layers})
    if absent := [name for name in options.targets if not _ends(name, layers)]:
        message = (
            f"training.lora_targets names {', '.join(absent)}, which base_model {base!r} does not have; its linear layers are "
            f"{', '.join(kinds)}"
        )
        raise UserError(message)
    if not layers:
        message = f"training.lora_rank: base_model {base!r} has no linear layer for an adapter; remove the key"
        raise UserError(message)
    return tuple(sorted(set(options.targets))) or tuple(kinds)


def _ends(name: str, layers: Sequence[str]) -> bool:
    return any(layer == name or layer.endswith(f".{name}") for layer in layers)
