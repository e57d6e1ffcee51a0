"""Low-rank adapters (LoRA) of a published model: kept apart from the weights they were learnt on, added when it is opened.

Versions of a large model then have these weights in common, as one file, and differ by a few megabytes. The adapter's two files
are peft's own; peft is not needed to read them. After Hu and others, "LoRA: Low-Rank Adaptation of Large Language Models" (2022).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from perennial_artifact.apart import ADAPTER_FOLDER, FOUNDATION_FOLDER
from perennial_artifact.durable import sha256_of_file
from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import WRONG, decode, inert
from perennial_artifact.manifest import unchecked

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
TIE_FILE = "foundation.json"
"""Beside them: which weights the adapter was learnt on, by name and content."""
ABOVE_FILE = f"{ADAPTER_FOLDER}/above.safetensors"
"""What a model has above the body that an adapter is added to: a token classifier's head."""
_FOUNDATION_WEIGHTS = "model.safetensors"
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_A\.weight")
_ATTRIBUTE = "_perennial_adapter"
_OTHER_SORTS = ("use_dora", "use_rslora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias")
"""What peft can do that is neither written nor computed here."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """What is added to some weights of a transformer: to each `alpha / rank` times the product of two narrow matrices."""

    base: str
    """The base model, as the task file named it."""
    foundation: Path
    """The folder with the weights it is added to."""
    sha256: str
    """Of their file."""
    config: Mapping[str, Any]
    """peft's own."""
    tensors: Mapping[str, Tensor]
    """By peft's own names."""

    @property
    def options(self) -> tuple[int, int, tuple[str, ...]]:
        """Rank, alpha and targets: an adapter with others cannot go on from this one."""
        return int(self.config["r"]), int(self.config["lora_alpha"]), tuple(sorted(self.config["target_modules"]))

    def add_to(self, model: PreTrainedModel) -> None:
        """Add it to a transformer that has the weights it was learnt on. Raises `UnusableError` for one of another shape."""
        scale = self.config["lora_alpha"] / self.config["r"]
        with torch.no_grad():
            for module, (down, up) in self._pairs().items():
                weight = _weight_of(model, module)
                if weight is None or weight.shape != (up.shape[0], down.shape[1]):
                    found = "no such layer" if weight is None else f"a layer of shape {tuple(weight.shape)}"
                    message = (
                        f"the adapter was learnt on another base model than this one: for {inert(module)[:80]} of shape "
                        f"{(up.shape[0], down.shape[1])} there is {found}"
                    )
                    raise UnusableError(message)
                weight += ((up.float() @ down.float()) * scale).to(device=weight.device, dtype=weight.dtype)

    def take_from(self, model: PreTrainedModel) -> None:
        """Give the weights that it is added to back to a transformer, from the file. Raises `UnusableError`."""
        try:
            with safe_open(self.foundation / _FOUNDATION_WEIGHTS, framework="pt") as file, torch.no_grad():
                for module in self._pairs():
                    weight = _weight_of(model, module)
                    if weight is not None:
                        weight.copy_(file.get_tensor(f"{module}.weight"))
        except (OSError, SafetensorError) as error:
            raise _unreadable(self.foundation, error) from error

    def write(self, folder: Path) -> None:
        """Write it into a model folder, beside the weights it is added to, which are linked where the file system can."""
        target = folder / ADAPTER_FOLDER
        target.mkdir(parents=True, exist_ok=True)
        _write(target / CONFIG_FILE, self.config)
        _write(target / TIE_FILE, {"base": self.base, "file": _FOUNDATION_WEIGHTS, "sha256": self.sha256})
        save_file({name: tensor.contiguous() for name, tensor in sorted(self.tensors.items())}, target / WEIGHTS_FILE)
        (folder / FOUNDATION_FOLDER).mkdir(exist_ok=True)
        for path in sorted(self.foundation.iterdir()):
            try:
                os.link(path, folder / FOUNDATION_FOLDER / path.name)
            except OSError:  # another file system, or one without links
                shutil.copyfile(path, folder / FOUNDATION_FOLDER / path.name)

    @classmethod
    def read(cls, folder: Path) -> Adapter | None:
        """Return the adapter of a model folder, None for a model without. Raises `UnusableError` for one of another base."""
        place, foundation = folder / ADAPTER_FOLDER, folder / FOUNDATION_FOLDER
        if not place.is_dir():
            return None
        try:
            config, tie = (decode((place / name).read_bytes()) for name in (CONFIG_FILE, TIE_FILE))
            base, expected = str(tie["base"]), str(tie["sha256"])
            found = _content_of(folder)
            tensors = load_file(place / WEIGHTS_FILE)
            if unknown := [name for name in _OTHER_SORTS if config.get(name)]:
                message = f"the adapter in {folder} is of a sort that is not read here ({unknown[0]})"
                raise UnusableError(message)
            adapter = cls(base, foundation, expected, config, tensors)
            rank, alpha, _targets = adapter.options
        except (OSError, SafetensorError, *WRONG) as error:
            raise _unreadable(folder, error) from error
        if found != expected:
            message = (
                f"the adapter in {folder} was learnt on other weights ({inert(base)[:80]}, SHA-256 {inert(expected)[:12]}) than "
                f"those beside it ({found[:12]})"
            )
            raise UnusableError(message)
        pairs = adapter._pairs()
        if rank < 1 or alpha <= 0 or any(len(down) != rank or up.shape[1] != rank for down, up in pairs.values()):
            message = f"the adapter in {folder} does not fit itself: its rank is {rank}, alpha {alpha}"
            raise UnusableError(message)
        if 2 * len(pairs) != len(tensors) or not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            message = f"the adapter in {folder} has weights that are not finite, or not all of them"
            raise UnusableError(message)
        return adapter

    def _pairs(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return both matrices for each layer, shapes (rank, inputs) and (outputs, rank)."""
        found = {}
        for name, down in self.tensors.items():
            matched = _KEY.fullmatch(name)
            up = self.tensors.get(name.replace(".lora_A.", ".lora_B."))
            if matched and up is not None and down.ndim == up.ndim == 2:  # noqa: PLR2004 - matrices
                found[matched["module"]] = (down, up)
        return found


def adapter_of(model: PreTrainedModel) -> Adapter | None:
    """Return the adapter that has been added to the body of a model; None where its weights are whole."""
    found: Adapter | None = vars(model.base_model).get(_ATTRIBUTE)
    return found


def note(model: PreTrainedModel, adapter: Adapter | None) -> None:
    """Say which adapter has been added to the body of a model, so that it is saved apart from what it was added to."""
    vars(model.base_model)[_ATTRIBUTE] = adapter


def save(model: PreTrainedModel, folder: Path) -> None:
    """Write the weights and the configuration of a model: whole, or as an adapter beside what it was added to."""
    adapter = adapter_of(model)
    if adapter is None:
        model.save_pretrained(folder)
        return
    model.config.save_pretrained(folder)
    adapter.write(folder)
    if model.base_model is not model:
        save_file(above(model), folder / ABOVE_FILE)


def above(model: PreTrainedModel) -> dict[str, Tensor]:
    """Return what a model has above its body, by the names it has there."""
    body = f"{model.base_model_prefix}."
    return {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items() if not name.startswith(body)}


def keep_foundation(model: PreTrainedModel, folder: Path) -> str:
    """Write the body of a model into the new folder, as what an adapter will be added to; return the SHA-256 of its weights."""
    shutil.rmtree(folder, ignore_errors=True)
    # In one file, however large: it is known by its content.
    body: Any = model.base_model
    body.save_pretrained(folder, max_shard_size="1000GB")
    return sha256_of_file(folder / _FOUNDATION_WEIGHTS)


def _content_of(folder: Path) -> str:
    """Return the SHA-256 of the weights in a model folder; a manifest, against which every byte was read, spares reading them."""
    name = f"{FOUNDATION_FOLDER}/{_FOUNDATION_WEIGHTS}"
    listed = unchecked(folder).get(name)
    return listed.sha256 if listed is not None else sha256_of_file(folder / name)


def _weight_of(model: PreTrainedModel, module: str) -> Tensor | None:
    try:
        found = nn.Module.get_submodule(model.base_model, module)
    except AttributeError:
        return None
    weight = getattr(found, "weight", None)
    return weight if isinstance(weight, Tensor) else None


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _unreadable(folder: Path, error: BaseException) -> UnusableError:
    return UnusableError(f"the adapter in {folder} cannot be read ({type(error).__name__}: {inert(error)[:200]})")
